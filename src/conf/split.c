/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The choice of an arm; see split.h. Two logarithms for two arms cost about 20 ns, once a request;
 * a threshold would be cheaper for exactly two arms, but a third one would then deal everybody out
 * anew.
 */
#include "conf/split.h"

#include <math.h>

#include "base/hash.h"

/* Uniform in (0, 1): 52 bits, in the middle of their interval, so that it is never 0 nor 1. */
static double unit(uint64_t hash)
{
    return ((double)(hash >> 12) + 0.5) * 0x1p-52;
}

const struct conf_arm *split_choose(const struct conf_root *r, const struct conf_split *s,
                                    uint64_t key)
{
    const struct conf_arm *arms = conf_arms(r, s), *best = &arms[0];
    double earliest = INFINITY;

    for (uint32_t i = 0; i < s->arms.n; i++) {
        double time;
        if (arms[i].weight == 0)
            continue;
        time = -log(unit(hash_mix(key ^ arms[i].id))) * arms[i].inverse;
        if (time < earliest) {
            earliest = time;
            best = &arms[i];
        }
    }
    return best;
}

double split_moved(const struct conf_root *r, const struct conf_split *s, const uint32_t *weights)
{
    const struct conf_arm *arms = conf_arms(r, s);
    double stays = 0;

    for (uint32_t i = 0; i < s->arms.n; i++) {
        double sum = 0;
        if (arms[i].weight == 0 || weights[i] == 0)
            continue;
        for (uint32_t j = 0; j < s->arms.n; j++)
            sum += fmax((double)arms[j].weight / arms[i].weight, (double)weights[j] / weights[i]);
        stays += 1 / sum;
    }
    return 1 - stays;
}

const struct conf_arm *split_arm(const struct conf_root *r, const struct conf_split *s,
                                 struct slice name)
{
    const struct conf_arm *arms = conf_arms(r, s);

    for (uint32_t i = 0; i < s->arms.n; i++)
        if (slice_eq(conf_slice(r, arms[i].name), name))
            return &arms[i];
    return NULL;
}
