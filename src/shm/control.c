/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control zone's few functions. Everything else is a load or a store by the one whom the
 * field's comment names.
 */
#include "shm/control.h"

#include <stddef.h>

_Static_assert(offsetof(struct slot, state) == SHM_LINE,
               "the process's words have lines of their own");
_Static_assert(sizeof(struct slot) % SHM_LINE == 0, "slots do not share lines");
_Static_assert(offsetof(struct control, slots) % SHM_LINE == 0, "slots start on a line");
_Static_assert(offsetof(struct control, endpoint_down) % SHM_LINE == 0,
               "health words start on a line");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "64-bit words are lock-free");

const char *slot_state_name(uint32_t state)
{
    static const char *const names[] = {"empty", "starting", "ready", "draining", "backoff"};

    return state < sizeof names / sizeof *names ? names[state] : "unknown";
}

void control_init(struct control *c)
{
    for (unsigned i = 0; i < CONTROL_SLOTS; i++)
        slot_reap(&c->slots[i], SLOT_EMPTY);
}

void slot_claim(struct slot *s, uint64_t generation, uint64_t real_ns)
{
    /* Relaxed: nobody is in the slot; the process that is forked next sees all of it. */
    atomic_store_explicit(&s->held_banks, 0, memory_order_relaxed);
    atomic_store_explicit(&s->held_from, generation, memory_order_relaxed);
    atomic_store_explicit(&s->incarnation,
                          atomic_load_explicit(&s->incarnation, memory_order_relaxed) + 1,
                          memory_order_relaxed);
    atomic_store_explicit(&s->starts, atomic_load_explicit(&s->starts, memory_order_relaxed) + 1,
                          memory_order_relaxed);
    atomic_store_explicit(&s->started_real_ns, real_ns, memory_order_relaxed);
    atomic_store_explicit(&s->state, SLOT_STARTING, memory_order_release);
}

void slot_reap(struct slot *s, enum slot_state state)
{
    atomic_store_explicit(&s->pid, 0, memory_order_relaxed);
    atomic_store_explicit(&s->connections, 0, memory_order_relaxed);
    atomic_store_explicit(&s->requests, 0, memory_order_relaxed);
    atomic_store_explicit(&s->generation, 0, memory_order_relaxed);
    atomic_store_explicit(&s->cpu, UINT32_MAX, memory_order_relaxed);
    /* Nobody reads a bank from here any more. Only the master reuses banks, and it is the one who
     * stores this: no pairing is needed. */
    atomic_store_explicit(&s->held_from, UINT64_MAX, memory_order_relaxed);
    atomic_store_explicit(&s->held_banks, 0, memory_order_relaxed);
    atomic_store_explicit(&s->state, state, memory_order_release);
}

void slot_hold(struct slot *s, uint64_t from, uint64_t banks)
{
    /* Release, both: every read of a bank that is let go is done. In this order: a bank that the
     * second store lets go of has its bit from the first. They pair with the loads in slots_held.
     */
    atomic_store_explicit(&s->held_banks, banks, memory_order_release);
    atomic_store_explicit(&s->held_from, from, memory_order_release);
}

void slots_held(const struct control *c, struct slots_held *out)
{
    int most = -1;

    *out = (struct slots_held){.from = UINT64_MAX};
    for (unsigned i = 0; i < CONTROL_SLOTS; i++) {
        /* In this order; pairs with the release stores in slot_hold. Of a slot that is empty only
         * the master itself writes these words. */
        uint64_t from = atomic_load_explicit(&c->slots[i].held_from, memory_order_acquire);
        uint64_t banks = atomic_load_explicit(&c->slots[i].held_banks, memory_order_acquire);
        int weight = __builtin_popcountll(banks);
        if (from < out->from) {
            out->from = from;
            out->oldest = i;
        }
        out->banks |= banks;
        if (weight > most) {
            most = weight;
            out->holder = i;
        }
    }
}
