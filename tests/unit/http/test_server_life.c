/* SPDX-License-Identifier: BSD-2-Clause */
/* How connections end: deadlines, slow readers, drains, limits, and what is left behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "http/conn.h"
#include "web.h"

#define H   "Host: a\r\n"
#define GET "GET / HTTP/1.1\r\n" H "\r\n"

static struct web w;

static int setup(void **state)
{
    (void)state;
    web_init(&w);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    web_fini(&w);
    return 0;
}

static void limits(void)
{
    http_server_set_limits(w.server, &w.limits);
}

static void test_timeouts(void **state)
{
    int idle, head, body;
    bool eof;

    (void)state;
    w.limits.header_timeout_ms = w.limits.body_timeout_ms = w.limits.idle_timeout_ms = 60;
    limits();
    idle = web_connect(&w);
    head = web_connect(&w);
    body = web_connect(&w);
    web_talk(&w, idle, GET);
    web_talk(&w, head, "GET / HT");
    web_talk(&w, body, "PUT / HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\na");
    web_pass(&w, 30);
    web_talk(&w, head, "TP/1");
    assert_int_equal(http_server_connections(w.server), 3);
    web_pass(&w, 70);
    assert_string_equal(web_read(&w, idle, &eof), "");
    assert_true(eof);
    assert_non_null(strstr(web_read(&w, head, &eof), "header-timeout"));
    assert_non_null(strstr(web_read(&w, body, &eof), "body-timeout"));
    assert_int_equal(w.dones_without, 1); /* the body's request had been seen by its handler */
    assert_int_equal(w.aborts, 0);
    close(idle);
    close(head);
    close(body);
}

/* A client that does not read: its requests wait, and in the end it is cut off. */
static void test_slow_reader(void **state)
{
    int fd = web_connect(&w), room = 65536;
    unsigned seen;
    bool eof;
    size_t total = 0;

    (void)state;
    /* Else the kernel may let the window grow until all answers fit. */
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room), 0);
    w.big = 50000;
    for (int i = 0; i < 60; i++)
        (void)!send(fd, GET, sizeof GET - 1, MSG_NOSIGNAL);
    web_turn(&w);
    seen = w.requests;
    assert_true(seen >= 2 && seen < 60);
    web_turn(&w);
    assert_int_equal(w.requests, seen);
    do {
        size_t n = strlen(web_read(&w, fd, &eof));
        total += n;
        if (n == 0)
            break;
    } while (total < 60 * 50000u);
    assert_int_equal(w.requests, 60);
    assert_true(total > 60 * 50000u);
    w.limits.write_timeout_ms = 30;
    limits();
    for (int i = 0; i < 60; i++)
        (void)!send(fd, GET, sizeof GET - 1, MSG_NOSIGNAL);
    web_pass(&w, 80);
    assert_int_equal(http_server_connections(w.server), 0);
    assert_int_equal(http_server_totals(w.server)->reset, 1);
    close(fd);
}

/* All slow readers together hold no more than OUT_TOTAL. */
static void test_slow_readers_total(void **state)
{
    int fd = web_connect(&w);

    (void)state;
    w.big = 50000;
    w.server->unsent = OUT_TOTAL;
    for (int i = 0; i < 60; i++)
        (void)!send(fd, GET, sizeof GET - 1, MSG_NOSIGNAL);
    web_turn(&w);
    assert_int_equal(http_server_connections(w.server), 0);
    assert_int_equal(http_server_totals(w.server)->reset, 1);
    assert_true(w.server->unsent == OUT_TOTAL); /* its share is given back */
    close(fd);
}

/* Idle connections close, a request that has just arrived is served, one that waits gets its
 * answer. */
/* Connections that are in the middle of something when the drain begins go when it is over: one
 * whose body nobody wants, one that reads its answer late. */
static void test_drain_later(void **state)
{
    int drop = web_connect(&w), slow = web_connect(&w);
    bool eof = false;

    (void)state;
    w.mode = WEB_EARLY;
    assert_int_equal(
        web_status_of(web_talk(&w, drop, "POST / HTTP/1.1\r\n" H "Content-Length: 6\r\n\r\nabc")),
        403);
    w.mode = WEB_ANSWER;
    w.big = 4000000;
    web_send(&w, slow, GET, sizeof GET - 1);
    web_turn(&w);
    http_server_drain(w.server, 0);
    web_turn(&w);
    assert_string_equal(web_read(&w, drop, &eof), "");
    assert_false(eof);
    web_send(&w, drop, "def", 3);
    web_turn(&w);
    web_turn(&w);
    assert_string_equal(web_read(&w, drop, &eof), "");
    assert_true(eof);
    eof = false;
    for (unsigned i = 0; i < 10000 && !eof; i++) {
        web_read(&w, slow, &eof);
        web_turn(&w);
    }
    assert_true(eof);
    close(drop);
    close(slow);
    web_turn(&w);
    assert_int_equal(http_server_connections(w.server), 0);
}

