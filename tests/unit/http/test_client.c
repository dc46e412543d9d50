/* SPDX-License-Identifier: BSD-2-Clause */
/* The HTTP client against our own server and against an upstream that the test scripts byte by
 * byte. */
#define _GNU_SOURCE /* accept4 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../failing_calloc.h"
#include "http/client_int.h"
#include "web.h"

/* One outcome, copied out of the callback. */
struct outcome {
    struct http_call call;
    unsigned times;
    enum http_call_error error;
    unsigned status, headers_n;
    bool sent;
    char detail[64], body[256], first[64];
};

static struct web w;
static struct http_client *client;
static int listeners[2];
static struct sockaddr_in addresses[2];
static struct rpc_endpoint_config endpoints[2];
static _Atomic uint64_t health[2];
static struct http_client_config cfg;

static void on_outcome(struct http_call *call, const struct http_response *resp)
{
    struct outcome *o = CONTAINER_OF(call, struct outcome, call);

    o->times++;
    o->error = resp->error;
    o->status = resp->status;
    o->sent = resp->sent;
    o->headers_n = resp->headers_n;
    snprintf(o->detail, sizeof o->detail, "%s", resp->detail ? resp->detail : "");
    snprintf(o->body, sizeof o->body, "%.*s", SLICE_ARG(resp->body));
    if (resp->headers_n > 0)
        snprintf(o->first, sizeof o->first, "%.*s=%.*s", SLICE_ARG(resp->headers[0].name),
                 SLICE_ARG(resp->headers[0].value));
}

static int setup(void **state)
{
    (void)state;
    web_init(&w);
    for (int i = 0; i < 2; i++) {
        listeners[i] = web_listen(&addresses[i]);
        health[i] = 0;
        endpoints[i] = (struct rpc_endpoint_config){.address = i ? SLICE_LIT("b") : SLICE_LIT("a"),
                                                    .sa = (struct sockaddr *)&addresses[i],
                                                    .sa_len = sizeof addresses[i],
                                                    .health = &health[i]};
    }
    cfg = (struct http_client_config){.endpoints = endpoints,
                                      .endpoints_n = 1,
                                      .max_in_flight = 8,
                                      .max_idle = 4,
                                      .connect_timeout_ms = 1000,
                                      .idle_timeout_ms = 5000,
                                      .eject_failures = 100,
                                      .eject_ms = 1000,
                                      .retry_budget_percent = 100,
                                      .max_response = 1000};
    client = NULL;
    return 0;
}

static void make(void)
{
    client = http_client_new(&w.loop, &cfg);
    assert_non_null(client);
}

static int teardown(void **state)
{
    (void)state;
    http_client_free(&client);
    web_fini(&w);
    close(listeners[0]);
    close(listeners[1]);
    return 0;
}

static void start(struct outcome *o, const char *method, const char *body, uint64_t deadline_ms)
{
    struct http_header h = {SLICE_LIT("X-A"), SLICE_LIT("b")};
    struct http_client_request req = {.method = slice_str(method),
                                      .target = SLICE_LIT("/t?q"),
                                      .host = SLICE_LIT("up"),
                                      .headers = &h,
                                      .headers_n = 1,
                                      .body = slice_str(body),
                                      .deadline_ns = deadline_ms * 1000000u};

    req.idempotent = strcmp(method, "POST") != 0;
    *o = (struct outcome){0};
    http_call_init(&o->call, on_outcome);
    http_call_start(client, &o->call, &req);
    assert_int_equal(o->times, 0);
}

