/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Messages that requests were transcoded to of late, by the bytes they were made from: in a sale
 * most buyers ask for the same few things. The same path variables, query and body to the same
 * route are the same message, so nothing needs to be read again; what differs by a byte is
 * transcoded as ever. Only what is a request is kept, no error.
 *
 * One slot for a hash. What comes once is not kept: a key takes its slot when it is the second in a
 * row that is looked for there in vain, so bodies that are never the same write next to nothing and
 * push nobody out.
 *
 * Private memory of a worker, of one generation of the configuration, whose routes it names.
 */
#ifndef GATE_MESSAGE_MEMO_H
#define GATE_MESSAGE_MEMO_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

#define MESSAGE_SLOTS 256u /* a power of two */
#define MESSAGE_BYTES 212u /* of a key and its message together */

/* What a message is made from. */
struct message_key {
    const void *route; /* fixes method, schema and how many variables there are */
    uint64_t hash;
    size_t n;
    char bytes[MESSAGE_BYTES];
};

struct message_slot {
    uint64_t hash;
    const void *route;    /* NULL: empty */
    const void *upstream; /* that `closed` is about */
    uint64_t closed[2]; /* fingerprints (phase_closed.c), of nobody and of somebody; 0: not known */
    uint16_t key_n, message_n;
    char bytes[MESSAGE_BYTES]; /* key, message */
};
_Static_assert(sizeof(struct message_slot) == 256, "whole lines");

struct message_memo {
    struct message_slot slot[MESSAGE_SLOTS];
    uint32_t candidate[MESSAGE_SLOTS]; /* of a hash: what was last looked for in vain */
};

/* False: it is too long to be kept. */
bool message_key_make(struct message_key *k, const void *route, const struct slice *vars,
                      unsigned vars_n, struct slice query, struct slice body);
/* NULL: it is not there. Good until the next message_put. */
struct message_slot *message_find(struct message_memo *m, const struct message_key *k);
/* After message_find in vain: the message of the key. The slot, where it is kept now. */
struct message_slot *message_put(struct message_memo *m, const struct message_key *k,
                                 struct slice message);

static inline struct slice message_of(const struct message_slot *s)
{
    return slice_of(s->bytes + s->key_n, s->message_n);
}

#endif
