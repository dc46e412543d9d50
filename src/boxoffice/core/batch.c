/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxoffice/core/batch.h"

#include <stdlib.h>

void batch_fini(struct batch *b)
{
    free(b->ops);
    free(b->units);
    free(b->marks);
    free(b->waiters);
    *b = (struct batch){0};
}

void batch_clear(struct batch *b, uint64_t seq)
{
    b->n = b->units_n = b->marks_n = b->waiters_n = 0;
    b->seq = seq;
}

static bool grow(void **p, uint32_t *cap, uint32_t want, size_t size)
{
    uint32_t n = *cap == 0 ? 256 : *cap;
    void *more;

    if (want <= *cap)
        return true;
    while (n < want)
        n *= 2;
    more = realloc(*p, n * size);
    if (more == NULL)
        return false;
    *p = more;
    *cap = n;
    return true;
}

bool batch_reserve(struct batch *b)
{
    return grow((void **)&b->ops, &b->cap, b->n + 1, sizeof *b->ops) &&
           grow((void **)&b->units, &b->units_cap, b->units_n + ORDER_QUANTITY_MAX,
                sizeof *b->units) &&
           grow((void **)&b->marks, &b->marks_cap, b->marks_n + 1, sizeof *b->marks);
}

bool batch_wait(struct batch *b, void *waiter)
{
    if (!grow((void **)&b->waiters, &b->waiters_cap, b->waiters_n + 1, sizeof *b->waiters))
        return false;
    b->waiters[b->waiters_n++] = waiter;
    return true;
}
