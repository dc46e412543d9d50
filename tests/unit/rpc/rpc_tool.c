/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Peers for trying the rpc library by hand, from other languages, and under a profiler:
 *
 *   rpc_tool serve ADDRESS              answers until TERM, then drains
 *       /test.Echo/Echo     the same message, metadata "x-..." back as initial metadata
 *       /test.Echo/Fail     NOT_FOUND, the message as text, metadata as trailers
 *       /test.Echo/Big      the message is a decimal number of bytes to answer with
 *       /test.Echo/Silent   never answers
 *   rpc_tool call ADDRESS METHOD MESSAGE [DEADLINE_MS]    prints status, text, metadata, payload
 *   rpc_tool bench ADDRESS CALLS WINDOW BYTES [META]      prints CPU and wall time per call
 *   rpc_tool ask ADDRESS CALLS WINDOW METHOD FILE         the same, with the message in a file
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/check.h"
#include "base/clock.h"
#include "rpc/addr.h"
#include "rpc/client.h"
#include "rpc/server_int.h"
#include "rpc/status.h"

static struct addr parse(const char *text, unsigned flags)
{
    struct addr a;
    const char *why;

    if (addr_parse(slice_str(text), flags, &a, &why) < 0)
        die("%s: %s", text, why);
    return a;
}

/* --- serve --- */

struct server {
    struct loop loop;
    struct rpc_server *rpc;
    bool stop;
};

static unsigned echo_meta(const struct rpc_server_call *call, struct rpc_meta *out)
{
    unsigned n = 0;

    for (unsigned i = 0; i < call->meta_n && n < 16; i++) {
        if (slice_starts(call->meta[i].name, SLICE_LIT("x-")))
            out[n++] = call->meta[i];
    }
    return n;
}

static void reply_big(struct rpc_server *s, struct rpc_server_call *call)
{
    uint64_t n = 0;
    char *p;

    if (!slice_to_u64(call->payload, &n) || n > (64u << 20))
        n = 0;
    p = xcalloc(1, n + 1);
    memset(p, 'b', n);
    rpc_server_reply(s, call, RPC_OK, SLICE_NONE, slice_of(p, n), NULL, 0);
    free(p);
}

static void serve_call(void *arg, struct rpc_server_call *call)
{
    struct server *s = arg;
    struct rpc_meta meta[16];
    unsigned n = echo_meta(call, meta);

    if (slice_eq(call->path, SLICE_LIT("/test.Echo/Echo")))
        rpc_server_reply(s->rpc, call, RPC_OK, SLICE_NONE, call->payload, meta, n);
    else if (slice_eq(call->path, SLICE_LIT("/test.Echo/Fail")))
        rpc_server_reply(s->rpc, call, RPC_NOT_FOUND, call->payload, SLICE_NONE, meta, n);
    else if (slice_eq(call->path, SLICE_LIT("/test.Echo/Big")))
        reply_big(s->rpc, call);
    else if (!slice_eq(call->path, SLICE_LIT("/test.Echo/Silent")))
        rpc_server_reply(s->rpc, call, RPC_UNIMPLEMENTED, SLICE_LIT("no such method"), SLICE_NONE,
                         NULL, 0);
}

static void on_term(evutil_socket_t fd, short what, void *arg)
{
    struct server *s = arg;

    (void)fd;
    (void)what;
    rpc_server_drain(s->rpc);
    s->stop = true;
}

static int serve(const char *address)
{
    struct server s = {0};
    struct addr a = parse(address, ADDR_LISTEN), bound = {.len = sizeof bound.sa};
    struct addr_listen opt = {0};
    int fd = addr_listen(&a, &opt);
    struct rpc_server_config cfg = {fd, 4u << 20, 1000, serve_call, &s};
    struct event *term;
    char text[ADDR_TEXT_MAX];

    if (fd < 0)
        die("%s: %s", address, strerror(-fd));
    loop_init(&s.loop);
    getsockname(fd, (struct sockaddr *)&bound.sa, &bound.len);
    s.rpc = rpc_server_new(&s.loop, &cfg);
    CHECK(s.rpc != NULL);
    term = evsignal_new(s.loop.base, SIGTERM, on_term, &s);
    event_add(term, NULL);
    addr_format((struct sockaddr *)&bound.sa, bound.len, text);
    printf("%s\n", text);
    fflush(stdout);
    while (!s.stop || s.rpc->conns_n > 0)
        loop_turn(&s.loop);
    rpc_server_free(&s.rpc);
    event_free(term);
    loop_fini(&s.loop);
    addr_unlink(&a);
    return 0;
}

/* --- clients --- */

struct client {
    struct loop loop;
    struct rpc_client *rpc;
};

static void client_open(struct client *c, const char *address)
{
    struct addr a = parse(address, 0);
    struct rpc_endpoint_config e = {
        .address = slice_str(address), .sa = (const struct sockaddr *)&a.sa, .sa_len = a.len};
    struct rpc_client_config cfg = {.name = SLICE_LIT("test"),
                                    .endpoints = &e,
                                    .endpoints_n = 1,
                                    .connections = 1,
                                    .connect_timeout_ms = 1000};

    loop_init(&c->loop);
    c->rpc = rpc_client_new(&c->loop, &cfg);
    CHECK(c->rpc != NULL);
}

static void client_close(struct client *c)
{
    rpc_client_free(&c->rpc);
    loop_fini(&c->loop);
}

struct one {
    struct rpc_call call;
    bool done;
};

