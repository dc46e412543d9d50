/* SPDX-License-Identifier: BSD-2-Clause */
/* Free list of equal blocks, last in first out so that the next user finds them in the CPU's cache.
 */
#ifndef HTTP_POOL_H
#define HTTP_POOL_H

#include <stddef.h>
#include <stdlib.h>

struct pool_node {
    struct pool_node *next;
};

struct pool {
    struct pool_node *free; /* owned */
    size_t size;            /* bytes of a block */
    unsigned n, keep;       /* on the list; at most so many stay */
};

/* Zeroed when new, as it was put back (but for its pool_node) otherwise; NULL when memory is out.
 */
static inline void *pool_get(struct pool *p)
{
    struct pool_node *b = p->free;

    if (b == NULL)
        return calloc(1, p->size);
    p->free = b->next;
    p->n--;
    return b;
}

static inline void pool_put(struct pool *p, void *block)
{
    struct pool_node *b = block;

    if (p->n >= p->keep) {
        free(b);
        return;
    }
    b->next = p->free;
    p->free = b;
    p->n++;
}

static inline void pool_fini(struct pool *p)
{
    while (p->free != NULL) {
        struct pool_node *b = p->free;
        p->free = b->next;
        free(b);
    }
    p->n = 0;
}

#endif
