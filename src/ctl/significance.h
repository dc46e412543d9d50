/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whether two arms of a split differ by more than chance. Two-sided tests on counts; p is the
 * probability of a difference as large as this one, or larger, between arms that are equal.
 *
 * What they assume: that requests are independent. Those of one buyer are not, so with few buyers
 * who ask often p is too small; and whoever looks again and again until p is small will find it so.
 */
#ifndef CTL_SIGNIFICANCE_H
#define CTL_SIGNIFICANCE_H

#include <stdbool.h>
#include <stdint.h>

#define SIGNIFICANCE_LEVEL 0.05

struct significance {
    bool enough; /* the samples are large enough for the test; else the rest is 0 */
    double p;
    double effect; /* see the functions; which of the two is larger */
};

/*
 * Two-proportion z test with the pooled variance: `hits` of `n` in a and in b. effect: the
 * difference of the shares, b - a. Enough: the pooled share lets expect 5 hits and 5 misses in
 * both.
 */
struct significance significance_shares(uint64_t hits_a, uint64_t n_a, uint64_t hits_b,
                                        uint64_t n_b);

/*
 * Mann-Whitney U test (Wilcoxon rank sum) on two histograms with the same ordered buckets, by the
 * normal approximation with continuity correction; values of one bucket are ties, which the
 * variance is corrected for. effect: how much more often than half of the time a value of b is
 * larger than one of a, from -0.5 to 0.5. Enough: 30 values in both.
 */
struct significance significance_ranks(const uint64_t *a, const uint64_t *b, unsigned buckets);

#endif
