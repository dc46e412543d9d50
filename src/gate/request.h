/* SPDX-License-Identifier: BSD-2-Clause */
/* A request inside the gate, and what the phases share. Private to src/gate. */
#ifndef GATE_REQUEST_H
#define GATE_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/slice.h"
#include "conf/compiled.h"
#include "conf/router.h"
#include "gate/concurrency.h"
#include "conf/split.h"
#include "gate/gate.h"
#include "gate/message_memo.h"
#include "gate/refusal_text.h"
#include "gate/shared_limit.h"
#include "http/client.h"
#include "http/server.h"
#include "rpc/client.h"
#include "table/closed.h"
#include "transcode/schema.h"

enum phase_verdict {
    PHASE_NEXT, /* go on with the next phase */
    PHASE_WAIT, /* an upstream was asked; its callback answers */
    PHASE_DONE, /* answered */
};

/* An upstream of this worker. Lives as long as a generation names it. */
struct gate_upstream {
    struct list node;         /* on gate.upstreams */
    char *name;               /* owned */
    uint32_t protocol;        /* enum conf_protocol */
    unsigned generations;     /* that refer to it */
    struct rpc_client *rpc;   /* CONF_GRPC, owned */
    struct http_client *http; /* CONF_HTTP, owned */
    uint64_t retries;         /* of the client that the counters have already */
    uint64_t settings;        /* hash of those in force */
    bool canary; /* only canaries use it: its settings are not those of the stable one */
};

/* A run of bytes in generation.limit_texts. */
struct limit_text {
    uint32_t off, n;
};

/* What the gate derives from a route once per generation, so that no request has to. */
struct route_info {
    struct gate_upstream *upstream; /* NULL: answers by itself */
    struct slice var_names[ROUTER_VARS_MAX];
    unsigned vars_n;
    struct concurrency *concurrency[2]; /* of the route, of its upstream; NULL: none */
    struct slice schema;                /* "" : no transcoding */
    struct slice rpc_path;
    struct limit_text policy; /* of its limits: limit_headers.c */
};

/* A limit in the table's units, once per generation. */
struct limit_info {
    uint64_t seed;        /* of fingerprints */
    uint64_t shared_seed; /* of those that are the same on every host; 0: not shared */
    uint64_t interval, capacity, charge;
    struct limit_text item; /* limit_headers.c */
};

/* A configuration that is current or that some request still uses. */
struct generation {
    struct list node;             /* on gate.generations, oldest first */
    const struct conf_root *root; /* in its bank */
    uint64_t number;
    unsigned bank;
    bool canary;
    uint32_t requests;                /* that pin it, upstream calls without a client included */
    struct gate_upstream **upstreams; /* by index of root->upstreams; owned array */
    struct concurrency **concurrency; /* by index of root->upstreams, then of routes; owned array */
    struct route_info *routes;        /* by index of root->routes; owned array */
    struct limit_info *limits;        /* by index of root->rate_limits; owned array */
    struct buf limit_texts;
    struct refusal_texts refusals;
    struct message_memo *messages; /* owned; NULL before the first is transcoded */
};

struct explanation;

#define CLOSED_KEPT 16u

struct gate {
    struct gate_context ctx;
    bool explains;            /* it calls nobody: its upstreams are names (explain.c) */
    struct http_server *http; /* owned */
    struct bank_seen seen;    /* of ctx.banks */
    struct generation *current;
    struct generation *canary; /* NULL: none */
    uint32_t canary_share;     /* of BANK_SHARE_ALL */
    uint64_t canary_seed;
    struct list generations; /* of generation.node */
    struct loop_hook retire; /* frees generations that nothing pins any more */
    struct list upstreams;   /* of gate_upstream.node */
    struct list concurrency; /* of concurrency.node */
    struct list free_calls;  /* of gate_call.node: recycled */
    struct list rls;         /* of rls.node: listeners of the rate limit service */
    unsigned free_calls_n;
    uint32_t calls;          /* to upstreams, in flight */
    const char *refusal;     /* what the HTTP layer just refused a request for; on_done takes it */
    struct loop_timer count; /* once a second: totals.c */
    struct http_server_totals counted;      /* what the counters have of them already */
    struct buf body;                        /* scratch for answer bodies, reused by every request */
    struct buf headers;                     /* scratch for answer header lines */
    struct closed_kept closed[CLOSED_KEPT]; /* by fingerprint; phase_closed.c */
    struct shared_limits *shared;           /* owned */
};

/*
 * A call to an upstream. Apart from the request, because a purchase goes on when its client has
 * left: `request` is then NULL and the outcome goes nowhere (a retry with the same key will find
 * it).
 */
struct gate_call {
    struct list node; /* on gate.free_calls while unused */
    struct gate *gate;
    struct generation *gen;       /* pinned */
    struct gate_request *request; /* NULL: the client left */
    bool idempotent;              /* cancelled when its client leaves */
    bool is_rpc;
    enum call_outcome outcome; /* as far as known */
    struct concurrency_places places;
    union {
        struct rpc_call rpc;
        struct http_call http;
    } u;
};