static int accept_one(int which)
{
    int fd = -1;

    for (int i = 0; i < 500 && fd < 0; i++) {
        web_turn(&w);
        fd = accept4(listeners[which], NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            usleep(1000);
    }
    assert_true(fd >= 0);
    return fd;
}

/* What the upstream has received, once there is something. */
static const char *received(int fd)
{
    static char text[4096];
    ssize_t n = -1;

    for (int i = 0; i < 500 && n < 0; i++) {
        web_turn(&w);
        n = recv(fd, text, sizeof text - 1, 0);
        if (n < 0)
            usleep(1000);
    }
    text[n > 0 ? n : 0] = '\0';
    return text;
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
    web_pass(&w, 3);
}

static void wait_for(struct outcome *o)
{
    for (int i = 0; i < 1000 && o->times == 0; i++)
        web_pass(&w, 1);
    assert_int_equal(o->times, 1);
    assert_null(o->call.client);
}

/* Against our own server: one connection serves one call after another. */
static void test_pool(void **state)
{
    const struct balance_endpoint *e;
    struct outcome o;

    (void)state;
    assert_int_equal(http_server_listen(w.server, listeners[0]), 0);
    make();
    for (int i = 0; i < 5; i++) {
        start(&o, "POST", "abc", 1000);
        wait_for(&o);
        assert_int_equal(o.error, HTTP_CALL_OK);
        assert_int_equal(o.status, 200);
        assert_string_equal(o.body, "abc");
        assert_string_equal(w.seen, "POST up /t?q");
    }
    start(&o, "HEAD", "", 1000);
    wait_for(&o);
    assert_int_equal(o.status, 200);
    assert_string_equal(o.body, "");
    e = client->balance.endpoints[0];
    assert_int_equal(((struct idle_pool *)e->user)->open, 1);
    assert_int_equal(e->calls, 6);
    assert_int_equal(e->in_flight, 0);
    assert_int_equal(http_server_totals(w.server)->accepted, 1);
    assert_int_equal(client->in_flight, 0);
}

/* What is sent, and that headers of the hop do not come back. */
static void test_wire(void **state)
{
    struct outcome o;
    int fd;

    (void)state;
    make();
    start(&o, "POST", "xy", 0);
    fd = accept_one(0);
    assert_string_equal(received(fd), "POST /t?q HTTP/1.1\r\nHost: up\r\nX-A: b\r\n"
                                      "Content-Length: 2\r\n\r\nxy");
    say(fd, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n");
    say(fd, "HTTP/1.1 207 Multi\r\nConnection: X-Hop\r\nKeep-Alive: 1\r\nX-Hop: 1\r\nX-End: 2\r\n"
            "Content-Length: 3\r\n\r\nab");
    assert_int_equal(o.times, 0);
    say(fd, "c");
    wait_for(&o);
    assert_int_equal(o.status, 207);
    assert_int_equal(o.headers_n, 1);
    assert_string_equal(o.first, "X-End=2");
    assert_string_equal(o.body, "abc");
    close(fd);
}

/* Each response and what becomes of it; whether the connection may be used again shows in `idle`.
 */
static const struct {
    const char *text;
    bool eof;
    enum http_call_error error;
    const char *body; /* or the detail */
    unsigned idle;
} responses[] = {
    {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false, HTTP_CALL_OK, "ok", 1},
    {"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", false, HTTP_CALL_OK, "ok", 1},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", false,
     HTTP_CALL_OK, "ok", 1},
    {"HTTP/1.1 204 No Content\r\n\r\n", false, HTTP_CALL_OK, "", 1},
    {"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", false, HTTP_CALL_OK, "", 1},
    {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", false, HTTP_CALL_OK,
     "ok", 0},
    {"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", false, HTTP_CALL_OK, "ok", 0},
    {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", false,
     HTTP_CALL_OK, "ok", 1},
    {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n", false, HTTP_CALL_OK, "ok",
     0},
    {"HTTP/1.1 200 OK\r\n\r\nuntil the end", true, HTTP_CALL_OK, "until the end", 0},
    {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", true, HTTP_CALL_BAD, "truncated response",
     0},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", true, HTTP_CALL_BAD,
     "truncated response", 0},
    {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", false,
     HTTP_CALL_BAD, "ambiguous or malformed response headers", 0},
    {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", false, HTTP_CALL_BAD,
     "ambiguous or malformed response headers", 0},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok", false, HTTP_CALL_BAD,
     "ambiguous or malformed response headers", 0},
    {"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", false, HTTP_CALL_BAD, "malformed response", 0},
    {"HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\nok", false, HTTP_CALL_BAD, "malformed response", 0},
    {"HTTP/2 200 OK\r\n\r\n", false, HTTP_CALL_BAD, "malformed response", 0},
    {"hello\r\n\r\n", false, HTTP_CALL_BAD, "malformed response", 0},
    {"HTTP/1.1 101 Switching Protocols\r\n\r\n", false, HTTP_CALL_BAD,
     "unexpected interim response", 0},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", false, HTTP_CALL_BAD,
     "malformed chunked body", 0},
    {"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n", false, HTTP_CALL_BAD,
     "response body too large", 0},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n", false, HTTP_CALL_BAD,
     "response body too large", 0},
};

