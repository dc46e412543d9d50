/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Children: one slot each, forked, watched, started again.
 *
 *   EMPTY --spawn--> STARTING --"ready"--> READY --drain--> DRAINING --end--> EMPTY
 *                        |                   |
 *                        +-------- end ------+--> BACKOFF --timer--> STARTING
 *
 * The first restart is immediate, because a worker that dies once should be missed by nobody; then
 * the wait doubles from 100 ms to 10 s until a process has lived for 30 s. An end that was
 * commanded is not counted. The state and the wait are in the slot for everyone to see. A process
 * that ends is reaped here and nowhere else.
 */
#include "config.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "proc/child.h"
#include "proc/master.h"

#define BACKOFF_MIN_NS (100 * NS_PER_MS)
#define BACKOFF_MAX_NS (10 * NS_PER_S)
/* Ends before everything was ready once, after which the start has failed. */
#define START_TRIES 3

static void spawn(struct supervised *s);

static const char *child_name(const struct supervised *s, char out[32])
{
    if (s->kind == CHILD_WORKER)
        snprintf(out, 32, "worker %u", s->slot);
    else
        snprintf(out, 32, "%s", s->kind == CHILD_KEEPER ? "keeper" : "boxoffice");
    return out;
}

static struct slot *slot_of(const struct supervised *s)
{
    return &s->m->control->slots[s->slot];
}

void supervise_record(struct master *m)
{
    struct child_line lines[CONTROL_SLOTS + 2 * ORPHANS_MAX];
    unsigned n = 0;

    SUPERVISE_EACH(s, m)
    lines[n++] = (struct child_line){.kind = (char)s->kind, .pid = s->pid};
    /* Those of an earlier master stay on the list until they have been told to go. */
    n += orphans_lines(&m->orphans, lines + n);
    n += orphans_lines(&m->leaving, lines + n);
    children_record(m->list, lines, n);
}

/* The Nth core that this process may run on, wrapping around; -1 when that cannot be known. */
static int nth_core(unsigned n)
{
    cpu_set_t allowed;
    unsigned count;

    if (sched_getaffinity(0, sizeof allowed, &allowed) < 0)
        return -1;
    count = (unsigned)CPU_COUNT(&allowed);
    if (count == 0)
        return -1;
    n %= count;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &allowed) && n-- == 0)
            return cpu;
    return -1;
}

