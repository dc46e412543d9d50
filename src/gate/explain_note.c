/* SPDX-License-Identifier: BSD-2-Clause */
#include "gate/explain_note.h"

#include <stdarg.h>
#include <string.h>

#include "base/ip.h"
#include "gate/limit_bucket.h"
#include "http/lint.h"
#include "http/problem.h"

/* --- steps as JSON --- */

void explain_open(struct explanation *e, const char *name, const char *fmt, ...)
{
    va_list ap;

    buf_clear(&e->text);
    va_start(ap, fmt);
    buf_vprintf(&e->text, fmt, ap);
    va_end(ap);
    buf_printf(&e->steps, "%s{\"step\":\"%s\",\"text\":", e->steps.n > 0 ? "," : "", name);
    buf_json(&e->steps, buf_view(&e->text));
}

void explain_member(struct explanation *e, const char *name, struct slice value)
{
    buf_printf(&e->steps, ",\"%s\":", name);
    buf_json(&e->steps, value);
}

void explain_number(struct explanation *e, const char *name, uint64_t value)
{
    buf_printf(&e->steps, ",\"%s\":%llu", name, (unsigned long long)value);
}

void explain_flag(struct explanation *e, const char *name, bool value)
{
    buf_printf(&e->steps, ",\"%s\":%s", name, value ? "true" : "false");
}

void explain_close(struct explanation *e)
{
    buf_char(&e->steps, '}');
}

/* --- who asks --- */

void explain_config(struct explanation *e, const struct generation *gen)
{
    const struct explain_sides *sides = e->sides;
    const char *which = gen->canary ? "canary" : sides->which;
    unsigned long long number = e->generation = gen->number;

    if (sides->canary.ref.data == NULL)
        explain_open(e, "config", "generation %llu, %s", number, which);
    else
        explain_open(e, "config", "generation %llu, %s; the canary has %.4g %% of the buyers",
                     number, which, sides->canary.share * 100.0 / BANK_SHARE_ALL);
    explain_number(e, "generation", number);
    explain_member(e, "which", slice_str(which));
    explain_close(e);
}

void explain_client(struct gate_request *q)
{
    struct explanation *e = q->explain;
    char client[IP_TEXT_MAX], peer[IP_TEXT_MAX];

    explain_config(e, q->gen);
    ip_text(q->client, client);
    ip_text(q->http->peer, peer);
    if (q->client_unknown)
        explain_open(e, "client", "unknown: X-Forwarded-For names somebody, but not by an address");
    else if (q->client != q->http->peer)
        explain_open(e, "client", "%s, named by a trusted proxy", client);
    else
        explain_open(e, "client", "%s%s", client, q->peer_trusted ? ", a trusted proxy" : "");
    explain_member(e, "client", slice_str(client));
    explain_member(e, "peer", slice_str(peer));
    explain_flag(e, "peer_trusted", q->peer_trusted);
    explain_close(e);
}

static void note_identity(struct gate_request *q, enum phase_verdict v)
{
    struct explanation *e = q->explain;

    if (q->identity.n > 0)
        explain_open(e, "identity", "%.*s, from a trusted proxy", SLICE_ARG(q->identity));
    else if (v == PHASE_DONE)
        explain_open(e, "identity", "refused: %s", q->reason);
    else if (q->h_identity.n > 0)
        explain_open(e, "identity", "none: the header is believed only from trusted proxies");
    else
        explain_open(e, "identity", "none");
    explain_member(e, "identity", q->identity);
    explain_close(e);
}

static void note_access(struct gate_request *q, enum phase_verdict v)
{
    if (q->route->allow.n == 0)
        return;
    explain_open(q->explain, "access", "the client is %s the route's allow list",
                 v == PHASE_NEXT ? "on" : "not on");
    explain_flag(q->explain, "allowed", v == PHASE_NEXT);
    explain_close(q->explain);
}

static void note_idempotency(struct gate_request *q, enum phase_verdict v)
{
    struct explanation *e = q->explain;

    if (v == PHASE_DONE)
        explain_open(e, "idempotency", "refused: %s", q->reason);
    else if (q->idempotency_key.n > 0)
        explain_open(e, "idempotency", "key %.*s", SLICE_ARG(q->idempotency_key));
    else
        return;
    explain_member(e, "key", q->idempotency_key);
    explain_close(e);
}

void explain_ban(struct gate_request *q, const struct ban_hit *hit)
{
    struct explanation *e = q->explain;
    struct buf what = {0};

    if (e->ctx->ban_text != NULL)
        e->ctx->ban_text(e->ctx->arg, hit, &what);
    explain_open(e, "ban", "by %s%s%s", hit->identity ? "identity" : "address",
                 what.n > 0 ? ": " : "", buf_cstr(&what));
    explain_flag(e, "banned", true);
    explain_member(e, "ban", buf_view(&what));
    explain_close(e);
    buf_free(&what);
}

