/* SPDX-License-Identifier: BSD-2-Clause */
#include "purchase.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"

#define PATIENCE       6u /* requests of a buyer who retries, while the sale runs */
#define UNITS_MAX      100u
#define BACKOFF_MS     40.0
#define BACKOFF_MAX_MS 1000.0

enum step { STEP_ORDER, STEP_PAY, STEP_CANCEL };
enum outcome { OUTCOME_DONE, OUTCOME_REFUSED, OUTCOME_UNKNOWN };

struct click {
    struct purchase *p;
    struct exchange x;
    struct loop_timer wait; /* until it asks (again) */
    unsigned attempts;
    uint64_t sent_ns; /* the last attempt */
    enum outcome outcome;
    bool over;
};

struct purchase {
    struct list node; /* crowd.live, crowd.pending or crowd.free */
    struct crowd *crowd;
    enum step step;
    unsigned traits;
    uint64_t intended_ns, buyer, number;
    uint64_t asked_ns; /* this step, for the first time; 0: not yet */
    uint32_t quantity;
    bool created;        /* a 201 came; code and secret are set */
    uint64_t created_ns; /* when */
    bool settling;
    struct click clicks[2];
    unsigned clicks_n;
    char code[40], secret[72];
};

static void click_done(struct exchange *x, const struct wire_result *r);
static void click_wait_over(struct loop_timer *t);

/* ---- requests ------------------------------------------------------------------------------- */

static const char *const action_word[] = {[STEP_PAY] = "confirm", [STEP_CANCEL] = "cancel"};

static void write_request(struct click *k)
{
    const struct purchase *p = k->p;
    const struct options *o = p->crowd->o;
    const char *run = p->crowd->run;
    struct buf *out = &k->x.request;
    char body[160];
    int n;

    buf_clear(out);
    if (p->step == STEP_ORDER) {
        n = snprintf(body, sizeof body, "{\"item\":\"%s\",\"quantity\":%u}", o->item, p->quantity);
        buf_printf(out, "POST /api/v1/events/%s/orders HTTP/1.1\r\nIdempotency-Key: %s-k%llu\r\n",
                   o->event, run, (unsigned long long)p->number);
    } else {
        n = snprintf(body, sizeof body, "{\"secret\":\"%s\"}", p->secret);
        buf_printf(out, "POST /api/v1/events/%s/orders/%s/%s HTTP/1.1\r\n", o->event, p->code,
                   action_word[p->step]);
    }
    buf_printf(out,
               "Host: %s:%s\r\nContent-Type: application/json\r\nX-User-Id: %s-b%llu\r\n"
               "X-Request-Id: %s-%llu-%u-%u\r\nContent-Length: %d\r\n\r\n%s",
               o->host, o->port, run, (unsigned long long)p->buyer, run,
               (unsigned long long)p->number, p->step, k->attempts, n, body);
    if (out->failed)
        die("out of memory");
}

/* ---- the record ----------------------------------------------------------------------------- */

static struct ack_times times_of(const struct click *k)
{
    return (struct ack_times){k->p->asked_ns, k->sent_ns, clock_mono_ns()};
}

struct names {
    char buyer[48], key[48];
};

/* What this purchase asks for; `n` has the names that the line borrows. */
static struct ack_order_line wish_line(const struct purchase *p, struct names *n)
{
    const struct crowd *c = p->crowd;

    snprintf(n->buyer, sizeof n->buyer, "%s-b%llu", c->run, (unsigned long long)p->buyer);
    snprintf(n->key, sizeof n->key, "%s-k%llu", c->run, (unsigned long long)p->number);
    return (struct ack_order_line){.event = slice_str(c->o->event),
                                   .item = slice_str(c->o->item),
                                   .buyer = slice_str(n->buyer),
                                   .key = slice_str(n->key),
                                   .quantity = p->quantity};
}

