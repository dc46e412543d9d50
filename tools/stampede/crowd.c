/* SPDX-License-Identifier: BSD-2-Clause */
#include "crowd.h"

#include <errno.h>
#include <event2/event.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/hash.h"
#include "purchase.h"

#define SETTLE_AT_ONCE 64u
#define MOP_UP_AT_ONCE 16u
#define TICK_NS        (100 * NS_PER_MS)
#define GREEDY_ORDERS  3u

/* Set by SIGINT and SIGTERM: arrivals stop, what is in flight is settled, the summary is printed.
 */
static volatile sig_atomic_t interrupted;

static void on_interrupt(int sig)
{
    (void)sig;
    interrupted = 1;
}

double crowd_random(struct crowd *c)
{
    return (double)(random_next(&c->rng) >> 11) * 0x1p-53;
}

/* ---- arrivals ------------------------------------------------------------------------------- */

static enum behaviour pick_behaviour(struct crowd *c)
{
    unsigned total = 0, at;

    for (unsigned i = 0; i < BEHAVIOUR_COUNT; i++)
        total += c->o->mix[i];
    at = (unsigned)(crowd_random(c) * total);
    for (unsigned i = 0; i < BEHAVIOUR_COUNT; i++) {
        if (at < c->o->mix[i])
            return i;
        at -= c->o->mix[i];
    }
    return BEHAVIOUR_plain;
}

/* Orders that are each allowed and together are not. */
static void greedy_arrives(struct crowd *c, struct purchase_wish *wish)
{
    uint32_t limit = c->o->max_per_buyer;

    wish->quantity = limit > 1 ? limit - 1 : 1;
    if (limit == 0)
        wish->quantity = c->o->max_quantity;
    for (unsigned i = 0; i < GREEDY_ORDERS; i++)
        purchase_start(c, wish);
}

static void buyer_arrives(struct crowd *c, uint64_t intended_ns)
{
    struct purchase_wish wish = {.intended_ns = intended_ns, .buyer = c->tally.buyers++};
    uint32_t most = c->o->max_quantity;

    if (c->o->max_per_buyer > 0 && most > c->o->max_per_buyer)
        most = c->o->max_per_buyer;
    wish.traits = behaviour_info[pick_behaviour(c)].traits;
    wish.quantity = 1 + (uint32_t)(crowd_random(c) * most);
    if ((wish.traits & TRAIT_GREEDY) != 0)
        greedy_arrives(c, &wish);
    else
        purchase_start(c, &wish);
}

static uint64_t gap_ns(struct crowd *c)
{
    double mean = 1e9 / c->o->rate;

    return (uint64_t)(c->o->fixed ? mean : -log(1 - crowd_random(c)) * mean);
}

static bool planned_arrivals_over(const struct crowd *c)
{
    if (c->o->buyers > 0)
        return c->tally.buyers >= c->o->buyers;
    return (double)(c->next_arrival_ns - c->tally.begin_ns) >= c->o->seconds * 1e9;
}

static bool arrivals_over(const struct crowd *c, uint64_t now)
{
    if (interrupted)
        return true;
    if (c->sold_out_ns != 0 && c->o->stop_sold_out_s >= 0 &&
        (double)(now - c->sold_out_ns) >= c->o->stop_sold_out_s * 1e9)
        return true;
    if (!planned_arrivals_over(c))
        return false;
    return !c->o->until_sold_out || c->sold_out_ns != 0 || now >= c->stop_ns;
}

static void arm_arrival(struct crowd *c)
{
    struct itimerspec at = {.it_value = {.tv_sec = (time_t)(c->next_arrival_ns / NS_PER_S),
                                         .tv_nsec = (long)(c->next_arrival_ns % NS_PER_S)}};

    timerfd_settime(c->arrival_fd, TFD_TIMER_ABSTIME, &at, NULL);
}

/* Everybody whose time has come arrives, late ones too: the wait is theirs to complain about. */
static void arrival_cb(evutil_socket_t fd, short what, void *arg)
{
    struct crowd *c = arg;
    uint64_t expired, now = clock_mono_ns();

    (void)what;
    if (read(fd, &expired, sizeof expired) < 0 && errno != EAGAIN)
        die("timerfd: %s", strerror(errno));
    while (c->next_arrival_ns <= now && !arrivals_over(c, now)) {
        buyer_arrives(c, c->next_arrival_ns);
        c->tally.end_ns = c->next_arrival_ns;
        c->next_arrival_ns += gap_ns(c);
    }
    if (!arrivals_over(c, now))
        arm_arrival(c);
}

static void begin_arrivals(struct crowd *c)
{
    c->stage = STAGE_ARRIVE;
    c->tally.begin_ns = c->tally.end_ns = c->next_arrival_ns = clock_mono_ns();
    c->stop_ns = c->tally.begin_ns + (uint64_t)(c->o->max_seconds * 1e9);
    arm_arrival(c);
}

static void event_created(struct create *cr)
{
    begin_arrivals(CONTAINER_OF(cr, struct crowd, create));
}

/* ---- stages --------------------------------------------------------------------------------- */

