/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Header lines about rate limits: answers, admitted ones too, carry the state of the limits
 * (draft-ietf-httpapi-ratelimit-headers):
 *
 *   RateLimit-Policy: "per_buyer";q=5;w=10     q tokens in w seconds
 *   RateLimit: "per_buyer";r=3;t=4             r are left, all are back in t seconds
 *
 * What of it the configuration says alone is written once a generation.
 */
#include "gate/limit_bucket.h"
#include "gate/limit_group.h"
#include "gate/request.h"

#define NUMBER_MAX 20u
/* Of an item in RateLimit beside its name and the words before r: ", ", two numbers, ";t=". */
#define ITEM_MAX   (2 + 2 * NUMBER_MAX + 3)
#define LEGACY_MAX (96 + 3 * NUMBER_MAX)

/* --- once a generation --- */

static struct limit_text add_item(struct buf *b, struct slice name)
{
    size_t off = b->n;

    buf_char(b, '"');
    buf_slice(b, name);
    buf_str(b, "\";r=");
    return (struct limit_text){(uint32_t)off, (uint32_t)(b->n - off)};
}

/* Up to where the items of RateLimit begin. */
static struct limit_text add_policy(struct buf *b, const struct conf_root *root,
                                    const struct conf_route *route)
{
    const struct conf_route_limit *limits = conf_at(root, route->limits);
    size_t off = b->n;

    buf_str(b, "RateLimit-Policy: ");
    for (uint32_t i = 0, n = 0; i < route->limits.n && i < CONF_ROUTE_LIMITS; i++) {
        const struct conf_rate_limit *l = &conf_rate_limits(root)[limits[i].limit];
        if (l->mode != CONF_ENFORCE)
            continue;
        buf_add(b, ", ", n++ > 0 ? 2 : 0);
        buf_slice(b, conf_slice(root, l->policy));
    }
    buf_str(b, "\r\nRateLimit: ");
    return (struct limit_text){(uint32_t)off, (uint32_t)(b->n - off)};
}

bool limit_headers_prepare(struct generation *gen)
{
    const struct conf_root *root = gen->root;
    struct buf *b = &gen->limit_texts;

    for (uint32_t i = 0; i < root->rate_limits.n; i++)
        gen->limits[i].item = add_item(b, conf_slice(root, conf_rate_limits(root)[i].name));
    for (uint32_t i = 0; i < root->routes.n; i++)
        if (conf_routes(root)[i].limits.n > 0)
            gen->routes[i].policy = add_policy(b, root, &conf_routes(root)[i]);
    return !b->failed;
}

/* --- for a request --- */

static char *put(char *at, const void *p, size_t n)
{
    memcpy(at, p, n);
    return at + n;
}

static char *put_text(char *at, const struct generation *gen, struct limit_text text)
{
    return put(at, gen->limit_texts.p + text.off, text.n);
}

static char *put_ietf(char *at, const struct gate_request *q,
                      const struct conf_route_limit *const *route, const struct limit_group *set)
{
    at = put_text(at, q->gen, q->info->policy);
    for (unsigned i = 0; i < set->enforced; i++) {
        at = put(at, ", ", i > 0 ? 2 : 0);
        at = put_text(at, q->gen, q->gen->limits[route[i]->limit].item);
        at += fmt_u64(at, limit_tokens_left(&set->ask[i]));
        at = put(at, ";t=", 3);
        at += fmt_u64(at, limit_seconds(set->ask[i].debt));
    }
    return put(at, "\r\n", 2);
}

/* The one that is nearest to its end, as a share of its burst. */
static unsigned tightest(const struct limit_group *set)
{
    unsigned best = 0;

    for (unsigned i = 1; i < set->enforced; i++) {
        const struct limit_ask *a = &set->ask[i], *b = &set->ask[best];
        if ((double)a->debt * (double)b->capacity > (double)b->debt * (double)a->capacity)
            best = i;
    }
    return best;
}

static char *put_number(char *at, struct slice name, uint64_t value)
{
    at = put(at, name.p, name.n);
    at += fmt_u64(at, value);
    return put(at, "\r\n", 2);
}

static char *put_legacy(char *at, const struct limit_group *set)
{
    unsigned i = tightest(set);

    at = put_number(at, SLICE_LIT("X-RateLimit-Limit: "), set->conf[i]->tokens);
    at = put_number(at, SLICE_LIT("X-RateLimit-Remaining: "), limit_tokens_left(&set->ask[i]));
    return put_number(at, SLICE_LIT("X-RateLimit-Reset: "), limit_seconds(set->ask[i].debt));
}

struct slice limit_headers(const struct gate_request *q,
                           const struct conf_route_limit *const *route,
                           const struct limit_group *set)
{
    uint32_t form = q->gen->root->limit_headers;
    size_t most = q->info->policy.n + 2 + LEGACY_MAX;
    char *p, *at;

    for (unsigned i = 0; i < set->enforced; i++)
        most += q->gen->limits[route[i]->limit].item.n + ITEM_MAX;
    at = p = arena_alloc(&q->http->arena, most);
    if (p == NULL)
        return SLICE_NONE;
    if (form != CONF_LEGACY)
        at = put_ietf(at, q, route, set);
    if (form != CONF_IETF)
        at = put_legacy(at, set);
    return slice_of(p, (size_t)(at - p));
}
