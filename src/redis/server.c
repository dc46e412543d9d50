/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One connection to one Redis server: its states, what is in flight on it, its breaker.
 *
 *   DOWN --timer--> CONNECTING --writable--> GREETING --answers--> READY
 *    ^---------------- refused, timed out, closed, wrong answer, breaker opened ----'
 *
 * The greeting is AUTH, SELECT and SCRIPT LOAD, as far as they are needed, in one write. Replies
 * come in the order of the calls, so the head of `calls` is what a reply belongs to.
 */
#include "config.h"

#include "redis/server.h"

#include <errno.h>
#include <event2/event.h>
#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "redis/trouble.h"
#include "rpc/addr.h"

#define RETRY_MIN_NS  (50 * NS_PER_MS)
#define TELL_AGAIN_NS (60 * NS_PER_S) /* the same trouble is told once in this time */
#define UNREAD_MAX    65536u          /* bytes that are no whole reply: it is none of ours */
#define IN_FLIGHT_MAX 4096u

enum kind { KIND_CALL, KIND_AUTH, KIND_SELECT, KIND_SCRIPT };

static void publish(struct redis_server *s)
{
    uint64_t state = METRIC_REDIS_DOWN;

    if (breaker_state(&s->breaker, loop_now(s->loop)) == BREAKER_OPEN)
        state = METRIC_REDIS_OPEN;
    else if (s->state == REDIS_READY)
        state = s->breaker.until_ns != 0 ? METRIC_REDIS_HALF_OPEN : METRIC_REDIS_UP;
    else if (s->state != REDIS_DOWN)
        state = METRIC_REDIS_CONNECTING;
    atomic_store_explicit(&s->stats->state, state, memory_order_relaxed);
}

/* --- the log: once per change --- */

/* The first word of an error reply is what kind of trouble it is; other texts are literals. */
static void tell_down(struct redis_server *s, const char *what, const char *advice)
{
    uint64_t now = loop_now(s->loop);
    char kind[sizeof(s->told)], text[160];
    size_t n = 0;

    for (; what[n] != '\0' && n < sizeof(text) - 1; n++)
        text[n] = what[n] >= ' ' && what[n] <= '~' ? what[n] : '?';
    text[n] = '\0';
    snprintf(kind, sizeof(kind), "%.*s", (int)strcspn(text, " :"), text);
    if (strcmp(kind, s->told) == 0 && now - s->told_ns < TELL_AGAIN_NS)
        return;
    memcpy(s->told, kind, sizeof(kind));
    s->told_ns = now;
    s->told_down = true;
    log_warn("redis %s: %s; its limits count locally (%s)", s->address, text, advice);
}

static void tell_up(struct redis_server *s)
{
    if (s->told_down)
        log_notice("redis %s: answers again", s->address);
    s->told_down = false;
}

/* --- ends --- */

static void finish(struct redis_server *s, struct redis_call *c, enum redis_outcome outcome,
                   const int64_t *value)
{
    uint32_t kind = c->kind;

    list_del(&c->node);
    if (kind != KIND_CALL)
        return;
    s->in_flight--;
    c->done(c, outcome, value);
}

static void disconnect(struct redis_server *s)
{
    struct list *it;

    if (s->event != NULL)
        event_free(s->event);
    if (s->writable != NULL)
        event_free(s->writable);
    s->event = s->writable = NULL;
    loop_hook_cancel(&s->flush);
    loop_timer_disarm(s->loop, &s->timer);
    if (s->context != NULL)
        redisFree(s->context); /* closes the descriptor */
    else if (s->fd >= 0)
        close(s->fd);
    s->context = NULL;
    s->fd = -1;
    s->state = REDIS_DOWN;
    s->script_sent = false;
    while ((it = list_first(&s->calls)) != NULL)
        finish(s, CONTAINER_OF(it, struct redis_call, node), REDIS_FAILED, NULL);
}

static uint64_t retry_ns(const struct redis_server *s)
{
    unsigned doublings = s->breaker.run < 6 ? s->breaker.run : 6;
    uint64_t ns = RETRY_MIN_NS << doublings;

    return ns < s->settings->breaker_open_ns ? ns : s->settings->breaker_open_ns;
}

/* Counts; where that opens the breaker, the connection goes, too: what is on it would only be
 * answered long after anybody cared, and its successor is the probe. */
static void fail(struct redis_server *s, const char *what, const char *advice)
{
    metric_add(&s->stats->failures, 1);
    tell_down(s, what, advice);
    if (breaker_fail(&s->breaker, loop_now(s->loop))) {
        metric_add(&s->stats->opened, 1);
        disconnect(s);
        loop_timer_arm(s->loop, &s->timer, s->settings->breaker_open_ns);
    }
    publish(s);
}

