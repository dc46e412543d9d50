/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Phase split: which arm of the route's A/B split the request is in. An arm may name another
 * upstream or an answer of its own; its name goes to the service, into the access record and, if
 * that is wanted, into the answer.
 *
 * Who is in which arm is a hash (conf/split.h), so nothing is stored and all workers agree. By
 * cookie the gateway gives each browser 64 random bits; a value that it cannot have written counts
 * as none. A client can always throw its cookie away and be dealt again, or keep asking until it
 * likes its arm: where that matters, split by identity.
 */
#include <stdio.h>

#include "base/hash.h"
#include "gate/explain_note.h"
#include "gate/request.h"
#include "http/cookie.h"

#define COOKIE_DIGITS 16

/* --- who it is --- */

/* Of IPv6 the network: the rest changes by itself (RFC 8981). */
static uint64_t hash_client(const struct gate_request *q, uint64_t seed)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    bool v4 = memcmp(q->client, mapped, sizeof(mapped)) == 0;

    return hash64(slice_of((const char *)q->client, v4 ? 16 : 8), seed);
}

static uint64_t hash_named(const struct gate_request *q, struct slice who, uint64_t seed)
{
    return who.n > 0 ? hash64(who, seed) : hash_client(q, seed);
}

/* As the gateway writes them: 16 lower-case hexadecimal digits. */
static bool cookie_ok(struct slice value)
{
    if (value.n != COOKIE_DIGITS)
        return false;
    for (size_t i = 0; i < value.n; i++)
        if (!((value.p[i] >= '0' && value.p[i] <= '9') || (value.p[i] >= 'a' && value.p[i] <= 'f')))
            return false;
    return true;
}

/* The first that is ours, of however many there are; "" none. */
static struct slice cookie_find(const struct gate_request *q, struct slice want)
{
    for (unsigned i = 0; i < q->http->headers_n; i++) {
        const struct http_header *h = &q->http->headers[i];
        struct slice rest = h->value, name, value;
        if (!slice_eq_nocase(h->name, SLICE_LIT("cookie")))
            continue;
        while (http_cookie_next(&rest, &name, &value))
            if (slice_eq(name, want) && cookie_ok(value))
                return value;
    }
    return SLICE_NONE;
}

/* A fresh cookie, and the line that sets it. "" when memory is out: the next request gets one. */
static struct slice cookie_new(struct gate_request *q, const struct conf_split *s)
{
    /* Nobody is given the cookie of an explanation. */
    unsigned long long bits = q->explain == NULL ? random_next(&q->gate->ctx.loop->rng) : 0;
    struct slice name = conf_slice(q->gen->root, s->by_name), value;
    char age[32] = "";

    if (s->cookie_max_age_s > 0)
        snprintf(age, sizeof(age), "; Max-Age=%u", s->cookie_max_age_s);
    value = arena_printf(&q->http->arena, "%016llx", bits);
    q->split_headers = arena_printf(
        &q->http->arena, "Set-Cookie: %.*s=%.*s; Path=/%s; SameSite=Lax; HttpOnly%s\r\n",
        SLICE_ARG(name), SLICE_ARG(value), age, s->cookie_secure ? "; Secure" : "");
    return value;
}

static uint64_t key_of(struct gate_request *q, const struct conf_split *s)
{
    struct slice cookie;

    switch ((enum conf_split_by)s->by) {
    case CONF_BY_IDENTITY:
        return hash_named(q, q->identity, s->seed);
    case CONF_BY_HEADER:
        return hash_named(q, http_header_get(q->http, conf_slice(q->gen->root, s->by_name)),
                          s->seed);
    case CONF_BY_COOKIE:
        cookie = cookie_find(q, conf_slice(q->gen->root, s->by_name));
        return hash64(cookie.n > 0 ? cookie : cookie_new(q, s), s->seed);
    case CONF_BY_CLIENT_IP:
        break;
    }
    return hash_client(q, s->seed);
}

/* --- the arm --- */

/* The one that the request names, where it may; else NULL. */
static const struct conf_arm *forced(const struct gate_request *q, const struct conf_split *s)
{
    const struct conf_root *root = q->gen->root;
    struct slice name;

    if (s->override == CONF_OVERRIDE_OFF ||
        (s->override == CONF_OVERRIDE_TRUSTED && !q->peer_trusted))
        return NULL;
    name = http_header_get(q->http, conf_slice(root, s->header_lower));
    return name.n > 0 ? split_arm(root, s, name) : NULL;
}

static void tell(struct gate_request *q)
{
    const struct conf_root *root = q->gen->root;

    if (q->split->answer)
        q->split_headers =
            arena_printf(&q->http->arena, "%.*s%.*s: %.*s\r\n", SLICE_ARG(q->split_headers),
                         SLICE_ARG(conf_slice(root, q->split->header)),
                         SLICE_ARG(conf_slice(root, q->arm->name)));
}

/* Where the request goes now: the upstream, and the limits of calls that belong to it. */
static void redirect(struct gate_request *q)
{
    const struct conf_root *root = q->gen->root;
    uint32_t upstream = q->arm->upstream, route = (uint32_t)(q->route - conf_routes(root));

    if (q->arm->responds) {
        q->upstream = NULL;
        q->concurrency[0] = q->concurrency[1] = NULL;
    } else if (upstream != CONF_NONE) {
        q->upstream = q->gen->upstreams[upstream];
        q->concurrency[0] = q->gen->concurrency[root->upstreams.n + route];
        q->concurrency[1] = q->gen->concurrency[upstream];
    }
}

enum phase_verdict phase_split(struct gate_request *q)
{
    const struct conf_root *root = q->gen->root;
    const struct conf_split *s;

    if (q->route->split == CONF_NONE)
        return PHASE_NEXT;
    s = q->split = &conf_splits(root)[q->route->split];
    q->arm = forced(q, s);
    q->arm_forced = q->arm != NULL;
    if (q->arm == NULL)
        q->arm = split_choose(root, s, key_of(q, s));
    if (q->explain != NULL)
        explain_split(q);
    redirect(q);
    tell(q);
    return PHASE_NEXT;
}

/*
 * Only what the arm itself answered: refusals by limits and the like are the same in all arms and
 * would dilute what tells them apart. Whoever named an arm is no sample of those who are dealt to
 * it.
 */
void split_count(struct gate_request *q, unsigned status, uint64_t duration_ns)
{
    struct metric_arm *m = &q->gate->ctx.metrics->arms[q->arm->stat % METRIC_ARMS];

    if (!q->arm_reached)
        return;
    if (q->arm_forced) {
        metric_add(&m->forced, 1);
        return;
    }
    metric_add(&m->answers.status[status / 100 < 6 ? status / 100 : 5], 1);
    if (status != 0)
        histogram_record(&m->answers.latency, duration_ns);
}
