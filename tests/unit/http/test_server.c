/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
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

static unsigned status_of(const char *text)
{
    return strncmp(text, "HTTP/1.1 ", 9) == 0 ? (unsigned)atoi(text + 9) : 0;
}

static unsigned answers_in(const char *text)
{
    unsigned n = 0;

    while ((text = strstr(text, "HTTP/1.1 ")) != NULL) {
        n++;
        text += 9;
    }
    return n;
}

/* The only connection there is. */
static struct http_conn *conn(void)
{
    struct list *it = list_first(&w.server->conns);
    return it != NULL ? CONTAINER_OF(it, struct http_conn, node) : NULL;
}

/* Every refusal of this layer, by what provokes it. */
static const struct refusal {
    const char *text;
    unsigned status;
    const char *reason;
} refusals[] = {
#include "refusals.def"
};

static void test_refusals(void **state)
{
    char want[96];
    bool eof;

    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        int fd = web_connect(&w);
        unsigned requests = w.requests, dones = w.dones;
        const char *got = web_talk(&w, fd, refusals[i].text);
        if (status_of(got) != refusals[i].status || strstr(got, refusals[i].reason) == NULL ||
            strstr(got, "Connection: close\r\n") == NULL)
            fail_msg("%s\n got %s", refusals[i].text, got);
        snprintf(want, sizeof want, "\"status\":%u", refusals[i].status);
        assert_non_null(strstr(got, want));
        assert_int_equal(w.requests, requests);
        assert_int_equal(w.dones, dones + 1);
        web_read(&w, fd, &eof);
        assert_true(eof);
        close(fd);
        web_turn(&w);
        assert_int_equal(http_server_connections(w.server), 0);
        assert_int_equal(http_server_requests(w.server), 0);
    }
}

/* A refused client may go on sending for a while without a reset that would cost it the answer. */
static void test_linger(void **state)
{
    char junk[8192] = {0};
    int fd = web_connect(&w);

    (void)state;
    assert_int_equal(status_of(web_talk(&w, fd, "GET / HTTP/3.0\r\n\r\n")), 505);
    assert_int_equal(conn()->state, CONN_LINGER);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(send(fd, junk, sizeof junk, MSG_NOSIGNAL), sizeof junk);
        web_turn(&w);
    }
    assert_int_equal(http_server_connections(w.server), 1);
    for (int i = 0; i < 64 && http_server_connections(w.server) > 0; i++) {
        (void)!send(fd, junk, sizeof junk, MSG_NOSIGNAL);
        web_turn(&w);
    }
    assert_int_equal(http_server_connections(w.server), 0);
    assert_int_equal(w.dones, 1);
    close(fd);
}

/* NUL cannot be in the table's strings. */
static void test_nul(void **state)
{
    static const char text[] = "GET / HTTP/1.1\r\nHost: a\r\nB: c\0d\r\n\r\n";
    int fd = web_connect(&w);
    bool eof;

    (void)state;
    web_send(&w, fd, text, sizeof text - 1);
    assert_int_equal(status_of(web_read(&w, fd, &eof)), 400);
    close(fd);
}

static char *repeat(char c, size_t n, const char *before, const char *after)
{
    size_t b = strlen(before);
    char *s = malloc(b + n + strlen(after) + 1);

    assert_non_null(s);
    memcpy(s, before, b);
    memset(s + b, c, n);
    memcpy(s + b + n, after, strlen(after) + 1);
    return s;
}

static unsigned status_for(char *text)
{
    int fd = web_connect(&w);
    unsigned status = status_of(web_talk(&w, fd, text));

    close(fd);
    web_turn(&w);
    free(text);
    return status;
}

