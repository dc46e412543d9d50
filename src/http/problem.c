/* SPDX-License-Identifier: BSD-2-Clause */
#include "http/problem.h"

#include "http/headers.h"

/* Two slices as one JSON string: the second is a word of ours that needs no escaping. */
static void add_type(struct buf *out, struct slice base, struct slice reason)
{
    buf_str(out, "{\"type\":");
    buf_json(out, base);
    if (!out->failed)
        out->n--; /* the closing quote */
    buf_slice(out, reason);
    buf_char(out, '"');
}

void http_problem(struct buf *out, struct slice base, struct slice reason, struct slice title,
                  unsigned status, struct slice detail, struct slice extra)
{
    add_type(out, base, reason);
    buf_str(out, ",\"title\":");
    buf_json(out, title.n > 0 ? title : http_status_reason(status));
    buf_str(out, ",\"status\":");
    buf_u64(out, status);
    if (detail.n > 0) {
        buf_str(out, ",\"detail\":");
        buf_json(out, detail);
    }
    if (extra.n > 0) {
        buf_char(out, ',');
        buf_slice(out, extra);
    }
    buf_str(out, "}\n");
}
