/* SPDX-License-Identifier: BSD-2-Clause */
#include "boxoffice/core/expiry.h"

#include <stdlib.h>

bool expiry_init(struct expiry *x)
{
    *x = (struct expiry){.slots = calloc(EXPIRY_SLOTS, sizeof *x->slots)};
    return x->slots != NULL;
}

void expiry_fini(struct expiry *x)
{
    free(x->slots);
    x->slots = NULL;
}

static uint32_t *slot_of(const struct expiry *x, uint64_t ns)
{
    return &x->slots[(ns >> EXPIRY_SLOT_SHIFT) % EXPIRY_SLOTS];
}

void expiry_add(struct expiry *x, const struct orders *orders, uint32_t id)
{
    struct order *o = slab_at(&orders->slab, id);
    uint32_t *slot = slot_of(x, o->expires_ns);

    o->due_prev = 0;
    o->due_next = *slot;
    if (*slot != 0)
        ((struct order *)slab_at(&orders->slab, *slot))->due_prev = id;
    *slot = id;
    /* An expiry that was undone, or a clock that was set: the slot may have been passed. */
    if (o->expires_ns >> EXPIRY_SLOT_SHIFT < x->swept)
        x->swept = o->expires_ns >> EXPIRY_SLOT_SHIFT;
}

void expiry_remove(struct expiry *x, const struct orders *orders, uint32_t id)
{
    struct order *o = slab_at(&orders->slab, id);

    if (o->due_prev != 0)
        ((struct order *)slab_at(&orders->slab, o->due_prev))->due_next = o->due_next;
    else
        *slot_of(x, o->expires_ns) = o->due_next;
    if (o->due_next != 0)
        ((struct order *)slab_at(&orders->slab, o->due_next))->due_prev = o->due_prev;
    o->due_next = o->due_prev = 0;
}

void expiry_sweep(struct expiry *x, const struct orders *orders, uint64_t now_ns, expiry_fn *fn,
                  void *arg)
{
    uint64_t now = now_ns >> EXPIRY_SLOT_SHIFT, at = x->swept;
    uint64_t stay = UINT64_MAX;
    bool more = true;

    if (now > EXPIRY_SLOTS && at < now - EXPIRY_SLOTS)
        at = now - EXPIRY_SLOTS;
    for (; more && at < now; at++) {
        uint32_t id = x->slots[at % EXPIRY_SLOTS];
        while (id != 0 && more) {
            struct order *o = slab_at(&orders->slab, id);
            uint32_t next = o->due_next;
            bool kept = false;
            if (o->expires_ns <= now_ns)
                more = fn(arg, id, &kept);
            if ((kept || !more) && stay == UINT64_MAX)
                stay = at;
            id = next;
        }
    }
    /* A clock that was set back must not leave the sweep in the future. */
    x->swept = stay != UINT64_MAX ? stay : now;
}
