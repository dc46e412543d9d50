/* SPDX-License-Identifier: BSD-2-Clause */
/* A client and a server on a Unix socket, both in one loop of this process. */
#ifndef TEST_RPC_FIXTURE_H
#define TEST_RPC_FIXTURE_H

#include <stdbool.h>
#include <stdint.h>

#include "rpc/addr.h"
#include "rpc/client.h"
#include "rpc/server.h"
#include "rpc/status.h"

#define KEPT_MAX 12000

struct fixture {
    struct loop loop;
    char dir[32], address[64];
    struct addr addr;
    struct rpc_server *server;
    struct rpc_client *client;
    struct rpc_endpoint_config endpoint;
    struct rpc_client_config cfg;
    struct rpc_server_call *kept[KEPT_MAX]; /* calls of /t/Keep, unanswered */
    unsigned kept_n, kept_most;
    unsigned served;
    unsigned finished; /* calls told */
};

/* What a test wants to know about a call after it is over. */
struct probe {
    struct rpc_call call;
    struct fixture *f;
    bool done;
    int status;
    bool sent, local;
    char message[128], meta[256]; /* meta: "name=value;" for each pair */
    size_t payload_n;
    char payload[64]; /* its beginning */
    uint64_t sum;     /* of all its bytes */
    void (*then)(struct probe *p);
};

/* Loop and directory; no server, no client. */
void fixture_init(struct fixture *f);
void fixture_fini(struct fixture *f);
void fixture_serve(struct fixture *f, uint32_t max_streams);
/* A client of f->address; cfg may be adapted in f->cfg between the two. */
void fixture_client_config(struct fixture *f);
void fixture_connect(struct fixture *f);

/*
 * The server's methods: /t/Echo; /t/Fail answers ABORTED with the payload as text; /t/Keep puts the
 * call into kept; /t/Big
 * answers with as many bytes as the payload says.
 */
void fixture_release(struct fixture *f, unsigned i, int status);

struct rpc_request request(const char *path, struct slice payload);
void probe_start(struct fixture *f, struct probe *p, const struct rpc_request *req);

/* Turns until the condition holds; the test fails after ten seconds. */
#define RUN_UNTIL(f, cond)                                                                         \
    do {                                                                                           \
        uint64_t until_ = clock_mono_ns() + 10 * NS_PER_S;                                         \
        while (!(cond)) {                                                                          \
            if (clock_mono_ns() > until_)                                                          \
                fail_msg("timed out waiting for %s", #cond);                                       \
            fixture_turn(f);                                                                       \
        }                                                                                          \
    } while (0)

/* One turn that ends after a tick at the latest. */
void fixture_turn(struct fixture *f);
void fixture_turns(struct fixture *f, unsigned n);

#endif