static void test_responses(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * (sizeof responses / sizeof responses[0]); i++) {
        const char *text = responses[i / 2].text;
        struct outcome o;
        struct idle_pool *p;
        int fd;

        make();
        start(&o, "GET", "", 0);
        fd = accept_one(0);
        received(fd);
        if (i % 2 == 0) {
            say(fd, text);
        } else {
            for (size_t at = 0; text[at] != '\0'; at++) {
                if (send(fd, text + at, 1, MSG_NOSIGNAL) == 1)
                    web_turn(&w);
            }
        }
        if (responses[i / 2].eof)
            shutdown(fd, SHUT_WR);
        wait_for(&o);
        if (o.error != responses[i / 2].error)
            fail_msg("%s: error %d %s", text, o.error, o.detail);
        assert_string_equal(o.error == HTTP_CALL_OK ? o.body : o.detail, responses[i / 2].body);
        p = client->balance.endpoints[0]->user;
        /* Excess that comes in a segment of its own closes the idle connection a moment later. */
        web_pass(&w, 1);
        assert_int_equal(p->idle, responses[i / 2].idle);
        assert_int_equal(p->open, responses[i / 2].idle);
        http_client_free(&client);
        close(fd);
    }
}

static void test_unbounded(void **state)
{
    struct outcome o;
    char many[1002];
    int fd;

    (void)state;
    memset(many, 'm', sizeof many - 1);
    many[sizeof many - 1] = '\0';
    make();
    start(&o, "GET", "", 0);
    fd = accept_one(0);
    received(fd);
    say(fd, "HTTP/1.1 200 OK\r\n\r\n");
    say(fd, many);
    wait_for(&o);
    assert_int_equal(o.error, HTTP_CALL_BAD);
    assert_string_equal(o.detail, "response body too large");
    close(fd);
}

static char big[8 << 20];

static void read_all(int fd, size_t want)
{
    static char sink[65536];
    size_t got = 0;

    for (int i = 0; i < 20000 && got < want; i++) {
        ssize_t n = recv(fd, sink, sizeof sink, 0);
        got += n > 0 ? (size_t)n : 0;
        web_turn(&w);
    }
    assert_int_equal(got, want);
}

/* A request larger than the socket's buffer leaves in parts, on a new connection and on a pooled
 * one; an answer before its end is taken, and the connection, which lacks the rest, is not used
 * again. */
