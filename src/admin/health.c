/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Health checks: the keeper asks every endpoint whose upstream wants it, gRPC by grpc.health.v1,
 * HTTP by a GET, and writes what it thinks into the endpoint's word in the control zone, which
 * workers read before they choose.
 *
 *   target: upstream + endpoint ---ask every interval---> ok / not ok ---fall, rise---> word
 *
 * Two upstreams may share an address and so a word; it says down when one of its targets does. A
 * keeper that starts anew believes what the words say and counts from there. A keeper that is dead
 * changes nothing: workers go on with the last words and their own ejection.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/parts.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "health.pb-c.h"
#include "http/client.h"
#include "rpc/client.h"
#include "rpc/status.h"

#define HTTP_RESPONSE_MAX (64u << 10)

struct target {
    struct list node; /* on health.targets */
    struct health *health;
    char *upstream, *address, *ask; /* owned; ask: service name or path */
    struct buf sockaddr;
    uint32_t stat, protocol;
    uint64_t interval_ns, timeout_ns;
    unsigned fall, rise;
    struct health_count count;
    struct loop_timer timer;  /* armed between two checks */
    struct rpc_client *rpc;   /* owned; CONF_GRPC */
    struct http_client *http; /* owned; CONF_HTTP */
    struct rpc_call rpc_call;
    struct http_call http_call;
    struct buf payload;
    bool kept; /* health_follow: the new configuration has it */
};

struct health {
    struct loop *loop;
    struct control *control;
    struct list targets;
};

bool health_note(struct health_count *c, bool ok, unsigned fall, unsigned rise)
{
    if (ok != c->down) {
        c->in_row = 0;
        return false;
    }
    if (++c->in_row < (c->down ? rise : fall))
        return false;
    c->in_row = 0;
    c->down = !c->down;
    return true;
}

/*
 * The word of an endpoint: down when one of its targets says so, up when nobody checks it. Relaxed:
 * the word says all there is to say.
 */
static void publish(struct health *h, uint32_t stat)
{
    uint64_t down = 0;

    LIST_EACH (it, &h->targets) {
        const struct target *t = CONTAINER_OF(it, struct target, node);
        if (t->stat == stat && t->count.down)
            down = 1;
    }
    atomic_store_explicit(&h->control->endpoint_down[stat], down, memory_order_relaxed);
}

static void concluded(struct target *t, bool ok, const char *why)
{
    struct health *h = t->health;
    uint64_t jitter = random_next(&h->loop->rng) % (t->interval_ns / 8 + 1);

    if (health_note(&t->count, ok, t->fall, t->rise)) {
        publish(h, t->stat);
        if (ok)
            log_notice("upstream %s: %s is up", t->upstream, t->address);
        else
            log_warn("upstream %s: %s is down: %s", t->upstream, t->address, why);
    }
    /* Several keepers and targets must not fall into step. */
    loop_timer_arm(h->loop, &t->timer, t->interval_ns - t->interval_ns / 16 + jitter);
}

static void on_rpc_done(struct rpc_call *call, const struct rpc_reply *reply)
{
    struct target *t = CONTAINER_OF(call, struct target, rpc_call);
    Grpc__Health__V1__HealthCheckResponse *r = NULL;
    char why[160];
    bool ok =
        reply->status == RPC_UNIMPLEMENTED && !reply->local; /* it lives, without this service */

    snprintf(why, sizeof why, "%s %.*s", rpc_status_name(reply->status), SLICE_ARG(reply->message));
    if (reply->status == RPC_OK) {
        r = grpc__health__v1__health_check_response__unpack(NULL, reply->payload.n,
                                                            (const uint8_t *)reply->payload.p);
        ok = r != NULL &&
             r->status == GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING;
        snprintf(why, sizeof why, r != NULL ? "not serving" : "the answer makes no sense");
    }
    if (r != NULL)
        grpc__health__v1__health_check_response__free_unpacked(r, NULL);
    buf_clear(&t->payload);
    concluded(t, ok, why);
}

