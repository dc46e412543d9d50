/* SPDX-License-Identifier: BSD-2-Clause */
#include "gate/shared_limit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "conf/compiled.h"
#include "gate/shared_script.h"

#define WAYS     8u
#define SET_BITS 11u /* 16,384 keys, 4 MiB that are touched as they are used */
#define FLUSH_NS (8 * NS_PER_MS)
#define KEY_MAX  (64 + SHARED_NAME_MAX + 24)
#define ARG_MAX  32

struct shared_limits {
    struct loop *loop;
    struct metric_block *metrics;
    struct redis_pool *pool;  /* NULL: no limit was ever shared */
    struct shared_entry *set; /* owned array; with the pool */
    struct list owing;        /* of shared_entry.owing */
    struct loop_hook send;
    struct loop_timer later; /* debts that must not be sent yet */
    char prefix[65];
};

/* --- the table --- */

/* What may go: not a key whose call is on its way or that owes what Redis will ask for. */
static bool evictable(const struct shared_entry *e)
{
    return !e->in_flight && e->hard == 0 && list_empty(&e->owing);
}

static struct shared_entry *find(struct shared_limits *t, uint64_t fp)
{
    struct shared_entry *set = &t->set[(fp >> (64 - SET_BITS)) * WAYS], *victim = NULL;

    for (unsigned i = 0; i < WAYS; i++) {
        struct shared_entry *e = &set[i];
        if (e->fingerprint == fp)
            return e;
        if (e->fingerprint == 0)
            list_init(&e->owing);
        if (evictable(e) && (victim == NULL || e->used_ns < victim->used_ns))
            victim = e;
    }
    return victim;
}

static void on_done(struct redis_call *c, enum redis_outcome outcome,
                    const int64_t value[REDIS_VALUES]);

static struct shared_entry *entry_of(struct shared_limits *t, const struct shared_key *k)
{
    struct shared_entry *e = find(t, k->fingerprint);
    size_t n = k->limit.n < SHARED_NAME_MAX ? k->limit.n : SHARED_NAME_MAX - 1;

    if (e == NULL || e->fingerprint == k->fingerprint)
        return e;
    *e = (struct shared_entry){.fingerprint = k->fingerprint};
    list_init(&e->owing);
    e->call.done = on_done;
    memcpy(e->name, k->limit.p, n);
    return e;
}

static bool usable(const struct shared_limits *t, const struct shared_entry *e)
{
    const struct redis_server *s = redis_pool_pick(t->pool, e->fingerprint);

    return s != NULL && redis_server_usable(s);
}

/* No answer is to be expected in time. */
static bool alone(const struct shared_limits *t, const struct shared_entry *e, uint64_t now_ns)
{
    if (e->in_flight)
        return now_ns - e->asked_ns > redis_pool_budget_ns(t->pool) + LOOP_TICK_MS * NS_PER_MS;
    return !usable(t, e);
}

static void want(struct shared_limits *t, struct shared_entry *e)
{
    if (!list_empty(&e->owing))
        return;
    list_add(&t->owing, &e->owing);
    loop_defer(t->loop, &t->send);
}

/* --- calls --- */

static void count(const struct shared_limits *t, const struct shared_entry *e,
                  enum metric_limit_outcome outcome, uint64_t n)
{
    metric_add(&t->metrics->limits[e->stat % METRIC_LIMITS].count[outcome], n);
}

static bool send_question(struct shared_limits *t, struct redis_server *s, struct shared_entry *e,
                          const struct shared_question *q)
{
    char key[KEY_MAX], text[6][ARG_MAX];
    struct slice args[6];
    int n = snprintf(key, sizeof(key), "%s%s:{%016llx}", t->prefix, e->name,
                     (unsigned long long)e->fingerprint);

    snprintf(text[0], ARG_MAX, "%.7f", q->interval_us);
    snprintf(text[1], ARG_MAX, "%.7f", q->capacity_us);
    snprintf(text[2], ARG_MAX, "%llu", (unsigned long long)q->hard_us);
    snprintf(text[3], ARG_MAX, "%llu", (unsigned long long)q->soft_us);
    snprintf(text[4], ARG_MAX, "%u", q->want);
    snprintf(text[5], ARG_MAX, "%u", q->least);
    for (unsigned i = 0; i < 6; i++)
        args[i] = slice_str(text[i]);
    return redis_server_call(s, &e->call, slice_of(key, (size_t)n), args, 6);
}

