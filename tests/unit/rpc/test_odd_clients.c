/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Clients that do not behave: bytes that are no HTTP/2, floods, requests that are no gRPC, answers
 * that nobody reads. The odd client is an nghttp2 session or plain bytes on a socket of the same
 * loop.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <nghttp2/nghttp2.h>

#include "base/hash.h"
#include "fixture.h"
#include "rpc/server_int.h"

static struct fixture f;
static struct probe probe;

static int setup(void **state)
{
    (void)state;
    fixture_init(&f);
    fixture_client_config(&f);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fixture_fini(&f);
    return 0;
}

static void call(const char *path)
{
    struct rpc_request req = request(path, SLICE_LIT("x"));

    probe_start(&f, &probe, &req);
    RUN_UNTIL(&f, probe.done);
}

static int dial(void)
{
    bool in_progress;
    int fd = addr_connect((struct sockaddr *)&f.addr.sa, f.addr.len, &in_progress);

    assert_true(fd >= 0);
    return fd;
}

/* Sends as far as the server takes it within some turns; what it says is read and dropped if
 * `reading`. */
static void push(int fd, const char *p, size_t n, bool reading)
{
    char sink[65536];

    for (unsigned turns = 0; n > 0 && turns < 300; turns++) {
        ssize_t sent = send(fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent > 0) {
            p += sent;
            n -= (size_t)sent;
        }
        if (reading)
            (void)!recv(fd, sink, sizeof sink, MSG_DONTWAIT);
        fixture_turn(&f);
    }
}

static void still_works(void)
{
    if (f.client == NULL)
        fixture_connect(&f);
    call("/t/Echo");
    assert_int_equal(probe.status, RPC_OK);
}

static void test_garbage_to_server(void **state)
{
    static char bytes[4000];
    uint64_t rng = 5;

    (void)state;
    fixture_serve(&f, 100);
    for (unsigned i = 0; i < 60; i++) {
        int fd = dial();
        size_t at = 0;

        for (size_t k = 0; k < sizeof bytes; k++)
            bytes[k] = (char)random_next(&rng);
        if (i % 3 > 0) {
            memcpy(bytes, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN);
            at = NGHTTP2_CLIENT_MAGIC_LEN;
            memcpy(bytes + at, "\0\0\0\4\0\0\0\0\0", 9);
            at += 9;
        }
        for (; i % 3 == 2 && at + 60 < sizeof bytes; at += 59) {
            memcpy(bytes + at, "\0\0\x32", 3);
            bytes[at + 3] = (char)(random_next(&rng) % 11);
            memcpy(bytes + at + 5, "\0\0\0", 3);
            bytes[at + 8] = (char)(random_next(&rng) % 8);
        }
        push(fd, bytes, sizeof bytes, false);
        close(fd);
    }
    RUN_UNTIL(&f, f.server->conns_n == 0);
    still_works();
}

/* A client session whose output is collected. */
static ssize_t collect(nghttp2_session *session, const uint8_t *p, size_t n, int flags, void *user)
{
    (void)session;
    (void)flags;
    buf_add(user, p, n);
    return (ssize_t)n;
}

static nghttp2_session *client_session(struct buf *out)
{
    nghttp2_session_callbacks *cb;
    nghttp2_session *session;
    nghttp2_option *o;

    nghttp2_option_new(&o);
    nghttp2_option_set_peer_max_concurrent_streams(o, 1000000);
    nghttp2_session_callbacks_new(&cb);
    nghttp2_session_callbacks_set_send_callback(cb, collect);
    nghttp2_session_client_new2(&session, cb, out, o);
    nghttp2_session_callbacks_del(cb);
    nghttp2_option_del(o);
    nghttp2_submit_settings(session, 0, NULL, 0);
    return session;
}

static bool endless; /* the request's body never ends */

