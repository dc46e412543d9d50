/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a refusal pays for the list of who is refused most: one JSON object a line.
 *
 *   bench_offenders [MILLIONS]      refusals of each measurement; default 4
 *
 * `keys`: how many take turns at random; 0: each comes once, which is the dearest, since places
 * change hands and text is made.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/ip.h"
#include "table/offenders.h"

static uint64_t refuse(struct offenders *o, uint64_t key, uint64_t now_ns)
{
    struct offender who = {.fingerprint = hash_mix(key + 1), .limit = 1, .bits = 128};
    char text[IP_TEXT_MAX];
    unsigned way;

    if (!offenders_count(o, who.fingerprint, now_ns, &way))
        return 0;
    memcpy(who.addr, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12);
    memcpy(who.addr + 12, &who.fingerprint, 4);
    who.text = slice_of(text, ip_text(who.addr, text));
    offenders_describe(o, &who, way);
    return 1;
}

static void measure(struct offenders_zone *z, uint64_t keys, uint64_t n)
{
    struct offenders o = {&z->slab[0], 1};
    uint64_t seed = 1, start, taken = 0, now = 1000 * OFFENDERS_WINDOW_NS;

    memset(&z->slab[0], 0, sizeof z->slab[0]);
    start = clock_mono_ns();
    for (uint64_t i = 0; i < n; i++)
        taken += refuse(&o, keys > 0 ? random_next(&seed) % keys : i, now);
    printf("{\"keys\": %llu, \"refusal_ns\": %.1f, \"described_percent\": %.2f}\n",
           (unsigned long long)keys, (double)(clock_mono_ns() - start) / (double)n,
           100 * (double)taken / (double)n);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    static const uint64_t keys[] = {1, 100, 10000, 1000000, 0};
    uint64_t n = (uint64_t)((argc > 1 ? atof(argv[1]) : 4) * 1e6);
    struct zone handle;

    if (zone_create(&handle, "offenders", OFFENDERS_LAYOUT, sizeof(struct offenders_zone)) < 0)
        die("cannot create a zone");
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        measure((struct offenders_zone *)handle.head, keys[i], n);
    zone_close(&handle);
    return 0;
}
