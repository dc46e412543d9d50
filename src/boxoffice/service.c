/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxoffice/service_part.h"

#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "boxoffice.pb-c.h"
#include "rpc/status.h"

#define MAX_MESSAGE_BYTES (256u * 1024)
#define MAX_STREAMS       16384u
#define SWEEP_NS          (200 * NS_PER_MS)
#define SWEEP_ORDERS                                                                               \
    1024u              /* released at most in one sweep; more of them wait for the next turn       \
                        */
#define AUDIT_EVERY 5u /* sweeps */

#define BOX   "/rushgate.boxoffice.v1.BoxOffice/"
#define ADMIN "/rushgate.boxoffice.v1.Admin/"
#define METHOD(at, message, on, ...)                                                               \
    {                                                                                              \
        .path = SLICE_LIT(at), .request = &rushgate__boxoffice__v1__##message##__descriptor,       \
        .handle = on, __VA_ARGS__                                                                  \
    }

/* The most frequent first: it is searched in this order. */
const struct service_method service_methods[] = {
    METHOD(BOX "CreateOrder", create_order_request, on_create_order, .read = read_create_order),
    METHOD(BOX "GetAvailability", get_item_request, on_get_availability),
    METHOD(BOX "GetEvent", get_event_request, on_get_event),
    METHOD(BOX "GetItem", get_item_request, on_get_item),
    METHOD(BOX "ListItems", list_items_request, on_list_items),
    METHOD(BOX "GetOrder", get_order_request, on_get_order),
    METHOD(BOX "ConfirmOrder", order_action_request, on_confirm_order),
    METHOD(BOX "CancelOrder", order_action_request, on_cancel_order),
    METHOD(BOX "ListOrders", list_orders_request, on_list_orders),
    METHOD(BOX "ListEvents", list_events_request, on_list_events),
    METHOD(BOX "CreateEvent", event, on_create_event),
    METHOD(ADMIN "SetSaleState", set_sale_state_request, on_set_sale_state),
    METHOD(ADMIN "Stats", stats_request, on_stats),
};
const unsigned service_methods_n = sizeof service_methods / sizeof *service_methods;

static void *arena_alloc_cb(void *arena, size_t n)
{
    return arena_alloc(arena, n);
}

static void arena_free_cb(void *arena, void *p)
{
    (void)arena;
    (void)p;
}

static void has_work(struct service *s)
{
    if (s->open != NULL && (s->open->n > 0 || s->open->waiters_n > 0))
        loop_defer(s->loop, &s->turn_end);
}

static const struct service_method *find_method(struct slice path)
{
    for (unsigned i = 0; i < service_methods_n; i++)
        if (slice_eq(service_methods[i].path, path))
            return &service_methods[i];
    return NULL;
}

void service_handle(struct service *s, struct rpc_server_call *call)
{
    const struct service_method *m = find_method(call->path);
    ProtobufCAllocator arena = {arena_alloc_cb, arena_free_cb, &s->arena};
    const void *request;
    char field[TEXT_FIELD_MAX];

    if (m == NULL) {
        rpc_server_reply(s->rpc, call, RPC_UNIMPLEMENTED, SLICE_LIT("no such method"), SLICE_NONE,
                         NULL, 0);
        return;
    }
    request = m->read == NULL ? NULL : m->read(&s->arena, call->payload);
    if (request != NULL) {
        m->handle(s, call, request);
        arena_reset(&s->arena);
        return;
    }
    request = protobuf_c_message_unpack(m->request, &arena, call->payload.n,
                                        (const uint8_t *)call->payload.p);
    if (request == NULL)
        answer_invalid(s, call, "", "the request is not a message of this method");
    else if (text_has_nul(m->request, call->payload, field))
        answer_invalid(s, call, field, "must not contain a NUL");
    else
        m->handle(s, call, request);
    arena_reset(&s->arena);
}

static void on_call(void *arg, struct rpc_server_call *call)
{
    struct service *s = arg;

    service_handle(s, call);
    has_work(s);
}

static void open_next(struct service *s)
{
    s->open = s->in_flight == &s->batches[0] ? &s->batches[1] : &s->batches[0];
    sale_open(s->sale, s->open);
}

static void ask_again(struct service *s, struct batch *b)
{
    for (uint32_t i = 0; i < b->waiters_n; i++)
        service_handle(s, b->waiters[i]);
}

/* At the end of a turn: what was decided in it goes to the disk, unless the commit thread is busy.
 */
static void on_turn_end(struct loop_hook *h)
{
    struct service *s = CONTAINER_OF(h, struct service, turn_end);
    struct batch *b = s->open;

    if (s->in_flight != NULL || b == NULL || (b->n == 0 && b->waiters_n == 0))
        return;
    sale_seal(s->sale, b);
    s->in_flight = b;
    open_next(s);
    if (b->n > 0) {
        committer_submit(&s->committer, JOB_COMMIT, b);
        return;
    }
    /* Nothing to write; whatever they waited for has had its outcome. */
    sale_durable(s->sale, b);
    s->in_flight = NULL;
    ask_again(s, b);
    has_work(s);
}

static void answer_batch(struct service *s, struct batch *b)
{
    for (uint32_t i = 0; i < b->n; i++) {
        if (b->ops[i].kind == OP_CREATE)
            s->stats.batch_orders++;
        if (b->ops[i].user != NULL) {
            answer_op(s, &b->ops[i]);
            arena_reset(&s->arena);
        }
    }
    ask_again(s, b);
}

