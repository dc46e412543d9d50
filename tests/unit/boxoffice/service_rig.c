/* SPDX-License-Identifier: BSD-2-Clause */
#include "service_rig.h"

#include <event2/event.h>

#include "fault_vfs.h"
#include "rpc/addr.h"

static void copy(char *to, size_t size, const struct rpc_meta *m)
{
    snprintf(to, size, "%.*s", SLICE_ARG(m->value));
}

static void on_answer(struct rpc_call *call, const struct rpc_reply *r)
{
    struct answer *a = (struct answer *)call;

    a->done = true;
    a->status = r->status;
    snprintf(a->message, sizeof a->message, "%.*s", SLICE_ARG(r->message));
    a->payload_n = r->payload.n < sizeof a->payload ? r->payload.n : 0;
    if (a->payload_n > 0)
        memcpy(a->payload, r->payload.p, a->payload_n);
    if (a->payload_n < r->payload.n) {
        a->large = malloc(r->payload.n);
        assert_non_null(a->large);
        memcpy(a->large, r->payload.p, r->payload.n);
        a->large_n = r->payload.n;
    }
    for (unsigned i = 0; i < r->meta_n; i++) {
        const struct rpc_meta *m = &r->meta[i];
        if (slice_eq(m->name, SLICE_LIT("rushgate-reason")))
            copy(a->reason, sizeof a->reason, m);
        else if (slice_eq(m->name, SLICE_LIT("rushgate-http-status")))
            copy(a->http, sizeof a->http, m);
        else if (slice_eq(m->name, SLICE_LIT("retry-after")))
            copy(a->retry, sizeof a->retry, m);
        else if (slice_eq(m->name, SLICE_LIT("rushgate-problem")))
            copy(a->problem, sizeof a->problem, m);
        else if (slice_eq(m->name, SLICE_LIT("rushgate-gate")))
            copy(a->gate, sizeof a->gate, m);
        else if (slice_eq(m->name, SLICE_LIT("rushgate-replayed")))
            copy(a->replayed, sizeof a->replayed, m);
    }
}

/* Calls leave at the end of a turn, so they are started in one. */
static void on_begin(struct loop_timer *t)
{
    struct world *w = CONTAINER_OF(t, struct world, begin);

    for (unsigned i = 0; i < w->n; i++) {
        memset(&w->answers[i], 0, sizeof w->answers[i]);
        rpc_call_init(&w->answers[i].call, on_answer);
        rpc_call_start(w->rpc, &w->answers[i].call, &w->requests[i]);
    }
}

static bool all_done(const struct world *w)
{
    for (unsigned i = 0; i < w->n; i++)
        if (!w->answers[i].done)
            return false;
    return true;
}

struct answer *go(struct world *w)
{
    for (unsigned i = 0; i < w->n; i++)
        w->answers[i].done = false;
    loop_timer_arm(&w->loop, &w->begin, 0);
    while (!all_done(w))
        loop_turn(&w->loop);
    w->n = 0;
    return w->answers;
}

void add(struct world *w, const char *path, const ProtobufCMessage *m, const char *buyer,
         const char *key)
{
    unsigned i = w->n++;
    struct rpc_request *r = &w->requests[i];

    *r = (struct rpc_request){
        .path = slice_str(path), .meta = w->meta[i], .deadline_ns = 20 * NS_PER_S};
    r->payload = slice_of((char *)w->bytes[i], protobuf_c_message_pack(m, w->bytes[i]));
    if (buyer != NULL)
        w->meta[i][r->meta_n++] = (struct rpc_meta){SLICE_LIT("rushgate-buyer"), slice_str(buyer)};
    if (key != NULL)
        w->meta[i][r->meta_n++] = (struct rpc_meta){SLICE_LIT("idempotency-key"), slice_str(key)};
}

void add_order(struct world *w, const char *buyer, const char *key, int quantity)
{
    Rushgate__Boxoffice__V1__CreateOrderRequest m =
        RUSHGATE__BOXOFFICE__V1__CREATE_ORDER_REQUEST__INIT;

    m.event = (char *)"gig";
    m.item = (char *)"a";
    m.quantity_given_case = RUSHGATE__BOXOFFICE__V1__CREATE_ORDER_REQUEST__QUANTITY_GIVEN_QUANTITY;
    m.quantity = quantity;
    add(w, BOX "CreateOrder", &m.base, buyer, key);
}

