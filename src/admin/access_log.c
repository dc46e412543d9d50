/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The access log: takes records from every worker's ring, formats a batch, writes it with one
 * write(2).
 *
 *   ring 0 .. ring N --take--> batch (BATCH_BYTES) --write--> file
 *
 * How often it looks depends on how full it found the fullest ring, so that a burst does not
 * overflow and an idle gateway costs next to nothing. A disk that is full or broken loses records,
 * which are counted, and nothing else: reading goes on, and the next write that works starts a line
 * of its own.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admin/parts.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"

#define BATCH_BYTES   (256u << 10)
#define ROUND_RECORDS 8192u /* of one ring, until the next one has its turn */
#define INTERVAL_IDLE (48 * NS_PER_MS)
#define INTERVAL_SOME (16 * NS_PER_MS)
#define INTERVAL_BUSY (1 * NS_PER_MS)
#define OPEN_RETRY_NS (5 * NS_PER_S)

struct access_log {
    struct loop *loop;
    struct ring_zone *rings;
    const struct control *control;
    char *path;            /* owned; NULL: records are forgotten */
    int fd;                /* -1: not open */
    uint64_t next_open_ns; /* when to try again after a failure */
    struct loop_timer timer;
    struct buf batch;
    unsigned batch_records;
    struct access_format format;
    struct metric_block *block; /* the keeper's, where it counts */
    bool failing;               /* the last write failed: said once */
    bool torn;                  /* the file ends in half a line */
};

static int open_log(struct access_log *l)
{
    /* O_NONBLOCK: a pipe may be a log, but must not stop the keeper. */
    int fd = open(l->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);

    if (fd < 0)
        return -errno;
    if (l->fd >= 0)
        close(l->fd);
    l->fd = fd;
    l->torn = false;
    return 0;
}

int access_log_reopen(struct access_log *l)
{
    return l->path == NULL ? 0 : open_log(l);
}

static void say_failure(struct access_log *l, int error)
{
    if (!l->failing)
        log_error("access log %s: %s; records are lost until it works again", l->path,
                  strerror(error));
    l->failing = true;
}

static bool ensure_open(struct access_log *l)
{
    uint64_t now;
    int rc;

    if (l->fd >= 0)
        return true;
    now = loop_now(l->loop);
    if (now < l->next_open_ns)
        return false;
    l->next_open_ns = now + OPEN_RETRY_NS;
    rc = open_log(l);
    if (rc < 0)
        say_failure(l, -rc);
    return rc == 0;
}

static unsigned count_lines(struct slice s)
{
    unsigned n = 0;

    for (size_t i; (i = slice_find(s, '\n')) < s.n; n++)
        s = slice_of(s.p + i + 1, s.n - i - 1);
    return n;
}

/* Writes all of it unless the file refuses; returns how many bytes it took. */
static size_t write_all(struct access_log *l, struct slice s)
{
    size_t done = 0;

    while (done < s.n) {
        ssize_t n = write(l->fd, s.p + done, s.n - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            say_failure(l, n < 0 ? errno : ENOSPC);
            break;
        }
        done += (size_t)n;
    }
    return done;
}

static void flush(struct access_log *l)
{
    struct slice all = buf_view(&l->batch);
    unsigned lost = l->batch_records;
    size_t done;

    if (all.n > 0 && ensure_open(l) && (!l->torn || write_all(l, SLICE_LIT("\n")) == 1)) {
        l->torn = false;
        done = write_all(l, all);
        lost = count_lines(slice_of(all.p + done, all.n - done));
        l->torn = done > 0 && all.p[done - 1] != '\n';
        if (done == all.n && l->failing) {
            l->failing = false;
            log_notice("access log %s: works again", l->path);
        }
    }
    metric_add(&l->block->counter[METRIC_access_log_lost], lost);
    metric_add(&l->block->counter[METRIC_access_log_written], l->batch_records - lost);
    l->batch_records = 0;
    buf_clear(&l->batch);
}

/* Up to ROUND_RECORDS of one ring. Returns how many bytes the ring held before. */
static uint64_t take(struct access_log *l, struct access_ring *ring)
{
    /* Relaxed: only how full it is; access_ring_take loads head again and with an order. */
    uint64_t held = atomic_load_explicit(&ring->head, memory_order_relaxed) -
                    atomic_load_explicit(&ring->tail, memory_order_relaxed);
    struct access_record rec;
    char scratch[ACCESS_SCRATCH_BYTES];
    uint64_t bad = 0;

    for (unsigned n = 0; n < ROUND_RECORDS; n++) {
        if (!access_ring_take(ring, &rec, scratch, &bad))
            break;
        if (l->path == NULL)
            continue;
        access_format(&l->format, &rec, &l->batch);
        l->batch_records++;
        if (l->batch.n > BATCH_BYTES)
            flush(l);
    }
    if (bad > 0)
        metric_add(&l->block->counter[METRIC_access_log_corrupt], bad);
    return held;
}

static uint64_t drain_round(struct access_log *l)
{
    uint64_t most = 0;

    /* Every slot that was ever used: a ring may still hold records of a worker that is gone. */
    for (unsigned i = 0; i < CONTROL_WORKERS; i++) {
        uint64_t held;
        if (atomic_load_explicit(&l->control->slots[i].starts, memory_order_relaxed) == 0)
            continue;
        held = take(l, &l->rings->rings[i]);
        most = held > most ? held : most;
    }
    if (l->batch_records > 0)
        flush(l);
    return most;
}

void access_log_drain(struct access_log *l)
{
    /* Bounded: workers may be writing as fast as we read. */
    for (unsigned rounds = 0; rounds < 64 && drain_round(l) > 0; rounds++)
        ;
}

static void on_timer(struct loop_timer *t)
{
    struct access_log *l = CONTAINER_OF(t, struct access_log, timer);
    uint64_t most = drain_round(l);

    loop_timer_arm(l->loop, t,
                   most > RING_BYTES / 16 ? INTERVAL_BUSY
                   : most > 0             ? INTERVAL_SOME
                                          : INTERVAL_IDLE);
}

struct access_log *access_log_new(struct loop *loop, struct ring_zone *rings,
                                  const struct control *control, struct metric_block *block,
                                  const char *path)
{
    struct access_log *l = calloc(1, sizeof *l);

    if (l == NULL)
        return NULL;
    l->loop = loop;
    l->rings = rings;
    l->control = control;
    l->block = block;
    l->path = path != NULL ? xstrdup(path) : NULL;
    l->fd = -1;
    if (path != NULL)
        (void)ensure_open(l);
    loop_timer_init(&l->timer, on_timer);
    loop_timer_arm(loop, &l->timer, INTERVAL_SOME);
    return l;
}

void access_log_free(struct access_log **lp)
{
    struct access_log *l = *lp;

    if (l == NULL)
        return;
    access_log_drain(l);
    loop_timer_disarm(l->loop, &l->timer);
    if (l->fd >= 0)
        close(l->fd);
    buf_free(&l->batch);
    free(l->path);
    free(l);
    *lp = NULL;
}
