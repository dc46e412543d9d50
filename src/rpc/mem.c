/* SPDX-License-Identifier: BSD-2-Clause */
#include "rpc/mem.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* In front of every block; keeps what follows aligned for any type. */
struct mem_block {
    _Alignas(16) struct mem_block *next; /* on a free list */
    uint32_t class;                      /* MEM_CLASSES: from malloc */
    uint32_t size;                       /* usable bytes */
};

#define CLASS_MIN 64u

/* Sanitizers see every block only when each is an allocation of its own. */
#if defined(__SANITIZE_ADDRESS__)
#define MEM_PLAIN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MEM_PLAIN 1
#endif
#endif
#ifndef MEM_PLAIN
#define MEM_PLAIN 0
#endif

static unsigned class_of(size_t total)
{
    unsigned class = 0;

    if (MEM_PLAIN || total > CLASS_MIN << (MEM_CLASSES - 1))
        return MEM_CLASSES;
    while (CLASS_MIN << class < total)
        class ++;
    return class;
}

static void *mem_take(size_t n, void *user)
{
    struct mem *m = user;
    struct mem_block *b;
    unsigned class;
    size_t total;

    if (n > UINT32_MAX - sizeof *b)
        return NULL;
    class = class_of(n + sizeof *b);
    if (class < MEM_CLASSES && (b = m->free[class]) != NULL) {
        m->free[class] = b->next;
        m->free_n[class]--;
        return b + 1;
    }
    total = class < MEM_CLASSES ? CLASS_MIN << class : n + sizeof *b;
    b = malloc(total);
    if (b == NULL)
        return NULL;
    b->class = class;
    b->size = (uint32_t)(total - sizeof *b);
    return b + 1;
}

static void mem_give(void *p, void *user)
{
    struct mem *m = user;
    struct mem_block *b;

    if (p == NULL)
        return;
    b = (struct mem_block *)p - 1;
    if (b->class >= MEM_CLASSES || m->free_n[b->class] >= MEM_KEEP) {
        free(b);
        return;
    }
    b->next = m->free[b->class];
    m->free[b->class] = b;
    m->free_n[b->class]++;
}

static void *mem_zeroed(size_t n, size_t size, void *user)
{
    size_t total;
    void *p;

    if (__builtin_mul_overflow(n, size, &total))
        return NULL;
    p = mem_take(total, user);
    if (p != NULL)
        memset(p, 0, total);
    return p;
}

static void *mem_resize(void *p, size_t n, void *user)
{
    struct mem_block *b;
    void *q;

    if (p == NULL)
        return mem_take(n, user);
    b = (struct mem_block *)p - 1;
    if (n <= b->size)
        return p;
    q = mem_take(n, user);
    if (q == NULL)
        return NULL;
    memcpy(q, p, b->size);
    mem_give(p, user);
    return q;
}

void mem_init(struct mem *m)
{
    *m = (struct mem){0};
    m->ops = (nghttp2_mem){m, mem_take, mem_give, mem_zeroed, mem_resize};
}

void mem_fini(struct mem *m)
{
    for (unsigned i = 0; i < MEM_CLASSES; i++) {
        while (m->free[i] != NULL) {
            struct mem_block *b = m->free[i];
            m->free[i] = b->next;
            free(b);
        }
        m->free_n[i] = 0;
    }
}
