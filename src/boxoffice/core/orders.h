/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Orders and buyers in memory. Both are numbered from 1 and lie in slabs of equal objects, so a
 * number leads to its object in two loads, nothing moves when there are more, and an order costs no
 * malloc.
 *
 *   order ---buyer--> buyer { text, units held or sold, newest } --newest--> order --older--> order
 * ...
 *
 * A buyer here is a buyer of one event. The order's idempotency key is not kept as text: a keyed
 * digest of buyer and key stands for it.
 */
#ifndef BOXOFFICE_CORE_ORDERS_H
#define BOXOFFICE_CORE_ORDERS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "boxoffice/core/siphash.h"
#include "boxoffice/core/table.h"

#define BUYER_MAX     128u
#define ORDER_KEY_MAX 255u
#define ORDER_ID_MAX  (UINT32_MAX - 1)

/* As in the store and in OrderStatus of boxoffice.proto. */
enum order_status {
    ORDER_NONE = 0, /* no order has this number */
    ORDER_PENDING = 1,
    ORDER_PAID = 2,
    ORDER_EXPIRED = 3,
    ORDER_CANCELED = 4,
};

enum order_flag {
    ORDER_NEW = 1,   /* its creation is not durable yet */
    ORDER_KEYED = 2, /* findable by its idempotency key */
};

struct order {
    uint64_t created_ns, expires_ns; /* since the epoch */
    struct digest digest;            /* of buyer and idempotency key */
    unsigned char secret[16];
    uint64_t batch;              /* the last batch that changes it */
    uint32_t item;               /* id */
    uint32_t buyer;              /* number */
    uint32_t older;              /* the buyer's order before this one; 0: none */
    uint32_t first_unit;         /* chain in the item's stock; meaningless unless it holds units */
    uint32_t due_next, due_prev; /* others in the same slot of the expiry wheel */
    uint8_t status, quantity, flags;
};

static inline bool order_holds(const struct order *o)
{
    return o->status == ORDER_PENDING || o->status == ORDER_PAID;
}

struct buyer {
    const char *text; /* a NUL behind it */
    uint32_t text_len;
    uint32_t event;  /* id */
    uint32_t used;   /* units held or sold */
    uint32_t newest; /* order; 0: none */
};

/* Equal objects, numbered from 0, in blocks that never move. */
struct slab {
    char **blocks; /* owned; NULL for a block nobody asked for */
    uint32_t blocks_n;
    uint32_t size; /* of an object, bytes */
};

#define SLAB_SHIFT 12u
#define SLAB_COUNT (1u << SLAB_SHIFT)

/* Makes object i exist (zeroed when its block is new). False when memory is out. */
bool slab_reserve(struct slab *s, uint32_t i) __attribute__((warn_unused_result));
void slab_fini(struct slab *s);

static inline void *slab_at(const struct slab *s, uint32_t i)
{
    return s->blocks[i >> SLAB_SHIFT] + (size_t)(i & (SLAB_COUNT - 1)) * s->size;
}

struct text_block;

struct orders {
    struct slab slab;
    uint32_t last; /* number of the newest order */

    struct slab buyers;
    uint32_t buyers_n;
    struct table buyer_table;
    struct text_block *texts; /* owned; newest first */
    uint64_t seed;            /* of the buyer table's hash */
};

bool orders_init(struct orders *o) __attribute__((warn_unused_result));
void orders_fini(struct orders *o);

/* The order, or NULL where there is none of this number. */
struct order *order_get(const struct orders *o, uint64_t id);

/* Number of an event's buyer, 0 where it has no orders. */
uint32_t buyer_find(const struct orders *o, uint32_t event, struct slice text);
/* Makes the buyer, who must not be there yet; 0 when memory is out. */
uint32_t buyer_make(struct orders *o, uint32_t event, struct slice text);

static inline struct buyer *buyer_at(const struct orders *o, uint32_t number)
{
    return slab_at(&o->buyers, number);
}

#endif
