/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Calls to the box office's Admin service (proto/boxoffice.proto), by the master for rushctl and by
 * the keeper for metrics. Which upstream that is the current configuration says
 * (boxoffice.upstream); the client follows it from generation to generation.
 */
#ifndef CTL_BOXOFFICE_H
#define CTL_BOXOFFICE_H

#include <stdbool.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

#include "base/buf.h"
#include "net/loop.h"
#include "rpc/client.h"
#include "shm/bank.h"

struct box; /* one a process */

/* Embedded in the caller's object. The reply is valid during the callback. */
struct box_call {
    struct rpc_call rpc;
    struct buf payload; /* owned; lives until the call is over */
    void (*done)(struct box_call *call, const struct rpc_reply *reply);
};

struct box *box_new(struct loop *loop, const struct bank_zone *banks);
/* Every call must be over or cancelled. */
void box_free(struct box **b);

/*
 * The upstream's name under the current configuration, or "" when there is none. Borrowed until the
 * next call.
 */
const char *box_upstream(struct box *b);

void box_call_init(struct box_call *call);
/*
 * Calls /rushgate.boxoffice.v1.Admin/METHOD. True: done is called exactly once, later. False: no
 * upstream is configured, or memory is out. `event` is what a rendezvous balance hashes.
 */
bool box_call_start(struct box *b, struct box_call *call, const char *method,
                    const ProtobufCMessage *request, struct slice event, uint64_t deadline_ns,
                    void (*done)(struct box_call *call, const struct rpc_reply *reply))
    __attribute__((warn_unused_result));
/* No callback after this. Harmless when idle. */
void box_call_cancel(struct box_call *call);

#endif