struct answer *one_order(struct world *w, const char *buyer, const char *key, int quantity)
{
    add_order(w, buyer, key, quantity);
    return go(w);
}

static void create(struct world *w, int32_t quota, int32_t limit)
{
    Rushgate__Boxoffice__V1__Item item = RUSHGATE__BOXOFFICE__V1__ITEM__INIT, *items = &item;
    Rushgate__Boxoffice__V1__Event m = RUSHGATE__BOXOFFICE__V1__EVENT__INIT;

    item.item = (char *)"a";
    item.price = (char *)"88.00";
    item.currency = (char *)"EUR";
    item.quota = quota;
    m.slug = (char *)"gig";
    m.max_per_buyer = limit;
    m.items = &items;
    m.n_items = 1;
    add(w, BOX "CreateEvent", &m.base, NULL, NULL);
    struct answer *a = go(w);
    assert_int_equal(a->status, RPC_OK);
    assert_string_equal(a->http, "201");
}

int available(struct world *w)
{
    Rushgate__Boxoffice__V1__GetItemRequest m = RUSHGATE__BOXOFFICE__V1__GET_ITEM_REQUEST__INIT;

    m.event = (char *)"gig";
    m.item = (char *)"a";
    add(w, BOX "GetAvailability", &m.base, NULL, NULL);
    struct answer *a = go(w);
    Rushgate__Boxoffice__V1__Availability *r =
        rushgate__boxoffice__v1__availability__unpack(NULL, a->payload_n, a->payload);
    assert_non_null(r);
    int n = r->available_number;
    rushgate__boxoffice__v1__availability__free_unpacked(r, NULL);
    return n;
}

static void on_commit(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    service_on_commit(&((struct world *)arg)->service);
}

void dial(struct world *w, uint32_t connections)
{
    struct addr a;

    assert_int_equal(addr_parse(slice_str(w->address), 0, &a, NULL), 0);
    struct rpc_endpoint_config ep = {
        .address = slice_str(w->address), .sa = (const struct sockaddr *)&a.sa, .sa_len = a.len};
    struct rpc_client_config cfg = {.name = SLICE_LIT("test"),
                                    .endpoints = &ep,
                                    .endpoints_n = 1,
                                    .connections = connections,
                                    .max_in_flight = 1000,
                                    .connect_timeout_ms = 1000,
                                    .eject_failures = 1000};
    w->rpc = rpc_client_new(&w->loop, &cfg);
}

int rig_setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    struct addr a;
    struct addr_listen opt = {0};

    memset(&fault, 0, sizeof fault);
    w->dir = dir_make();
    w->path = dir_store(w->dir);
    snprintf(w->address, sizeof w->address, "unix:%s/sock", w->dir);
    loop_init(&w->loop);
    w->store = store_open(w->path);
    service_init(&w->service, &w->loop, w->store, store_read(w->store, clock_real_ns()));
    w->commit =
        event_new(w->loop.base, w->service.committer.event_fd, EV_READ | EV_PERSIST, on_commit, w);
    event_add(w->commit, NULL);
    assert_int_equal(addr_parse(slice_str(w->address), ADDR_LISTEN, &a, NULL), 0);
    int fd = addr_listen(&a, &opt);
    assert_true(fd >= 0);
    service_listen(&w->service, fd);
    dial(w, 2);
    loop_timer_init(&w->begin, on_begin);
    create(w, 100, 50);
    *state = w;
    return 0;
}

int rig_teardown(void **state)
{
    struct world *w = *state;
    struct buf err = {0};

    memset(&fault, 0, sizeof fault);
    rpc_client_free(&w->rpc);
    event_free(w->commit);
    service_fini(&w->service);
    loop_fini(&w->loop);
    w->store->driver->close(w->store);
    if (!w->lost)
        assert_int_equal(store_sqlite_check(w->path, &err), 0);
    free(w->path);
    dir_remove(w->dir);
    free(w);
    return 0;
}