static void ask(struct shared_limits *t, struct shared_entry *e, uint64_t now_ns)
{
    struct redis_server *s = redis_pool_pick(t->pool, e->fingerprint);
    struct shared_question q;

    list_del(&e->owing);
    if (e->in_flight)
        return;
    if (s == NULL || !redis_server_usable(s)) {
        shared_entry_alone(e);
        return;
    }
    shared_entry_ask(e, now_ns, &q);
    e->call.user = t;
    if (!send_question(t, s, e, &q))
        shared_entry_failed(e, false, now_ns);
}

static void send_hook(struct loop_hook *h)
{
    struct shared_limits *t = CONTAINER_OF(h, struct shared_limits, send);
    uint64_t now_ns = clock_mono_ns();

    LIST_EACH_SAFE (it, &t->owing) {
        struct shared_entry *e = CONTAINER_OF(it, struct shared_entry, owing);
        if (now_ns >= e->due_ns)
            ask(t, e, now_ns);
        else if (e->hard == 0)
            list_del(&e->owing); /* the next request asks again */
    }
    if (!list_empty(&t->owing) && !loop_timer_armed(&t->later))
        loop_timer_arm(t->loop, &t->later, FLUSH_NS);
}

static void on_later(struct loop_timer *timer)
{
    struct shared_limits *t = CONTAINER_OF(timer, struct shared_limits, later);

    loop_defer(t->loop, &t->send);
}

static uint64_t positive(int64_t n)
{
    return n > 0 ? (uint64_t)n : 0;
}

static void on_done(struct redis_call *c, enum redis_outcome outcome,
                    const int64_t value[REDIS_VALUES])
{
    struct shared_entry *e = CONTAINER_OF(c, struct shared_entry, call);
    struct shared_limits *t = c->user;
    uint64_t now_ns = clock_mono_ns();

    if (outcome != REDIS_DONE) {
        shared_entry_failed(e, outcome == REDIS_AGAIN, now_ns);
        if (outcome == REDIS_AGAIN)
            want(t, e);
        return;
    }
    struct shared_reply r = {.ahead_us = positive(value[1]), .wait_us = positive(value[2])};
    r.tokens = (uint32_t)positive(value[0] <= UINT32_MAX ? value[0] : 0);
    shared_entry_answer(e, &r, c->sent_ns, now_ns, redis_pool_budget_ns(t->pool));
    count(t, e, LIMIT_LEASED, r.tokens);
    if (e->hard > 0)
        want(t, e);
}

/* --- deciding --- */

bool shared_limits_look(struct shared_limits *t, const struct shared_key *k, struct limit_ask *a,
                        uint64_t now_ns, struct shared_look *out)
{
    struct shared_entry *e = t->pool != NULL ? entry_of(t, k) : NULL;
    uint64_t wait = 0;

    *out = (struct shared_look){e, SHARED_OPTIMISTIC};
    a->allowed = true;
    if (e == NULL)
        return true;
    e->stat = k->stat;
    e->most = k->lease;
    out->verdict = shared_entry_look(e, a, now_ns, &wait);
    if (shared_entry_wants(e, out->verdict, now_ns))
        want(t, e);
    if (out->verdict != SHARED_DENIED)
        return true;
    a->allowed = a->overflowed = false;
    a->wait = wait;
    a->debt = shared_entry_ahead(e, now_ns);
    return false;
}

