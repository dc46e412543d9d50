/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A batch: what becomes durable in one commit. The loop thread fills it; from its sealing to its
 * outcome the commit thread reads it and nobody writes it. It is the journal of its own undoing,
 * too: each operation keeps what it replaced.
 */
#ifndef BOXOFFICE_CORE_BATCH_H
#define BOXOFFICE_CORE_BATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "boxoffice/core/event.h"
#include "boxoffice/core/orders.h"

#define BATCH_OPS_MAX 16384u

enum op_kind {
    OP_CREATE,  /* an order and its units */
    OP_CONFIRM, /* pending to paid */
    OP_RETAKE,  /* expired to paid, with new units */
    OP_CANCEL,  /* pending to canceled, units freed */
    OP_EXPIRE,  /* pending to expired, units freed */
    OP_EVENT,   /* an event and its items */
    OP_STATE,   /* the sale state of an event */
};

struct op {
    uint8_t kind;
    uint8_t quantity;
    uint8_t status, old_status; /* of the order */
    uint8_t state, old_state;   /* of the event */
    uint8_t fresh;              /* so many units came from the stock's cursor */
    uint32_t order, item;       /* ids */
    uint32_t units_at;          /* where its units begin in batch.units */
    uint64_t old_batch;         /* of the order or the event's state */
    uint64_t created_ns, expires_ns;
    unsigned char secret[16];
    struct slice buyer; /* lives as long as the sale */
    struct slice key;   /* the caller's, until the batch has its outcome */
    struct sale_event *event;
    void *user; /* who waits for the outcome; NULL: nobody */
};

/* An item whose counters the batch changed; what they are when it is sealed. */
struct item_mark {
    struct item *item;
    struct counts counts;
};

struct batch {
    uint64_t seq; /* from 1, rising */
    struct op *ops;
    uint32_t n, cap;
    uint32_t *units;
    uint32_t units_n, units_cap;
    struct item_mark *marks;
    uint32_t marks_n, marks_cap;
    void **waiters; /* who wants to ask again when the batch has its outcome */
    uint32_t waiters_n, waiters_cap;
};

void batch_fini(struct batch *b);
void batch_clear(struct batch *b, uint64_t seq);
/* Room for one more operation with its units and its item. False when memory is out. */
bool batch_reserve(struct batch *b) __attribute__((warn_unused_result));
/* False when memory is out. */
bool batch_wait(struct batch *b, void *waiter) __attribute__((warn_unused_result));

#endif