/* On the limit it passes, one above it does not; and a line that never ends is noticed. */
static void test_limits(void **state)
{
    struct buf many = {0};

    (void)state;
    assert_int_equal(status_for(repeat('a', 2048 - 14, "GET /", " HTTP/1.1\r\n" H "\r\n")), 200);
    assert_int_equal(status_for(repeat('a', 2049 - 14, "GET /", " HTTP/1.1\r\n" H "\r\n")), 414);
    assert_int_equal(status_for(repeat('a', 4000, "GET /", "")), 414);
    assert_int_equal(status_for(repeat('a', 6000 - 12, "GET / HTTP/1.1\r\n" H "A: ", "\r\n\r\n")),
                     200);
    assert_int_equal(status_for(repeat('a', 6001 - 12, "GET / HTTP/1.1\r\n" H "A: ", "\r\n\r\n")),
                     431);
    assert_int_equal(status_for(repeat('a', 9000, "GET / HTTP/1.1\r\n" H "A: ", "")), 431);
    buf_str(&many, "GET / HTTP/1.1\r\n" H);
    for (int i = 0; i < 31; i++)
        buf_str(&many, "A: b\r\n");
    assert_int_equal(status_for(repeat(' ', 0, buf_cstr(&many), "\r\n")), 200);
    assert_int_equal(status_for(repeat(' ', 0, buf_cstr(&many), "B: c\r\n\r\n")), 431);
    buf_free(&many);
}

