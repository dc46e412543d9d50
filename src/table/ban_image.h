/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The form of an image, and how it is made. Words of 64 bits; indexes count from the start of their
 * section.
 *
 *   word 0        root of IPv4 (low half), root of IPv6
 *   word 1        records (low half), nodes
 *   word 2        entries (low half), slots of the identity table, 0 or a power of two
 *   word 3        texts
 *   records       5 words each: IPv4 and IPv6 prefixes and identities, in this order
 *   nodes         5 words each
 *   entries       two a word
 *   slots         a word each: upper half of the hash, record + 1; 0 empty. Linear probing
 *   texts         16 words each: an identity, zeros behind it
 *
 *   record        address: its 16 bytes as two big-endian numbers   identity: hash; text, length
 *                 until_ns
 *                 cell (24 bits), bits or BAN_BITS_IDENTITY (8), serial (32)
 *                 parent + 1 (the longest prefix around it; 0 none), BAN_ALLOW
 *   node          bit i of four words: value i differs from value i - 1 (bit 0 is always set)
 *                 first entry (32), number of bits in the words before word 1, 2, 3 (8 each)
 *   entry         0 nothing, record + 1, or BAN_NODE | node
 *
 * The value of byte b in a node is the entry with the number of set bits up to b: runs of equal
 * values, as short prefixes make them, cost one entry. A slot in which only one ban lies refers to
 * the record at once, however deep it would be; whoever comes there compares the address with the
 * record and goes on with its parent, as with one that has expired.
 */
#ifndef TABLE_BAN_IMAGE_H
#define TABLE_BAN_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

#define BAN_HEAD_WORDS    4u
#define BAN_RECORD_WORDS  5u
#define BAN_NODE_WORDS    5u
#define BAN_TEXT_WORDS    16u
#define BAN_NODE          UINT32_C(0x80000000)
#define BAN_ALLOW         (UINT64_C(1) << 32)
#define BAN_BITS_IDENTITY 255u
#define BAN_CELL_MAX      (UINT32_C(1) << 24)

/* Whom a ban is about. */
struct ban_target {
    uint8_t addr[16];      /* bits behind the prefix are zero; IPv4 mapped */
    uint8_t bits;          /* of 128: 96 more than written for IPv4; BAN_BITS_IDENTITY */
    struct slice identity; /* "" : it is an address. Borrowed */
};

struct ban_entry {
    struct ban_target what;
    bool allow; /* an exception from shorter prefixes */
    uint64_t until_ns;
    uint32_t cell, serial;
};

/* Order of targets: IPv4, IPv6, identities; a prefix right before what lies in it. */
int ban_target_cmp(const struct ban_target *a, const struct ban_target *b);

/* The words of an image, on the heap; NULL with *n = 0 for no entries. entries are in order, each
 * target once. seed: the zone's. */
uint64_t *ban_image_build(const struct ban_entry *entries, size_t count, uint64_t seed, size_t *n);

#endif