static void print_reply(struct rpc_call *call, const struct rpc_reply *r)
{
    printf("status %d %s\nmessage %.*s\n", r->status, rpc_status_name(r->status),
           SLICE_ARG(r->message));
    for (unsigned i = 0; i < r->meta_n; i++)
        printf("meta %.*s: %.*s\n", SLICE_ARG(r->meta[i].name), SLICE_ARG(r->meta[i].value));
    printf("sent %d local %d bytes %zu\npayload %.*s\n", r->sent, r->local, r->payload.n,
           (int)(r->payload.n < 200 ? r->payload.n : 200), r->payload.p);
    CONTAINER_OF(call, struct one, call)->done = true;
}

static int call_once(const char *address, const char *method, const char *message,
                     const char *deadline_ms)
{
    struct client c;
    struct one one = {.done = false};
    struct rpc_meta meta[] = {{SLICE_LIT("x-one"), SLICE_LIT("first")},
                              {SLICE_LIT("x-two"), SLICE_LIT("second")}};
    struct rpc_request req = {.path = slice_str(method),
                              .meta = meta,
                              .meta_n = 2,
                              .payload = slice_str(message),
                              .deadline_ns = strtoull(deadline_ms, NULL, 10) * NS_PER_MS};

    client_open(&c, address);
    rpc_call_init(&one.call, print_reply);
    rpc_call_start(c.rpc, &one.call, &req);
    while (!one.done)
        loop_turn(&c.loop);
    client_close(&c);
    return 0;
}

struct bench {
    struct client c;
    struct rpc_request req;
    struct rpc_meta meta[3];
    char id[48];
    uint64_t started, finished, failed, total;
};

static void bench_start(struct bench *b, struct rpc_call *call);

static void bench_done(struct rpc_call *call, const struct rpc_reply *r)
{
    struct bench *b = *(struct bench **)(call + 1);

    b->finished++;
    b->failed += r->status != RPC_OK;
    if (b->started < b->total)
        bench_start(b, call);
}

static void bench_start(struct bench *b, struct rpc_call *call)
{
    b->started++;
    if (b->req.meta_n > 0) /* unique values, as requests have them */
        snprintf(b->id, sizeof b->id, "0193a5c0-7d2e-7000-8000-%012" PRIx64, b->started);
    rpc_call_start(b->c.rpc, call, &b->req);
}

static double cpu_us(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static int bench(const char *address, unsigned long calls, unsigned window, const char *method,
                 struct slice payload, bool meta)
{
    struct bench b = {.total = calls};
    char *slots = xcalloc(window, sizeof(struct rpc_call) + sizeof(void *));
    uint64_t start;
    double cpu;

    client_open(&b.c, address);
    b.meta[0] = (struct rpc_meta){SLICE_LIT("rushgate-request-id"), slice_of(b.id, 36)};
    b.meta[1] = (struct rpc_meta){SLICE_LIT("idempotency-key"), slice_of(b.id, 36)};
    b.meta[2] = (struct rpc_meta){SLICE_LIT("rushgate-identity"), slice_of(b.id + 20, 16)};
    b.req = (struct rpc_request){.path = slice_str(method),
                                 .payload = payload,
                                 .meta = b.meta,
                                 .meta_n = meta ? 3 : 0,
                                 .deadline_ns = 2 * NS_PER_S};
    cpu = cpu_us();
    start = clock_mono_ns();
    for (unsigned i = 0; i < window && b.started < b.total; i++) {
        struct rpc_call *call = (void *)(slots + i * (sizeof(struct rpc_call) + sizeof(void *)));
        rpc_call_init(call, bench_done);
        *(struct bench **)(call + 1) = &b;
        bench_start(&b, call);
    }
    while (b.finished < b.total)
        loop_turn(&b.c.loop);
    printf("calls %" PRIu64 " failed %" PRIu64 " client_cpu_us %.3f wall_us %.3f\n", b.finished,
           b.failed, (cpu_us() - cpu) / (double)calls,
           (double)(clock_mono_ns() - start) / 1e3 / (double)calls);
    client_close(&b.c);
    free(slots);
    return b.failed != 0;
}

static struct slice zeros(const char *bytes)
{
    size_t n = strtoul(bytes, NULL, 10);

    return slice_of(xcalloc(1, n + 1), n);
}

static struct slice file(const char *path)
{
    static char text[1 << 20];
    FILE *f = fopen(path, "rb");
    size_t n;

    if (f == NULL)
        die("%s: cannot be read", path);
    n = fread(text, 1, sizeof text, f);
    fclose(f);
    return slice_of(text, n);
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    if (argc == 3 && strcmp(argv[1], "serve") == 0)
        return serve(argv[2]);
    if (argc >= 5 && strcmp(argv[1], "call") == 0)
        return call_once(argv[2], argv[3], argv[4], argc > 5 ? argv[5] : "2000");
    if (argc >= 6 && strcmp(argv[1], "bench") == 0)
        return bench(argv[2], strtoul(argv[3], NULL, 10), (unsigned)atoi(argv[4]),
                     "/test.Echo/Echo", zeros(argv[5]), argc > 6);
    if (argc == 7 && strcmp(argv[1], "ask") == 0)
        return bench(argv[2], strtoul(argv[3], NULL, 10), (unsigned)atoi(argv[4]), argv[5],
                     file(argv[6]), false);
    die("usage: rpc_tool serve ADDRESS | call ADDRESS METHOD MESSAGE [MS] | bench ADDRESS CALLS "
        "WINDOW BYTES [META] | ask ADDRESS CALLS WINDOW METHOD FILE");
}
