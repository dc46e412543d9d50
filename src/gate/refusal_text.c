/* SPDX-License-Identifier: BSD-2-Clause */
#include "gate/refusal_text.h"

#include "http/problem.h"

#define KEPT_MAX 512u /* bytes of reason and detail */
#define LINE     SLICE_LIT("X-Rushgate-Reason: ")

static struct refusal_text *place(struct refusal_texts *t, unsigned status, size_t reason_n,
                                  size_t detail_n)
{
    if (reason_n + detail_n > KEPT_MAX)
        return &t->other;
    return &t->kept[(status * 5 + reason_n * 11 + detail_n) % REFUSAL_TEXTS];
}

static bool is_it(const struct refusal_text *r, unsigned status, struct slice reason,
                  struct slice detail)
{
    return r->status == status && r->reason_n == reason.n && r->detail_n == detail.n &&
           memcmp(r->line.p + LINE.n, reason.p, reason.n) == 0 &&
           (detail.n == 0 || memcmp(r->line.p + r->line.n, detail.p, detail.n) == 0);
}

static bool write_text(struct refusal_text *r, struct slice base, unsigned status,
                       struct slice reason, struct slice detail)
{
    struct buf *b = &r->text;
    size_t line_n = LINE.n + reason.n + 2, before = line_n + detail.n;

    r->status = 0;
    buf_clear(b);
    buf_slice(b, LINE);
    buf_slice(b, reason);
    buf_add(b, "\r\n", 2);
    buf_slice(b, detail);
    http_problem(b, base, reason, SLICE_NONE, status, detail, SLICE_NONE);
    if (b->failed)
        return false;
    r->status = status;
    r->reason_n = reason.n;
    r->detail_n = detail.n;
    r->line = slice_of(b->p, line_n);
    r->document = slice_of(b->p + before, b->n - before);
    return true;
}

const struct refusal_text *refusal_text_get(struct refusal_texts *t, struct slice base,
                                            unsigned status, struct slice reason,
                                            struct slice detail)
{
    struct refusal_text *r = place(t, status, reason.n, detail.n);

    if (is_it(r, status, reason, detail) || write_text(r, base, status, reason, detail))
        return r;
    return NULL;
}

void refusal_texts_fini(struct refusal_texts *t)
{
    for (unsigned i = 0; i < REFUSAL_TEXTS; i++)
        buf_free(&t->kept[i].text);
    buf_free(&t->other.text);
}
