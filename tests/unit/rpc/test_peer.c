/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Servers that do not behave: replies that are no gRPC, bytes that are no HTTP/2, silence. The odd
 * server is an nghttp2 session or plain bytes on a socket of the same loop.
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

#include <event2/event.h>
#include <nghttp2/nghttp2.h>

#include "base/clock.h"
#include "base/hash.h"
#include "fixture.h"
#include "rpc/client_int.h"

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

/* --- an odd server: answers every request with what the test says --- */

#define NV(n, v)                                                                                   \
    {                                                                                              \
        (uint8_t *)(uintptr_t)(n), (uint8_t *)(uintptr_t)(v), sizeof(n) - 1, sizeof(v) - 1,        \
            NGHTTP2_NV_FLAG_NONE                                                                   \
    }

struct answer {
    const char *what;
    nghttp2_nv head[5];
    size_t head_n;
    struct slice body;
    nghttp2_nv trailers[3];
    size_t trailers_n;
    uint32_t reset; /* instead of all this, when not 0 */
    int status;
    const char *message;
};

struct odd {
    struct event *accept, *read;
    int fd;
    nghttp2_session *session;
    const struct answer *answer;
    size_t body_sent;
    struct slice garbage; /* sent instead of speaking HTTP/2 */
    unsigned accepted;
};

static struct odd odd;

static ssize_t odd_body(nghttp2_session *session, int32_t stream, uint8_t *buf, size_t n,
                        uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct odd *o = user;

    (void)source;
    if (n > o->answer->body.n - o->body_sent)
        n = o->answer->body.n - o->body_sent;
    memcpy(buf, o->answer->body.p + o->body_sent, n);
    o->body_sent += n;
    if (o->body_sent < o->answer->body.n)
        return (ssize_t)n;
    *flags = NGHTTP2_DATA_FLAG_EOF;
    if (o->answer->trailers_n > 0) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        nghttp2_submit_trailer(session, stream, o->answer->trailers, o->answer->trailers_n);
    }
    return (ssize_t)n;
}

static int odd_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct odd *o = user;
    nghttp2_data_provider body = {.read_callback = odd_body};

    if (!(frame->hd.flags & NGHTTP2_FLAG_END_STREAM) || frame->hd.stream_id == 0 ||
        o->answer == NULL)
        return 0;
    o->body_sent = 0;
    if (o->answer->reset != 0)
        nghttp2_submit_rst_stream(session, 0, frame->hd.stream_id, o->answer->reset);
    else
        nghttp2_submit_response(session, frame->hd.stream_id, o->answer->head, o->answer->head_n,
                                o->answer->body.p != NULL ? &body : NULL);
    return 0;
}

static ssize_t odd_send(nghttp2_session *session, const uint8_t *p, size_t n, int flags, void *user)
{
    struct odd *o = user;
    ssize_t sent = send(o->fd, p, n, MSG_NOSIGNAL);

    (void)session;
    (void)flags;
    return sent < 0 ? NGHTTP2_ERR_WOULDBLOCK : sent;
}

static void odd_close(struct odd *o)
{
    if (o->read == NULL)
        return;
    event_free(o->read);
    o->read = NULL;
    close(o->fd);
    nghttp2_session_del(o->session);
    o->session = NULL;
}

static void odd_read(evutil_socket_t fd, short what, void *arg)
{
    static uint8_t buf[65536];
    struct odd *o = arg;
    ssize_t n = recv(fd, buf, sizeof buf, 0);

    (void)what;
    if (n <= 0) {
        odd_close(o);
    } else if (o->session != NULL) {
        nghttp2_session_mem_recv(o->session, buf, (size_t)n);
        nghttp2_session_send(o->session);
    }
}

static void odd_accept(evutil_socket_t fd, short what, void *arg)
{
    struct odd *o = arg;
    struct addr peer;
    nghttp2_session_callbacks *cb;

    (void)what;
    odd_close(o);
    o->fd = addr_accept(fd, &peer);
    if (o->fd < 0)
        return;
    o->accepted++;
    o->read = event_new(f.loop.base, o->fd, EV_READ | EV_PERSIST, odd_read, o);
    event_add(o->read, NULL);
    if (o->garbage.p != NULL) {
        (void)!send(o->fd, o->garbage.p, o->garbage.n, MSG_NOSIGNAL);
        return;
    }
    nghttp2_session_callbacks_new(&cb);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, odd_frame);
    nghttp2_session_callbacks_set_send_callback(cb, odd_send);
    nghttp2_session_server_new(&o->session, cb, o);
    nghttp2_session_callbacks_del(cb);
    nghttp2_submit_settings(o->session, 0, NULL, 0);
    nghttp2_session_send(o->session);
}

