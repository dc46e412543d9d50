/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a look at the bans costs with none, one and many: one JSON object a line.
 *
 *   bench_ban [MILLIONS]       looks of each measurement; default 4
 *
 * `innocent`: addresses drawn at random, which are what nearly all are. `near`: an address beside a
 * banned one, which goes deepest. `banned`. Addresses are prepared before and drawn from 64 K, so
 * that the processor's caches hold what they would hold in a worker. `build_ms`: sorting, image and
 * publication of the whole list, which is what one `ban add` costs the master.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/hash.h"
#include "table/ban_book.h"

#define ADDRESSES 65536u
#define NOW       (UINT64_C(1800000000) * NS_PER_S)

enum kind { HOSTS_V4, MIXED_V4, NETS_V6, IDENTITIES, KINDS };
static const char *const kind_names[KINDS] = {"ipv4 hosts", "ipv4 /8 to /32", "ipv6 /32 to /64",
                                              "identities"};

struct set {
    struct ban *bans;
    char (*names)[24];
    size_t n;
    uint8_t (*addr)[16];
    struct slice *identity;
};

static void random_target(enum kind kind, uint64_t *seed, char name[24], struct ban_target *out)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    uint64_t a = random_next(seed), b = random_next(seed);

    *out = (struct ban_target){0};
    if (kind == IDENTITIES) {
        out->bits = BAN_BITS_IDENTITY;
        out->identity =
            slice_of(name, (size_t)snprintf(name, 24, "buyer-%llu", (unsigned long long)(a >> 16)));
        return;
    }
    if (kind == NETS_V6) {
        memcpy(out->addr, &a, 8);
        out->addr[0] = 0x20;
        out->bits = (uint8_t)(32 + b % 33);
    } else {
        memcpy(out->addr, mapped, 12);
        memcpy(out->addr + 12, &a, 4);
        out->bits = kind == HOSTS_V4 ? 128 : (uint8_t)(104 + (b % 5 < 3 ? 24 : b % 25));
    }
    for (unsigned i = out->bits; i < 128; i++)
        out->addr[i / 8] &= (uint8_t) ~(0x80u >> i % 8);
}

static double look(const struct ban_zone *z, const struct set *s, uint64_t looks, uint64_t *found)
{
    uint64_t start = clock_mono_ns();
    struct ban_hit hit;

    *found = 0;
    for (uint64_t i = 0; i < looks; i++)
        if (ban_any(z))
            *found += ban_check(z, s->addr[i % ADDRESSES], s->identity[i % ADDRESSES],
                                &(uint64_t){NOW}, &hit);
    return (double)(clock_mono_ns() - start) / (double)looks;
}

enum whom { INNOCENT, NEAR, BANNED };

static void choose(enum kind kind, enum whom whom, struct set *s, uint64_t *seed, char (*spare)[24])
{
    for (unsigned i = 0; i < ADDRESSES; i++) {
        struct ban_target t;
        if (whom == INNOCENT || s->n == 0)
            random_target(kind == MIXED_V4 ? HOSTS_V4 : kind, seed, spare[i], &t);
        else
            t = s->bans[random_next(seed) % s->n].what;
        if (whom == NEAR && t.bits < 129)
            t.addr[(t.bits - 1) / 8] ^= (uint8_t)(0x80u >> (t.bits - 1) % 8);
        memcpy(s->addr[i], t.addr, 16);
        s->identity[i] = t.identity;
    }
}

static void measure(enum kind kind, size_t n, uint64_t looks, struct ban_zone *z, uint32_t capacity)
{
    struct set s = {.bans = xcalloc(n + 1, sizeof *s.bans),
                    .names = xcalloc(n + 1, sizeof *s.names),
                    .n = n,
                    .addr = xcalloc(ADDRESSES, sizeof *s.addr),
                    .identity = xcalloc(ADDRESSES, sizeof *s.identity)};
    char(*spare)[24] = xcalloc(ADDRESSES, sizeof *spare);
    uint64_t seed = 1, start, found[3];
    struct ban_book book;
    double ns[3], build;
    size_t added;

    ban_book_init(&book, capacity);
    for (size_t i = 0; i < n; i++) {
        s.bans[i].until_ns = BAN_NEVER;
        random_target(kind, &seed, s.names[i], &s.bans[i].what);
    }
    if (ban_book_put(&book, s.bans, n, &added) < 0)
        die("no room");
    s.n = added;
    start = clock_mono_ns();
    if (ban_book_publish(&book, z) < 0)
        die("no room in the zone");
    build = (double)(clock_mono_ns() - start) / 1e6;
    for (unsigned whom = INNOCENT; whom <= BANNED; whom++) {
        choose(kind, (enum whom)whom, &s, &seed, spare);
        ns[whom] = look(z, &s, looks, &found[whom]);
    }
    printf("{\"bans\": %zu, \"kind\": \"%s\", \"innocent_ns\": %.1f, \"near_ns\": %.1f, "
           "\"banned_ns\": %.1f, \"innocent_found_percent\": %.2f, \"build_ms\": %.2f}\n",
           added, kind_names[kind], ns[INNOCENT], ns[NEAR], ns[BANNED],
           100 * (double)found[INNOCENT] / (double)looks, build);
    fflush(stdout);
    ban_book_fini(&book);
    free(s.bans);
    free(s.names);
    free(s.addr);
    free(s.identity);
    free(spare);
}

int main(int argc, char **argv)
{
    static const size_t counts[] = {0, 1, 10000, 1000000};
    uint64_t looks = (uint64_t)((argc > 1 ? atof(argv[1]) : 4) * 1e6);
    uint32_t capacity = 1u << 20;
    struct zone handle;

    if (zone_create(&handle, "ban", BAN_LAYOUT, ban_zone_size(capacity)) < 0)
        die("cannot create a zone");
    ban_zone_init((struct ban_zone *)handle.head, capacity, 7);
    for (unsigned kind = 0; kind < KINDS; kind++)
        for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
            measure((enum kind)kind, counts[i], looks, (struct ban_zone *)handle.head, capacity);
    zone_close(&handle);
    return 0;
}
