/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The box office as a gRPC service: one loop thread that decides (core/sale.h), and a commit thread
 * that makes batches of decisions durable (committer.h).
 *
 *   calls -> decide -> open batch --turn's end, when no commit is under way--> commit thread
 *              |                                                                     |
 *              +-> refusals, reads: answered at once      answers of the batch <-- eventfd
 *
 * While a batch is being committed the next one fills. When a commit fails both are undone and
 * answered UNAVAILABLE, and so are all further orders until the commit thread reports that the
 * store works. A store that was deleted or replaced does not come back: orders are refused until
 * somebody ends this process, whose descriptors are all that is left of what it holds
 * (docs/operations.md).
 */
#ifndef BOXOFFICE_SERVICE_H
#define BOXOFFICE_SERVICE_H

#include "base/arena.h"
#include "base/buf.h"
#include "boxoffice/committer.h"
#include "boxoffice/core/sale.h"
#include "net/loop.h"
#include "rpc/server.h"

struct service_stats {
    uint64_t outcomes[REASON_COUNT]; /* of CreateOrder */
    uint64_t batches, batch_orders, commit_ns, commit_failures;
    uint64_t audits, audit_failures;
};

struct service {
    struct loop *loop;      /* borrowed */
    struct store *store;    /* borrowed; only for epoch and bytes */
    struct rpc_server *rpc; /* owned once service_listen succeeded */
    struct sale *sale;      /* owned */
    struct committer committer;
    struct batch batches[2];
    struct batch *open;        /* one of the two; NULL while the store is not working */
    struct batch *in_flight;   /* the other, while it is with the commit thread */
    struct loop_hook turn_end; /* hands the open batch over */
    struct loop_timer sweep;
    unsigned sweeps;
    struct arena_pool pool;
    struct arena arena;          /* of the call being handled */
    struct buf payload, problem; /* of the answer being written */
    struct service_stats stats;
    bool fenced; /* another box office owns the store: this one must end */
    bool gone;   /* the store was taken away: orders are refused until this process ends */
};

/* Takes the sale over and starts the commit thread. */
void service_init(struct service *s, struct loop *loop, struct store *store, struct sale *sale);
/* Serves on a listening descriptor, which it takes over. */
void service_listen(struct service *s, int listen_fd);
/* Stops accepting; service_idle turns true when everything is answered and durable. */
void service_drain(struct service *s);
bool service_idle(const struct service *s);
void service_fini(struct service *s);
/* To be called when committer.event_fd is readable. */
void service_on_commit(struct service *s);

#endif