static void odd_start(void)
{
    struct addr_listen opt = {0};
    int fd = addr_listen(&f.addr, &opt);

    memset(&odd, 0, sizeof odd);
    assert_true(fd >= 0);
    odd.accept = event_new(f.loop.base, fd, EV_READ | EV_PERSIST, odd_accept, &odd);
    event_add(odd.accept, NULL);
}

static void odd_stop(void)
{
    odd_close(&odd);
    close(event_get_fd(odd.accept));
    event_free(odd.accept);
}

static void call(const char *path)
{
    struct rpc_request req = request(path, SLICE_LIT("x"));

    probe_start(&f, &probe, &req);
    RUN_UNTIL(&f, probe.done);
}

#define GRPC NV(":status", "200"), NV("content-type", "application/grpc")

static const struct answer answers[] = {
    {"a good one", {GRPC}, 2, {"\0\0\0\0\2ok", 7}, {NV("grpc-status", "0")}, 1, 0, RPC_OK, ""},
    {"trailers only",
     {GRPC, NV("grpc-status", "5"), NV("grpc-message", "no %41 %zz")},
     4,
     {NULL, 0},
     {{0}},
     0,
     0,
     RPC_NOT_FOUND,
     "no A %zz"},
    {"unknown status", {GRPC, NV("grpc-status", "77")}, 3, {NULL, 0}, {{0}}, 0, 0, 77, ""},
    {"status no number",
     {GRPC, NV("grpc-status", "-1")},
     3,
     {NULL, 0},
     {{0}},
     0,
     0,
     RPC_UNKNOWN,
     ""},
    {"no status",
     {GRPC},
     2,
     {"\0\0\0\0\2ok", 7},
     {{0}},
     0,
     0,
     RPC_UNKNOWN,
     "reply without grpc-status"},
    {"HTTP 503",
     {NV(":status", "503"), NV("content-type", "text/html")},
     2,
     {"<html>", 6},
     {{0}},
     0,
     0,
     RPC_UNAVAILABLE,
     "HTTP error instead of a gRPC reply"},
    {"HTTP 404",
     {NV(":status", "404")},
     1,
     {NULL, 0},
     {{0}},
     0,
     0,
     RPC_UNIMPLEMENTED,
     "HTTP error instead of a gRPC reply"},
    {"not gRPC",
     {NV(":status", "200"), NV("content-type", "text/html")},
     2,
     {"<html>", 6},
     {{0}},
     0,
     0,
     RPC_UNKNOWN,
     "not a gRPC reply"},
    {"OK without message",
     {GRPC, NV("grpc-status", "0")},
     3,
     {NULL, 0},
     {{0}},
     0,
     0,
     RPC_INTERNAL,
     "status OK without a message"},
    {"half a message",
     {GRPC},
     2,
     {"\0\0\0\0\7ok", 7},
     {NV("grpc-status", "0")},
     1,
     0,
     RPC_INTERNAL,
     "reply ends inside a message"},
    {"two messages",
     {GRPC},
     2,
     {"\0\0\0\0\1a\0\0\0\0\1b", 12},
     {NV("grpc-status", "0")},
     1,
     0,
     RPC_INTERNAL,
     "more than one message in a unary reply"},
    {"compressed",
     {GRPC},
     2,
     {"\1\0\0\0\1a", 6},
     {NV("grpc-status", "0")},
     1,
     0,
     RPC_INTERNAL,
     "compressed reply, which was not asked for"},
    {"too large",
     {GRPC},
     2,
     {"\0\x7f\0\0\0a", 6},
     {NV("grpc-status", "0")},
     1,
     0,
     RPC_RESOURCE_EXHAUSTED,
     "reply is too large"},
    {"error with a message before it",
     {GRPC},
     2,
     {"\0\0\0\0\1a", 6},
     {NV("grpc-status", "9"), NV("grpc-message", "late")},
     2,
     0,
     RPC_FAILED_PRECONDITION,
     "late"},
    {"reset: cancel",
     {{0}},
     0,
     {NULL, 0},
     {{0}},
     0,
     NGHTTP2_CANCEL,
     RPC_CANCELLED,
     "stream reset by the peer"},
    {"reset: internal",
     {{0}},
     0,
     {NULL, 0},
     {{0}},
     0,
     NGHTTP2_INTERNAL_ERROR,
     RPC_INTERNAL,
     "stream reset by the peer"},
    {"reset: refused, every time",
     {{0}},
     0,
     {NULL, 0},
     {{0}},
     0,
     NGHTTP2_REFUSED_STREAM,
     RPC_UNAVAILABLE,
     "stream refused by the peer"},
};