static ssize_t message_body(nghttp2_session *session, int32_t stream, uint8_t *buf, size_t n,
                            uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct slice *s = source->ptr;

    (void)session;
    (void)stream;
    (void)user;
    if (s->n == 0)
        return NGHTTP2_ERR_DEFERRED;
    assert_true(n >= s->n);
    memcpy(buf, s->p, s->n);
    n = s->n;
    if (endless)
        s->n = 0;
    else
        *flags = NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

static int32_t ask(nghttp2_session *session, const char *method, const char *type, const char *path,
                   struct slice *body)
{
    const char *const pairs[] = {":method",    method, ":scheme",      "http", ":path", path,
                                 ":authority", "x",    "content-type", type,   "te",    "trailers"};
    nghttp2_nv nv[6];
    nghttp2_data_provider data = {.source.ptr = body, .read_callback = message_body};

    for (unsigned i = 0; i < 6; i++)
        nv[i] =
            (nghttp2_nv){(uint8_t *)(uintptr_t)pairs[2 * i], (uint8_t *)(uintptr_t)pairs[2 * i + 1],
                         strlen(pairs[2 * i]), strlen(pairs[2 * i + 1]), NGHTTP2_NV_FLAG_NONE};
    return nghttp2_submit_request(session, NULL, nv, 6, body != NULL ? &data : NULL, NULL);
}

/* Streams opened and reset at once, each with a handler at work (CVE-2023-44487): bounded. */
static void test_reset_flood(void **state)
{
    struct buf out = {0};
    nghttp2_session *session = client_session(&out);
    struct slice body = {"\0\0\0\0\1x", 6};
    int fd;

    (void)state;
    fixture_serve(&f, 50);
    for (unsigned i = 0; i < 5000; i++) {
        int32_t stream = ask(session, "POST", "application/grpc", "/t/Keep", &body);
        nghttp2_session_send(session);
        nghttp2_submit_rst_stream(session, 0, stream, NGHTTP2_CANCEL);
        nghttp2_session_send(session);
    }
    fd = dial();
    push(fd, out.p, out.n, true);
    assert_in_range(f.kept_most, 1, 100);
    close(fd);
    RUN_UNTIL(&f, f.server->conns_n == 0);
    while (f.kept_n > 0) {
        assert_true(f.kept[0]->gone);
        fixture_release(&f, 0, RPC_OK);
    }
    still_works();
    nghttp2_session_del(session);
    buf_free(&out);
}

/* PINGs or SETTINGS, and no reading of the answers: the connection ends. */
static void test_control_flood(void **state)
{
    static const struct slice frames[] = {{"\0\0\x08\6\0\0\0\0\0pingping", 17},
                                          {"\0\0\0\4\0\0\0\0\0", 9}};

    (void)state;
    fixture_serve(&f, 50);
    for (unsigned k = 0; k < 2; k++) {
        struct buf out = {0};
        int fd = dial(), small = 4096;

        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
        buf_add(&out, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN);
        buf_slice(&out, frames[1]);
        for (unsigned i = 0; i < 200000; i++)
            buf_slice(&out, frames[k]);
        push(fd, out.p, out.n, false);
        RUN_UNTIL(&f, f.server->conns_n == 0);
        close(fd);
        buf_free(&out);
    }
    still_works();
}

/* HEADERS without an end and CONTINUATION for ever (CVE-2024-28182): the connection ends. */
static void test_continuation_flood(void **state)
{
    struct buf out = {0};
    int fd;

    (void)state;
    fixture_serve(&f, 50);
    buf_add(&out, NGHTTP2_CLIENT_MAGIC, NGHTTP2_CLIENT_MAGIC_LEN);
    buf_add(&out, "\0\0\0\4\0\0\0\0\0", 9);
    buf_add(&out, "\0\0\1\1\0\0\0\0\1\x82", 10);
    for (unsigned i = 0; i < 10000; i++)
        buf_add(&out, "\0\0\1\x09\0\0\0\0\1\x82", 10);
    fd = dial();
    push(fd, out.p, out.n, true);
    RUN_UNTIL(&f, f.server->conns_n == 0);
    close(fd);
    assert_int_equal(f.served, 0);
    still_works();
    buf_free(&out);
}

static size_t serialized_waiting(void)
{
    size_t n = 0;

    LIST_EACH (it, &f.server->conns)
        n += CONTAINER_OF(it, struct server_conn, node)->h2.out.n;
    return n;
}

/* A client that asks for a lot, opens its windows wide and reads nothing: what is serialized for it
 * stays within bounds, and other clients notice nothing. */
static void test_no_reader(void **state)
{
    struct buf out = {0};
    nghttp2_session *session = client_session(&out);
    struct slice body = {"\0\0\0\0\7"
                         "2000000",
                         12};
    nghttp2_settings_entry window = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1 << 24};
    int fd;

    (void)state;
    fixture_serve(&f, 200);
    nghttp2_submit_settings(session, 0, &window, 1);
    nghttp2_submit_window_update(session, 0, 0, 1 << 29);
    for (unsigned i = 0; i < 10; i++) /* 20 MB */
        ask(session, "POST", "application/grpc", "/t/Big", &body);
    nghttp2_session_send(session);
    fd = dial();
    push(fd, out.p, out.n, false);
    RUN_UNTIL(&f, f.served == 10);
    fixture_turns(&f, 3);
    assert_in_range(serialized_waiting(), 1, H2_OUT_MAX + 20000);
    assert_in_range(f.server->io.write.cap, 1, 2 * H2_OUT_MAX);
    still_works();
    close(fd);
    RUN_UNTIL(&f, f.server->conns_n == 1);
    nghttp2_session_del(session);
    buf_free(&out);
}