/* In the arena of its http_request; dies with it. */
struct gate_request {
    struct http_request *http;
    struct gate *gate;
    struct generation *gen; /* pinned until the answer */
    uint64_t refused_ns;    /* CLOCK_MONOTONIC, where the phase that refuses has read it; else 0 */
    bool beside;            /* it began while there was a canary: a side counts it */
    const struct conf_route *route; /* NULL: none matched */
    const struct route_info *info;
    struct gate_upstream *upstream;     /* the route's or the arm's; NULL: answered here */
    struct concurrency *concurrency[2]; /* of the route, of that upstream; NULL: none */
    const struct conf_split *split;     /* phase_split.c; NULL: the route has none */
    const struct conf_arm *arm;         /* of split */
    bool arm_forced;                    /* the request named it */
    bool arm_reached;                   /* it was answered by the arm, or sent to it */
    struct slice vars[ROUTER_VARS_MAX];
    unsigned vars_n;
    bool peer_trusted;
    bool client_unknown; /* a trusted proxy named somebody, but not by an address */
    bool identity_twice,
        key_twice;         /* the header came more than once: nobody can say which counts */
    const uint8_t *client; /* 16 bytes: the peer, or whom trusted proxies name as the client */
    uint8_t forwarded[16]; /* what `client` points at in the second case */
    /* Request headers the phases look at; "" when absent. Borrowed from the read buffer. */
    struct slice h_identity, h_idempotency_key, h_request_id, h_traceparent, h_tracestate,
        h_user_agent, h_content_type, h_forwarded_for;
    struct slice identity; /* believed; "" nobody */
    struct slice idempotency_key;
    uint64_t key_hash;          /* of idempotency_key, for the sent zone */
    struct slice request_id;    /* theirs or ours, set before the first phase */
    struct slice traceparent;   /* by trace_parent; "" before */
    struct slice limit_headers; /* header lines about rate limits, of any answer; in the arena */
    struct slice split_headers; /* header lines about the arm, of any answer; in the arena */
    struct slice message;      /* transcoded for the service; good until this turn's next request */
    bool encoded;              /* message is there */
    struct message_slot *kept; /* what it was taken from, or is kept in; NULL: it is not kept */
    uint64_t closed;    /* fingerprint of what is asked for; 0: hints do nothing (phase_closed.c) */
    const char *reason; /* why it was refused; NULL: it was not. A literal or in the arena */
    struct gate_call *call; /* while waiting */
    uint64_t upstream_start_ns, upstream_ns;
    struct explanation
        *explain; /* explain_note.h; NULL: it is a request and no question about one */
};

#define PHASE(name, stage, help) enum phase_verdict phase_##name(struct gate_request *q);
#include "gate/phases.def"
#undef PHASE

/* limit_key.c: the limit has refused q, or would have. */
void limit_offended(const struct gate_request *q, const struct conf_route_limit *rl,
                    uint64_t fingerprint, uint64_t now_ns);
/* What a bucket of the limit that q asks stands for: "identity:ann". */
void limit_key_text(const struct gate_request *q, const struct conf_route_limit *rl,
                    struct buf *out);

/* phase_limit.c: the limits of a configuration for the table. False when memory is out. */
bool limits_prepare(struct gate *g, struct generation *gen);

struct limit_group;

/* limit_headers.c: what of the lines about limits is always the same; after limits_prepare, with
 * the routes there. False when memory is out. */
bool limit_headers_prepare(struct generation *gen);
/* The lines about the limits of q, which were asked, in its arena: route[i] is what set->ask[i]
 * belongs to. "" when memory is out. */
struct slice limit_headers(const struct gate_request *q,
                           const struct conf_route_limit *const *route,
                           const struct limit_group *set);

/* canary.c: whether the buyer belongs to the canary, which must be there; headers and client are
 * those of the current generation. */
bool canary_chosen(const struct gate_request *q);
/* Counts the request on its side. */
void canary_count(const struct gate_request *q, unsigned status, uint64_t duration_ns);

/* phase_split.c: counts the request in its arm. status as of on_done, 0: the client left. */
void split_count(struct gate_request *q, unsigned status, uint64_t duration_ns);

/* request.c ------------------------------------------------------------------------------------ */

extern const struct http_handler gate_http_handler;

/* The whole way of a request that nobody sent, through the phases that any request takes. */
void request_explain(struct gate *g, struct http_request *r, struct explanation *e);

/* gate.c: a generation of what is in the bank, ready to be used; nothing in use changes. NULL with
 * *rc: -EINVAL, the bytes are no configuration of this version, or -ENOMEM. */
struct generation *generation_new(struct gate *g, struct bank_ref ref, bool canary, int *rc);
void generation_free(struct gate *g, struct generation *gen);

/* Before anything is decided: what was published since the last look comes into force now, not at
 * the end of the turn, which may be long, or have waited long for a core. Not for callbacks of an
 * upstream's client: adopting may change it. */
static inline void generation_look(struct gate *g)
{
    if (g->ctx.banks != NULL && bank_published(g->ctx.banks, &g->seen))
        g->ctx.on_published(g->ctx.arg);
}

