/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
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
        if (web_status_of(got) != refusals[i].status || strstr(got, refusals[i].reason) == NULL ||
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
    assert_int_equal(web_status_of(web_talk(&w, fd, "GET / HTTP/3.0\r\n\r\n")), 505);
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
    assert_int_equal(web_status_of(web_read(&w, fd, &eof)), 400);
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
    unsigned status = web_status_of(web_talk(&w, fd, text));

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
        assert_int_equal(web_status_of(web_talk(&w, fd, table[i][0])), 200);
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
    assert_int_equal(web_status_of(got), 403);
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
    assert_int_equal(web_status_of(got), 403);
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
int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_refusals), T(test_linger),     T(test_nul),        T(test_limits), T(test_forms),
        T(test_pipeline), T(test_keep_alive), T(test_head),       T(test_expect), T(test_early),
        T(test_bodies),   T(test_hold),       T(test_hold_flood),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