static int compare_ints(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

/* Closes every descriptor from 3 on but those of keep, which gets sorted. Also the epoll descriptor
 * of the master's loop: the loop's memory is left alone, since to tidy it up would change the epoll
 * set that the master shares with us. */
void supervise_close_others(int *keep, unsigned n)
{
    unsigned from = 3;

    qsort(keep, n, sizeof *keep, compare_ints);
    for (unsigned i = 0; i < n; i++) {
        if (keep[i] < (int)from)
            continue; /* -1: there is no such descriptor */
        if (keep[i] > (int)from)
            close_range(from, (unsigned)keep[i] - 1, 0);
        from = (unsigned)keep[i] + 1;
    }
    close_range(from, ~0u, 0);
}

/* The log's descriptor is the log's own business: it goes back to stderr while others are closed.
 */
static void child_descriptors(struct master *m, int channel, const int *listeners, unsigned n)
{
    int *keep = xcalloc(n + 1, sizeof *keep);
    const char *path = m->process->log_error;
    int rc;

    for (unsigned i = 0; i < n; i++)
        keep[i] = listeners[i];
    keep[n] = channel;
    log_open(NULL);
    supervise_close_others(keep, n + 1);
    free(keep);
    rc = path != NULL ? log_open(path) : 0;
    if (rc < 0)
        log_warn("cannot open %s: %s; writing to stderr", path, strerror(-rc));
}

static void run_boxoffice(struct supervised *s, int ready_fd)
{
    child_descriptors(s->m, ready_fd, NULL, 0);
    embedded_exec(s->m, ready_fd);
}

/* In the child. The master's memory is ours as a copy, its sockets but for our own are closed. */
static void run_child(struct supervised *s, int channel)
{
    struct master *m = s->m;
    bool worker = s->kind == CHILD_WORKER;
    struct inherited in = {
        .slot = s->slot,
        .incarnation = slot_of(s)->incarnation,
        .control = m->control,
        .banks = m->banks,
        .metrics = m->metrics,
        .rings = m->rings,
        .limits = m->limits,
        .bans = m->bans.zone,
        .offenders = m->offenders,
        .closed = m->closed,
        .sent = m->sent,
        .limit_slab = worker ? zones_slab(m, s->slot) : NULL,
        .standby = m->from != NULL && !m->ready,
        .channel = channel,
        .admin_listener = worker ? -1 : m->admin_fd,
        .access_log = m->process->log_access,
        .run_as = &m->run_as,
        .cpu = worker ? nth_core(s->slot) : -1,
    };
    static char name[32];

    log_init(child_name(s, name));
    if (s->kind != CHILD_KEEPER && m->process->cpu_batch)
        child_schedule_batch();
    if (s->kind == CHILD_BOXOFFICE)
        run_boxoffice(s, channel);
    if (worker) {
        const struct listeners *l = &m->listeners;
        int *sockets = xcalloc(l->slots * l->addresses, sizeof *sockets);
        in.listeners_n = listeners_of(l, s->slot, sockets);
        in.listeners = sockets;
        in.addresses = l;
        in.listen = m->process->listeners;
        child_descriptors(m, channel, in.listeners, in.listeners_n);
        exit(worker_run(&in));
    }
    child_descriptors(m, channel, &m->admin_fd, 1);
    exit(keeper_run(&in));
}

static void on_ready(struct supervised *s, uint64_t generation)
{
    char name[32];

    s->ready = true;
    s->adopted = generation > s->adopted ? generation : s->adopted;
    log_info("%s is ready", child_name(s, name));
    if (s->reopen_due)
        supervise_reopen(s->m, s->kind);
    if (s->kind == CHILD_BOXOFFICE && !s->m->ready && s->m->stop_stage == STOP_NOT)
        supervise_workers_up(s->m);
    master_check_ready(s->m);
}

static void on_message(struct supervised *s, const struct channel_message *m)
{
    if (m->type == CHANNEL_READY)
        on_ready(s, m->value);
    else if (m->type == CHANNEL_ADOPTED)
        s->adopted = m->value > s->adopted ? m->value : s->adopted;
    else if (m->type == CHANNEL_REFUSED)
        s->refused = m->value;
    adoptions_progress(s->m);
}

static void channel_cb(evutil_socket_t fd, short what, void *arg)
{
    struct supervised *s = arg;
    struct channel_message m;
    enum channel_result r;

    (void)what;
    while ((r = channel_receive(fd, &m)) == CHANNEL_GOT)
        on_message(s, &m);
    /* What follows from the end of the process, SIGCHLD brings. */
    if (r == CHANNEL_EOF)
        event_del(s->event);
}

/* The box office knows no messages: any bytes on its ready descriptor mean ready. */
static void boxoffice_cb(evutil_socket_t fd, short what, void *arg)
{
    struct supervised *s = arg;
    char bytes[64];
    ssize_t n = read(fd, bytes, sizeof bytes);

    (void)what;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        event_del(s->event);
        return;
    }
    if (!s->ready) {
        atomic_store_explicit(&slot_of(s)->state, SLOT_READY, memory_order_release);
        on_ready(s, 0);
    }
}

static void adopted_cb(evutil_socket_t fd, short what, void *arg);

static void watch(struct supervised *s)
{
    s->event = event_new(s->m->loop.base, s->channel, EV_READ | EV_PERSIST,
                         s->adopted_process           ? adopted_cb
                         : s->kind == CHILD_BOXOFFICE ? boxoffice_cb
                                                      : channel_cb,
                         s);
    if (s->event == NULL || event_add(s->event, NULL) < 0)
        log_error("cannot watch the channel of slot %u", s->slot);
}

/* Wait before the next start, from how often it has failed in a row. */
static uint64_t backoff_ns(unsigned failures)
{
    uint64_t wait = BACKOFF_MIN_NS;

    if (failures <= 1)
        return 0;
    for (unsigned i = 2; i < failures && wait < BACKOFF_MAX_NS; i++)
        wait *= 2;
    return wait < BACKOFF_MAX_NS ? wait : BACKOFF_MAX_NS;
}

/* The start has failed; whoever started us waits on our stderr. */
static void give_up(struct master *m, const char *name)
{
    const char *log = m->process->log_error;
    char why[512];

    log_error("%s does not start", name);
    snprintf(why, sizeof why, "%s of the new binary does not start%s%s", name,
             log != NULL ? "; see " : "", log != NULL ? log : "");
    if (successor_failed(m, why))
        return;
    if (log != NULL)
        fprintf(stderr, "rushgate: %s does not start; %s says why\n", name, log);
    m->failed = true;
    stop_begin(m, true);
}

static void start_again(struct supervised *s)
{
    uint64_t wait;
    char name[32];

    s->failures++;
    if (!s->m->ready && s->failures >= START_TRIES && s->m->stop_stage == STOP_NOT) {
        give_up(s->m, child_name(s, name));
        return;
    }
    wait = backoff_ns(s->failures);
    if (wait == 0) {
        spawn(s);
        return;
    }
    slot_reap(slot_of(s), SLOT_BACKOFF);
    loop_timer_arm(&s->m->loop, &s->restart, wait);
    log_warn("%s starts again in %.1f s", child_name(s, name), (double)wait / (double)NS_PER_S);
}

