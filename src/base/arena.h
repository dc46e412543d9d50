/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Arena: memory that dies all at once. A request allocates from its arena and frees nothing; the
 * end of the request returns the chunks to the pool they came from.
 *
 *   pool (one a worker, a free list)         arena (one a request)
 *   [chunk] -> [chunk] -> ...                chunk <- chunk <- head    cursor, end
 *
 * Chunks are ARENA_CHUNK bytes and recycled; a larger allocation gets a chunk of its own from
 * malloc, freed at reset. Nothing here is shared between threads or processes.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>

#include "base/slice.h"

#define ARENA_CHUNK 4096u

struct arena_chunk;

struct arena_pool {
    struct arena_chunk *free; /* owned */
    unsigned free_count;
    unsigned keep; /* at most so many stay on the free list */
};

struct arena {
    struct arena_pool *pool;
    struct arena_chunk *head; /* newest first */
    char *cursor, *end;
};

void arena_pool_init(struct arena_pool *p, unsigned keep);
void arena_pool_fini(struct arena_pool *p);

/* Allocates nothing yet. */
void arena_init(struct arena *a, struct arena_pool *pool);
/* Gives everything back; the arena can be used again. */
void arena_reset(struct arena *a);

/* n bytes aligned for any type, not zeroed; NULL when memory is out (the request then gets a 503).
 */
void *arena_alloc_slow(struct arena *a, size_t n);

static inline void *arena_alloc(struct arena *a, size_t n)
{
    n = (n + 15) & ~(size_t)15;
    if ((size_t)(a->end - a->cursor) >= n && a->cursor != NULL) {
        void *p = a->cursor;
        a->cursor += n;
        return p;
    }
    return arena_alloc_slow(a, n);
}

/* Zeroed. Not inline: for a size that it knows the compiler writes a slower memset than libc's. */
void *arena_zalloc(struct arena *a, size_t n);

/* A copy with a NUL behind it (not counted); {NULL, 0} when memory is out. */
struct slice arena_dup(struct arena *a, struct slice s);

/* Formatted like printf, NUL behind it; {NULL, 0} when memory is out. */
struct slice arena_printf(struct arena *a, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#endif
