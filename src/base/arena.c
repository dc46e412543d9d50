/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"

struct arena_chunk {
    struct arena_chunk *next;
    size_t size; /* of the whole chunk; ARENA_CHUNK when it came from the pool */
};

_Static_assert(sizeof(struct arena_chunk) % 16 == 0, "data behind the chunk header is aligned");

void arena_pool_init(struct arena_pool *p, unsigned keep)
{
    *p = (struct arena_pool){.keep = keep};
}

void arena_pool_fini(struct arena_pool *p)
{
    while (p->free != NULL) {
        struct arena_chunk *c = p->free;
        p->free = c->next;
        free(c);
    }
    p->free_count = 0;
}

void arena_init(struct arena *a, struct arena_pool *pool)
{
    *a = (struct arena){.pool = pool};
}

static void chunk_put(struct arena_pool *p, struct arena_chunk *c)
{
    if (c->size != ARENA_CHUNK || p->free_count >= p->keep) {
        free(c);
        return;
    }
    c->next = p->free;
    p->free = c;
    p->free_count++;
}

void arena_reset(struct arena *a)
{
    while (a->head != NULL) {
        struct arena_chunk *c = a->head;
        a->head = c->next;
        chunk_put(a->pool, c);
    }
    a->cursor = a->end = NULL;
}

static struct arena_chunk *chunk_get(struct arena_pool *p, size_t size)
{
    struct arena_chunk *c;

    if (size == ARENA_CHUNK && p->free != NULL) {
        c = p->free;
        p->free = c->next;
        p->free_count--;
        return c;
    }
    c = malloc(size);
    if (c != NULL)
        c->size = size;
    return c;
}

void *arena_alloc_slow(struct arena *a, size_t n)
{
    size_t room = ARENA_CHUNK - sizeof(struct arena_chunk);
    struct arena_chunk *c;

    CHECK(a->pool != NULL);
    if (n > room) {
        /* A chunk of its own, put behind the head so that the head keeps filling up. */
        if (n > SIZE_MAX - sizeof *c || (c = chunk_get(a->pool, n + sizeof *c)) == NULL)
            return NULL;
        if (a->head != NULL) {
            c->next = a->head->next;
            a->head->next = c;
        } else {
            c->next = NULL;
            a->head = c;
        }
        return c + 1;
    }
    c = chunk_get(a->pool, ARENA_CHUNK);
    if (c == NULL)
        return NULL;
    c->next = a->head;
    a->head = c;
    a->cursor = (char *)(c + 1) + n;
    a->end = (char *)c + ARENA_CHUNK;
    return c + 1;
}

void *arena_zalloc(struct arena *a, size_t n)
{
    void *p = arena_alloc(a, n);

    if (p != NULL)
        memset(p, 0, n);
    return p;
}

struct slice arena_dup(struct arena *a, struct slice s)
{
    char *p = arena_alloc(a, s.n + 1);

    if (p == NULL)
        return SLICE_NONE;
    if (s.n > 0)
        memcpy(p, s.p, s.n);
    p[s.n] = '\0';
    return slice_of(p, s.n);
}

struct slice arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list ap, again;
    int n;
    char *p;

    va_start(ap, fmt);
    va_copy(again, ap);
    n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    p = n < 0 ? NULL : arena_alloc(a, (size_t)n + 1);
    if (p != NULL)
        vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    return p ? slice_of(p, (size_t)n) : SLICE_NONE;
}