static void on_http_done(struct http_call *call, const struct http_response *resp)
{
    struct target *t = CONTAINER_OF(call, struct target, http_call);
    bool ok = resp->error == HTTP_CALL_OK && resp->status >= 200 && resp->status < 300;
    char why[160];

    if (resp->error != HTTP_CALL_OK)
        snprintf(why, sizeof why, "%s", resp->detail != NULL ? resp->detail : "no answer");
    else
        snprintf(why, sizeof why, "status %u", resp->status);
    concluded(t, ok, why);
}

static void ask_rpc(struct target *t)
{
    Grpc__Health__V1__HealthCheckRequest q = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;

    q.service = t->ask;
    buf_clear(&t->payload);
    if (buf_reserve(&t->payload, grpc__health__v1__health_check_request__get_packed_size(&q) + 1))
        t->payload.n = grpc__health__v1__health_check_request__pack(&q, (uint8_t *)t->payload.p);
    rpc_call_start(t->rpc, &t->rpc_call,
                   &(struct rpc_request){
                       .path = SLICE_LIT("/grpc.health.v1.Health/Check"),
                       .payload = buf_view(&t->payload),
                       .deadline_ns = t->timeout_ns,
                   });
}

static void ask_http(struct target *t)
{
    bool local = strncmp(t->address, "unix:", 5) == 0;

    http_call_start(t->http, &t->http_call,
                    &(struct http_client_request){
                        .method = SLICE_LIT("GET"),
                        .target = slice_str(t->ask),
                        .host = local ? SLICE_LIT("localhost") : slice_str(t->address),
                        .deadline_ns = t->timeout_ns,
                    });
}

static void on_timer(struct loop_timer *timer)
{
    struct target *t = CONTAINER_OF(timer, struct target, timer);

    if (t->protocol == CONF_GRPC)
        ask_rpc(t);
    else
        ask_http(t);
}

static void target_free(struct target *t)
{
    struct health *h = t->health;

    loop_timer_disarm(h->loop, &t->timer);
    rpc_call_cancel(&t->rpc_call);
    http_call_cancel(&t->http_call);
    if (t->rpc != NULL)
        rpc_client_free(&t->rpc);
    if (t->http != NULL)
        http_client_free(&t->http);
    list_del(&t->node);
    buf_free(&t->sockaddr);
    buf_free(&t->payload);
    free(t->upstream);
    free(t->address);
    free(t->ask);
    free(t);
}

static char *copy(struct slice s)
{
    char *z = xmalloc(s.n + 1);

    memcpy(z, s.p, s.n);
    z[s.n] = '\0';
    return z;
}

static bool open_client(struct target *t)
{
    struct rpc_endpoint_config endpoint = {
        .address = slice_str(t->address),
        .sa = (const struct sockaddr *)(const void *)t->sockaddr.p,
        .sa_len = (uint32_t)t->sockaddr.n,
    };

    if (t->protocol == CONF_GRPC)
        t->rpc = rpc_client_new(t->health->loop,
                                &(struct rpc_client_config){
                                    .name = slice_str(t->upstream),
                                    .endpoints = &endpoint,
                                    .endpoints_n = 1,
                                    .connections = 1,
                                    .max_in_flight = 1,
                                    .connect_timeout_ms = (uint32_t)(t->timeout_ns / NS_PER_MS),
                                });
    else
        t->http = http_client_new(t->health->loop,
                                  &(struct http_client_config){
                                      .name = slice_str(t->upstream),
                                      .endpoints = &endpoint,
                                      .endpoints_n = 1,
                                      .max_in_flight = 1,
                                      .connect_timeout_ms = (uint32_t)(t->timeout_ns / NS_PER_MS),
                                      .max_response = HTTP_RESPONSE_MAX,
                                  });
    return t->rpc != NULL || t->http != NULL;
}

static struct slice ask_of(const struct conf_root *root, const struct conf_upstream *u)
{
    return conf_slice(root, u->protocol == CONF_GRPC ? u->health_service : u->health_path);
}

