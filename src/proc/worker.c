/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The worker: one loop, in which the gate serves requests. Around each turn the worker publishes
 * where it stands in its slot of the control zone and takes a new configuration into use.
 *
 *   turn:  wait, callbacks, deferred hooks      (net/loop.c; the gate's work)
 *          before each request: generation changed? gate_adopt
 *   after: the same for who has no requests     one acquire load
 *          slot: heartbeat, connections, requests, banks in use
 *
 * So no request begins under a configuration that was replaced before, however long the worker
 * waited for a core or is at its turn. What it took into use in the middle of a turn the slot says
 * at the end; until then held_from, which is older, holds it.
 *
 * Killed anywhere, it leaves a slot with values of its last turn; its sockets' queues and its
 * shared memory stay with the master, and its successor goes on from there.
 */
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "conf/compiled.h"
#include "gate/gate.h"
#include "proc/channel.h"
#include "proc/child.h"
#include "proc/listeners.h"
#include "proc/title.h"

struct worker {
    struct child child;
    struct gate *gate;              /* owned */
    uint64_t refused;               /* generation that could not be adopted; not tried again */
    uint64_t held_from, held_banks; /* what the slot says */
    uint64_t newest;                /* generation that it took into use, current or canary */
    uint64_t refused_canary;        /* as refused */
    struct loop_timer deadline;     /* of draining */
    bool draining;
    bool left; /* its listeners are closed */
};

static struct worker *worker_of(struct child *c)
{
    return CONTAINER_OF(c, struct worker, child);
}

static void apply_log_level(struct bank_ref ref)
{
    const struct conf_root *root = ref.data;

    log_set_level((enum log_level)root->log_level);
}

/* How long it took from the flip. Of generations that followed each other faster than they were
 * adopted, those that were passed over do not count. */
static void measure_adoption(const struct worker *w, struct bank_ref now)
{
    const struct inherited *in = w->child.in;
    uint64_t flipped_ns = bank_flipped_ns(in->banks, now.bank), now_ns = clock_mono_ns();

    histogram_record(&in->metrics->blocks[in->slot].adoption,
                     now_ns > flipped_ns ? now_ns - flipped_ns : 0);
}

/* Takes the current generation into use, if it is another one. */
static void adopt_current(struct worker *w)
{
    struct bank_ref next = bank_current(w->child.in->banks);
    int rc;

    if (next.generation == gate_generation(w->gate) || next.generation == w->refused)
        return;
    rc = gate_adopt(w->gate, next);
    if (rc < 0) {
        w->refused = next.generation;
        log_error("generation %llu is not adopted: %s", (unsigned long long)next.generation,
                  strerror(-rc));
        child_tell(&w->child, CHANNEL_REFUSED, next.generation);
        return;
    }
    measure_adoption(w, next);
    apply_log_level(next);
    atomic_store_explicit(&w->child.slot->generation, next.generation, memory_order_release);
    child_tell(&w->child, CHANNEL_ADOPTED, next.generation);
}

/* The same for the canary. A generation below `newest` was read before a newer one was adopted: it
 * is none any more, and its bank may not be ours to read. */
static void adopt_canary(struct worker *w, struct bank_canary next)
{
    uint64_t had = gate_canary_generation(w->gate), generation = next.ref.generation;
    int rc;

    if (generation <= gate_generation(w->gate) || generation == w->refused_canary)
        next = (struct bank_canary){.ref = {NULL, 0, 0}};
    if (next.ref.data == NULL && had == 0)
        return;
    rc = gate_canary(w->gate, &next);
    if (next.ref.data == NULL || generation == had)
        return;
    if (rc < 0) {
        w->refused_canary = generation;
        log_error("canary %llu is not adopted: %s", (unsigned long long)generation, strerror(-rc));
    }
    child_tell(&w->child, rc < 0 ? CHANNEL_REFUSED : CHANNEL_ADOPTED, generation);
}

static void adopt(struct worker *w)
{
    struct bank_canary canary = bank_canary(w->child.in->banks);
    uint64_t generation;

    adopt_current(w);
    adopt_canary(w, canary);
    generation = gate_canary_generation(w->gate);
    if (generation < gate_generation(w->gate))
        generation = gate_generation(w->gate);
    if (generation > w->newest)
        w->newest = generation;
}

static void publish(struct worker *w)
{
    struct slot *s = w->child.slot;
    uint64_t from = w->newest, banks = gate_banks(w->gate);

    if (!child_publish(&w->child))
        return;
    atomic_store_explicit(&s->connections, gate_connections(w->gate), memory_order_relaxed);
    atomic_store_explicit(&s->requests, gate_requests(w->gate), memory_order_relaxed);
    if (from != w->held_from || banks != w->held_banks) {
        w->held_from = from;
        w->held_banks = banks;
        slot_hold(s, from, banks);
    }
}

static void on_published(void *arg)
{
    adopt(arg);
}

static void on_adopt(struct child *c)
{
    adopt(worker_of(c));
}

/*
 * Who has connected is served, who connects from now on is refused: the kernel sends nobody more to
 * a socket that is closed by its last owner. The master has closed its copies, or is dead.
 */
static void leave_listeners(struct worker *w)
{
    const struct inherited *in = w->child.in;

    w->left = true;
    gate_take_queue(w->gate);
    for (unsigned i = 0; i < in->listeners_n; i++)
        close(in->listeners[i]);
}

/* Where others take the new clients, those who are connected have time to ask once more and be told
 * by the answer that the connection ends: whoever is just sending loses nothing. */
static void on_drain(struct child *c, enum child_drain how)
{
    struct worker *w = worker_of(c);
    uint64_t limit_ms = gate_drain_timeout_ms(w->gate);
    bool patient = how == DRAIN_HANDOVER || how == DRAIN_ORPHAN;

    if (!w->draining) {
        w->draining = true;
        child_draining(c);
        gate_drain(w->gate, patient ? (uint32_t)(limit_ms / 4 * 3) : 0);
        loop_timer_arm(&c->loop, &w->deadline, limit_ms * NS_PER_MS);
        log_info("draining: %u connections, %u requests", gate_connections(w->gate),
                 gate_requests(w->gate));
    }
    if (how != DRAIN_BRIEF && !w->left)
        leave_listeners(w);
}

static void on_resume(struct child *c)
{
    struct worker *w = worker_of(c);

    if (!w->draining || w->left)
        return;
    w->draining = false;
    loop_timer_disarm(&c->loop, &w->deadline);
    gate_resume(w->gate);
    log_info("draining no more");
    child_ready(c, gate_generation(w->gate));
}

static void on_deadline(struct loop_timer *t)
{
    struct worker *w = CONTAINER_OF(t, struct worker, deadline);

    log_warn("drain_timeout is over: %u connections and %u requests are cut",
             gate_connections(w->gate), gate_requests(w->gate));
    w->child.stop = true;
}

static void on_reopen(struct child *c)
{
    int rc = log_reopen();

    (void)c;
    if (rc < 0)
        log_error("cannot reopen the error log: %s", strerror(-rc));
}

static void open_gate(struct worker *w)
{
    const struct inherited *in = w->child.in;
    struct bank_ref first = bank_current(in->banks);
    struct gate_context ctx = {
        .loop = &w->child.loop,
        .control = in->control,
        .metrics = &in->metrics->blocks[in->slot],
        .ring = &in->rings->rings[in->slot],
        .offenders = {&in->offenders->slab[in->slot], in->incarnation},
        .bans = in->bans,
        .closed = in->closed,
        .sent = in->sent,
        .worker = in->slot,
        .banks = in->banks,
        .on_published = on_published,
        .arg = w,
        .limits = {.zone = in->limits,
                   .slab = in->limit_slab,
                   .workers = atomic_load_explicit(&in->control->workers, memory_order_relaxed)},
    };

    w->gate = gate_new(&ctx, first);
    if (w->gate == NULL) {
        log_error("cannot start with generation %llu", (unsigned long long)first.generation);
        exit(1);
    }
    apply_log_level(first);
    for (unsigned i = 0; i < in->listeners_n; i++) {
        int fd = in->listeners[i];
        int rc = listeners_kind(in->addresses, in->listen, fd) == CONF_LISTEN_RLS
                     ? gate_listen_rls(w->gate, fd)
                     : gate_listen(w->gate, fd);
        if (rc < 0) {
            log_error("cannot accept connections: %s", strerror(-rc));
            exit(1);
        }
    }
}

static bool finished(const struct worker *w)
{
    return w->child.stop || (w->draining && gate_idle(w->gate));
}

int worker_run(const struct inherited *in)
{
    struct worker *w = xcalloc(1, sizeof *w);

    title_set("rushgate: worker %u", in->slot);
    w->child.on_adopt = on_adopt;
    w->child.on_drain = on_drain;
    w->child.on_resume = on_resume;
    w->child.on_reopen = on_reopen;
    loop_timer_init(&w->deadline, on_deadline);
    child_init(&w->child, in);
    open_gate(w);
    adopt(w);
    publish(w);
    child_ready(&w->child, gate_generation(w->gate));
    while (!finished(w) && loop_turn(&w->child.loop)) {
        adopt(w);
        publish(w);
    }
    publish(w);
    loop_timer_disarm(&w->child.loop, &w->deadline);
    gate_free(&w->gate);
    child_fini(&w->child);
    free(w);
    return 0;
}
