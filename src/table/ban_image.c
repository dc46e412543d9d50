/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Makes the image of a sorted list of bans. The trie is built from the top: a node's range of the
 * list is walked once, prefixes that end in it fill their values, what goes deeper is a range of
 * its own. In the order of the list a prefix comes before all that lies in it, so the longest wins
 * by overwriting, and a stack of open prefixes gives every ban its parent.
 */
#include "table/ban_image.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

enum family { FAMILY_V4, FAMILY_V6, FAMILY_IDENTITY };

static enum family family_of(const struct ban_target *t)
{
    if (t->bits == BAN_BITS_IDENTITY)
        return FAMILY_IDENTITY;
    return t->bits >= 96 && memcmp(t->addr, mapped, sizeof mapped) == 0 ? FAMILY_V4 : FAMILY_V6;
}

int ban_target_cmp(const struct ban_target *a, const struct ban_target *b)
{
    enum family fa = family_of(a), fb = family_of(b);
    size_t n = a->identity.n < b->identity.n ? a->identity.n : b->identity.n;
    int rc;

    if (fa != fb)
        return fa < fb ? -1 : 1;
    if (fa != FAMILY_IDENTITY) {
        rc = memcmp(a->addr, b->addr, sizeof a->addr);
        return rc != 0 ? rc : (int)a->bits - (int)b->bits;
    }
    rc = n > 0 ? memcmp(a->identity.p, b->identity.p, n) : 0;
    return rc != 0 ? rc : (a->identity.n > b->identity.n) - (a->identity.n < b->identity.n);
}

struct builder {
    const struct ban_entry *in;
    size_t n, v4_n, v6_n; /* v4 first, then v6, then identities */
    uint64_t seed;
    uint64_t *nodes;
    size_t nodes_n, nodes_cap;
    uint32_t *entries;
    size_t entries_n, entries_cap;
    uint32_t *parent; /* numbers, by index of in */
};

/* --- the trie --- */

static uint32_t node_add(struct builder *b, const uint64_t words[BAN_NODE_WORDS])
{
    if (b->nodes_n == b->nodes_cap) {
        b->nodes_cap = b->nodes_cap > 0 ? 2 * b->nodes_cap : 64;
        b->nodes = xrealloc(b->nodes, b->nodes_cap * BAN_NODE_WORDS * sizeof *b->nodes);
    }
    memcpy(b->nodes + b->nodes_n * BAN_NODE_WORDS, words, BAN_NODE_WORDS * sizeof *words);
    return BAN_NODE | (uint32_t)b->nodes_n++;
}

static void entry_add(struct builder *b, uint32_t value)
{
    if (b->entries_n == b->entries_cap) {
        b->entries_cap = b->entries_cap > 0 ? 2 * b->entries_cap : 256;
        b->entries = xrealloc(b->entries, b->entries_cap * sizeof *b->entries);
    }
    b->entries[b->entries_n++] = value;
}

/* 256 values as runs. */
static uint32_t node_encode(struct builder *b, const uint32_t value[256])
{
    uint64_t words[BAN_NODE_WORDS] = {[4] = b->entries_n};
    size_t first = b->entries_n;

    for (unsigned i = 0; i < 256; i++) {
        if (i > 0 && i % 64 == 0)
            words[4] |= (uint64_t)(b->entries_n - first) << (24 + 8 * (i / 64));
        if (i > 0 && value[i] == value[i - 1])
            continue;
        words[i / 64] |= UINT64_C(1) << (i % 64);
        entry_add(b, value[i]);
    }
    return node_add(b, words);
}

static uint32_t build_slot(struct builder *b, size_t lo, size_t hi, unsigned depth,
                           uint32_t inherited);

/* A node for bans [lo, hi), which agree in `depth` bytes and go on behind them. */
static uint32_t build_node(struct builder *b, size_t lo, size_t hi, unsigned depth,
                           uint32_t inherited)
{
    uint32_t value[256];

    for (unsigned i = 0; i < 256; i++)
        value[i] = inherited;
    while (lo < hi) {
        const struct ban_target *t = &b->in[lo].what;
        unsigned byte = t->addr[depth], end = 8 * (depth + 1);
        size_t next = lo + 1;
        if (t->bits < end) {
            for (unsigned i = 0; i < 1u << (end - t->bits); i++)
                value[byte + i] = (uint32_t)lo + 1;
        } else {
            while (next < hi && b->in[next].what.addr[depth] == byte)
                next++;
            value[byte] = build_slot(b, lo, next, depth + 1, value[byte]);
        }
        lo = next;
    }
    return node_encode(b, value);
}

/* The value of a slot in which the bans [lo, hi) lie; those that cover it all come first. */
static uint32_t build_slot(struct builder *b, size_t lo, size_t hi, unsigned depth,
                           uint32_t inherited)
{
    while (lo < hi && b->in[lo].what.bits <= 8 * depth)
        inherited = (uint32_t)++lo;
    if (lo == hi)
        return inherited;
    return hi - lo == 1 ? (uint32_t)lo + 1 : build_node(b, lo, hi, depth, inherited);
}