static struct target *target_find(struct health *h, const struct conf_root *root,
                                  const struct conf_upstream *u, const struct conf_endpoint *e)
{
    LIST_EACH (it, &h->targets) {
        struct target *t = CONTAINER_OF(it, struct target, node);
        if (t->stat == e->stat && t->protocol == u->protocol &&
            slice_eq(slice_str(t->upstream), conf_slice(root, u->name)) &&
            slice_eq(slice_str(t->ask), ask_of(root, u)) &&
            slice_eq(buf_view(&t->sockaddr), conf_slice(root, e->sockaddr)))
            return t;
    }
    return NULL;
}

static struct target *target_new(struct health *h, const struct conf_root *root,
                                 const struct conf_upstream *u, const struct conf_endpoint *e)
{
    struct target *t = xcalloc(1, sizeof *t);

    t->health = h;
    t->upstream = copy(conf_slice(root, u->name));
    t->address = copy(conf_slice(root, e->address));
    t->ask = copy(ask_of(root, u));
    buf_slice(&t->sockaddr, conf_slice(root, e->sockaddr));
    t->stat = e->stat;
    t->protocol = u->protocol;
    t->timeout_ns = u->health_timeout_ms * NS_PER_MS;
    t->count.down =
        atomic_load_explicit(&h->control->endpoint_down[e->stat], memory_order_relaxed) != 0;
    loop_timer_init(&t->timer, on_timer);
    rpc_call_init(&t->rpc_call, on_rpc_done);
    http_call_init(&t->http_call, on_http_done);
    list_init(&t->node);
    list_add(&h->targets, &t->node);
    if (!open_client(t)) {
        log_error("upstream %s: %s cannot be checked", t->upstream, t->address);
        target_free(t);
        return NULL;
    }
    /* At once, so that a fresh gateway knows soon. */
    loop_timer_arm(h->loop, &t->timer, 0);
    return t;
}

static void follow_upstream(struct health *h, const struct conf_root *root,
                            const struct conf_upstream *u)
{
    const struct conf_endpoint *e = conf_at(root, u->endpoints);

    for (uint32_t i = 0; i < u->endpoints.n; i++) {
        struct target *t;
        if (!endpoint_has_word(e[i].stat))
            continue;
        t = target_find(h, root, u, &e[i]);
        if (t == NULL)
            t = target_new(h, root, u, &e[i]);
        if (t == NULL)
            continue;
        t->kept = true;
        t->interval_ns = u->health_interval_ms * NS_PER_MS;
        t->timeout_ns = u->health_timeout_ms * NS_PER_MS;
        t->fall = u->health_fall;
        t->rise = u->health_rise;
        /* An interval that became shorter counts from now. */
        if (loop_timer_armed(&t->timer) && t->timer.due_ns > loop_now(h->loop) + t->interval_ns)
            loop_timer_arm(h->loop, &t->timer, t->interval_ns);
    }
}

void health_follow(struct health *h, const struct conf_root *root)
{
    LIST_EACH (it, &h->targets)
        CONTAINER_OF(it, struct target, node)->kept = false;
    for (uint32_t i = 0; i < root->upstreams.n; i++)
        if (conf_upstreams(root)[i].health_interval_ms > 0)
            follow_upstream(h, root, &conf_upstreams(root)[i]);
    LIST_EACH_SAFE (it, &h->targets) {
        struct target *t = CONTAINER_OF(it, struct target, node);
        if (!t->kept)
            target_free(t);
    }
    /* All of them: a word may say down that an earlier keeper or another endpoint has left. */
    for (uint32_t i = 1; i < CONTROL_ENDPOINTS; i++)
        publish(h, i);
}

struct health *health_new(struct loop *loop, struct control *control)
{
    struct health *h = calloc(1, sizeof *h);

    if (h == NULL)
        return NULL;
    h->loop = loop;
    h->control = control;
    list_init(&h->targets);
    return h;
}

void health_free(struct health **hp)
{
    struct health *h = *hp;
    struct list *it;

    if (h == NULL)
        return;
    while ((it = list_first(&h->targets)) != NULL)
        target_free(CONTAINER_OF(it, struct target, node));
    free(h);
    *hp = NULL;
}
