/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control zone: who there is and where they stand. One slot a process; the master assigns slots
 * and reaps them, the process in a slot writes the rest.
 *
 *   header | master line | slot 0 .. WORKERS-1 (workers) | slot KEEPER | slot BOXOFFICE | endpoint
 * health
 *
 * Ownership is {slot, incarnation}: the master raises `incarnation` before each fork, and a process
 * looks after every turn of its loop whether the slot still carries its own (slot_owned); if not it
 * writes nothing more and ends. Killed at any instruction, a slot holds values that were true a
 * moment ago; the master clears what matters (held_from, held_banks) when it reaps, and reaping
 * twice does no harm.
 *
 * Which banks of the configuration (shm/bank.h) a process holds are two words of its slot:
 *
 *   held_from   every bank of this generation and of later ones, also those published from now on
 *   held_banks  and each bank whose bit is set, of whatever generation
 *
 * The process stores held_banks first and raises held_from after it (release); the master loads
 * them in the opposite order (acquire). So whichever held_from the master sees, the bits it sees
 * are as new or newer, and a bank that is read is in one of the two at any time:
 *
 *   it comes into use    its generation is at or above held_from, which has stood since before it
 *                        was published: nothing to store, nothing to race with
 *   held_from passes it  its bit was stored before; who sees the new held_from sees the bit
 *   it is let go         the reads are done before the store without its bit (release); who sees
 *                        that store (acquire) may write to the bank
 *
 * A bit cannot come to mean another generation: the bank is not reused while it is set, and it is
 * set only while the bank is held already. Older values than the newest hold more, never less.
 */
#ifndef SHM_CONTROL_H
#define SHM_CONTROL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "shm/zone.h"

#define CONTROL_LAYOUT    2u
#define CONTROL_WORKERS   64 /* most worker slots */
#define CONTROL_KEEPER    CONTROL_WORKERS
#define CONTROL_BOXOFFICE (CONTROL_WORKERS + 1)
#define CONTROL_SLOTS     (CONTROL_WORKERS + 2)
#define CONTROL_ENDPOINTS 256 /* health words; the master maps endpoint addresses to them */

enum slot_state {
    SLOT_EMPTY,    /* no process; master */
    SLOT_STARTING, /* forked, not ready; master */
    SLOT_READY,    /* the process */
    SLOT_DRAINING, /* the process */
    SLOT_BACKOFF,  /* died; waiting to be started again; master */
};

struct slot {
    /* Written by the master. */
    _Alignas(SHM_LINE) _Atomic uint64_t incarnation; /* of the present or last process */
    _Atomic uint32_t pid;                            /* 0: none. For people; never for ownership */
    _Atomic uint32_t starts;                         /* processes started in this slot */
    _Atomic uint64_t started_real_ns;
    _Atomic uint32_t last_exit; /* wait status of the last one that ended */
    /* Written by the process; state also by the master while no process is there. */
    _Alignas(SHM_LINE) _Atomic uint32_t state; /* enum slot_state */
    _Atomic uint32_t cpu;                      /* core it is pinned to, or UINT32_MAX */
    _Atomic uint64_t heartbeat_ns; /* monotonic; once a loop turn, at least twice a second */
    _Atomic uint64_t generation;   /* configuration it uses for new requests */
    _Atomic uint64_t held_from;    /* see above; UINT64_MAX: none */
    _Atomic uint64_t held_banks;   /* bit i: bank i */
    _Atomic uint64_t connections;  /* client connections open */
    _Atomic uint64_t requests;     /* being handled */
    _Atomic uint64_t loop_lag_ns;  /* longest turn of the last half second */
    _Atomic uint64_t busy_ns;      /* total, in callbacks */
};

struct control {
    struct zone_header head;
    _Alignas(SHM_LINE) _Atomic uint64_t started_real_ns;
    _Atomic uint32_t master_pid;
    _Atomic uint32_t workers;  /* slots in use: 0 .. workers-1 */
    _Atomic uint32_t draining; /* 1 after QUIT or WINCH: readyz says no */
    struct slot slots[CONTROL_SLOTS];
    /* Health of endpoints: 0 up or not checked, 1 down. Single writer: the keeper. Word 0 is that
     * of endpoints for which there was no word, and nobody's. */
    _Alignas(SHM_LINE) _Atomic uint64_t endpoint_down[CONTROL_ENDPOINTS];
};

/* Whether an endpoint (conf_endpoint.stat) has a health word of its own. */
static inline bool endpoint_has_word(uint32_t stat)
{
    return stat > 0 && stat < CONTROL_ENDPOINTS;
}

const char *slot_state_name(uint32_t state);

/* Master, once: every slot empty and holding no bank (a zeroed held_from would hold them all). */
void control_init(struct control *c);

/*
 * Master, before it forks into the slot: a new incarnation, STARTING. `generation` is the current
 * one and is held on the child's behalf: no bank from it on is reused until the child says what it
 * holds, so the child's first bank_current is safe.
 */
void slot_claim(struct slot *s, uint64_t generation, uint64_t real_ns);

/* Master, after the process has ended: releases what it held. `state` is what the slot becomes:
 * EMPTY or BACKOFF. Doing it twice does no harm. */
void slot_reap(struct slot *s, enum slot_state state);

/*
 * The process: it reads the banks of the mask, and what it may find from now on is of generation
 * `from` or later. While it runs, `from` is at most the newest generation that it has adopted, so
 * that the next bank_current is safe. UINT64_MAX and 0 only after it stopped reading the
 * configuration for good.
 */
void slot_hold(struct slot *s, uint64_t from, uint64_t banks);

/* The process: is the slot still that of this incarnation? */
static inline bool slot_owned(const struct slot *s, uint64_t incarnation)
{
    return atomic_load_explicit(&s->incarnation, memory_order_relaxed) == incarnation;
}

/* What all slots hold together. */
struct slots_held {
    uint64_t from;   /* lowest held_from: every bank of a generation at or above it */
    uint64_t banks;  /* and these */
    unsigned holder; /* a slot that holds more than others, for messages */
    unsigned oldest; /* the slot whose held_from is the lowest */
};

/* Master. */
void slots_held(const struct control *c, struct slots_held *out);

#endif