static bool inside(const struct ban_target *t, const struct ban_target *outer)
{
    unsigned whole = outer->bits / 8, rest = outer->bits % 8;

    return memcmp(t->addr, outer->addr, whole) == 0 &&
           (rest == 0 || (t->addr[whole] ^ outer->addr[whole]) >> (8 - rest) == 0);
}

static void find_parents(struct builder *b, size_t lo, size_t hi)
{
    uint32_t open[130]; /* numbers of the prefixes around; each is longer than the one before */
    unsigned depth = 0;

    for (size_t i = lo; i < hi; i++) {
        while (depth > 0 && !inside(&b->in[i].what, &b->in[open[depth - 1] - 1].what))
            depth--;
        b->parent[i] = depth > 0 ? open[depth - 1] : 0;
        open[depth++] = (uint32_t)i + 1;
    }
}

/* --- the image --- */

static size_t slots_for(size_t identities)
{
    size_t n = identities > 0 ? 2 : 0;

    while (n < 2 * identities)
        n *= 2;
    return n;
}

static void put_record(const struct builder *b, size_t i, uint32_t text, uint64_t *out)
{
    const struct ban_entry *e = &b->in[i];

    if (e->what.bits == BAN_BITS_IDENTITY) {
        out[0] = hash64(e->what.identity, b->seed);
        out[1] = (uint64_t)e->what.identity.n << 32 | text;
    } else {
        memcpy(out, e->what.addr, 16);
        out[0] = be64toh(out[0]);
        out[1] = be64toh(out[1]);
    }
    out[2] = e->until_ns;
    out[3] = (uint64_t)e->serial << 32 | (uint64_t)e->what.bits << 24 | e->cell;
    out[4] = b->parent[i] | (e->allow ? BAN_ALLOW : 0);
}

static void put_slot(uint64_t *slots, size_t slots_n, uint64_t hash, size_t record)
{
    size_t i = (uint32_t)hash & (slots_n - 1);

    while (slots[i] != 0)
        i = (i + 1) & (slots_n - 1);
    slots[i] = hash >> 32 << 32 | (record + 1);
}

static uint64_t *assemble(const struct builder *b, uint32_t root4, uint32_t root6, size_t *n)
{
    size_t texts_n = b->n - b->v4_n - b->v6_n, slots_n = slots_for(texts_n);
    size_t nodes = BAN_HEAD_WORDS + b->n * BAN_RECORD_WORDS;
    size_t entries = nodes + b->nodes_n * BAN_NODE_WORDS;
    size_t slots = entries + (b->entries_n + 1) / 2, texts = slots + slots_n;
    uint64_t *w;

    *n = texts + texts_n * BAN_TEXT_WORDS;
    w = xcalloc(*n, sizeof *w);
    w[0] = (uint64_t)root6 << 32 | root4;
    w[1] = (uint64_t)b->nodes_n << 32 | b->n;
    w[2] = (uint64_t)slots_n << 32 | b->entries_n;
    w[3] = texts_n;
    if (b->nodes_n > 0)
        memcpy(w + nodes, b->nodes, b->nodes_n * BAN_NODE_WORDS * sizeof *w);
    for (size_t i = 0; i < b->entries_n; i++)
        w[entries + i / 2] |= (uint64_t)b->entries[i] << (i % 2 * 32);
    for (size_t i = 0; i < b->n; i++) {
        size_t text = i - (b->n - texts_n);
        uint64_t *record = w + BAN_HEAD_WORDS + i * BAN_RECORD_WORDS;
        put_record(b, i, (uint32_t)text, record);
        if (i < b->n - texts_n)
            continue;
        memcpy(w + texts + text * BAN_TEXT_WORDS, b->in[i].what.identity.p,
               b->in[i].what.identity.n);
        put_slot(w + slots, slots_n, record[0], i);
    }
    return w;
}

uint64_t *ban_image_build(const struct ban_entry *entries, size_t count, uint64_t seed, size_t *n)
{
    struct builder b = {.in = entries, .n = count, .seed = seed};
    uint32_t root4, root6;
    uint64_t *words;

    *n = 0;
    if (count == 0)
        return NULL;
    while (b.v4_n < count && family_of(&entries[b.v4_n].what) == FAMILY_V4)
        b.v4_n++;
    while (b.v4_n + b.v6_n < count && family_of(&entries[b.v4_n + b.v6_n].what) == FAMILY_V6)
        b.v6_n++;
    b.parent = xcalloc(count, sizeof *b.parent);
    find_parents(&b, 0, b.v4_n);
    find_parents(&b, b.v4_n, b.v4_n + b.v6_n);
    root4 = build_slot(&b, 0, b.v4_n, 12, 0);
    root6 = build_slot(&b, b.v4_n, b.v4_n + b.v6_n, 0, 0);
    words = assemble(&b, root4, root6, n);
    free(b.parent);
    free(b.nodes);
    free(b.entries);
    return words;
}
