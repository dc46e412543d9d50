/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The master dying is no reason to stop serving: EOF on the channel only marks the child as an
 * orphan. It is then ended by signals, which the next master sends after it has made sure whom it
 * signals (proc/orphans.h): QUIT drains (others have its addresses by then), TERM stops. INT, HUP
 * and WINCH come from a terminal to the whole group and are for the master alone.
 */
#include "config.h"

#include "proc/child.h"

#include <errno.h>
#include <event2/event.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "proc/channel.h"

#define BEAT_NS (NS_PER_S / 2)

static void handle_signal(struct child *c, uint32_t signo)
{
    if (signo == SIGQUIT)
        c->on_drain(c, DRAIN_ORPHAN); /* also where the channel's end is yet to be seen */
    else if (signo == SIGTERM)
        c->stop = true;
    else if (signo == SIGUSR1)
        c->on_reopen(c);
}

static void signal_cb(evutil_socket_t fd, short what, void *arg)
{
    struct child *c = arg;
    struct signalfd_siginfo info;

    (void)what;
    while (read(fd, &info, sizeof info) == (ssize_t)sizeof info)
        handle_signal(c, info.ssi_signo);
}

static void handle_message(struct child *c, const struct channel_message *m)
{
    switch (m->type) {
    case CHANNEL_ADOPT:
        c->on_adopt(c);
        break;
    case CHANNEL_DRAIN:
    case CHANNEL_QUIT:
        c->on_drain(c, m->type == CHANNEL_QUIT ? DRAIN_QUIT : DRAIN_BRIEF);
        break;
    case CHANNEL_HANDOVER:
        c->on_drain(c, DRAIN_HANDOVER);
        break;
    case CHANNEL_RESUME:
        if (c->on_resume != NULL)
            c->on_resume(c);
        break;
    case CHANNEL_STOP:
        c->stop = true;
        break;
    case CHANNEL_REOPEN:
        c->on_reopen(c);
        break;
    default:
        log_warn("message %u on the channel is unknown", m->type);
    }
}

static void channel_cb(evutil_socket_t fd, short what, void *arg)
{
    struct child *c = arg;
    struct channel_message m;
    enum channel_result r;

    (void)what;
    while ((r = channel_receive(fd, &m)) == CHANNEL_GOT)
        handle_message(c, &m);
    if (r == CHANNEL_EOF) {
        event_del(c->channel_event);
        c->orphan = true;
        log_warn("the master is gone; serving goes on without it");
    }
}

static void beat_cb(struct loop_timer *t)
{
    struct child *c = CONTAINER_OF(t, struct child, beat);

    /* The longest turn since the last beat; the turn in progress counts for the next one. */
    atomic_store_explicit(&c->slot->loop_lag_ns, c->loop.lag_ns, memory_order_relaxed);
    c->loop.lag_ns = 0;
    loop_timer_arm(&c->loop, t, BEAT_NS);
}

static void open_signals(struct child *c)
{
    static const int ignored[] = {SIGHUP, SIGINT, SIGPIPE, SIGWINCH, SIGUSR2};
    sigset_t taken;

    for (unsigned i = 0; i < sizeof ignored / sizeof *ignored; i++)
        signal(ignored[i], SIG_IGN);
    sigemptyset(&taken);
    sigaddset(&taken, SIGQUIT);
    sigaddset(&taken, SIGTERM);
    sigaddset(&taken, SIGUSR1);
    sigprocmask(SIG_SETMASK, &taken, NULL);
    c->signal_fd = signalfd(-1, &taken, SFD_CLOEXEC | SFD_NONBLOCK);
    if (c->signal_fd < 0)
        die("signalfd: %s", strerror(errno));
}

static void pin_to_core(struct child *c, int cpu)
{
    cpu_set_t set;

    if (cpu < 0)
        return;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set) == 0)
        atomic_store_explicit(&c->slot->cpu, (uint32_t)cpu, memory_order_relaxed);
    else
        log_info("not pinned to core %d: %s", cpu, strerror(errno));
}

/* A busy worker is woken for each request, and would interrupt at each what runs on its core, which
 * is often what sends it the next ones (a service on this machine, another worker, the network's
 * threads). Where it waits until that sleeps, a turn finds more of them. */
void child_schedule_batch(void)
{
    static const struct sched_param none;

    if (sched_getscheduler(0) == SCHED_OTHER && sched_setscheduler(0, SCHED_BATCH, &none) < 0)
        log_info("not scheduled as SCHED_BATCH: %s", strerror(errno));
}

static struct event *watch(struct child *c, int fd, event_callback_fn fn)
{
    struct event *e = event_new(c->loop.base, fd, EV_READ | EV_PERSIST, fn, c);

    if (e == NULL || event_add(e, NULL) < 0)
        die("cannot watch descriptor %d", fd);
    return e;
}

void child_init(struct child *c, const struct inherited *in)
{
    int rc;

    c->in = in;
    c->slot = &in->control->slots[in->slot];
    c->busy_before_ns = atomic_load_explicit(&c->slot->busy_ns, memory_order_relaxed);
    pin_to_core(c, in->cpu);
    rc = privileges_drop(in->run_as);
    if (rc < 0) {
        log_error("cannot drop privileges: %s", strerror(-rc));
        exit(1);
    }
    open_signals(c);
    loop_init(&c->loop);
    c->loop.owner = c;
    c->signal_event = watch(c, c->signal_fd, signal_cb);
    c->channel_event = watch(c, in->channel, channel_cb);
    loop_timer_init(&c->beat, beat_cb);
    loop_timer_arm(&c->loop, &c->beat, BEAT_NS);
}

void child_fini(struct child *c)
{
    loop_timer_disarm(&c->loop, &c->beat);
    event_free(c->channel_event);
    event_free(c->signal_event);
    close(c->signal_fd);
    loop_fini(&c->loop);
}

void child_ready(struct child *c, uint64_t generation)
{
    if (!child_publish(c))
        return;
    atomic_store_explicit(&c->slot->generation, generation, memory_order_relaxed);
    atomic_store_explicit(&c->slot->state, SLOT_READY, memory_order_release);
    child_tell(c, CHANNEL_READY, generation);
}

void child_draining(struct child *c)
{
    atomic_store_explicit(&c->slot->state, SLOT_DRAINING, memory_order_release);
}

bool child_publish(struct child *c)
{
    if (!slot_owned(c->slot, c->in->incarnation)) {
        log_error("slot %u belongs to another process; this one ends", c->in->slot);
        c->stop = true;
        return false;
    }
    atomic_store_explicit(&c->slot->heartbeat_ns, loop_now(&c->loop), memory_order_relaxed);
    atomic_store_explicit(&c->slot->busy_ns, c->busy_before_ns + c->loop.busy_ns,
                          memory_order_relaxed);
    return true;
}

void child_tell(struct child *c, uint32_t type, uint64_t value)
{
    if (!c->orphan && !channel_send(c->in->channel, type, value) && errno == EAGAIN)
        log_warn("the master does not read its channel");
}
