/* SPDX-License-Identifier: BSD-2-Clause */
/* One server, inside of src/redis. */
#ifndef REDIS_SERVER_H
#define REDIS_SERVER_H

#include <hiredis/read.h>

#include "redis/breaker.h"
#include "redis/redis.h"

struct event;
struct redisContext;

/* What all servers of a pool share. */
struct redis_settings {
    char *username, *password; /* owned; "" none */
    uint32_t db;
    uint64_t budget_ns, connect_timeout_ns;
    uint32_t breaker_failures;
    uint64_t breaker_open_ns;
};

enum redis_state {
    REDIS_DOWN,       /* no connection; `timer` says when the next is tried */
    REDIS_CONNECTING, /* the socket is not connected yet */
    REDIS_GREETING,   /* password, database and script are sent */
    REDIS_READY,
};

struct redis_server {
    struct loop *loop;
    const struct redis_settings *settings; /* the pool's */
    const char *script;
    char *address; /* owned */
    struct sockaddr_storage sa;
    socklen_t sa_len;
    uint64_t seed; /* of the rendezvous hash */
    struct metric_redis *stats;

    enum redis_state state;
    int fd;                 /* while connecting; then the context's */
    struct event *event;    /* waits for the connection, then reads; owned */
    struct event *writable; /* what one write did not take; owned */
    struct redisContext *context;
    redisReplyObjectFunctions theirs, ours; /* how the context's reader makes replies */
    struct loop_hook flush;
    struct loop_timer timer; /* next try, connect timeout, or the budget of the oldest call */
    struct breaker breaker;
    char sha[41];      /* of the script, as the server named it */
    struct list calls; /* of redis_call.node, in the order sent; greetings among them */
    struct redis_call greeting[3];
    bool script_sent;   /* its SCRIPT LOAD is not answered yet */
    unsigned in_flight; /* calls, greetings not counted */
    bool refused; /* the last failure was an error reply to a call: only a call shows its end */
    bool heard;   /* an answer came since the timer last looked */

    /* What the log was told last. */
    char told[48];
    uint64_t told_ns;
    bool told_down;
};

/* NULL when memory is out. Tries to connect at the loop's next tick. */
struct redis_server *redis_server_new(struct loop *l, const struct redis_settings *settings,
                                      const char *script, const struct redis_server_config *cfg);
/* Settings of the pool changed; reconnect: those the connection was opened with. */
void redis_server_update(struct redis_server *s, bool reconnect);
void redis_server_free(struct redis_server **s);

#endif