/* A banned one was told by explain_ban. */
static void note_ban(struct gate_request *q, enum phase_verdict v)
{
    if (v != PHASE_NEXT)
        return;
    explain_open(q->explain, "ban", "none");
    explain_flag(q->explain, "banned", false);
    explain_close(q->explain);
}

/* Why the service is asked, whatever it has refused. */
static const char *unkept(const struct gate_request *q)
{
    if (q->idempotency_key.n == 0)
        return "the service is asked: no Idempotency-Key";
    return explain_body_unknown(q) ? "the service is asked: no body given (--data)"
                                   : "the service is asked";
}

/* A body that is no request was refused without looking; the decision says so. */
static void note_closed(struct gate_request *q, enum phase_verdict v)
{
    bool refused = v != PHASE_NEXT;

    if (q->route->closed_n == 0 || (refused && q->closed == 0))
        return;
    explain_open(q->explain, "closed", "%s",
                 refused          ? "the service has just refused it to everybody"
                 : q->closed == 0 ? unkept(q)
                                  : "the service is asked: it has not just refused the same, or "
                                    "the key was passed on before");
    explain_flag(q->explain, "closed", refused);
    explain_close(q->explain);
}

/* --- limits --- */

static void limit_text(struct buf *out, const struct conf_rate_limit *l, const struct limit_ask *a,
                       uint64_t left, uint64_t leased)
{
    buf_printf(out, "%llu of %llu left, ", (unsigned long long)left, (unsigned long long)l->burst);
    if (leased > 0)
        buf_printf(out, "%llu more leased by workers, ", (unsigned long long)leased);
    buf_printf(out, "would take %u", l->cost);
    if (!a->allowed && l->mode == CONF_ENFORCE)
        buf_printf(out, ", refuses for %llu s", (unsigned long long)limit_seconds(a->wait));
    else if (!a->allowed)
        buf_str(out, ", would refuse, but only watches");
    if (a->overflowed)
        buf_str(out, ", in the bucket that keys without a place share");
    if (l->shared)
        buf_str(out, ", of this host; what Redis says is not looked at");
}

void explain_limit(struct gate_request *q, const struct conf_route_limit *rl,
                   const struct limit_ask *a, uint64_t now_ns)
{
    const struct conf_root *root = q->gen->root;
    const struct conf_rate_limit *l = &conf_rate_limits(root)[rl->limit];
    struct slice name = conf_slice(root, l->name);
    struct explanation *e = q->explain;
    struct limit_ask before = *a;
    struct buf text = {0}, key = {0};
    uint64_t leased =
        limit_leased(q->gate->ctx.limits.zone, q->gate->ctx.limits.workers, a, now_ns);

    before.debt -= a->allowed ? a->charge : 0;
    limit_key_text(q, rl, &key);
    limit_text(&text, l, a, limit_tokens_left(&before), leased);
    explain_open(e, "limit", "%.*s: %s", SLICE_ARG(name), buf_cstr(&text));
    explain_member(e, "limit", name);
    explain_member(e, "key", buf_view(&key));
    explain_member(e, "rate", conf_slice(root, l->rate));
    explain_number(e, "burst", l->burst);
    explain_number(e, "left", limit_tokens_left(&before));
    explain_number(e, "leased", leased);
    explain_number(e, "takes", l->cost);
    explain_flag(e, "allowed", a->allowed);
    explain_flag(e, "enforced", l->mode == CONF_ENFORCE);
    explain_flag(e, "shared", l->shared);
    explain_number(e, "wait_s", a->allowed ? 0 : limit_seconds(a->wait));
    explain_close(e);
    if (l->mode == CONF_ENFORCE && l->shared)
        explain_provided(e, "Redis has counted no more than this host");
    else if (l->mode == CONF_ENFORCE && !a->allowed && leased > 0)
        explain_provided(e, "it meets no worker that leased tokens");
    if (!a->allowed && l->mode == CONF_ENFORCE)
        buf_printf(&e->refused_by, "%s%.*s", e->refused_by.n > 0 ? ", " : "", SLICE_ARG(name));
    buf_free(&text);
    buf_free(&key);
}

static void note_limit(struct gate_request *q)
{
    if (q->route->limits.n > 0)
        return; /* each told by itself */
    explain_open(q->explain, "limit", "none");
    explain_close(q->explain);
}

/* --- concurrency limits --- */

struct places {
    uint64_t limit_milli, in_flight;
    unsigned workers; /* that have used it */
};