static void test_drain(void **state)
{
    int idle = web_connect(&w), late = web_connect(&w), busy = web_connect(&w);
    int fresh = web_connect(&w), silent = web_connect(&w);
    const char *got;
    bool eof;

    (void)state;
    web_talk(&w, idle, GET);
    web_talk(&w, late, GET);
    w.mode = WEB_HOLD;
    web_talk(&w, busy, GET);
    w.mode = WEB_ANSWER;
    assert_true(send(late, GET, sizeof GET - 1, 0) > 0);
    http_server_drain(w.server, 0);
    got = web_read(&w, idle, &eof);
    assert_string_equal(got, "");
    assert_true(eof);
    assert_non_null(strstr(web_read(&w, late, &eof), "Connection: close"));
    web_read(&w, late, &eof);
    assert_true(eof);
    /* Those that never asked have a second. */
    assert_non_null(strstr(web_talk(&w, fresh, GET), "Connection: close"));
    web_pass(&w, DRAIN_GRACE_MS + 100);
    assert_string_equal(web_read(&w, silent, &eof), "");
    assert_true(eof);
    web_answer_held(&w, 200);
    assert_non_null(strstr(web_talk(&w, busy, ""), "Connection: close"));
    close(idle);
    close(late);
    close(busy);
    close(fresh);
    close(silent);
    web_turn(&w);
    assert_int_equal(http_server_connections(w.server), 0);
}

static void test_max_requests(void **state)
{
    int fd = web_connect(&w);

    (void)state;
    w.limits.max_requests = 2;
    limits();
    assert_null(strstr(web_talk(&w, fd, GET), "Connection: close"));
    assert_non_null(strstr(web_talk(&w, fd, GET), "Connection: close"));
    close(fd);
}

static int dial(const struct sockaddr_in *sa)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    assert_int_equal(connect(fd, (const struct sockaddr *)sa, sizeof *sa), 0);
    return fd;
}

static const char *blocking_talk(int fd)
{
    static char text[4096];
    ssize_t n;

    (void)!send(fd, GET, sizeof GET - 1, MSG_NOSIGNAL);
    web_pass(&w, 20);
    n = recv(fd, text, sizeof text - 1, MSG_DONTWAIT);
    text[n > 0 ? n : 0] = '\0';
    return text;
}

static void test_connection_limit(void **state)
{
    struct sockaddr_in sa;
    int fd = web_listen(&sa), one, two;

    (void)state;
    w.limits.max_connections = 1;
    limits();
    assert_int_equal(http_server_listen(w.server, fd), 0);
    one = dial(&sa);
    web_pass(&w, 20);
    assert_int_equal(http_server_connections(w.server), 1);
    two = dial(&sa);
    web_pass(&w, 20);
    assert_int_equal(http_server_totals(w.server)->refused, 1);
    assert_int_equal(w.last_status, 503);
    assert_int_equal(web_status_of(blocking_talk(one)), 200);
    close(one);
    close(two);
    web_pass(&w, 20);
    one = dial(&sa);
    assert_int_equal(web_status_of(blocking_talk(one)), 200);
    close(one);
    web_turn(&w);
    http_server_drain(w.server, 0);
    close(fd);
}

/* Out of descriptors: accepting stops for a moment and goes on by itself. */
static void test_no_descriptors(void **state)
{
    struct rlimit old, low;
    struct sockaddr_in sa;
    int fd = web_listen(&sa), client, spare[1024], n = 0;
    uint64_t turns;

    (void)state;
    assert_int_equal(http_server_listen(w.server, fd), 0);
    client = dial(&sa);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    low = old;
    low.rlim_cur = (rlim_t)client + 1;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    while (n < 1024 && (spare[n] = dup(0)) >= 0)
        n++;
    turns = w.loop.turns;
    web_pass(&w, 20);
    assert_int_equal(http_server_connections(w.server), 0);
    assert_true(w.server->accept_paused);
    assert_true(w.loop.turns > turns);
    while (n > 0)
        close(spare[--n]);
    setrlimit(RLIMIT_NOFILE, &old);
    web_pass(&w, 150);
    assert_int_equal(web_status_of(blocking_talk(client)), 200);
    close(client);
    web_turn(&w);
    http_server_drain(w.server, 0);
    close(fd);
}

/* A thousand requests on: pools as after the first, so nothing was allocated for good. */
static void test_steady(void **state)
{
    int fd = web_connect(&w);
    unsigned in, out, requests;

    (void)state;
    web_talk(&w, fd, GET);
    in = w.server->in_pool.n;
    out = w.server->out_pool.n;
    requests = w.server->request_pool.n;
    for (int i = 0; i < 1000; i++)
        assert_int_equal(web_status_of(web_talk(&w, fd, GET)), 200);
    assert_int_equal(w.server->in_pool.n, in);
    assert_int_equal(w.server->out_pool.n, out);
    assert_int_equal(w.server->request_pool.n, requests);
    assert_int_equal(in + out + requests, 3);
    assert_true(sizeof(struct http_conn) <= 1024);
    close(fd);
}

/* Whatever the state, freeing the server tells the handler and leaks nothing (the sanitizer looks).
 */
static void test_free_server(void **state)
{
    (void)state;
    int a = web_connect(&w), b = web_connect(&w), c = web_connect(&w);

    web_talk(&w, a, "GET / H");
    web_talk(&w, b, "PUT / HTTP/1.1\r\n" H "Content-Length: 9000\r\n\r\nabc");
    w.mode = WEB_HOLD;
    web_talk(&w, c, GET GET);
    http_server_free(&w.server);
    assert_int_equal(w.aborts, 2);
    assert_null(w.held);
    close(a);
    close(b);
    close(c);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_timeouts), T(test_slow_reader),  T(test_slow_readers_total), T(test_drain_later),
        T(test_drain),    T(test_max_requests), T(test_connection_limit),   T(test_no_descriptors),
        T(test_steady),   T(test_free_server),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