void shared_limits_take(struct shared_limits *t, const struct shared_key *k, struct limit_ask *a,
                        uint64_t now_ns, const struct shared_look *look)
{
    struct shared_entry *e = look->entry;
    bool by_itself = e == NULL || alone(t, e, now_ns);

    if (look->verdict == SHARED_OPTIMISTIC)
        metric_add(&t->metrics->limits[k->stat % METRIC_LIMITS]
                        .count[by_itself ? LIMIT_FALLBACK : LIMIT_UNCONFIRMED],
                   1);
    if (e == NULL)
        return;
    shared_entry_take(e, a, look->verdict, by_itself, now_ns);
    if (e->hard > 0)
        want(t, e);
    if (shared_entry_ahead(e, now_ns) > a->debt)
        a->debt = shared_entry_ahead(e, now_ns);
}

/* --- life --- */

struct shared_limits *shared_limits_new(struct loop *l, struct metric_block *metrics)
{
    struct shared_limits *t = calloc(1, sizeof(*t));

    if (t == NULL)
        return NULL;
    t->loop = l;
    t->metrics = metrics;
    list_init(&t->owing);
    loop_hook_init(&t->send, send_hook);
    loop_timer_init(&t->later, on_later);
    return t;
}

static bool any_shared(const struct conf_root *root)
{
    const struct conf_rate_limit *l = conf_rate_limits(root);

    for (uint32_t i = 0; i < root->rate_limits.n; i++)
        if (l[i].shared)
            return true;
    return false;
}

/* Servers of a configuration in the pool's terms. */
static void fill_config(const struct shared_limits *t, const struct conf_root *root,
                        struct redis_server_config *servers, struct redis_config *out)
{
    const struct conf_redis *r = &root->redis;
    const struct conf_redis_server *all = conf_at(root, r->servers);
    unsigned n = any_shared(root) ? r->servers.n : 0;

    for (unsigned i = 0; i < n; i++) {
        struct slice sa = conf_slice(root, all[i].sockaddr);
        servers[i] = (struct redis_server_config){
            .address = conf_slice(root, all[i].address),
            .sa = (const struct sockaddr *)(const void *)sa.p,
            .sa_len = (uint32_t)sa.n,
            .stats = &t->metrics->redis[all[i].stat % METRIC_REDIS],
        };
    }
    *out = (struct redis_config){
        .servers = servers,
        .servers_n = n,
        .username = conf_slice(root, r->username),
        .password = conf_slice(root, r->password),
        .db = r->db,
        .budget_ms = r->budget_ms,
        .connect_timeout_ms = r->connect_timeout_ms,
        .breaker_failures = r->breaker_failures,
        .breaker_open_ms = r->breaker_open_ms,
    };
}

static bool create(struct shared_limits *t, const struct redis_config *cfg)
{
    t->set = calloc((size_t)WAYS << SET_BITS, sizeof(*t->set));
    if (t->set == NULL)
        return false;
    t->pool = redis_pool_new(t->loop, SHARED_SCRIPT, cfg);
    if (t->pool != NULL)
        return true;
    free(t->set);
    t->set = NULL;
    return false;
}

bool shared_limits_update(struct shared_limits *t, const struct conf_root *root)
{
    struct redis_server_config servers[REDIS_SERVERS_MAX];
    struct slice prefix = conf_slice(root, root->redis.prefix);
    struct redis_config cfg;

    fill_config(t, root, servers, &cfg);
    if (t->pool == NULL && cfg.servers_n == 0)
        return true;
    if (t->pool == NULL ? !create(t, &cfg) : !redis_pool_update(t->pool, &cfg))
        return false;
    snprintf(t->prefix, sizeof(t->prefix), "%.*s", SLICE_ARG(prefix));
    return true;
}

void shared_limits_free(struct shared_limits **tp)
{
    struct shared_limits *t = *tp;

    *tp = NULL;
    if (t == NULL)
        return;
    redis_pool_free(&t->pool);
    loop_hook_cancel(&t->send);
    loop_timer_disarm(t->loop, &t->later);
    free(t->set);
    free(t);
}