static void progress(const struct crowd *c)
{
    static const char *const names[] = {"create",       "sale",   "drain", "settle",
                                        "last tickets", "settle", "done"};
    const struct tally *t = &c->tally;

    fprintf(stderr,
            "\r%-12s buyers %llu  orders %llu  units %llu  in flight %u  retries %llu \033[K",
            names[c->stage], (unsigned long long)t->buyers, (unsigned long long)t->created,
            (unsigned long long)t->units, c->live_n, (unsigned long long)t->retries);
}

/* Wakes the loop so that stages end on time; shows where things stand. */
static void tick_cb(struct loop_timer *timer)
{
    struct crowd *c = CONTAINER_OF(timer, struct crowd, tick);

    if (!c->o->quiet && isatty(STDERR_FILENO))
        progress(c);
    loop_timer_arm(&c->loop, &c->tick, TICK_NS);
}

static void begin_settling(struct crowd *c, enum stage stage)
{
    c->stage = stage;
    c->settle_end_ns = clock_mono_ns() + (uint64_t)(c->o->settle_s * 1e9);
}

/* True when nothing is left to settle. Out of time, those still asking stop after their next
 * answer. */
static bool settle(struct crowd *c)
{
    if (clock_mono_ns() >= c->settle_end_ns)
        c->gave_up_settling = true;
    while (!c->gave_up_settling && c->live_n < SETTLE_AT_ONCE && !list_empty(&c->pending))
        purchase_settle_first(c);
    return c->live_n == 0 && (c->gave_up_settling || list_empty(&c->pending));
}

static void begin_mop_up(struct crowd *c)
{
    c->stage = STAGE_MOP_UP;
    c->sold_out_ns = 0;
}

static bool mop_up(struct crowd *c)
{
    bool over =
        c->sold_out_ns != 0 || interrupted || clock_mono_ns() >= c->stop_ns || c->gave_up_settling;

    while (!over && c->live_n < MOP_UP_AT_ONCE) {
        purchase_start(c, &(struct purchase_wish){.intended_ns = clock_mono_ns(),
                                                  .buyer = c->tally.buyers++,
                                                  .quantity = 1,
                                                  .traits = TRAIT_RETRY});
    }
    return over && c->live_n == 0;
}

static void end_run(struct crowd *c)
{
    LIST_EACH (it, &c->pending)
        c->tally.unsettled++;
    c->stage = STAGE_DONE;
}

/* Goes on to the next stage when the present one is over; true when it did. */
static bool advance(struct crowd *c)
{
    enum stage before = c->stage;

    switch (c->stage) {
    case STAGE_CREATE:
    case STAGE_DONE:
        break;
    case STAGE_ARRIVE:
        if (arrivals_over(c, clock_mono_ns()))
            c->stage = STAGE_DRAIN;
        break;
    case STAGE_DRAIN:
        if (c->live_n == 0)
            begin_settling(c, STAGE_SETTLE);
        break;
    case STAGE_SETTLE:
        if (!settle(c))
            break;
        if (c->o->until_sold_out && !c->gave_up_settling)
            begin_mop_up(c);
        else
            end_run(c);
        break;
    case STAGE_MOP_UP:
        if (mop_up(c))
            begin_settling(c, STAGE_SETTLE_LAST);
        break;
    case STAGE_SETTLE_LAST:
        if (settle(c))
            end_run(c);
        break;
    }
    return c->stage != before;
}

void crowd_init(struct crowd *c, const struct options *o)
{
    *c = (struct crowd){.o = o, .rng = o->seed};
    loop_init(&c->loop);
    wire_init(&c->wire, &c->loop, o->host, o->port, o->connections, (uint64_t)(o->timeout_s * 1e9));
    acks_open(&c->acks, o->acks);
    c->acks.history = o->history;
    snprintf(c->run, sizeof c->run, "%08x", (unsigned)hash_mix(o->seed));
    list_init(&c->live);
    list_init(&c->pending);
    list_init(&c->free);
    c->arrival_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (c->arrival_fd < 0)
        die("timerfd: %s", strerror(errno));
    c->arrival = event_new(c->loop.base, c->arrival_fd, EV_READ | EV_PERSIST, arrival_cb, c);
    CHECK(c->arrival != NULL);
    event_add(c->arrival, NULL);
    loop_timer_init(&c->tick, tick_cb);
    create_init(&c->create, o, &c->wire, event_created);
}

void crowd_run(struct crowd *c)
{
    signal(SIGINT, on_interrupt);
    signal(SIGTERM, on_interrupt);
    loop_timer_arm(&c->loop, &c->tick, TICK_NS);
    if (c->o->create)
        create_start(&c->create);
    else
        begin_arrivals(c);
    while (c->stage != STAGE_DONE) {
        loop_turn(&c->loop);
        acks_flush(&c->acks);
        while (advance(c))
            ;
    }
    if (!c->o->quiet && isatty(STDERR_FILENO))
        fprintf(stderr, "\r\033[K");
    acks_close(&c->acks);
}

void crowd_fini(struct crowd *c)
{
    purchase_free_all(c);
    create_fini(&c->create);
    wire_fini(&c->wire);
    event_free(c->arrival);
    close(c->arrival_fd);
    loop_timer_disarm(&c->loop, &c->tick);
    loop_fini(&c->loop);
}
