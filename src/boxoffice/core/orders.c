/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxoffice/core/orders.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/hash.h"

#define TEXT_BLOCK 65536u

struct text_block {
    struct text_block *next;
    size_t used;
    char bytes[TEXT_BLOCK - 2 * sizeof(size_t)];
};

bool slab_reserve(struct slab *s, uint32_t i)
{
    uint32_t block = i >> SLAB_SHIFT;

    if (block >= s->blocks_n) {
        uint32_t n = s->blocks_n == 0 ? 64 : s->blocks_n;
        while (n <= block)
            n *= 2;
        char **more = realloc(s->blocks, n * sizeof *more);
        if (more == NULL)
            return false;
        memset(more + s->blocks_n, 0, (n - s->blocks_n) * sizeof *more);
        s->blocks = more;
        s->blocks_n = n;
    }
    if (s->blocks[block] == NULL)
        s->blocks[block] = calloc(SLAB_COUNT, s->size);
    return s->blocks[block] != NULL;
}

void slab_fini(struct slab *s)
{
    for (uint32_t i = 0; i < s->blocks_n; i++)
        free(s->blocks[i]);
    free(s->blocks);
    s->blocks = NULL;
    s->blocks_n = 0;
}

bool orders_init(struct orders *o)
{
    *o = (struct orders){.slab.size = sizeof(struct order), .buyers.size = sizeof(struct buyer)};
    random_bytes(&o->seed, sizeof o->seed);
    return table_init(&o->buyer_table);
}

void orders_fini(struct orders *o)
{
    slab_fini(&o->slab);
    slab_fini(&o->buyers);
    table_fini(&o->buyer_table);
    while (o->texts != NULL) {
        struct text_block *b = o->texts;
        o->texts = b->next;
        free(b);
    }
}

struct order *order_get(const struct orders *o, uint64_t id)
{
    struct order *order;

    if (id == 0 || id > o->last || o->slab.blocks[id >> SLAB_SHIFT] == NULL)
        return NULL;
    order = slab_at(&o->slab, (uint32_t)id);
    return order->status == ORDER_NONE ? NULL : order;
}

struct buyer_key {
    const struct orders *orders;
    uint32_t event;
    struct slice text;
};

static bool buyer_eq(const void *key, uint32_t number)
{
    const struct buyer_key *k = key;
    const struct buyer *b = buyer_at(k->orders, number);

    return b->event == k->event && slice_eq(slice_of(b->text, b->text_len), k->text);
}

static uint64_t buyer_hash(const struct orders *o, uint32_t event, struct slice text)
{
    return hash64(text, o->seed + event);
}

uint32_t buyer_find(const struct orders *o, uint32_t event, struct slice text)
{
    struct buyer_key k = {o, event, text};
    return table_find(&o->buyer_table, buyer_hash(o, event, text), buyer_eq, &k);
}

static const char *text_keep(struct orders *o, struct slice s)
{
    struct text_block *b = o->texts;
    char *p;

    if (b == NULL || sizeof b->bytes - b->used < s.n + 1) {
        b = malloc(sizeof *b);
        if (b == NULL)
            return NULL;
        b->next = o->texts;
        b->used = 0;
        o->texts = b;
    }
    CHECK(s.n < sizeof b->bytes - b->used);
    p = b->bytes + b->used;
    memcpy(p, s.p, s.n);
    p[s.n] = '\0';
    b->used += s.n + 1;
    return p;
}

uint32_t buyer_make(struct orders *o, uint32_t event, struct slice text)
{
    uint32_t number = o->buyers_n + 1;
    struct buyer *b;

    CHECK(text.n > 0 && text.n <= BUYER_MAX);
    if (number == UINT32_MAX || !slab_reserve(&o->buyers, number) ||
        !table_reserve(&o->buyer_table))
        return 0;
    b = buyer_at(o, number);
    *b = (struct buyer){.text = text_keep(o, text), .text_len = (uint32_t)text.n, .event = event};
    if (b->text == NULL)
        return 0;
    o->buyers_n = number;
    table_insert(&o->buyer_table, buyer_hash(o, event, text), number);
    return number;
}