static void test_odd_replies(void **state)
{
    (void)state;
    odd_start();
    fixture_connect(&f);
    for (unsigned i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        odd.answer = &answers[i];
        call("/t/Odd");
        if (probe.status != answers[i].status || strcmp(probe.message, answers[i].message) != 0)
            fail_msg("%s: %d %s", answers[i].what, probe.status, probe.message);
        assert_int_equal(probe.sent, answers[i].reset != NGHTTP2_REFUSED_STREAM);
        assert_int_equal(f.client->in_flight, 0);
    }
    assert_int_equal(odd.accepted, 1); /* all on one connection: none of it breaks that */
    rpc_client_free(&f.client);
    odd_stop();
}

/* What a server says is no HTTP/2: the call fails, nothing else. */
static void test_garbage_to_client(void **state)
{
    static char bytes[3000];
    uint64_t rng = 99;

    (void)state;
    odd_start();
    for (unsigned i = 0; i < 60; i++) {
        for (size_t k = 0; k < sizeof bytes; k++)
            bytes[k] = (char)random_next(&rng);
        if (i % 2 == 0) /* frames with sane lengths get further */
            memcpy(bytes, "\0\0\0\4\0\0\0\0\0", 9);
        for (size_t k = 9; i % 2 == 0 && k + 60 < sizeof bytes; k += 59) {
            memcpy(bytes + k, "\0\0\x32", 3);
            bytes[k + 3] = (char)(random_next(&rng) % 11);
            memcpy(bytes + k + 5, "\0\0\0", 3);
            bytes[k + 8] = (char)(random_next(&rng) % 4);
        }
        odd.garbage = slice_of(bytes, sizeof bytes);
        fixture_connect(&f);
        struct rpc_request req = request("/t/Echo", SLICE_LIT("x"));
        req.deadline_ns = 200 * NS_PER_MS;
        probe_start(&f, &probe, &req);
        RUN_UNTIL(&f, probe.done);
        assert_int_not_equal(probe.status, RPC_OK);
        rpc_client_free(&f.client);
    }
    odd_stop();
}

/* A peer that says nothing more: found out by PING. One that answers PINGs may take its time. */
static void test_keepalive(void **state)
{
    struct rpc_request req = request("/t/Keep", SLICE_LIT("x"));
    uint64_t begin = clock_mono_ns();

    (void)state;
    f.cfg.keepalive_ms = 60;
    odd_start();
    odd.garbage = slice_of("\0\0\0\4\0\0\0\0\0", 9); /* SETTINGS, then silence */
    fixture_connect(&f);
    probe_start(&f, &probe, &req);
    RUN_UNTIL(&f, probe.done);
    assert_int_equal(probe.status, RPC_UNAVAILABLE);
    assert_string_equal(probe.message, "peer does not answer a PING");
    assert_in_range(clock_mono_ns() - begin, 75 * NS_PER_MS, 2 * NS_PER_S);
    rpc_client_free(&f.client);
    odd_stop();
    fixture_serve(&f, 100);
    fixture_connect(&f);
    probe_start(&f, &probe, &req);
    begin = clock_mono_ns();
    RUN_UNTIL(&f, clock_mono_ns() - begin > 500 * NS_PER_MS);
    assert_false(probe.done);
    fixture_release(&f, 0, RPC_OK);
    RUN_UNTIL(&f, probe.done);
    assert_int_equal(probe.status, RPC_OK);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {T(test_odd_replies), T(test_garbage_to_client),
                                       T(test_keepalive)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