/* --- requests that are no proper gRPC --- */

struct seen {
    char status[8], grpc[8], message[64];
    bool closed;
};

static int see_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                      size_t name_n, const uint8_t *value, size_t value_n, uint8_t flags,
                      void *user)
{
    struct seen *seen = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    struct slice n = slice_of((const char *)name, name_n);

    (void)flags;
    (void)user;
    if (slice_eq(n, SLICE_LIT(":status")))
        snprintf(seen->status, sizeof seen->status, "%.*s", (int)value_n, (const char *)value);
    else if (slice_eq(n, SLICE_LIT("grpc-status")))
        snprintf(seen->grpc, sizeof seen->grpc, "%.*s", (int)value_n, (const char *)value);
    else if (slice_eq(n, SLICE_LIT("grpc-message")))
        snprintf(seen->message, sizeof seen->message, "%.*s", (int)value_n, (const char *)value);
    return 0;
}

static int see_close(nghttp2_session *session, int32_t stream, uint32_t error_code, void *user)
{
    struct seen *seen = nghttp2_session_get_stream_user_data(session, stream);

    (void)error_code;
    (void)user;
    if (seen != NULL)
        seen->closed = true;
    return 0;
}

static ssize_t to_socket(nghttp2_session *session, const uint8_t *p, size_t n, int flags,
                         void *user)
{
    (void)session;
    (void)flags;
    return send(*(int *)user, p, n, MSG_NOSIGNAL);
}

struct client {
    nghttp2_session *session;
    int fd;
};

/* table: of HPACK, bytes */
static void client_open(struct client *c, uint32_t table)
{
    const nghttp2_settings_entry settings = {NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, table};
    nghttp2_session_callbacks *cb;

    c->fd = dial();
    nghttp2_session_callbacks_new(&cb);
    nghttp2_session_callbacks_set_send_callback(cb, to_socket);
    nghttp2_session_callbacks_set_on_header_callback(cb, see_header);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, see_close);
    nghttp2_session_client_new(&c->session, cb, &c->fd);
    nghttp2_session_callbacks_del(cb);
    nghttp2_submit_settings(c->session, 0, &settings, 1);
}

static void client_close(struct client *c)
{
    nghttp2_session_del(c->session);
    close(c->fd);
}

static struct seen client_ask(struct client *c, const char *method, const char *type,
                              struct slice *body)
{
    struct seen seen = {.closed = false};
    int32_t stream = ask(c->session, method, type, "/t/Echo", body);
    uint8_t in[4096];
    ssize_t n;

    nghttp2_session_set_stream_user_data(c->session, stream, &seen);
    nghttp2_session_send(c->session);
    nghttp2_session_set_stream_user_data(c->session, stream, &seen);
    for (unsigned i = 0; i < 100 && !seen.closed; i++) {
        fixture_turn(&f);
        n = recv(c->fd, in, sizeof in, MSG_DONTWAIT);
        if (n > 0)
            assert_int_equal(nghttp2_session_mem_recv(c->session, in, (size_t)n), n);
        nghttp2_session_send(c->session);
    }
    assert_true(seen.closed);
    return seen;
}

