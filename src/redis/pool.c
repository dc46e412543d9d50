/* SPDX-License-Identifier: BSD-2-Clause */
/* The servers of a worker: which has a key, and what a reload changes. */
#include "redis/server.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"

struct redis_pool {
    struct loop *loop;
    const char *script;
    struct redis_settings settings;
    struct redis_server *servers[REDIS_SERVERS_MAX]; /* owned */
    unsigned n;
};

static void settings_free(struct redis_settings *s)
{
    free(s->username);
    free(s->password);
}

static bool settings_make(const struct redis_config *cfg, struct redis_settings *out)
{
    *out = (struct redis_settings){
        .username = strndup(cfg->username.n > 0 ? cfg->username.p : "", cfg->username.n),
        .password = strndup(cfg->password.n > 0 ? cfg->password.p : "", cfg->password.n),
        .db = cfg->db,
        .budget_ns = cfg->budget_ms * NS_PER_MS,
        .connect_timeout_ns = cfg->connect_timeout_ms * NS_PER_MS,
        .breaker_failures = cfg->breaker_failures,
        .breaker_open_ns = cfg->breaker_open_ms * NS_PER_MS,
    };
    if (out->username != NULL && out->password != NULL)
        return true;
    settings_free(out);
    return false;
}

static bool same_login(const struct redis_settings *a, const struct redis_settings *b)
{
    return a->db == b->db && a->username != NULL && strcmp(a->username, b->username) == 0 &&
           strcmp(a->password, b->password) == 0;
}

static bool is(const struct redis_server *s, const struct redis_server_config *cfg)
{
    return slice_eq(slice_str(s->address), cfg->address) && s->sa_len == cfg->sa_len &&
           memcmp(&s->sa, cfg->sa, cfg->sa_len) == 0 && s->stats == cfg->stats;
}

/* Those that stay, and new ones; NULL in `found` where a server is new. */
static bool gather(struct redis_pool *p, const struct redis_config *cfg,
                   struct redis_server *next[REDIS_SERVERS_MAX], bool fresh[REDIS_SERVERS_MAX])
{
    for (unsigned i = 0; i < cfg->servers_n; i++) {
        next[i] = NULL;
        for (unsigned k = 0; k < p->n; k++)
            if (is(p->servers[k], &cfg->servers[i]))
                next[i] = p->servers[k];
        fresh[i] = next[i] == NULL;
        if (fresh[i])
            next[i] = redis_server_new(p->loop, &p->settings, p->script, &cfg->servers[i]);
        if (next[i] != NULL)
            continue;
        while (i-- > 0)
            if (fresh[i])
                redis_server_free(&next[i]);
        return false;
    }
    return true;
}

static void replace(struct redis_pool *p, struct redis_server *const *next, unsigned n)
{
    for (unsigned k = 0; k < p->n; k++) {
        bool stays = false;
        for (unsigned i = 0; i < n; i++)
            stays = stays || next[i] == p->servers[k];
        if (!stays)
            redis_server_free(&p->servers[k]);
    }
    if (n > 0)
        memcpy(p->servers, next, n * sizeof(*next));
    p->n = n;
}

bool redis_pool_update(struct redis_pool *p, const struct redis_config *cfg)
{
    struct redis_server *next[REDIS_SERVERS_MAX];
    bool fresh[REDIS_SERVERS_MAX], relogin;
    struct redis_settings settings;

    if (cfg->servers_n > REDIS_SERVERS_MAX || !settings_make(cfg, &settings))
        return false;
    if (!gather(p, cfg, next, fresh)) {
        settings_free(&settings);
        return false;
    }
    relogin = !same_login(&p->settings, &settings);
    settings_free(&p->settings);
    p->settings = settings;
    replace(p, next, cfg->servers_n);
    for (unsigned i = 0; i < p->n; i++)
        redis_server_update(p->servers[i], relogin && !fresh[i]);
    return true;
}

struct redis_pool *redis_pool_new(struct loop *l, const char *script,
                                  const struct redis_config *cfg)
{
    struct redis_pool *p = calloc(1, sizeof(*p));

    if (p == NULL)
        return NULL;
    p->loop = l;
    p->script = script;
    if (!redis_pool_update(p, cfg))
        redis_pool_free(&p);
    return p;
}

void redis_pool_free(struct redis_pool **pp)
{
    struct redis_pool *p = *pp;

    *pp = NULL;
    if (p == NULL)
        return;
    replace(p, NULL, 0);
    settings_free(&p->settings);
    free(p);
}

uint64_t redis_pool_budget_ns(const struct redis_pool *p)
{
    return p->settings.budget_ns;
}

struct redis_server *redis_pool_pick(const struct redis_pool *p, uint64_t hash)
{
    struct redis_server *best = NULL;
    uint64_t highest = 0;

    for (unsigned i = 0; i < p->n; i++) {
        uint64_t weight = hash_mix(hash ^ p->servers[i]->seed);
        if (best == NULL || weight > highest) {
            best = p->servers[i];
            highest = weight;
        }
    }
    return best;
}
