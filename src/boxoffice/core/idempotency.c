/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxoffice/core/idempotency.h"

#include "base/check.h"
#include "base/hash.h"

bool idempotency_init(struct idempotency *t)
{
    *t = (struct idempotency){.oldest = 1};
    random_bytes(t->key, sizeof t->key);
    return table_init(&t->table);
}

void idempotency_fini(struct idempotency *t)
{
    table_fini(&t->table);
}

struct digest idempotency_digest(const struct idempotency *t, struct slice buyer, struct slice key)
{
    char both[BUYER_MAX + 1 + ORDER_KEY_MAX];

    CHECK(buyer.n <= BUYER_MAX && key.n <= ORDER_KEY_MAX);
    memcpy(both, buyer.p, buyer.n);
    both[buyer.n] = '\0'; /* no buyer contains it, so no two pairs read the same */
    memcpy(both + buyer.n + 1, key.p, key.n);
    return siphash128(t->key, both, buyer.n + 1 + key.n);
}

struct wanted {
    const struct orders *orders;
    struct digest digest;
};

static bool digest_eq(const void *key, uint32_t id)
{
    const struct wanted *w = key;
    const struct order *o = slab_at(&w->orders->slab, id);

    return o->digest.lo == w->digest.lo && o->digest.hi == w->digest.hi;
}

static bool is_old(const struct order *o, uint64_t now_ns)
{
    return o->created_ns + IDEMPOTENCY_KEEP_NS <= now_ns;
}

uint32_t idempotency_find(struct idempotency *t, const struct orders *orders, struct digest d,
                          uint64_t now_ns)
{
    struct wanted w = {orders, d};
    uint32_t id = table_find(&t->table, d.lo, digest_eq, &w);

    if (id != 0) {
        struct order *o = slab_at(&orders->slab, id);
        if (is_old(o, now_ns) && !(o->flags & ORDER_NEW)) {
            idempotency_remove(t, o, id);
            return 0;
        }
    }
    return id;
}

bool idempotency_reserve(struct idempotency *t)
{
    return table_reserve(&t->table);
}

void idempotency_add(struct idempotency *t, struct order *o, uint32_t id)
{
    table_insert(&t->table, o->digest.lo, id);
    o->flags |= ORDER_KEYED;
    if (id < t->oldest)
        t->oldest = id;
}

void idempotency_remove(struct idempotency *t, struct order *o, uint32_t id)
{
    if (!(o->flags & ORDER_KEYED))
        return;
    CHECK(table_remove(&t->table, o->digest.lo, id));
    o->flags &= (uint8_t)~ORDER_KEYED;
}

void idempotency_sweep(struct idempotency *t, const struct orders *orders, uint64_t now_ns,
                       unsigned max)
{
    for (; max-- > 0 && t->oldest <= orders->last; t->oldest++) {
        struct order *o = order_get(orders, t->oldest);
        if (o == NULL || !(o->flags & ORDER_KEYED))
            continue;
        if ((o->flags & ORDER_NEW) || !is_old(o, now_ns))
            return;
        idempotency_remove(t, o, t->oldest);
    }
}
