/* SPDX-License-Identifier: BSD-2-Clause */
#include "config.h"

#include "ctl/json.h"

json_t *ctl_text(struct slice s)
{
    struct buf b = {0};
    json_t *out = json_stringn(s.p != NULL ? s.p : "", s.n);

    if (out != NULL)
        return out;
    buf_utf8(&b, s);
    out = json_stringn(buf_cstr(&b), b.n);
    buf_free(&b);
    return out;
}

static int append(const char *p, size_t n, void *out)
{
    buf_add(out, p, n);
    return 0;
}

void ctl_document_write(const json_t *document, struct buf *out)
{
    /* Jansson fails only where memory is out; the buffer says so too. */
    if (json_dump_callback(document, append, out, JSON_COMPACT | JSON_REAL_PRECISION(9)) < 0)
        out->failed = true;
    buf_char(out, '\n');
}
