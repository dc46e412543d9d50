/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Order codes. The code of an order is a keyed permutation of its number over 40 bits, written as
 * eight characters of Crockford's base 32. Two codes say nothing about how many orders lie between
 * them, and no index is needed to find the order: the permutation is inverted. The permutation is a
 * balanced Feistel network (Luby and Rackoff, 1988) of six rounds; it hides volume, it does not
 * guard access: that is the secret's work.
 */
#ifndef BOXOFFICE_CORE_CODE_H
#define BOXOFFICE_CORE_CODE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

#define CODE_BITS   40u
#define CODE_LEN    8u
#define CODE_ROUNDS 6u

struct code_key {
    uint64_t round[CODE_ROUNDS];
};

void code_key_init(struct code_key *k, const unsigned char secret[16]);
/* Both directions of the permutation of 0 .. 2^40 - 1. */
uint64_t code_permute(const struct code_key *k, uint64_t id);
uint64_t code_invert(const struct code_key *k, uint64_t v);

/* Eight characters and a NUL. */
void code_write(const struct code_key *k, uint64_t id, char out[CODE_LEN + 1]);
/*
 * The order's number. Case is ignored, O reads as 0, I and L as 1, as Crockford says; false where
 * it cannot be a code.
 */
bool code_read(const struct code_key *k, struct slice s, uint64_t *id)
    __attribute__((warn_unused_result));

#endif