/* The connection is of no use any more. */
static void lost(struct redis_server *s, const char *what, const char *advice)
{
    char copy[160]; /* what may be the context's own text */

    snprintf(copy, sizeof(copy), "%s", what);
    disconnect(s);
    fail(s, copy, advice);
    if (!loop_timer_armed(&s->timer))
        loop_timer_arm(s->loop, &s->timer, retry_ns(s));
    publish(s);
}

/* --- sending --- */

static void flush_hook(struct loop_hook *h)
{
    struct redis_server *s = CONTAINER_OF(h, struct redis_server, flush);
    int done = 0;

    if (s->context == NULL)
        return;
    if (redisBufferWrite(s->context, &done) != REDIS_OK)
        lost(s, s->context->errstr, "is it running?");
    else if (!done)
        event_add(s->writable, NULL);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct redis_server *s = arg;

    (void)fd;
    (void)what;
    flush_hook(&s->flush);
}

/* False when memory is out. */
static bool send_command(struct redis_server *s, struct redis_call *c, enum kind kind, int argc,
                         const char **argv, const size_t *lens)
{
    if (redisAppendCommandArgv(s->context, argc, argv, lens) != REDIS_OK)
        return false;
    c->kind = kind;
    c->late = false;
    c->sent_ns = loop_now(s->loop);
    list_init(&c->node);
    list_add(&s->calls, &c->node);
    loop_defer(s->loop, &s->flush);
    return true;
}

static bool send_script(struct redis_server *s)
{
    const char *argv[] = {"SCRIPT", "LOAD", s->script};
    const size_t lens[] = {6, 4, strlen(s->script)};

    if (s->script_sent)
        return true;
    s->script_sent = send_command(s, &s->greeting[2], KIND_SCRIPT, 3, argv, lens);
    return s->script_sent;
}

static bool send_auth(struct redis_server *s)
{
    const struct redis_settings *set = s->settings;
    const char *argv[] = {"AUTH", set->username, set->password};
    size_t lens[] = {4, strlen(set->username), strlen(set->password)};

    if (set->password[0] == '\0')
        return true;
    if (set->username[0] != '\0')
        return send_command(s, &s->greeting[0], KIND_AUTH, 3, argv, lens);
    argv[1] = argv[2];
    lens[1] = lens[2];
    return send_command(s, &s->greeting[0], KIND_AUTH, 2, argv, lens);
}

static bool send_select(struct redis_server *s)
{
    char db[16];
    const char *argv[] = {"SELECT", db};
    size_t lens[] = {6, (size_t)snprintf(db, sizeof(db), "%" PRIu32, s->settings->db)};

    return s->settings->db == 0 || send_command(s, &s->greeting[1], KIND_SELECT, 2, argv, lens);
}

/* --- replies --- */

static void on_greeting(struct redis_server *s, struct redis_call *c, const redisReply *r)
{
    bool script = c->kind == KIND_SCRIPT;

    list_del(&c->node);
    if (r->type == REDIS_REPLY_ERROR) {
        lost(s, r->str, redis_advice(r->str));
        return;
    }
    if (!script)
        return;
    s->script_sent = false;
    if (r->type != REDIS_REPLY_STRING || r->len != 40) {
        lost(s, "answered nonsense", "is it Redis?");
        return;
    }
    memcpy(s->sha, r->str, sizeof(s->sha));
    if (s->state == REDIS_READY)
        return;
    s->state = REDIS_READY;
    if (!s->refused && loop_now(s->loop) - c->sent_ns <= s->settings->budget_ns) {
        breaker_succeed(&s->breaker);
        tell_up(s);
    }
    loop_timer_disarm(s->loop, &s->timer);
    publish(s);
}

static bool read_values(const redisReply *r, int64_t value[REDIS_VALUES])
{
    if (r->type != REDIS_REPLY_ARRAY || r->elements != REDIS_VALUES)
        return false;
    for (unsigned i = 0; i < REDIS_VALUES; i++) {
        if (r->element[i] == NULL || r->element[i]->type != REDIS_REPLY_INTEGER)
            return false;
        value[i] = r->element[i]->integer;
    }
    return true;
}

static void on_error(struct redis_server *s, struct redis_call *c, const char *error)
{
    if (strncmp(error, "NOSCRIPT", 8) != 0) {
        finish(s, c, REDIS_FAILED, NULL);
        s->refused = true;
        fail(s, error, redis_advice(error));
        return;
    }
    /* Ahead of the call, which is sent behind it once more. */
    if (!send_script(s)) {
        lost(s, "out of memory", "the worker's");
        return;
    }
    finish(s, c, REDIS_AGAIN, NULL);
}