static void record_ask(struct purchase *p)
{
    struct acks *a = &p->crowd->acks;
    struct ack_times times = {.asked_ns = p->asked_ns};
    struct names names;
    struct ack_order_line line = wish_line(p, &names);

    line.times = times;
    if (p->step == STEP_ORDER)
        acks_ask(a, &line);
    else
        acks_action(a, p->step == STEP_PAY ? "ask-confirm" : "ask-cancel", p->crowd->o->event,
                    p->code, &times);
    acks_flush(a);
}

/* ---- asking --------------------------------------------------------------------------------- */

static void click_send(struct click *k)
{
    struct purchase *p = k->p;
    struct crowd *c = p->crowd;

    if (k->attempts++ > 0)
        c->tally.retries++;
    k->sent_ns = clock_mono_ns();
    if (p->asked_ns == 0) {
        p->asked_ns = k->sent_ns;
        record_ask(p);
    }
    write_request(k);
    k->x.fresh = crowd_random(c) < c->o->fresh;
    k->x.quit = (p->traits & TRAIT_QUIT) != 0 && !p->settling;
    wire_start(&c->wire, &k->x);
}

static void click_wait_over(struct loop_timer *t)
{
    click_send(CONTAINER_OF(t, struct click, wait));
}

/* ---- a purchase's life ---------------------------------------------------------------------- */

static struct purchase *purchase_new(struct crowd *c)
{
    struct list *it = list_first(&c->free);
    struct purchase *p;

    if (it != NULL)
        return CONTAINER_OF(it, struct purchase, node);
    p = xcalloc(1, sizeof *p);
    list_init(&p->node);
    for (unsigned i = 0; i < 2; i++) {
        p->clicks[i].p = p;
        exchange_init(&p->clicks[i].x, click_done);
        loop_timer_init(&p->clicks[i].wait, click_wait_over);
    }
    return p;
}

static void go_live(struct purchase *p)
{
    list_move(&p->crowd->live, &p->node);
    p->crowd->live_n++;
}

static void leave_live(struct purchase *p, struct list *to)
{
    list_move(to, &p->node);
    p->crowd->live_n--;
}

static void start_step(struct purchase *p, enum step step, unsigned clicks)
{
    p->step = step;
    p->clicks_n = clicks;
    for (unsigned i = 0; i < clicks; i++) {
        p->clicks[i].attempts = 0;
        p->clicks[i].over = false;
    }
}

void purchase_start(struct crowd *c, const struct purchase_wish *wish)
{
    struct purchase *p = purchase_new(c);

    p->crowd = c;
    p->traits = wish->traits;
    p->intended_ns = wish->intended_ns;
    p->buyer = wish->buyer;
    p->quantity = wish->quantity;
    p->number = c->next_order++;
    p->created = p->settling = false;
    p->asked_ns = 0;
    c->tally.offered++;
    go_live(p);
    start_step(p, STEP_ORDER, (wish->traits & TRAIT_DOUBLE) != 0 ? 2 : 1);
    for (unsigned i = 0; i < p->clicks_n; i++)
        click_send(&p->clicks[i]);
}

void purchase_settle_first(struct crowd *c)
{
    struct purchase *p = CONTAINER_OF(list_first(&c->pending), struct purchase, node);

    go_live(p);
    p->settling = true;
    p->traits = (p->traits & ~(unsigned)TRAIT_DOUBLE) | TRAIT_RETRY;
    start_step(p, p->step, 1);
    click_send(&p->clicks[0]);
}

/* The buyer thinks, then pays or cancels. */
static void think(struct purchase *p, enum step step)
{
    struct crowd *c = p->crowd;
    double s = -log(1 - crowd_random(c)) * c->o->think_s;

    start_step(p, step, 1);
    p->asked_ns = 0;
    if (s > 5 * c->o->think_s)
        s = 5 * c->o->think_s;
    loop_timer_arm(&c->loop, &p->clicks[0].wait, (uint64_t)(s * 1e9));
}

static void record_latency(struct purchase *p)
{
    struct tally *t = &p->crowd->tally;
    /* A second click may still be told to wait when the first has its order. */
    uint64_t end_ns = p->created ? p->created_ns : loop_now(&p->crowd->loop);
    uint64_t ns = end_ns - p->intended_ns;

    /* What is settled afterwards was not answered in time: it is counted as unknown instead. */
    if (p->settling)
        return;
    t->answered++;
    latency_record(&t->all, ns);
    if (p->created)
        latency_record(&t->bought, ns);
}

