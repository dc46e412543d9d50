/* SPDX-License-Identifier: BSD-2-Clause */
#include "config.h"

#include "ctl/boxoffice.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/log.h"
#include "conf/compiled.h"

#define SERVICE       "/rushgate.boxoffice.v1.Admin/"
#define ENDPOINTS_MAX 64
#define IN_FLIGHT_MAX 128

struct box {
    struct loop *loop;
    const struct bank_zone *banks;
    uint64_t generation;       /* the client was made from */
    struct rpc_client *client; /* owned; NULL: no upstream */
    char *name;                /* owned; of the upstream; NULL: none */
};

struct box *box_new(struct loop *loop, const struct bank_zone *banks)
{
    struct box *b = calloc(1, sizeof *b);

    if (b != NULL) {
        b->loop = loop;
        b->banks = banks;
    }
    return b;
}

void box_free(struct box **b)
{
    if (*b == NULL)
        return;
    if ((*b)->client != NULL)
        rpc_client_free(&(*b)->client);
    free((*b)->name);
    free(*b);
    *b = NULL;
}

static const struct conf_upstream *upstream_of(const struct conf_root *root)
{
    const struct conf_upstream *u = conf_upstreams(root);
    struct slice name = conf_slice(root, root->boxoffice_upstream);

    for (uint32_t i = 0; name.n > 0 && i < root->upstreams.n; i++)
        if (u[i].protocol == CONF_GRPC && slice_eq(conf_slice(root, u[i].name), name))
            return &u[i];
    return NULL;
}

static void use_upstream(struct box *b, const struct conf_root *root, const struct conf_upstream *u)
{
    const struct conf_endpoint *e = conf_at(root, u->endpoints);
    struct rpc_endpoint_config endpoints[ENDPOINTS_MAX];
    struct rpc_client_config cfg = {
        .name = conf_slice(root, u->name),
        .endpoints = endpoints,
        .rendezvous = u->balance == CONF_BALANCE_RENDEZVOUS,
        .connections = 1,
        .max_in_flight = IN_FLIGHT_MAX,
        .connect_timeout_ms = u->connect_timeout_ms,
    };

    for (; cfg.endpoints_n < u->endpoints.n && cfg.endpoints_n < ENDPOINTS_MAX; e++) {
        struct slice sa = conf_slice(root, e->sockaddr);
        endpoints[cfg.endpoints_n++] = (struct rpc_endpoint_config){
            .address = conf_slice(root, e->address),
            .sa = (const struct sockaddr *)(const void *)sa.p,
            .sa_len = (uint32_t)sa.n,
        };
    }
    if (b->client != NULL)
        rpc_client_update(b->client, &cfg);
    else
        b->client = rpc_client_new(b->loop, &cfg);
    b->name = strndup(cfg.name.p, cfg.name.n);
}

/* Takes the current generation into use, if it is another one. */
static void follow(struct box *b)
{
    struct bank_ref ref = bank_current(b->banks);
    const struct conf_upstream *u;

    if (ref.data == NULL || ref.generation == b->generation)
        return;
    b->generation = ref.generation;
    free(b->name);
    b->name = NULL;
    u = upstream_of(ref.data);
    if (u != NULL)
        use_upstream(b, ref.data, u);
    else if (b->client != NULL)
        rpc_client_free(&b->client);
}

const char *box_upstream(struct box *b)
{
    follow(b);
    return b->name != NULL ? b->name : "";
}

static void on_done(struct rpc_call *rpc, const struct rpc_reply *reply)
{
    struct box_call *call = CONTAINER_OF(rpc, struct box_call, rpc);

    buf_free(&call->payload);
    call->done(call, reply);
}

void box_call_init(struct box_call *call)
{
    rpc_call_init(&call->rpc, on_done);
    buf_init(&call->payload);
    call->done = NULL;
}

bool box_call_start(struct box *b, struct box_call *call, const char *method,
                    const ProtobufCMessage *request, struct slice event, uint64_t deadline_ns,
                    void (*done)(struct box_call *call, const struct rpc_reply *reply))
{
    char path[128] = SERVICE;
    size_t size = protobuf_c_message_get_packed_size(request);

    follow(b);
    if (b->client == NULL || !buf_reserve(&call->payload, size + 1))
        return false;
    strncat(path, method, sizeof path - sizeof SERVICE);
    call->payload.n = protobuf_c_message_pack(request, (uint8_t *)call->payload.p);
    call->done = done;
    rpc_call_start(b->client, &call->rpc,
                   &(struct rpc_request){
                       .path = slice_str(path),
                       .payload = buf_view(&call->payload),
                       .deadline_ns = deadline_ns,
                       .hash = hash64(event, 0),
                   });
    return true;
}

void box_call_cancel(struct box_call *call)
{
    rpc_call_cancel(&call->rpc);
    buf_free(&call->payload);
}
