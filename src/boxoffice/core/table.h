/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hash table of 32-bit values (ids of things that live elsewhere), open addressing with linear
 * probing. It never stops the loop to grow: a table that is full gets a successor of twice the
 * size, and every insertion moves a few slots over, so the longest pause is the same at a thousand
 * and at ten million.
 *
 *   old  [ moved | moved | x | x | x ]     slots below `cursor` have gone to `now`
 *                          ^ cursor
 *   now  [ . . . . . . . . . . ]           new entries go here at once
 *
 * A slot keeps 32 bits of the hash: they give the position and spare most comparisons. Value 0 is
 * an empty slot, so 0 cannot be stored.
 */
#ifndef BOXOFFICE_CORE_TABLE_H
#define BOXOFFICE_CORE_TABLE_H

#include <stdbool.h>
#include <stdint.h>

struct table_slot {
    uint32_t tag, value;
};

struct table_half {
    struct table_slot *slots; /* owned, from mmap; NULL: none */
    uint32_t mask;            /* capacity - 1 */
};

struct table {
    struct table_half now, old;
    uint32_t cursor; /* slots of old below it have moved */
    uint32_t count;  /* values in both halves */
};

/* Does the thing called `value` have the key that is looked for? */
typedef bool table_eq_fn(const void *key, uint32_t value);

/* Small at first. False when memory is out. */
bool table_init(struct table *t) __attribute__((warn_unused_result));
void table_fini(struct table *t);

/* The value whose key is the wanted one, or 0. */
uint32_t table_find(const struct table *t, uint64_t hash, table_eq_fn *eq, const void *key);
/* Makes sure that the next insertion succeeds. False when memory is out. */
bool table_reserve(struct table *t) __attribute__((warn_unused_result));
/* After table_reserve. The key must not be in the table, the value not 0 or UINT32_MAX. */
void table_insert(struct table *t, uint64_t hash, uint32_t value);
/* True when it was there. */
bool table_remove(struct table *t, uint64_t hash, uint32_t value);

#endif