static uint64_t load(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

static const struct metric_concurrency *words_of(const struct gate_request *q,
                                                 const struct concurrency *c, unsigned worker)
{
    /* Where they are in the gate's own block says where they are in those of the workers. */
    ptrdiff_t i = c->words - q->gate->ctx.metrics->concurrency;

    return &q->explain->ctx->metrics->blocks[worker].concurrency[i];
}

/* Whether the worker is at the limit. */
static bool add_places(const struct gate_request *q, const struct concurrency *c, unsigned worker,
                       struct places *sum)
{
    const struct metric_concurrency *w = words_of(q, c, worker);
    uint64_t limit = load(&w->limit_milli), in_flight = load(&w->in_flight);

    if (limit == 0)
        return false;
    sum->limit_milli += limit;
    sum->in_flight += in_flight;
    sum->workers++;
    return in_flight >= limit / 1000;
}

static void note_places(const struct gate_request *q, const struct concurrency *c,
                        const struct places *p, unsigned full)
{
    struct explanation *e = q->explain;

    explain_open(e, "concurrency", "%s: %llu of %llu under way in %u workers%s", c->name,
                 (unsigned long long)p->in_flight, (unsigned long long)p->limit_milli / 1000,
                 p->workers, full > 0 ? ", some of which are full" : "");
    explain_member(e, "limit", slice_str(c->name));
    explain_number(e, "in_flight", p->in_flight);
    explain_number(e, "at_most", p->limit_milli / 1000);
    explain_number(e, "workers", p->workers);
    explain_number(e, "workers_full", full);
    explain_flag(e, "enforced", c->mode != CONF_CONCURRENCY_SHADOW);
    explain_close(e);
}

bool explain_overloaded(const struct gate_request *q)
{
    unsigned workers = q->gate->ctx.limits.workers, refusing = 0;
    struct places sum[2] = {{0}};
    unsigned full[2] = {0};

    for (unsigned w = 0; w < workers; w++) {
        bool refuses = false;
        for (unsigned i = 0; i < 2; i++) {
            const struct concurrency *c = q->concurrency[i];
            if (c == NULL || c->words == NULL || !add_places(q, c, w, &sum[i]))
                continue;
            full[i]++;
            refuses |= c->mode != CONF_CONCURRENCY_SHADOW;
        }
        refusing += refuses;
    }
    for (unsigned i = 0; i < 2 && !q->explain->concurrency_told; i++)
        if (q->concurrency[i] != NULL && q->concurrency[i]->words != NULL)
            note_places(q, q->concurrency[i], &sum[i], full[i]);
    if (!q->explain->concurrency_told && refusing > 0 && refusing < workers)
        explain_provided(q->explain, "it meets a worker with room for it");
    q->explain->concurrency_told = true;
    return refusing > 0 && refusing == workers;
}

/* --- the body --- */

bool explain_body_unknown(const struct gate_request *q)
{
    return !q->explain->body_given &&
           (q->http->method == METHOD_POST || q->http->method == METHOD_PUT ||
            q->http->method == METHOD_PATCH);
}

bool explain_body_fits(struct gate_request *q)
{
    const struct http_fault_info *f = http_fault_info(FAULT_BODY_BIG);

    if (q->explain->body_n <= q->route->max_body)
        return true;
    gate_refuse(q, f->status, f->reason, slice_str(f->detail));
    q->explain->by = "http";
    return false;
}

/* --- the end --- */

void explain_provided(struct explanation *e, const char *that)
{
    buf_printf(&e->provided, "%s%s", e->provided.n > 0 ? " and " : "", that);
}

void explain_refusal(struct gate_request *q, const struct refusal *why)
{
    buf_slice(&q->explain->detail, why->detail);
}

void explain_answer(struct gate_request *q, const struct http_answer *a)
{
    struct explanation *e = q->explain;

    e->answered = true;
    e->status = a->status;
    e->reason = q->reason;
    buf_slice(&e->type, a->content_type);
    buf_slice(&e->headers, a->headers);
    buf_slice(&e->body, a->body);
}

void explain_phase(struct gate_request *q, const char *phase, enum phase_verdict v)
{
    static const struct {
        const char *phase;
        void (*note)(struct gate_request *q, enum phase_verdict v);
    } notes[] = {
        {"access", note_access}, {"identity", note_identity},       {"ban", note_ban},
        {"closed", note_closed}, {"idempotency", note_idempotency},
    };

    if (v != PHASE_NEXT)
        q->explain->by = phase;
    if (strcmp(phase, "route") == 0)
        explain_route(q, v == PHASE_NEXT);
    if (strcmp(phase, "limit") == 0)
        note_limit(q);
    for (unsigned i = 0; i < sizeof(notes) / sizeof(*notes); i++)
        if (strcmp(phase, notes[i].phase) == 0)
            notes[i].note(q, v);
}
