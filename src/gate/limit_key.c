/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Keys of rate limits as people read them, for the list of who is refused most (table/offenders.h).
 * Only a refusal comes here, and only one that takes a place of the list makes text.
 */
#include "base/ip.h"
#include "gate/limit_bucket.h"
#include "gate/request.h"
#include "table/offenders.h"

/* A text of limited length; what does not fit is left out. */
struct text {
    char p[OFFENDERS_TEXT];
    size_t n;
};

static void add(struct text *t, struct slice s)
{
    size_t n = s.n < sizeof(t->p) - t->n ? s.n : sizeof(t->p) - t->n;

    if (n > 0)
        memcpy(t->p + t->n, s.p, n);
    t->n += n;
}

static void add_client(const struct gate_request *q, const struct conf_rate_limit *l,
                       struct text *t, struct offender *who)
{
    char text[IP_TEXT_MAX + 4];
    unsigned bits = limit_mask_address(q->client, l, who->addr);
    size_t n = ip_text(who->addr, text);

    who->bits = (uint8_t)bits;
    if (bits < 128) {
        text[n++] = '/';
        n += fmt_u64(text + n, bits >= 96 && memchr(text, ':', n) == NULL ? bits - 96 : bits);
    }
    add(t, slice_of(text, n));
}

static void add_part(const struct gate_request *q, const struct conf_rate_limit *l,
                     const struct conf_key_part *part, uint32_t var, struct text *t,
                     struct offender *who)
{
    struct slice name = conf_slice(q->gen->root, part->name);
    size_t at = t->n;

    switch ((enum conf_key)part->kind) {
    case CONF_IDENTITY:
        if (q->identity.n == 0) {
            add_client(q, l, t, who);
            break;
        }
        add(t, SLICE_LIT("identity:"));
        add(t, q->identity);
        if (t->n - at != 9 + q->identity.n)
            break; /* it was cut: another one */
        who->ban_at = (uint8_t)at;
        who->ban_n = (uint8_t)(t->n - at);
        break;
    case CONF_CLIENT_IP:
        add_client(q, l, t, who);
        break;
    case CONF_ROUTE:
        add(t, conf_slice(q->gen->root, q->route->name));
        break;
    case CONF_HEADER:
        add(t, name);
        add(t, SLICE_LIT(": "));
        add(t, http_header_get(q->http, name));
        break;
    case CONF_PATH:
        add(t, name);
        add(t, SLICE_LIT("="));
        add(t, var < q->vars_n ? q->vars[var] : SLICE_NONE);
        break;
    case CONF_CONSTANT:
        add(t, SLICE_LIT("all requests"));
        break;
    }
}

static void describe(const struct gate_request *q, const struct conf_route_limit *rl,
                     struct text *t, struct offender *who)
{
    const struct conf_rate_limit *l = &conf_rate_limits(q->gen->root)[rl->limit];

    t->n = 0;
    for (unsigned i = 0; i < l->parts_n; i++) {
        if (i > 0)
            add(t, SLICE_LIT(", "));
        add_part(q, l, &l->part[i], rl->var[i], t, who);
    }
}

void limit_key_text(const struct gate_request *q, const struct conf_route_limit *rl,
                    struct buf *out)
{
    struct offender who = {0};
    struct text t;

    describe(q, rl, &t, &who);
    buf_add(out, t.p, t.n);
}

void limit_offended(const struct gate_request *q, const struct conf_route_limit *rl,
                    uint64_t fingerprint, uint64_t now_ns)
{
    const struct conf_rate_limit *l = &conf_rate_limits(q->gen->root)[rl->limit];
    struct offenders *o = &q->gate->ctx.offenders;
    struct offender who = {.fingerprint = fingerprint, .limit = l->stat};
    struct text t;
    unsigned way;

    if (q->explain != NULL || !offenders_count(o, fingerprint, now_ns, &way))
        return;
    memcpy(who.addr, q->client, sizeof(who.addr));
    describe(q, rl, &t, &who);
    who.text = slice_of(t.p, t.n);
    offenders_describe(o, &who, way);
}