/* Drops the request's or call's pin; the last one retires an old generation at the end of the turn.
 */
void generation_unpin(struct gate *g, struct generation *gen);

/* answer.c ------------------------------------------------------------------------------------- */

/*
 * Answers with problem+json. `reason` is the last word of its type and goes into X-Rushgate-Reason,
 * the log and the metrics. detail is for people. Returns PHASE_DONE.
 */
enum phase_verdict gate_refuse(struct gate_request *q, unsigned status, const char *reason,
                               struct slice detail);

/* What a refusal may carry besides. Zero means absent. */
struct refusal {
    unsigned status;
    const char *reason;
    struct slice detail;
    struct slice members; /* further members of the JSON object, complete, without braces */
    struct slice headers; /* complete header lines */
    uint32_t retry_after_s;
    bool close;
};
enum phase_verdict gate_refuse_with(struct gate_request *q, const struct refusal *why);

/* Answers with a body. headers: complete lines or "". */
void gate_answer(struct gate_request *q, unsigned status, struct slice content_type,
                 struct slice headers, struct slice body);
/* The same for an answer that needs more; the common header lines are put before a->headers. */
void gate_answer_with(struct gate_request *q, struct http_answer *a);

/* trace.c -------------------------------------------------------------------------------------- */

/* Sets request_id from the request or fresh. False when memory is out. */
bool trace_start(struct gate_request *q);
/* traceparent: theirs if well-formed, else started here, when somebody wants it: a refusal that is
 * not logged needs none. "" when memory is out. */
struct slice trace_parent(struct gate_request *q);
/* The 32 hex digits of the trace id. */
struct slice trace_id(struct gate_request *q);

/* client_address.c ----------------------------------------------------------------------------- */

/* Sets peer_trusted and client: the peer, or, when the peer is a trusted proxy, the last address of
 * X-Forwarded-For that is not one. */
void client_address(struct gate_request *q);
/* "192.0.2.1", "2001:db8::1", with a port or without. False for anything else. */
bool address_parse(struct slice s, uint8_t out[16]);

/* upstreams.c ---------------------------------------------------------------------------------- */

/*
 * The worker's upstream for a configured one; created when there is none of its name and protocol.
 * For a canary: the stable one where the settings are the same, else one of its own. NULL when
 * memory is out.
 */
struct gate_upstream *upstream_get(struct gate *g, const struct conf_root *root,
                                   const struct conf_upstream *conf, bool canary);
/* Applies the settings to an upstream that is in use; endpoints that stay keep their connections.
 */
void upstream_update(struct gate *g, struct gate_upstream *u, const struct conf_root *root,
                     const struct conf_upstream *conf);
/* Its endpoints with their shared health words; out has room for all. */
void upstream_endpoints(const struct gate *g, const struct conf_root *root,
                        const struct conf_upstream *conf, struct rpc_endpoint_config *out);
/* One generation less names it; the last one frees it. */
void upstream_put(struct gate *g, struct gate_upstream **u);

/* totals.c ------------------------------------------------------------------------------------- */

/* Starts copying the totals of the HTTP server and the upstream clients into the slot's counters.
 */
void totals_start(struct gate *g);
void totals_stop(struct gate *g);

/* call.c --------------------------------------------------------------------------------------- */

/* A call object for q, linked to it, its generation pinned. NULL when memory is out. */
struct gate_call *call_get(struct gate_request *q, bool is_rpc, bool idempotent);
/* Back to the free list; unpins. */
void call_put(struct gate_call *c);
/* The call has its outcome. Gives the call back and returns the request that waits for it, or NULL:
 * its client left. */
struct gate_request *call_finish(struct gate_call *c, enum call_outcome outcome);
/* The client of q left: cancels an idempotent call, lets any other finish without it. */
void call_abandon(struct gate_request *q);

/* phase_closed.c ------------------------------------------------------------------------------- */

/* The service has refused q with a hint ("" none): others are refused from memory. */
void closed_learn(struct gate_request *q, struct slice hint, const struct refusal *why);
/* It has granted it. */
void closed_opened(struct gate_request *q);
/* The key of q goes to a service: before the call leaves. Of every route: a later configuration may
 * refuse from memory where this one does not, and must know the keys of now. */
void closed_sent(const struct gate_request *q);

/* phase_overload.c ----------------------------------------------------------------------------- */

/* Is there no room for one more call? Counts it as refused. */
bool overloaded(const struct gate_request *q);
enum phase_verdict refuse_overload(struct gate_request *q);

/* phase_upstream.c and its two ways: call_rpc.c, call_http.c -------------------------------------
 */
/* Transcodes the request into q->message. NEXT, or DONE: what was sent is no request. */
enum phase_verdict call_rpc_encode(struct gate_request *q);
enum phase_verdict call_rpc_start(struct gate_request *q);
enum phase_verdict call_http_start(struct gate_request *q);
/* May the request be sent twice without harm? By method (RFC 9110, 9.2.2). */
bool request_idempotent(const struct gate_request *q);
/* What rendezvous balancing hashes: the route's path variable, else the buyer, else the client. */
uint64_t balance_hash(const struct gate_request *q);

#endif