static struct seen exchange(const char *method, const char *type, struct slice *body)
{
    struct client c;
    struct seen seen;

    client_open(&c, HPACK_TABLE_BYTES);
    seen = client_ask(&c, method, type, body);
    client_close(&c);
    return seen;
}

/* Answers refer to what earlier ones put into the table; to a peer whose table is another one, they
 * must not. */
static void test_header_tables(void **state)
{
    static const uint32_t sizes[] = {0, 40, 100, HPACK_TABLE_BYTES - 1, HPACK_TABLE_BYTES, 65536};
    struct client c;

    (void)state;
    fixture_serve(&f, 100);
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        client_open(&c, sizes[i]);
        for (unsigned k = 0; k < 9; k++) {
            struct slice body = k % 3 == 0 ? SLICE_LIT("\1\0\0\0\1x") : SLICE_LIT("\0\0\0\0\1x");
            struct seen seen =
                client_ask(&c, k % 3 == 1 ? "GET" : "POST", "application/grpc", &body);
            assert_string_equal(seen.status, k % 3 == 1 ? "405" : "200");
            assert_string_equal(seen.grpc, k % 3 == 0 ? "12" : k % 3 == 1 ? "2" : "0");
            assert_string_equal(seen.message,
                                k % 3 == 0 ? "compressed messages are not supported" : "");
        }
        client_close(&c);
    }
}

static void test_bad_requests(void **state)
{
    static const struct {
        const char *method, *type;
        struct slice body;
        const char *status, *grpc;
    } cases[] = {
        {"POST", "application/grpc", {"\0\0\0\0\1x", 6}, "200", "0"},
        {"POST", "application/grpc+proto", {"\0\0\0\0\1x", 6}, "200", "0"},
        {"GET", "application/grpc", {NULL, 0}, "405", "2"},
        {"POST", "application/json", {"{}", 2}, "415", "2"},
        {"POST", "application/json", {NULL, 0}, "415", "2"},
        {"POST", "application/grpc", {NULL, 0}, "200", "13"},
        {"POST", "application/grpc", {"\0\0\0", 3}, "200", "13"},
        {"POST", "application/grpc", {"\0\0\0\0\2x", 6}, "200", "13"},
        {"POST", "application/grpc", {"\0\0\0\0\1xy", 7}, "200", "13"},
        {"POST", "application/grpc", {"\0\0\0\0\1x\0\0\0\0\1x", 12}, "200", "13"},
        {"POST", "application/grpc", {"\1\0\0\0\1x", 6}, "200", "12"},
        {"POST", "application/grpc", {"\7\0\0\0\1x", 6}, "200", "13"},
        {"POST", "application/grpc", {"\0\x10\0\0\0x", 6}, "200", "8"},
    };

    (void)state;
    fixture_serve(&f, 100);
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct slice body = cases[i].body;
        struct seen seen = exchange(cases[i].method, cases[i].type, body.p != NULL ? &body : NULL);
        if (strcmp(seen.status, cases[i].status) != 0 || strcmp(seen.grpc, cases[i].grpc) != 0)
            fail_msg("case %u: %s %s %s", i, seen.status, seen.grpc, seen.message);
    }
    assert_int_equal(f.served, 2);
    assert_int_equal(rpc_server_in_flight(f.server), 0);
}

/* An answer that does not wait for the end of the request: it arrives, and then the stream is
 * closed. */
static void test_early_answer(void **state)
{
    struct slice large = {"\0\x10\0\0\0x", 6}, json = {"{}", 2};
    struct seen seen;

    (void)state;
    fixture_serve(&f, 100);
    endless = true;
    seen = exchange("POST", "application/grpc", &large);
    assert_string_equal(seen.grpc, "8");
    seen = exchange("POST", "application/json", &json);
    assert_string_equal(seen.status, "415");
    endless = false;
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_garbage_to_server),  T(test_reset_flood),   T(test_control_flood),
        T(test_continuation_flood), T(test_bad_requests),  T(test_no_reader),
        T(test_early_answer),       T(test_header_tables),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