static void order_over(struct purchase *p, bool unknown)
{
    struct crowd *c = p->crowd;

    if (unknown && !p->created) {
        if (!p->settling)
            c->tally.unknown++;
        leave_live(p, &c->pending);
        return;
    }
    record_latency(p);
    if (p->created && (p->traits & TRAIT_PAY) != 0)
        think(p, STEP_PAY);
    else if (p->created && (p->traits & TRAIT_CANCEL) != 0)
        think(p, STEP_CANCEL);
    else
        leave_live(p, &c->free);
}

static void step_over(struct purchase *p)
{
    bool unknown = false;

    for (unsigned i = 0; i < p->clicks_n; i++) {
        if (!p->clicks[i].over)
            return;
        unknown |= p->clicks[i].outcome == OUTCOME_UNKNOWN;
    }
    if (p->step == STEP_ORDER) {
        order_over(p, unknown);
    } else if (unknown) {
        if (!p->settling)
            p->crowd->tally.unknown++;
        leave_live(p, &p->crowd->pending);
    } else {
        leave_live(p, &p->crowd->free);
    }
}

/* ---- answers -------------------------------------------------------------------------------- */

static bool copy_text(const json_t *obj, const char *name, char *to, size_t room)
{
    const char *s = json_string_value(json_object_get(obj, name));

    if (s == NULL || strlen(s) >= room)
        return false;
    strcpy(to, s);
    return true;
}

/* The first 201 of a purchase, or a repeated one that must say the same: the audit compares them.
 */
static void count_created(struct purchase *p)
{
    struct tally *t = &p->crowd->tally;

    if (p->created) {
        t->replayed++;
        return;
    }
    p->created = true;
    p->created_ns = clock_mono_ns();
    t->created++;
    t->units += p->quantity;
    /* The last tickets, sold one by one after the rush, say nothing about its speed. */
    if (p->crowd->stage > STAGE_DRAIN)
        return;
    t->sale_created++;
    t->last_created_ns = p->created_ns;
    if (t->first_created_ns == 0)
        t->first_created_ns = t->last_created_ns;
}

static uint32_t read_units(const json_t *order, uint32_t units[UNITS_MAX])
{
    json_t *list = json_object_get(order, "units");
    uint32_t n = 0;

    for (; n < json_array_size(list) && n < UNITS_MAX; n++)
        units[n] = (uint32_t)json_integer_value(json_array_get(list, n));
    return n;
}

static void record_order(struct click *k, const json_t *order)
{
    struct purchase *p = k->p;
    struct names names;
    struct ack_order_line line = wish_line(p, &names);
    const char *expires = json_string_value(json_object_get(order, "expires"));
    const char *item = json_string_value(json_object_get(order, "item"));
    const char *status = json_string_value(json_object_get(order, "status"));
    uint32_t number[UNITS_MAX];

    line.item = slice_str(item);
    line.code = slice_str(p->code);
    line.status = slice_str(status != NULL ? status : "");
    line.quantity = (uint32_t)json_integer_value(json_object_get(order, "quantity"));
    line.units = number;
    line.units_n = read_units(order, number);
    line.expires = slice_str(expires != NULL ? expires : "");
    line.times = times_of(k);
    acks_order(&p->crowd->acks, &line);
}

static void record_sold_out(struct click *k, struct slice body)
{
    struct names names;
    struct ack_order_line line = wish_line(k->p, &names);
    json_t *problem = json_loadb(body.p, body.n, 0, NULL);

    line.available = (uint32_t)json_integer_value(json_object_get(problem, "available_number"));
    line.times = times_of(k);
    acks_sold_out(&k->p->crowd->acks, &line);
    json_decref(problem);
}

