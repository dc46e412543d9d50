/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "fixture.h"

void fixture_init(struct fixture *f)
{
    memset(f, 0, sizeof *f);
    loop_init(&f->loop);
    strcpy(f->dir, "/tmp/test_rpc.XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->address, sizeof f->address, "unix:%s/s", f->dir);
    assert_int_equal(addr_parse(slice_str(f->address), 0, &f->addr, NULL), 0);
}

void fixture_fini(struct fixture *f)
{
    rpc_client_free(&f->client);
    rpc_server_free(&f->server);
    addr_unlink(&f->addr);
    rmdir(f->dir);
    loop_fini(&f->loop);
}

static void answer_big(struct fixture *f, struct rpc_server_call *call)
{
    uint64_t n = 0;
    char *p;

    assert_true(slice_to_u64(call->payload, &n));
    p = calloc(1, n);
    rpc_server_reply(f->server, call, RPC_OK, SLICE_NONE, slice_of(p, n), NULL, 0);
    free(p);
}

static void serve(void *arg, struct rpc_server_call *call)
{
    struct fixture *f = arg;

    f->served++;
    if (slice_eq(call->path, SLICE_LIT("/t/Keep"))) {
        assert_in_range(f->kept_n, 0, KEPT_MAX - 1);
        f->kept[f->kept_n++] = call;
        if (f->kept_n > f->kept_most)
            f->kept_most = f->kept_n;
    } else if (slice_eq(call->path, SLICE_LIT("/t/Big"))) {
        answer_big(f, call);
    } else if (slice_eq(call->path, SLICE_LIT("/t/Fail"))) {
        rpc_server_reply(f->server, call, RPC_ABORTED, call->payload, SLICE_NONE, call->meta,
                         call->meta_n);
    } else {
        rpc_server_reply(f->server, call, RPC_OK, SLICE_NONE, call->payload, call->meta,
                         call->meta_n);
    }
}

void fixture_release(struct fixture *f, unsigned i, int status)
{
    struct rpc_server_call *call = f->kept[i];

    assert_in_range(i, 0, f->kept_n - 1);
    f->kept[i] = f->kept[--f->kept_n];
    rpc_server_reply(f->server, call, status, SLICE_LIT("kept"), call->payload, NULL, 0);
}

void fixture_serve(struct fixture *f, uint32_t max_streams)
{
    struct addr_listen opt = {0};
    struct rpc_server_config cfg = {.listen_fd = addr_listen(&f->addr, &opt),
                                    .max_message = 4u << 20,
                                    .max_streams = max_streams,
                                    .handler = serve,
                                    .arg = f};

    assert_true(cfg.listen_fd >= 0);
    f->server = rpc_server_new(&f->loop, &cfg);
    assert_non_null(f->server);
}

void fixture_client_config(struct fixture *f)
{
    f->endpoint = (struct rpc_endpoint_config){.address = slice_str(f->address),
                                               .sa = (struct sockaddr *)&f->addr.sa,
                                               .sa_len = f->addr.len};
    f->cfg = (struct rpc_client_config){.name = SLICE_LIT("test"),
                                        .endpoints = &f->endpoint,
                                        .endpoints_n = 1,
                                        .connections = 1,
                                        .connect_timeout_ms = 300,
                                        .retry_budget_percent = 20};
}

void fixture_connect(struct fixture *f)
{
    f->client = rpc_client_new(&f->loop, &f->cfg);
    assert_non_null(f->client);
}

struct rpc_request request(const char *path, struct slice payload)
{
    return (struct rpc_request){
        .path = slice_str(path), .payload = payload, .deadline_ns = 5 * NS_PER_S};
}

static void copy_text(char *out, size_t size, struct slice s)
{
    snprintf(out, size, "%.*s", SLICE_ARG(s));
}

static void on_done(struct rpc_call *call, const struct rpc_reply *r)
{
    struct probe *p = CONTAINER_OF(call, struct probe, call);
    size_t at = 0;

    assert_false(p->done); /* once */
    p->done = true;
    p->status = r->status;
    p->sent = r->sent;
    p->local = r->local;
    copy_text(p->message, sizeof p->message, r->message);
    copy_text(p->payload, sizeof p->payload, r->payload);
    p->payload_n = r->payload.n;
    for (size_t i = 0; i < r->payload.n; i++)
        p->sum += (unsigned char)r->payload.p[i];
    for (unsigned i = 0; i < r->meta_n && at < sizeof p->meta; i++)
        at += (size_t)snprintf(p->meta + at, sizeof p->meta - at, "%.*s=%.*s;",
                               SLICE_ARG(r->meta[i].name), SLICE_ARG(r->meta[i].value));
    p->f->finished++;
    if (p->then != NULL)
        p->then(p);
}

void probe_start(struct fixture *f, struct probe *p, const struct rpc_request *req)
{
    void (*then)(struct probe *) = p->then;

    memset(p, 0, sizeof *p);
    p->f = f;
    p->then = then;
    rpc_call_init(&p->call, on_done);
    rpc_call_start(f->client, &p->call, req);
    assert_false(p->done); /* never from inside */
}

static void nothing(struct loop_timer *t)
{
    (void)t;
}

void fixture_turn(struct fixture *f)
{
    struct loop_timer tick;

    loop_timer_init(&tick, nothing);
    loop_timer_arm(&f->loop, &tick, NS_PER_MS);
    loop_turn(&f->loop);
    loop_timer_disarm(&f->loop, &tick);
}

void fixture_turns(struct fixture *f, unsigned n)
{
    while (n-- > 0)
        fixture_turn(f);
}
