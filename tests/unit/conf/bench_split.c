/* SPDX-License-Identifier: BSD-2-Clause */
/* Nanoseconds a choice of an arm costs, hash of the key included: one JSON object a line. */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/hash.h"
#include "conf/split.h"

#define ROUNDS 5000000u

static struct {
    struct conf_root root;
    struct conf_split split;
    struct conf_arm arm[CONF_ARMS];
} w;

static double run(uint32_t arms, unsigned *first)
{
    uint64_t start = clock_mono_ns();

    w.split.arms = (struct conf_arr){(uint32_t)offsetof(typeof(w), arm), arms};
    for (uint64_t i = 0; i < ROUNDS; i++) {
        uint64_t key = hash64(slice_of((const char *)&i, sizeof i), w.split.seed);
        *first += split_choose(&w.root, &w.split, key) == w.arm;
    }
    return (double)(clock_mono_ns() - start) / ROUNDS;
}

int main(void)
{
    static const uint32_t counts[] = {1, 2, 3, 16};
    unsigned first = 0;

    w.split.seed = 42;
    for (unsigned i = 0; i < CONF_ARMS; i++)
        w.arm[i] = (struct conf_arm){.id = hash_mix(i + 1), .weight = 1, .inverse = 1};
    for (unsigned i = 0; i < sizeof counts / sizeof *counts; i++)
        printf("{\"bench\":\"split\",\"arms\":%u,\"ns\":%.1f}\n", counts[i],
               run(counts[i], &first));
    return first == 0;
}