static bool take_order(struct click *k, struct slice body)
{
    struct purchase *p = k->p;
    json_t *order = json_loadb(body.p, body.n, 0, NULL);
    bool ok = copy_text(order, "code", p->code, sizeof p->code) &&
              copy_text(order, "secret", p->secret, sizeof p->secret) &&
              json_is_string(json_object_get(order, "item"));

    if (ok) {
        record_order(k, order);
        count_created(p);
    }
    json_decref(order);
    return ok;
}

static void record_confirm(struct click *k, struct slice body)
{
    struct crowd *c = k->p->crowd;
    struct ack_times times = times_of(k);
    json_t *order = json_loadb(body.p, body.n, 0, NULL);
    uint32_t units[UNITS_MAX], n = read_units(order, units);

    acks_confirm(&c->acks, c->o->event, k->p->code, units, n, &times);
    json_decref(order);
}

static enum outcome take_success(struct click *k, const struct wire_result *r)
{
    struct purchase *p = k->p;
    struct crowd *c = p->crowd;
    struct ack_times times = times_of(k);

    if (p->step == STEP_ORDER) {
        if (take_order(k, r->body))
            return OUTCOME_DONE;
        c->tally.malformed++;
        return OUTCOME_UNKNOWN;
    }
    if (p->step == STEP_PAY) {
        record_confirm(k, r->body);
        c->tally.confirmed++;
    } else {
        acks_action(&c->acks, action_word[p->step], c->o->event, p->code, &times);
        c->tally.canceled++;
    }
    return OUTCOME_DONE;
}

/* Refusals are final; what may or may not have happened is not. */
static enum outcome judge(struct click *k, const struct wire_result *r)
{
    struct purchase *p = k->p;

    if (r->error != WIRE_OK || r->status >= 500 || r->status == 408 || r->status == 429)
        return OUTCOME_UNKNOWN;
    if (r->status >= 200 && r->status < 300)
        return take_success(k, r);
    if (slice_eq(r->reason, SLICE_LIT("request-in-progress")))
        return OUTCOME_UNKNOWN;
    if (p->step == STEP_ORDER && slice_eq(r->reason, SLICE_LIT("sold-out"))) {
        record_sold_out(k, r->body);
        if (p->quantity == 1 && p->crowd->sold_out_ns == 0)
            p->crowd->sold_out_ns = loop_now(&p->crowd->loop);
    }
    return OUTCOME_REFUSED;
}

static uint64_t backoff_ns(struct click *k, unsigned retry_after_s)
{
    double ms = BACKOFF_MS * (double)(1u << (k->attempts < 6 ? k->attempts - 1 : 5));

    if (ms > BACKOFF_MAX_MS)
        ms = BACKOFF_MAX_MS;
    ms *= 0.5 + crowd_random(k->p->crowd);
    if (retry_after_s > 0 && ms < retry_after_s * 1000.0)
        ms = (retry_after_s < 5 ? retry_after_s : 5) * 1000.0 + ms / 4;
    return (uint64_t)(ms * 1e6);
}

static bool may_retry(const struct click *k)
{
    const struct purchase *p = k->p;

    if (p->settling)
        return !p->crowd->gave_up_settling;
    return (p->traits & TRAIT_RETRY) != 0 && k->attempts < PATIENCE;
}

static void click_done(struct exchange *x, const struct wire_result *r)
{
    struct click *k = CONTAINER_OF(x, struct click, x);
    struct crowd *c = k->p->crowd;

    tally_answer(&c->tally, r);
    k->outcome = judge(k, r);
    if (k->outcome == OUTCOME_UNKNOWN && may_retry(k)) {
        loop_timer_arm(&c->loop, &k->wait, backoff_ns(k, r->retry_after_s));
        return;
    }
    k->over = true;
    step_over(k->p);
}

static void free_list(struct list *l)
{
    LIST_EACH_SAFE (it, l) {
        struct purchase *p = CONTAINER_OF(it, struct purchase, node);

        list_del(it);
        exchange_fini(&p->clicks[0].x);
        exchange_fini(&p->clicks[1].x);
        free(p);
    }
}

void purchase_free_all(struct crowd *c)
{
    free_list(&c->pending);
    free_list(&c->free);
}
