/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The rules of selling, over state in memory. One thread owns a sale; no I/O happens here, the
 * clock is a parameter, and everything a decision changes is written into the open batch, so that
 * it can be made durable, or undone.
 *
 *   sale_open(b) -> decisions ... -> sale_seal(b) -> [commit thread] -> sale_durable(b)
 *                                                                   \-> sale_undo(b)
 *
 * While a sealed batch is being committed the next one is open and fills. When the sealed one
 * fails, the open one is undone first, since what it decided rests on it.
 *
 * A decision answers with a reason. REASON_LATER: the operation is in the batch and `user` gets its
 * answer when the batch is durable. REASON_AGAIN: it depends on something not durable yet; ask
 * again when the open batch has its outcome. Every other reason may be answered at once.
 */
#ifndef BOXOFFICE_CORE_SALE_H
#define BOXOFFICE_CORE_SALE_H

#include "boxoffice/core/batch.h"
#include "boxoffice/core/code.h"
#include "boxoffice/core/event.h"
#include "boxoffice/core/expiry.h"
#include "boxoffice/core/idempotency.h"
#include "boxoffice/core/orders.h"
#include "boxoffice/core/reason.h"

#define SALE_SECRETS 16u

struct sale {
    struct sale_event **events;    /* owned, by id; NULL where the store has a hole */
    uint32_t events_n, events_cap; /* highest id */
    struct item **items;           /* by id, into the events */
    uint32_t items_n, items_cap;
    struct table slugs; /* of event ids */
    struct orders orders;
    struct idempotency keys;
    struct expiry expiry;
    struct code_key code;
    struct batch *open; /* borrowed */
    uint64_t open_seq, durable_seq;
    unsigned char secrets[SALE_SECRETS][16];
    uint32_t secrets_left;
    uint64_t overdue;    /* orders the sweeper released */
    uint32_t audit_next; /* item id */
};

/* NULL when memory is out. */
struct sale *sale_new(void);
void sale_free(struct sale **s);

/* b gets the next number, is cleared, and takes what is decided from now on. */
void sale_open(struct sale *s, struct batch *b);
void sale_seal(struct sale *s, struct batch *b);
void sale_durable(struct sale *s, struct batch *b);
void sale_undo(struct sale *s, struct batch *b);

/* What a decision is about, for the answer. */
struct decision {
    uint32_t order; /* id; 0: none */
    const struct sale_event *event;
    const struct item *item;
    uint32_t available;   /* SOLD_OUT: free units, as far as is durable */
    uint32_t limit, used; /* LIMIT */
};

struct order_request {
    struct slice event, item;
    struct slice buyer; /* 1 to 128 bytes, no NUL: the caller checked */
    struct slice key;   /* 1 to 255 bytes; must live until the batch has its outcome */
    int32_t quantity;   /* INVALID unless 1 to 100 */
    void *user;
};

enum reason sale_order(struct sale *s, uint64_t now_ns, const struct order_request *r,
                       struct decision *d);

/* An order as someone asks for it: by code, being its buyer or knowing its secret. */
struct order_ref {
    struct slice event, code;
    struct slice buyer;  /* empty: nobody known */
    struct slice secret; /* 32 hex digits or empty */
    void *user;
};

/* DONE with d->order, NOT_FOUND, or AGAIN. Releases the order when it is overdue. */
enum reason sale_find(struct sale *s, uint64_t now_ns, const struct order_ref *r,
                      struct decision *d);
/* An order that is overdue is still pending until it is released. */
enum reason sale_confirm(struct sale *s, const struct order_ref *r, struct decision *d);
enum reason sale_cancel(struct sale *s, const struct order_ref *r, struct decision *d);

/* The spec must have passed event_spec_check. EXISTS, OVERLOADED, LATER or AGAIN. */
enum reason sale_create_event(struct sale *s, const struct event_spec *spec, void *user,
                              struct decision *d);
/* A sale that is closed stays so unless `reopen` says that opening it again is meant: CLOSED. */
enum reason sale_set_state(struct sale *s, struct slice slug, enum sale_state state, bool reopen,
                           void *user, struct decision *d);

/* Releases overdue orders into the open batch (at most max) and forgets old idempotency keys. */
void sale_sweep(struct sale *s, uint64_t now_ns, unsigned max);

/* An event that is durable, or NULL. */
struct sale_event *sale_event(const struct sale *s, struct slice slug);
static inline bool sale_event_durable(const struct sale *s, const struct sale_event *e)
{
    return e != NULL && e->created_batch <= s->durable_seq;
}
/* How the order is to be shown now: an overdue one is expired, whether or not it was released. */
enum order_status sale_status(const struct order *o, uint64_t now_ns);

/*
 * Conservation audit of the next item: bits, counters, cursor and stack against each other. False,
 * with the item in *it, where they differ.
 */
bool sale_audit(struct sale *s, const struct item **it);

#endif