static void test_forms(void **state)
{
    static const char *const table[][2] = {
        {"GET /a%20b?c=%zz HTTP/1.1\r\nHost: Example.com:80\r\n\r\n",
         "GET Example.com /a%20b?c=%zz"},
        {"GET http://b:1/x?y HTTP/1.1\r\n" H "\r\n", "GET b /x?y"},
        {"GET HTTP://[::1]:80?q HTTP/1.1\r\n" H "\r\n", "GET [::1] /?q"},
        {"GET http://b HTTP/1.1\r\n" H "\r\n", "GET b /?"},
        {"OPTIONS * HTTP/1.1\r\n" H "\r\n", "OPTIONS a *?"},
        /* One spelling of a path; the query is nobody's business here. */
        {"GET /%61%2Dmin/%7e%5F?%61=%7e HTTP/1.1\r\n" H "\r\n", "GET a /a-min/~_?%61=%7e"},
        {"GET /a%2fb%2561%C3%a9/ HTTP/1.1\r\n" H "\r\n", "GET a /a%2Fb%2561%C3%A9/?"},
        {"GET http://b/%41%2e%41?%41 HTTP/1.1\r\n" H "\r\n", "GET b /A.A?%41"},
        {"GET / HTTP/1.0\r\n\r\n", "GET  /?"},
        {"\r\nDELETE /.../..a HTTP/1.1\r\n" H "\r\n", "DELETE a /.../..a?"},
        {"GET / HTTP/1.1\r\n" H "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", "GET a /?"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        int fd = web_connect(&w);
        assert_int_equal(status_of(web_talk(&w, fd, table[i][0])), 200);
        assert_string_equal(w.seen, table[i][1]);
        close(fd);
        web_turn(&w);
    }
}

/* All answers in order, in one send; nothing is kept when the connection is idle again. */
static void test_pipeline(void **state)
{
    static const char part[] =
        GET GET "POST / HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabcGET / HT";
    int fd = web_connect(&w);
    const char *got;
    char bytes[4096];
    ssize_t n;

    (void)state;
    got = web_talk(&w, fd, GET GET);
    assert_int_equal(answers_in(got), 2);
    web_send(&w, fd, part, sizeof part - 1);
    web_turn(&w);
    n = recv(fd, bytes, sizeof bytes - 1, 0);
    assert_true(n > 0);
    bytes[n] = '\0';
    assert_int_equal(answers_in(bytes), 3);
    assert_non_null(strstr(bytes, "\r\n\r\nabc"));
    got = web_talk(&w, fd, "TP/1.1\r\n" H "\r\n");
    assert_int_equal(answers_in(got), 1);
    assert_true(http_conn_idle(conn()));
    assert_null(conn()->in);
    assert_null(conn()->out);
    assert_null(conn()->r);
    close(fd);
}

static void test_keep_alive(void **state)
{
    static const struct {
        const char *text;
        bool stays;
        const char *says;
    } table[] = {
        {GET, true, "Content-Length: 5\r\n\r\nhello"},
        {"GET / HTTP/1.1\r\n" H "Connection: x, close\r\n\r\n", false, "Connection: close\r\n"},
        {"GET / HTTP/1.0\r\n\r\n", false, "Connection: close\r\n"},
        {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", true, "Connection: keep-alive\r\n"},
        {"GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", false, "Connection: close"},
    };
    bool eof;

    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        int fd = web_connect(&w);
        const char *got = web_talk(&w, fd, table[i].text);
        assert_non_null(strstr(got, table[i].says));
        web_read(&w, fd, &eof);
        assert_int_equal(eof, !table[i].stays);
        close(fd);
        web_turn(&w);
        assert_int_equal(http_server_connections(w.server), 0);
    }
}

static void test_head(void **state)
{
    int fd = web_connect(&w);
    const char *got = web_talk(&w, fd, "HEAD / HTTP/1.1\r\n" H "\r\n");

    (void)state;
    assert_non_null(strstr(got, "Content-Length: 5\r\n"));
    assert_null(strstr(got, "hello"));
    close(fd);
}

static void test_expect(void **state)
{
    int fd = web_connect(&w);

    (void)state;
    assert_string_equal(web_talk(&w, fd,
                                 "PUT / HTTP/1.1\r\n" H
                                 "Content-Length: 3\r\nExpect: 100-Continue\r\n\r\n"),
                        "HTTP/1.1 100 Continue\r\n\r\n");
    assert_non_null(strstr(web_talk(&w, fd, "xyz"), "\r\n\r\nxyz"));
    /* Refused from the headers: no 100, and the connection ends, since the body may or may not
     * come. */
    w.mode = WEB_EARLY;
    const char *got = web_talk(
        &w, fd, "PUT / HTTP/1.1\r\n" H "Content-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    assert_int_equal(status_of(got), 403);
    assert_non_null(strstr(got, "Connection: close"));
    close(fd);
}

/* Answered before its body: a small body is dropped and the connection goes on, a large one ends
 * it. */
static void test_early(void **state)
{
    int fd = web_connect(&w);
    const char *got;

    (void)state;
    w.mode = WEB_EARLY;
    got = web_talk(&w, fd, "PUT / HTTP/1.1\r\n" H "Content-Length: 10\r\n\r\n01234");
    assert_int_equal(status_of(got), 403);
    assert_null(strstr(got, "Connection: close"));
    got = web_talk(&w, fd, "56789" GET);
    assert_int_equal(answers_in(got), 1);
    got = web_talk(&w, fd, "PUT / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    assert_int_equal(answers_in(got), 1);
    got = web_talk(&w, fd, "0\r\n\r\n" GET);
    assert_int_equal(answers_in(got), 1);
    got = web_talk(&w, fd, "PUT / HTTP/1.1\r\n" H "Content-Length: 1000000\r\n\r\n01234");
    assert_non_null(strstr(got, "Connection: close"));
    close(fd);
}

/* A body in pieces of every size, with a length and chunked, smaller and larger than the buffer. */
static void test_bodies(void **state)
{
    static const size_t sizes[] = {1, 100, 3000, 5000, 20000, 65536};
    char *text = repeat('x', 65536, "", "");

    (void)state;
    for (size_t i = 0; i < 3 * (sizeof sizes / sizeof sizes[0]); i++) {
        size_t n = sizes[i / 3], chunk = i % 3 == 1 ? 700 : 7, piece = i % 3 == 2 ? 100000 : 333;
        struct buf b = {0};
        int fd = web_connect(&w);
        char want[64];
        const char *got;
        bool eof;

        buf_str(&b, "POST / HTTP/1.1\r\n" H);
        if (i % 3 == 0) {
            buf_printf(&b, "Content-Length: %zu\r\n\r\n", n);
            buf_add(&b, text, n);
        } else {
            buf_str(&b, "Transfer-Encoding: chunked\r\n\r\n");
            for (size_t at = 0; at < n; at += chunk) {
                size_t part = n - at < chunk ? n - at : chunk;
                buf_printf(&b, chunk == 7 ? "%zx\r\n" : "%zx;a=b\r\n", part);
                buf_add(&b, text, part);
                buf_str(&b, "\r\n");
            }
            buf_str(&b, "0\r\nA: b\r\n\r\n");
        }
        buf_str(&b, GET);
        for (size_t at = 0; at < b.n; at += piece)
            web_send(&w, fd, b.p + at, b.n - at < piece ? b.n - at : piece);
        for (int turns = 0; turns < 100; turns++)
            web_turn(&w); /* a read each */
        got = web_read(&w, fd, &eof);
        snprintf(want, sizeof want, "Content-Length: %zu\r\n", n);
        assert_non_null(strstr(got, want));
        assert_int_equal(answers_in(got), 2);
        assert_true(http_conn_idle(conn()));
        buf_free(&b);
        close(fd);
        web_turn(&w);
    }
    free(text);
}

/* Behind a request that waits nothing is answered; a client that leaves aborts it. */
static void test_hold(void **state)
{
    int fd = web_connect(&w);

    (void)state;
    w.mode = WEB_HOLD;
    assert_string_equal(web_talk(&w, fd, GET GET), "");
    assert_int_equal(w.requests, 1);
    w.mode = WEB_ANSWER;
    web_answer_held(&w, 201);
    assert_int_equal(answers_in(web_talk(&w, fd, "")), 2);
    w.mode = WEB_HOLD;
    web_talk(&w, fd, GET);
    assert_int_equal(http_server_requests(w.server), 1);
    close(fd);
    web_turn(&w);
    assert_int_equal(w.aborts, 1);
    assert_int_equal(http_server_connections(w.server), 0);
    assert_int_equal(http_server_requests(w.server), 0);
}

/* While a request waits the client may send only so much more; then it is not read until the
 * answer. */
static void test_hold_flood(void **state)
{
    int fd = web_connect(&w);
    char junk[8192];
    const char *got;

    (void)state;
    w.mode = WEB_HOLD;
    web_talk(&w, fd, GET);
    memset(junk, 'j', sizeof junk);
    for (int i = 0; i < 4; i++) {
        if (send(fd, junk, sizeof junk, MSG_NOSIGNAL) < 0)
            break;
        web_turn(&w);
    }
    assert_false(conn()->reading);
    web_answer_held(&w, 200);
    got = web_talk(&w, fd, "");
    assert_int_equal(answers_in(got), 2); /* 200, and 414 for the junk */
    assert_int_equal(w.last_status, 414);
    close(fd);
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
    int fd = web_connect(&w);
    unsigned seen;
    bool eof;
    size_t total = 0;

    (void)state;
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
        status_of(web_talk(&w, drop, "POST / HTTP/1.1\r\n" H "Content-Length: 6\r\n\r\nabc")), 403);
    w.mode = WEB_ANSWER;
    w.big = 4000000;
    web_send(&w, slow, GET, sizeof GET - 1);
    web_turn(&w);
    http_server_drain(w.server);
    web_turn(&w);
    assert_string_equal(web_read(&w, drop, &eof), "");
    assert_false(eof);
    web_send(&w, drop, "def", 3);
    web_turn(&w);
    web_turn(&w);
    assert_string_equal(web_read(&w, drop, &eof), "");
    assert_true(eof);
    for (unsigned i = 0; i < 10000 && http_server_connections(w.server) > 0; i++) {
        web_read(&w, slow, &eof);
        web_turn(&w);
    }
    assert_int_equal(http_server_connections(w.server), 0);
    close(drop);
    close(slow);
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
    http_server_drain(w.server);
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

static int listen_tcp(struct sockaddr_in *sa)
{
    socklen_t n = sizeof *sa;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    *sa = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(bind(fd, (struct sockaddr *)sa, sizeof *sa), 0);
    assert_int_equal(listen(fd, 64), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)sa, &n), 0);
    return fd;
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
    int fd = listen_tcp(&sa), one, two;

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
    assert_int_equal(status_of(blocking_talk(one)), 200);
    close(one);
    close(two);
    web_pass(&w, 20);
    one = dial(&sa);
    assert_int_equal(status_of(blocking_talk(one)), 200);
    close(one);
    web_turn(&w);
    http_server_drain(w.server);
    close(fd);
}

/* Out of descriptors: accepting stops for a moment and goes on by itself. */
static void test_no_descriptors(void **state)
{
    struct rlimit old, low;
    struct sockaddr_in sa;
    int fd = listen_tcp(&sa), client, spare[1024], n = 0;
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
    assert_int_equal(status_of(blocking_talk(client)), 200);
    close(client);
    web_turn(&w);
    http_server_drain(w.server);
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
        assert_int_equal(status_of(web_talk(&w, fd, GET)), 200);
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
        T(test_refusals),       T(test_nul),
        T(test_linger),         T(test_limits),
        T(test_forms),          T(test_pipeline),
        T(test_keep_alive),     T(test_head),
        T(test_expect),         T(test_early),
        T(test_bodies),         T(test_hold),
        T(test_hold_flood),     T(test_timeouts),
        T(test_slow_reader),    T(test_slow_readers_total),
        T(test_drain),          T(test_max_requests),
        T(test_steady),         T(test_connection_limit),
        T(test_no_descriptors), T(test_free_server),
        T(test_drain_later),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
