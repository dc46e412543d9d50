/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The box office's figures, fetched once a second, so that a scrape never waits for it. One call at
 * a time; what it said is kept until the next answer, and forgotten when an answer fails.
 */
#include "config.h"

#include <stdlib.h>

#include "admin/parts.h"
#include "base/clock.h"
#include "base/log.h"
#include "rpc/status.h"

#define INTERVAL_NS (1 * NS_PER_S)
#define DEADLINE_NS (900 * NS_PER_MS)

struct sales {
    struct loop *loop;
    struct box *box; /* owned */
    struct box_call call;
    struct loop_timer timer;
    box_stats *stats; /* owned; NULL: none */
    bool configured;
    bool up; /* said in the log */
};

static void forget(struct sales *s)
{
    if (s->stats != NULL)
        rushgate__boxoffice__v1__stats_response__free_unpacked(s->stats, NULL);
    s->stats = NULL;
}

static void on_stats(struct box_call *call, const struct rpc_reply *reply)
{
    struct sales *s = CONTAINER_OF(call, struct sales, call);

    forget(s);
    if (reply->status == RPC_OK)
        s->stats = rushgate__boxoffice__v1__stats_response__unpack(
            NULL, reply->payload.n, (const uint8_t *)reply->payload.p);
    if (s->up && s->stats == NULL)
        log_warn("box office: no figures: %s %.*s", rpc_status_name(reply->status),
                 SLICE_ARG(reply->message));
    else if (!s->up && s->stats != NULL)
        log_info("box office: gives figures");
    s->up = s->stats != NULL;
    loop_timer_arm(s->loop, &s->timer, INTERVAL_NS);
}

static void on_timer(struct loop_timer *t)
{
    struct sales *s = CONTAINER_OF(t, struct sales, timer);
    Rushgate__Boxoffice__V1__StatsRequest q = RUSHGATE__BOXOFFICE__V1__STATS_REQUEST__INIT;

    s->configured = box_upstream(s->box)[0] != '\0';
    if (s->configured &&
        box_call_start(s->box, &s->call, "Stats", &q.base, SLICE_LIT(""), DEADLINE_NS, on_stats))
        return;
    forget(s);
    s->up = false;
    loop_timer_arm(s->loop, t, INTERVAL_NS);
}

struct sales *sales_new(struct loop *loop, const struct bank_zone *banks)
{
    struct sales *s = calloc(1, sizeof *s);

    if (s == NULL)
        return NULL;
    s->loop = loop;
    s->box = box_new(loop, banks);
    if (s->box == NULL) {
        free(s);
        return NULL;
    }
    box_call_init(&s->call);
    loop_timer_init(&s->timer, on_timer);
    loop_timer_arm(loop, &s->timer, 0);
    return s;
}

bool sales_configured(const struct sales *s)
{
    return s->configured;
}

const box_stats *sales_stats(const struct sales *s)
{
    return s->stats;
}

void sales_free(struct sales **sp)
{
    struct sales *s = *sp;

    if (s == NULL)
        return;
    box_call_cancel(&s->call);
    loop_timer_disarm(s->loop, &s->timer);
    box_free(&s->box);
    forget(s);
    free(s);
    *sp = NULL;
}