static void restart_cb(struct loop_timer *t)
{
    spawn(CONTAINER_OF(t, struct supervised, restart));
}

/* The channel, and the pipe by which a child hears that it is on the list. 0 or -errno. */
static int open_ends(int channel[2], int listed[2])
{
    int rc = pipe2(listed, O_CLOEXEC) < 0 ? -errno : 0;

    if (rc < 0)
        return rc;
    rc = channel_pair(channel);
    if (rc < 0) {
        close(listed[0]);
        close(listed[1]);
    }
    return rc;
}

/* In the child. Whoever comes after a master that was killed ends those on its list: a child that
 * the list does not have yet must not outlive its master. */
static void await_list(const int listed[2])
{
    char byte;
    ssize_t n;

    close(listed[1]);
    do
        n = read(listed[0], &byte, 1);
    while (n < 0 && errno == EINTR);
    if (n != 1)
        _exit(0);
    close(listed[0]);
}

static void spawn(struct supervised *s)
{
    struct slot *slot = slot_of(s);
    int fds[2], listed[2], rc = open_ends(fds, listed);
    char name[32];

    slot_claim(slot, bank_current(s->m->banks).generation, clock_real_ns());
    if (s->kind == CHILD_BOXOFFICE)
        slot_hold(slot, UINT64_MAX, 0); /* it does not read the configuration */
    s->started_ns = clock_mono_ns();
    s->ready = s->reopen_due = s->adopted_process = s->commanded = false;
    s->adopted = s->refused = 0;
    s->pid = rc < 0 ? -1 : fork();
    if (s->pid == 0) {
        await_list(listed);
        run_child(s, fds[1]);
    }
    if (s->pid < 0) {
        log_error("cannot start %s: %s", child_name(s, name), strerror(rc < 0 ? -rc : errno));
        if (rc == 0) {
            close(fds[0]);
            close(fds[1]);
            close(listed[0]);
            close(listed[1]);
        }
        s->pid = 0;
        s->failures +=
            s->failures == 0; /* never at once again: the system has run out of something */
        start_again(s);
        return;
    }
    close(fds[1]);
    s->channel = fds[0];
    atomic_store_explicit(&slot->pid, (uint32_t)s->pid, memory_order_relaxed);
    watch(s);
    supervise_record(s->m);
    if (write(listed[1], "", 1) != 1)
        log_debug("slot %u has ended already", s->slot);
    close(listed[0]);
    close(listed[1]);
}

static void log_end(const struct supervised *s, int status)
{
    char name[32];

    child_name(s, name);
    if (s->adopted_process)
        log_notice("%s (%d), which an earlier binary has started, has ended", name, (int)s->pid);
    else if (WIFSIGNALED(status))
        log_warn("%s (%d) was ended by signal %d (%s)", name, (int)s->pid, WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status) != 0 || (s->wanted && !s->commanded))
        log_warn("%s (%d) ended with status %d", name, (int)s->pid, WEXITSTATUS(status));
    else
        log_info("%s (%d) has ended", name, (int)s->pid);
}

static void forget(struct supervised *s)
{
    if (s->event != NULL)
        event_free(s->event);
    s->event = NULL;
    close(s->channel);
    s->channel = -1;
    s->pid = 0;
    s->ready = s->adopted_process = false;
}

static void ended(struct supervised *s, int status)
{
    struct slot *slot = slot_of(s);

    log_end(s, status);
    forget(s);
    atomic_store_explicit(&slot->last_exit, (uint32_t)status, memory_order_relaxed);
    slot_reap(slot, SLOT_EMPTY);
    if (s->commanded || clock_mono_ns() - s->started_ns >= SUPERVISE_STABLE_NS)
        s->failures = 0;
    if (s->wanted)
        start_again(s);
    supervise_record(s->m);
}

/* Its pidfd is readable. How it ended only its parent learns. */
static void adopted_cb(evutil_socket_t fd, short what, void *arg)
{
    struct supervised *s = arg;
    struct master *m = s->m;

    (void)fd;
    (void)what;
    ended(s, 0);
    stop_progress(m);
}

void supervise_adopt(struct master *m, pid_t pid, int pidfd)
{
    struct supervised *s = &m->children[CONTROL_BOXOFFICE];
    struct slot *slot = slot_of(s);

    slot_claim(slot, bank_current(m->banks).generation, clock_real_ns());
    slot_hold(slot, UINT64_MAX, 0);
    atomic_store_explicit(&slot->pid, (uint32_t)pid, memory_order_relaxed);
    atomic_store_explicit(&slot->state, SLOT_READY, memory_order_release);
    s->pid = pid;
    s->channel = pidfd;
    s->started_ns = clock_mono_ns();
    s->wanted = s->ready = s->adopted_process = true;
    watch(s);
}

