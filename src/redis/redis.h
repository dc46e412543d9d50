/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Redis servers as a worker uses them: one script, called with one key and a few numbers, answered
 * by three. Built on hiredis' contexts (parser, buffers) in the worker's own loop; nothing blocks
 * and nothing waits for an answer.
 *
 *   redis_pool_pick      which server has a key: rendezvous hash over all that are configured
 *   redis_server_usable  would a call be worth it now? (connected, breaker closed)
 *   redis_server_call    queues; all calls of a loop turn leave in one write
 *   call->done           once for each call that was queued, when it is answered or given up
 *
 * A call that is not answered within `budget_ms` is late: that counts as a failure, yet its answer
 * is still taken when it comes, for only it says what was charged. Enough failures in a row open
 * the server's breaker (breaker.h): the connection is closed, its calls end as failed, and nothing
 * is sent for `breaker_open_ms`. Then a new connection is the probe;
 * where calls had been refused, so is the first call on it.
 *
 * A server that is gone keeps its keys. Were they moved to the others, each key would begin anew
 * there, and again when the server is back: two full buckets more. As it is, whoever asks falls
 * back to what he knows, and a server that comes back after a break remembers.
 *
 * hiredis' asynchronous layer is not used: it asserts that no reply comes unasked, and what comes
 * from the network must never end a worker.
 */
#ifndef REDIS_REDIS_H
#define REDIS_REDIS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/list.h"
#include "base/slice.h"
#include "metric/metric.h"
#include "net/loop.h"

#define REDIS_SERVERS_MAX 16u
#define REDIS_VALUES      3u /* numbers in an answer */
#define REDIS_ARGS_MAX    8u /* arguments of a call, the key not counted */

struct redis_pool;
struct redis_server;

enum redis_outcome {
    REDIS_DONE,   /* answered, perhaps late */
    REDIS_AGAIN,  /* certainly not run (the server had lost the script): call once more */
    REDIS_FAILED, /* refused, or given up: whether it was run is not known */
};

/* One call, embedded in what it is about. */
struct redis_call {
    struct list node; /* on the server's list until done */
    uint64_t sent_ns;
    uint32_t kind; /* the server's */
    bool late;     /* not answered within the budget */
    void *user;    /* the caller's */
    void (*done)(struct redis_call *c, enum redis_outcome outcome,
                 const int64_t value[REDIS_VALUES]);
};

struct redis_server_config {
    struct slice address;      /* "host:port" or "unix:PATH", for messages and the hash; copied */
    const struct sockaddr *sa; /* copied */
    uint32_t sa_len;
    struct metric_redis *stats; /* this worker's; borrowed */
};

struct redis_config {
    const struct redis_server_config *servers;
    unsigned servers_n; /* at most REDIS_SERVERS_MAX; 0: none */
    struct slice username, password;
    uint32_t db;
    uint32_t budget_ms, connect_timeout_ms;
    uint32_t breaker_failures, breaker_open_ms;
};

/* `script`: Lua, a literal. Starts connecting. NULL when memory is out. */
struct redis_pool *redis_pool_new(struct loop *l, const char *script,
                                  const struct redis_config *cfg);
/* Servers that stay keep their connection, unless what it was opened with (user, password, db) has
 * changed; calls to those that leave end as failed. False when memory is out: nothing changed. */
bool redis_pool_update(struct redis_pool *p, const struct redis_config *cfg)
    __attribute__((warn_unused_result));
/* Calls that are not answered end as failed. */
void redis_pool_free(struct redis_pool **p);

uint64_t redis_pool_budget_ns(const struct redis_pool *p);
/* The server of a key, by its hash; NULL when none is configured. The same on every host that names
 * the same servers, in whatever order. */
struct redis_server *redis_pool_pick(const struct redis_pool *p, uint64_t hash);

bool redis_server_usable(const struct redis_server *s);
/* Queues `EVALSHA script 1 key args...`. False: not usable; done is not called. The call must stay
 * where it is until done. */
bool redis_server_call(struct redis_server *s, struct redis_call *c, struct slice key,
                       const struct slice *args, unsigned args_n)
    __attribute__((warn_unused_result));

#endif