static void fail_batch(struct service *s, struct batch *b)
{
    for (uint32_t i = 0; i < b->n; i++) {
        if (b->ops[i].user == NULL)
            continue;
        if (b->ops[i].kind == OP_CREATE)
            s->stats.outcomes[REASON_STORE]++;
        answer_refusal(s, b->ops[i].user, REASON_STORE, NULL);
    }
    for (uint32_t i = 0; i < b->waiters_n; i++)
        answer_refusal(s, b->waiters[i], REASON_STORE, NULL);
}

static void on_gone(struct service *s)
{
    s->gone = true;
    log_error(
        "store: orders are refused until this process (%d) is ended; until then the files are "
        "in /proc/%d/fd",
        (int)getpid(), (int)getpid());
}

/* Undoes what was not made durable and asks the commit thread to bring the store back. */
static void on_failure(struct service *s, const struct job *j)
{
    struct batch *failed = s->in_flight, *after = s->open;

    s->stats.commit_failures++;
    sale_undo(s->sale, after);
    sale_undo(s->sale, failed);
    s->open = s->in_flight = NULL;
    fail_batch(s, failed);
    fail_batch(s, after);
    if (j->outcome == STORE_FENCED) {
        s->fenced = true;
        return;
    }
    if (j->outcome == STORE_GONE) {
        on_gone(s);
        return;
    }
    log_error("store: orders are refused until it works again");
    committer_submit(&s->committer, j->outcome == STORE_UNDONE ? JOB_PROBE : JOB_RELOAD, NULL);
}

static void keep_totals(struct sale *to, const struct sale *from)
{
    for (uint32_t i = 1; i <= from->events_n; i++) {
        struct sale_event *e = from->events[i] ? sale_event(to, from->events[i]->slug) : NULL;
        if (e != NULL)
            e->sold_total = from->events[i]->sold_total;
    }
}

static void on_recovered(struct service *s, const struct job *j)
{
    if (j->kind == JOB_RELOAD) {
        keep_totals(j->sale, s->sale);
        sale_free(&s->sale);
        s->sale = j->sale;
    }
    log_notice("store: works again%s", j->kind == JOB_RELOAD ? ", state was read anew" : "");
    open_next(s);
}

void service_on_commit(struct service *s)
{
    struct batch *b = s->in_flight;
    struct job j;

    if (!committer_take(&s->committer, &j) || j.kind == JOB_QUIT)
        return;
    if (j.kind != JOB_COMMIT) {
        on_recovered(s, &j);
        return;
    }
    if (j.outcome != STORE_OK) {
        on_failure(s, &j);
        return;
    }
    s->stats.batches++;
    s->stats.commit_ns += j.spent_ns;
    sale_durable(s->sale, b);
    s->in_flight = NULL;
    answer_batch(s, b);
    has_work(s);
}

/* A commit looks for itself; this is for the time when there is none. */
static void check_place(struct service *s)
{
    struct batch *open = s->open;

    if (s->in_flight != NULL || open == NULL || s->store->driver->in_place(s->store))
        return;
    sale_undo(s->sale, open);
    s->open = NULL;
    fail_batch(s, open);
    on_gone(s);
}

static void on_sweep(struct loop_timer *t)
{
    struct service *s = CONTAINER_OF(t, struct service, sweep);
    const struct item *it;

    check_place(s);
    if (s->open != NULL)
        sale_sweep(s->sale, clock_real_ns(), SWEEP_ORDERS);
    if (++s->sweeps % AUDIT_EVERY == 0) {
        s->stats.audits++;
        if (!sale_audit(s->sale, &it)) {
            s->stats.audit_failures++;
            log_error("audit: %s/%s does not add up: held %u, sold %u, quota %u", it->event->slug.p,
                      it->slug.p, it->now.held, it->now.sold, it->stock.quota);
        }
    }
    has_work(s);
    loop_timer_arm(s->loop, &s->sweep,
                   s->open != NULL && s->open->n >= SWEEP_ORDERS ? NS_PER_MS : SWEEP_NS);
}

void service_init(struct service *s, struct loop *loop, struct store *store, struct sale *sale)
{
    *s = (struct service){.loop = loop, .store = store, .sale = sale};
    arena_pool_init(&s->pool, 64);
    arena_init(&s->arena, &s->pool);
    loop_hook_init(&s->turn_end, on_turn_end);
    loop_timer_init(&s->sweep, on_sweep);
    open_next(s);
    committer_start(&s->committer, store);
    loop_timer_arm(loop, &s->sweep, SWEEP_NS);
}

void service_listen(struct service *s, int listen_fd)
{
    struct rpc_server_config cfg = {.listen_fd = listen_fd,
                                    .max_message = MAX_MESSAGE_BYTES,
                                    .max_streams = MAX_STREAMS,
                                    .handler = on_call,
                                    .arg = s};

    s->rpc = rpc_server_new(s->loop, &cfg);
    CHECK(s->rpc != NULL);
    rpc_server_set_serving(s->rpc, true);
}

void service_drain(struct service *s)
{
    rpc_server_set_serving(s->rpc, false);
    rpc_server_drain(s->rpc);
}

bool service_idle(const struct service *s)
{
    return rpc_server_in_flight(s->rpc) == 0 && s->in_flight == NULL &&
           (s->open == NULL || s->open->n == 0);
}

void service_fini(struct service *s)
{
    loop_timer_disarm(s->loop, &s->sweep);
    loop_hook_cancel(&s->turn_end);
    committer_stop(&s->committer);
    rpc_server_free(&s->rpc);
    sale_free(&s->sale);
    batch_fini(&s->batches[0]);
    batch_fini(&s->batches[1]);
    arena_reset(&s->arena);
    arena_pool_fini(&s->pool);
    buf_free(&s->payload);
    buf_free(&s->problem);
}