static void on_call(struct redis_server *s, struct redis_call *c, const redisReply *r)
{
    uint64_t rtt = clock_mono_ns() - c->sent_ns;
    int64_t value[REDIS_VALUES];
    bool late, slow;

    s->heard = true;
    if (r->type == REDIS_REPLY_ERROR) {
        on_error(s, c, r->str);
        return;
    }
    if (!read_values(r, value)) {
        lost(s, "answered nonsense", "is it Redis?");
        return;
    }
    late = c->late;
    slow = rtt > s->settings->budget_ns + LOOP_TICK_MS * NS_PER_MS;
    histogram_record(&s->stats->rtt, rtt);
    finish(s, c, REDIS_DONE, value);
    if (slow && !late) {
        metric_add(&s->stats->timeouts, 1);
        fail(s, "too slow", "an answer took longer than redis.budget");
    } else if (!late) {
        s->refused = false;
        breaker_succeed(&s->breaker);
        tell_up(s);
        publish(s);
    }
}

static void on_reply(struct redis_server *s, const redisReply *r)
{
    struct list *head = list_first(&s->calls);
    struct redis_call *c;

    if (head == NULL) {
        lost(s, r->type == REDIS_REPLY_ERROR ? r->str : "answered what nobody asked",
             r->type == REDIS_REPLY_ERROR ? redis_advice(r->str) : "is it Redis?");
        return;
    }
    c = CONTAINER_OF(head, struct redis_call, node);
    if (c->kind == KIND_CALL)
        on_call(s, c, r);
    else
        on_greeting(s, c, r);
}

/* What was read, one reply after the other, until a reply ends the connection. */
static void read_replies(struct redis_server *s)
{
    while (s->context != NULL) {
        void *reply = NULL;
        if (redisReaderGetReply(s->context->reader, &reply) != REDIS_OK) {
            lost(s, "answered nonsense", "is it Redis?");
            return;
        }
        if (reply == NULL)
            break;
        on_reply(s, reply);
        freeReplyObject(reply);
    }
    if (s->context != NULL && s->context->reader->len > UNREAD_MAX)
        lost(s, "answered nonsense", "is it Redis?");
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct redis_server *s = arg;

    (void)fd;
    (void)what;
    if (redisBufferRead(s->context) != REDIS_OK)
        lost(s, s->context->err == REDIS_ERR_EOF ? "closed the connection" : s->context->errstr,
             "is it running?");
    else
        read_replies(s);
}

/* --- connecting --- */

#if HIREDIS_MAJOR >= 1
typedef size_t reply_count;
#else
typedef int reply_count;
#endif

/* hiredis allocates what an array's head announces. A head that says millions would hold the worker
 * up; one that says more than a script answers makes the reply nonsense. */
static void *make_array(const redisReadTask *task, reply_count n)
{
    const struct redis_server *s = task->privdata;

    return n <= (reply_count)REDIS_VALUES ? s->theirs.createArray(task, n) : NULL;
}

static void bound_replies(struct redis_server *s)
{
    redisReader *reader = s->context->reader;

    s->theirs = s->ours = *reader->fn;
    s->ours.createArray = make_array;
    reader->fn = &s->ours;
    reader->privdata = s;
}

static bool start_greeting(struct redis_server *s)
{
    struct event_base *base = s->loop->base;

    s->context = redisConnectFd(s->fd);
    if (s->context == NULL)
        return false;
    s->context->flags &= ~REDIS_BLOCK;
    if (s->context->err != 0)
        return false;
    bound_replies(s);
    event_free(s->event);
    s->event = event_new(base, s->fd, EV_READ | EV_PERSIST, on_readable, s);
    s->writable = event_new(base, s->fd, EV_WRITE, on_writable, s);
    s->state = REDIS_GREETING;
    return s->event != NULL && s->writable != NULL && event_add(s->event, NULL) == 0 &&
           send_auth(s) && send_select(s) && send_script(s);
}

static void on_connected(evutil_socket_t fd, short what, void *arg)
{
    struct redis_server *s = arg;
    int error = 0;
    socklen_t n = sizeof(error);

    (void)what;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0)
        error = errno;
    if (error != 0)
        lost(s, strerror(error), "is it running?");
    else if (!start_greeting(s))
        lost(s, "out of memory", "the worker's");
    publish(s);
}

