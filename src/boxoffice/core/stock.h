/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The units of one item. A unit that never was taken comes from a cursor, one that came back from a
 * stack. The units of an order are a chain through the same array of links that the stack uses, so
 * an order costs no memory of its own here, and giving an order's chain back is one splice:
 *
 *   next[]   order A: 0 -> 1 .      free stack: 7 -> 4 -> 5 .      cursor: 8
 *
 * Each of take and give has an exact inverse. A batch that could not be made durable is undone by
 * the inverses in reverse order, and every link, the stack and the cursor are what they were.
 *
 * `used` says once more which units are out, in one bit each: the audit counts it against the
 * counters.
 */
#ifndef BOXOFFICE_CORE_STOCK_H
#define BOXOFFICE_CORE_STOCK_H

#include <stdbool.h>
#include <stdint.h>

#define STOCK_NONE UINT32_MAX /* no unit */

struct stock {
    uint32_t quota;
    uint32_t cursor;   /* units from here to quota never were taken */
    uint32_t returned; /* units on the stack */
    uint32_t top;      /* of the stack */
    uint32_t *next;    /* owned; quota links */
    uint64_t *used;    /* owned; quota bits */
};

bool stock_init(struct stock *s, uint32_t quota) __attribute__((warn_unused_result));
void stock_fini(struct stock *s);

static inline uint32_t stock_free(const struct stock *s)
{
    return s->quota - s->cursor + s->returned;
}

/*
 * Takes n units, which must be free: out[0..n-1], chained in this order. Returns how many of them,
 * at the front, came from the cursor; stock_untake wants to know.
 */
uint32_t stock_take(struct stock *s, uint32_t n, uint32_t *out);
void stock_untake(struct stock *s, const uint32_t *units, uint32_t n, uint32_t fresh);

/* Gives the chain of n units that begins with `first` back. */
void stock_give(struct stock *s, uint32_t first, uint32_t n);
/* The inverse: `first` must be on top of the stack. */
void stock_ungive(struct stock *s, uint32_t first, uint32_t n);

/* Next unit of a chain. */
static inline uint32_t stock_next(const struct stock *s, uint32_t unit)
{
    return s->next[unit];
}

/* Loading: `unit` is out and goes in front of the chain `first`. False: no such unit, or out
 * already. */
bool stock_load(struct stock *s, uint32_t unit, uint32_t first) __attribute__((warn_unused_result));
/* After the last stock_load: what is free below the highest unit that is out goes on the stack. */
void stock_load_end(struct stock *s);

/* Units that are out, counted bit by bit. */
uint32_t stock_count(const struct stock *s);

#endif
