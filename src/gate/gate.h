/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The gate: what a worker does with a request, from its headers to the access record. One per
 * worker.
 *
 * It owns the HTTP server, the upstream clients and the generations of the configuration that
 * requests still use. The worker's loop tells it of a new generation; the gate tells the worker
 * which banks it reads, which the worker publishes so that the master may reuse the others.
 */
#ifndef GATE_GATE_H
#define GATE_GATE_H

#include <stdbool.h>
#include <stdint.h>

#include "metric/access_ring.h"
#include "metric/metric.h"
#include "net/loop.h"
#include "shm/bank.h"
#include "shm/control.h"
#include "table/limit.h"
#include "table/offenders.h"

struct ban_zone;
struct closed_zone;
struct sent_zone;

struct gate;

struct gate_context {
    struct loop *loop;
    const struct control *control; /* endpoint health */
    struct metric_block *metrics;  /* this worker's block: the gate is its only writer */
    struct access_ring *ring;      /* this worker's ring */
    struct limit_worker limits;    /* its way to the limit zone */
    struct offenders offenders;    /* its list of who the limits refuse */
    struct ban_zone *bans;         /* whom operators shut out */
    struct closed_zone *closed;    /* what services refuse everybody; NULL: not looked at */
    struct sent_zone *sent;        /* idempotency keys that were passed on; NULL with closed */
    unsigned worker;               /* its slot */
    /* Where generations are published, and whom the gate asks to adopt what is new there before it
     * begins a request; NULL: nobody. */
    const struct bank_zone *banks;
    void (*on_published)(void *arg);
    void *arg;
};

/* `first`: the generation to start with; its data must be a configuration. NULL when memory is out
 * or the bytes are not a configuration of this version. */
struct gate *gate_new(const struct gate_context *ctx, struct bank_ref first);

/* Accepts client connections from an inherited listener, which stays the caller's. 0 or -errno. */
int gate_listen(struct gate *g, int fd) __attribute__((warn_unused_result));

/* The same for a listener of the rate limit service (rls.h). */
int gate_listen_rls(struct gate *g, int fd) __attribute__((warn_unused_result));

/*
 * Uses `next` for requests that start from now on. Upstream connections, client connections and
 * requests in flight stay. 0, or -EINVAL / -ENOMEM, the present generation staying in use.
 */
int gate_adopt(struct gate *g, struct bank_ref next) __attribute__((warn_unused_result));

/*
 * The canary: a configuration beside the current one, for a share of the buyers. canary->ref.data
 * NULL: there is none (any more). The same one again: its share may have changed. It never touches
 * what the current one uses. Errors as of gate_adopt; there is no canary then.
 */
int gate_canary(struct gate *g, const struct bank_canary *canary)
    __attribute__((warn_unused_result));
/* Its generation; 0: none. */
uint64_t gate_canary_generation(const struct gate *g);

uint64_t gate_generation(const struct gate *g);
/* The banks that a request or the gate itself still uses, a bit each. */
uint64_t gate_banks(const struct gate *g);

uint32_t gate_connections(const struct gate *g);
uint32_t gate_requests(const struct gate *g);
uint32_t gate_drain_timeout_ms(const struct gate *g);

/* Accepts what is queued at the listeners; for a worker that is about to close them for good. */
void gate_take_queue(struct gate *g);

/* Stops accepting and closes connections as they become idle; with a patience they may ask once
 * more for so long (http_server_drain). */
void gate_drain(struct gate *g, uint32_t patience_ms);
/* Accepts again; the listeners must be open still. */
void gate_resume(struct gate *g);
/* True when no client connection and no call to an upstream is left. */
bool gate_idle(const struct gate *g);

void gate_free(struct gate **g);

#endif