static void connect_start(struct redis_server *s)
{
    bool in_progress;
    int fd = addr_connect((const struct sockaddr *)&s->sa, s->sa_len, &in_progress);

    if (fd < 0) {
        lost(s, strerror(-fd), "is it running?");
        return;
    }
    s->fd = fd;
    s->state = REDIS_CONNECTING;
    s->event = event_new(s->loop->base, fd, EV_WRITE, on_connected, s);
    if (s->event == NULL || event_add(s->event, NULL) < 0) {
        lost(s, "out of memory", "the worker's");
        return;
    }
    loop_timer_arm(s->loop, &s->timer, s->settings->connect_timeout_ns);
    publish(s);
}

/* --- time --- */

/* A budget's time without any answer, though one was due, is one failure, however many calls wait:
 * a pause of the server is one event. */
static void check_budget(struct redis_server *s)
{
    uint64_t now = loop_now(s->loop);
    bool overdue = false;

    LIST_EACH (it, &s->calls) {
        struct redis_call *c = CONTAINER_OF(it, struct redis_call, node);
        if (now - c->sent_ns < s->settings->budget_ns)
            break; /* they are in order */
        overdue = true;
        if (!c->late && c->kind == KIND_CALL)
            metric_add(&s->stats->timeouts, 1);
        c->late = true;
    }
    if (overdue && !s->heard)
        fail(s, "too slow", "an answer took longer than redis.budget");
    s->heard = false;
    if (s->state == REDIS_READY && !list_empty(&s->calls))
        loop_timer_arm(s->loop, &s->timer, s->settings->budget_ns);
}

static void on_timer(struct loop_timer *t)
{
    struct redis_server *s = CONTAINER_OF(t, struct redis_server, timer);

    if (s->state == REDIS_DOWN)
        connect_start(s);
    else if (s->state == REDIS_READY)
        check_budget(s);
    else
        lost(s, "did not answer in redis.connect_timeout", "is it running?");
}

/* --- outside --- */

bool redis_server_usable(const struct redis_server *s)
{
    /* One call at a time until the breaker closes: the probe. */
    return s->state == REDIS_READY && s->in_flight < IN_FLIGHT_MAX &&
           (s->breaker.until_ns == 0 || s->in_flight == 0);
}

bool redis_server_call(struct redis_server *s, struct redis_call *c, struct slice key,
                       const struct slice *args, unsigned args_n)
{
    const char *argv[4 + REDIS_ARGS_MAX] = {"EVALSHA", s->sha, "1", key.p};
    size_t lens[4 + REDIS_ARGS_MAX] = {7, 40, 1, key.n};

    if (!redis_server_usable(s) || args_n > REDIS_ARGS_MAX)
        return false;
    for (unsigned i = 0; i < args_n; i++) {
        argv[4 + i] = args[i].p;
        lens[4 + i] = args[i].n;
    }
    if (!send_command(s, c, KIND_CALL, 4 + (int)args_n, argv, lens))
        return false;
    s->in_flight++;
    metric_add(&s->stats->calls, 1);
    if (!loop_timer_armed(&s->timer)) {
        s->heard = false;
        loop_timer_arm(s->loop, &s->timer, s->settings->budget_ns);
    }
    return true;
}

struct redis_server *redis_server_new(struct loop *l, const struct redis_settings *settings,
                                      const char *script, const struct redis_server_config *cfg)
{
    struct redis_server *s = calloc(1, sizeof(*s));

    if (s == NULL)
        return NULL;
    s->address = strndup(cfg->address.p, cfg->address.n);
    if (s->address == NULL || cfg->sa_len > sizeof(s->sa)) {
        free(s->address);
        free(s);
        return NULL;
    }
    s->loop = l;
    s->settings = settings;
    s->script = script;
    memcpy(&s->sa, cfg->sa, cfg->sa_len);
    s->sa_len = cfg->sa_len;
    s->seed = hash64(cfg->address, 0);
    s->stats = cfg->stats;
    s->fd = -1;
    list_init(&s->calls);
    loop_hook_init(&s->flush, flush_hook);
    loop_timer_init(&s->timer, on_timer);
    redis_server_update(s, false);
    loop_timer_arm(l, &s->timer, 0);
    return s;
}

void redis_server_update(struct redis_server *s, bool reconnect)
{
    s->breaker.threshold = s->settings->breaker_failures;
    s->breaker.open_ns = s->settings->breaker_open_ns;
    if (!reconnect)
        return;
    disconnect(s);
    breaker_succeed(&s->breaker);
    s->told[0] = '\0';
    loop_timer_arm(s->loop, &s->timer, 0);
    publish(s);
}

void redis_server_free(struct redis_server **sp)
{
    struct redis_server *s = *sp;

    *sp = NULL;
    if (s == NULL)
        return;
    disconnect(s);
    atomic_store_explicit(&s->stats->state, METRIC_REDIS_NONE, memory_order_relaxed);
    free(s->address);
    free(s);
}