void supervise_release(struct master *m)
{
    struct supervised *s = &m->children[CONTROL_BOXOFFICE];

    if (s->pid <= 0)
        return;
    s->wanted = false;
    forget(s);
    slot_reap(slot_of(s), SLOT_EMPTY);
}

void supervise_reap(struct master *m)
{
    int status;
    pid_t pid;

    /* -1: as process 1 of a container the master also inherits others' orphans. */
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (upgrade_reaped(m, pid, status))
            continue;
        SUPERVISE_EACH(s, m)
        {
            if (s->pid != pid || s->adopted_process)
                continue;
            ended(s, status);
            break;
        }
    }
    adoptions_progress(m);
    stop_progress(m);
}

void supervise_init(struct master *m)
{
    for (unsigned i = 0; i < CONTROL_SLOTS; i++) {
        struct supervised *s = &m->children[i];
        *s = (struct supervised){.m = m, .slot = i, .channel = -1};
        s->kind = i == CONTROL_KEEPER      ? CHILD_KEEPER
                  : i == CONTROL_BOXOFFICE ? CHILD_BOXOFFICE
                                           : CHILD_WORKER;
        loop_timer_init(&s->restart, restart_cb);
    }
}

static void bring_up(struct supervised *s)
{
    s->wanted = true;
    if (s->pid == 0 && !loop_timer_armed(&s->restart))
        spawn(s);
}

void supervise_bring_up(struct master *m, enum child_kind kind)
{
    SUPERVISE_EACH(s, m)
    if (s->kind == kind)
        bring_up(s);
}

void supervise_workers_up(struct master *m)
{
    for (unsigned i = 0; i < m->process->workers; i++)
        bring_up(&m->children[i]);
}

void supervise_start(struct master *m)
{
    bring_up(&m->children[CONTROL_KEEPER]);
    if (successor_adopt(m)) {
        supervise_workers_up(m);
        return;
    }
    /* Workers come when the box office can be asked: who connects before that waits in the queue of
     * a listener instead of being told 503. */
    if (m->process->boxoffice_embedded)
        bring_up(&m->children[CONTROL_BOXOFFICE]);
    else
        supervise_workers_up(m);
}

void supervise_want(struct master *m, enum child_kind kind, bool wanted)
{
    SUPERVISE_EACH(s, m)
    {
        if (s->kind != kind)
            continue;
        s->wanted = wanted;
        if (!wanted && loop_timer_armed(&s->restart)) {
            loop_timer_disarm(&m->loop, &s->restart);
            slot_reap(slot_of(s), SLOT_EMPTY);
        }
    }
}

void supervise_send(struct master *m, enum child_kind kind, enum channel_type type, uint64_t value)
{
    SUPERVISE_EACH(s, m)
    if (s->kind == kind && s->pid > 0)
        channel_send(s->channel, type, value);
}

static void signal_one(const struct supervised *s, int sig)
{
    /* Safe without a pidfd for our children: a pid is free only after we have reaped it. */
    if (!s->adopted_process)
        kill(s->pid, sig);
    else if (syscall(SYS_pidfd_send_signal, s->channel, sig, NULL, 0) < 0 && errno != ESRCH)
        log_warn("cannot signal process %d: %s", (int)s->pid, strerror(errno));
}

void supervise_kill(struct master *m, enum child_kind kind, int sig)
{
    SUPERVISE_EACH(s, m)
    if (s->kind == kind && s->pid > 0)
        signal_one(s, sig);
}

void supervise_reopen(struct master *m, enum child_kind kind)
{
    SUPERVISE_EACH(s, m)
    {
        if (s->kind != kind || s->pid <= 0)
            continue;
        /* A program that has no handler yet would be ended by the signal. */
        s->reopen_due = kind == CHILD_BOXOFFICE && !s->ready;
        if (kind != CHILD_BOXOFFICE)
            channel_send(s->channel, CHANNEL_REOPEN, 0);
        else if (s->ready)
            signal_one(s, SIGUSR1);
    }
}

unsigned supervise_alive(const struct master *m, enum child_kind kind)
{
    unsigned n = 0;

    for (unsigned i = 0; i < CONTROL_SLOTS; i++)
        n += m->children[i].kind == kind && m->children[i].pid > 0;
    return n;
}

bool supervise_all_ready(const struct master *m)
{
    for (unsigned i = 0; i < CONTROL_SLOTS; i++)
        if (m->children[i].wanted && !m->children[i].ready)
            return false;
    return true;
}