static void test_large_request(void **state)
{
    struct outcome o;
    struct idle_pool *p;
    int fd = -1;

    (void)state;
    memset(big, 'x', sizeof big - 1);
    make();
    for (int i = 0; i < 2; i++) {
        start(&o, "PUT", big, 0);
        if (i == 0)
            fd = accept_one(0);
        read_all(fd, o.call.x->wire.n);
        say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        wait_for(&o);
        assert_string_equal(o.body, "ok");
        p = client->balance.endpoints[0]->user;
        assert_int_equal(p->idle, 1);
    }
    start(&o, "PUT", big, 0);
    web_pass(&w, 5);
    say(fd, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n");
    wait_for(&o);
    assert_int_equal(o.status, 413);
    assert_int_equal(p->open, 0);
    close(fd);
}

/* The upstream closes an idle connection as our request leaves: sent again, if that is harmless. */
static void test_stale(void **state)
{
    struct outcome o;
    int fd, again;

    (void)state;
    cfg.retry_budget_percent = 0; /* this costs no budget */
    make();
    start(&o, "GET", "", 0);
    fd = accept_one(0);
    received(fd);
    say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    wait_for(&o);
    start(&o, "GET", "", 0);
    close(fd);
    again = accept_one(0);
    assert_non_null(strstr(received(again), "GET /t?q"));
    say(again, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    wait_for(&o);
    assert_int_equal(o.error, HTTP_CALL_OK);
    start(&o, "POST", "", 0);
    close(again);
    wait_for(&o);
    assert_int_equal(o.error, HTTP_CALL_BAD);
    assert_true(o.sent);
    /* One that the loop has seen close is not in the pool any more. */
    start(&o, "GET", "", 0);
    fd = accept_one(0);
    received(fd);
    say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    wait_for(&o);
    close(fd);
    web_pass(&w, 3);
    start(&o, "POST", "", 0);
    fd = accept_one(0);
    received(fd);
    say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    wait_for(&o);
    assert_int_equal(o.error, HTTP_CALL_OK);
    close(fd);
}

/* A refused connection moves the call to the other endpoint; without budget it is 503. */
static void test_failover(void **state)
{
    struct outcome o;

    (void)state;
    cfg.endpoints_n = 2;
    close(listeners[0]);
    assert_int_equal(http_server_listen(w.server, listeners[1]), 0);
    make();
    for (int i = 0; i < 20; i++) {
        start(&o, "POST", "", 0);
        wait_for(&o);
        assert_int_equal(o.error, HTTP_CALL_OK);
    }
    http_client_free(&client);
    cfg.endpoints_n = 1;
    cfg.retry_budget_percent = 0;
    make();
    start(&o, "GET", "", 0);
    wait_for(&o);
    assert_int_equal(o.error, HTTP_CALL_UNAVAILABLE);
    assert_false(o.sent);
    assert_string_equal(o.detail, "connection refused");
    listeners[0] = web_listen(&addresses[0]);
}

static void test_health(void **state)
{
    struct outcome o;

    (void)state;
    make();
    health[0] = 1;
    start(&o, "GET", "", 0);
    wait_for(&o);
    assert_int_equal(o.error, HTTP_CALL_UNAVAILABLE);
    assert_false(o.sent);
}

static void test_deadline(void **state)
{
    struct outcome o;
    int fd;

    (void)state;
    make();
    start(&o, "GET", "", 30);
    fd = accept_one(0);
    received(fd);
    wait_for(&o);
    assert_int_equal(o.error, HTTP_CALL_TIMEOUT);
    assert_true(o.sent);
    web_turn(&w);
    assert_string_equal(received(fd), ""); /* closed */
    assert_true(list_empty(&client->busy));
    close(fd);
}

static void test_cancel(void **state)
{
    struct outcome o;
    int fd;

    (void)state;
    make();
    start(&o, "GET", "", 0);
    http_call_cancel(&o.call);
    start(&o, "GET", "", 0);
    fd = accept_one(0); /* the cancelled one's, or this one's */
    http_call_cancel(&o.call);
    http_call_cancel(&o.call);
    web_pass(&w, 5);
    assert_int_equal(o.times, 0);
    assert_int_equal(client->in_flight, 0);
    assert_true(list_empty(&client->busy));
    close(fd);
}

static void test_in_flight(void **state)
{
    struct outcome o[3];

    (void)state;
    cfg.max_in_flight = 2;
    make();
    for (int i = 0; i < 3; i++)
        start(&o[i], "GET", "", 0);
    wait_for(&o[2]);
    assert_int_equal(o[2].error, HTTP_CALL_UNAVAILABLE);
    http_client_free(&client);
    assert_int_equal(o[0].times, 1);
    assert_int_equal(o[0].error, HTTP_CALL_UNAVAILABLE);
    assert_int_equal(o[1].times, 1);
}

/* An endpoint that leaves finishes its call; its idle connections close. */
static void test_update(void **state)
{
    struct outcome o, p;
    int fd, idle;

    (void)state;
    make();
    start(&o, "GET", "", 0);
    fd = accept_one(0);
    received(fd);
    start(&p, "GET", "", 0);
    idle = accept_one(0);
    received(idle);
    say(idle, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    wait_for(&p);
    cfg.endpoints = endpoints + 1;
    http_client_update(client, &cfg);
    assert_string_equal(received(idle), "");
    assert_int_equal(client->in_flight, 1);
    say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    wait_for(&o);
    assert_string_equal(o.body, "ok");
    assert_true(list_empty(&client->pools));
    assert_true(list_empty(&client->busy));
    start(&o, "GET", "", 0);
    close(fd);
    fd = accept_one(1);
    http_call_cancel(&o.call);
    close(fd);
    close(idle);
}

static void test_idle_limits(void **state)
{
    struct outcome o;
    struct idle_pool *p;

    (void)state;
    cfg.idle_timeout_ms = 30;
    assert_int_equal(http_server_listen(w.server, listeners[0]), 0);
    make();
    start(&o, "GET", "", 0);
    wait_for(&o);
    p = client->balance.endpoints[0]->user;
    assert_int_equal(p->idle, 1);
    web_pass(&w, 80);
    assert_int_equal(p->open, 0);
}

/* --- out of memory, and the end of the client --- */

/* A call for which there is no memory is told so, and can be cancelled before. */
static void test_no_memory(void **state)
{
    struct outcome o, p;

    (void)state;
    make();
    callocs_left = 0;
    start(&o, "GET", "", 0);
    start(&p, "GET", "", 0);
    callocs_left = -1;
    http_call_cancel(&p.call);
    wait_for(&o);
    assert_int_equal(o.error, HTTP_CALL_UNAVAILABLE);
    assert_string_equal(o.detail, "out of memory");
    assert_int_equal(p.times, 0);
    callocs_left = 0;
    start(&o, "GET", "", 0);
    callocs_left = -1;
    http_client_free(&client);
    assert_int_equal(o.times, 1);
}

static void free_client(struct http_call *call, const struct http_response *resp)
{
    on_outcome(call, resp);
    http_client_free(&client);
}

/* Callbacks may free the client, whatever it was that ended their call. */
static void test_free_inside(void **state)
{
    struct outcome o, p;
    int fd;

    (void)state;
    for (int way = 0; way < 4; way++) {
        cfg.max_in_flight = way == 2 ? 0 : 8;
        make();
        start(&o, "GET", "", way == 1 ? 20 : 1000);
        start(&p, "GET", "", 0);
        o.call.done = free_client;
        if (way == 0 || way == 3) {
            fd = accept_one(0);
            received(fd);
            say(fd, way == 0 ? "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" : "nonsense\r\n\r\n");
        }
        wait_for(&o);
        assert_null(client);
        assert_int_equal(p.times, 1);
        if (way == 0 || way == 3)
            close(fd);
        close(listeners[0]); /* with what else is in its queue */
        listeners[0] = web_listen(&addresses[0]);
    }
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_pool),        T(test_wire),          T(test_responses),   T(test_stale),
        T(test_unbounded),   T(test_large_request), T(test_failover),    T(test_health),
        T(test_deadline),    T(test_cancel),        T(test_in_flight),   T(test_update),
        T(test_idle_limits), T(test_no_memory),     T(test_free_inside),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
