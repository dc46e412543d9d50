/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The pooled z test and the U test as textbooks have them (E. L. Lehmann, "Nonparametrics", 1.2 to
 * 1.4, for ranks with ties). Counts are below 2^53, so doubles hold them exactly; what is squared
 * and cubed loses digits that no p value shows.
 */
#include "ctl/significance.h"

#include <math.h>

#define SHARE_EXPECTED_MIN 5.0
#define RANKS_MIN          30.0

/* P(|Z| >= z) of the standard normal distribution. */
static double two_sided(double z)
{
    return erfc(fabs(z) / sqrt(2.0));
}

struct significance significance_shares(uint64_t hits_a, uint64_t n_a, uint64_t hits_b,
                                        uint64_t n_b)
{
    double na = (double)n_a, nb = (double)n_b, pooled, rarer, sd, diff;

    if (n_a == 0 || n_b == 0)
        return (struct significance){0};
    pooled = (double)(hits_a + hits_b) / (na + nb);
    rarer = pooled < 0.5 ? pooled : 1 - pooled;
    if (rarer * fmin(na, nb) < SHARE_EXPECTED_MIN)
        return (struct significance){0};
    sd = sqrt(pooled * (1 - pooled) * (1 / na + 1 / nb));
    diff = (double)hits_b / nb - (double)hits_a / na;
    return (struct significance){true, two_sided(diff / sd), diff};
}

/* What one pass over the buckets finds out. */
struct ranks {
    double na, nb;
    double u;    /* pairs in which the value of b is larger, ties by half */
    double ties; /* sum of t^3 - t */
};

static struct ranks rank(const uint64_t *a, const uint64_t *b, unsigned buckets)
{
    struct ranks r = {0};

    for (unsigned i = 0; i < buckets; i++) {
        double x = (double)a[i], y = (double)b[i], t = x + y;
        r.u += y * (r.na + x / 2); /* na: values of a in lower buckets */
        r.ties += t * t * t - t;
        r.na += x;
        r.nb += y;
    }
    return r;
}

struct significance significance_ranks(const uint64_t *a, const uint64_t *b, unsigned buckets)
{
    struct ranks r = rank(a, b, buckets);
    double n = r.na + r.nb, pairs = r.na * r.nb, variance, off;

    if (r.na < RANKS_MIN || r.nb < RANKS_MIN)
        return (struct significance){0};
    variance = pairs / 12 * (n + 1 - r.ties / (n * (n - 1)));
    off = r.u - pairs / 2;
    if (variance <= 0) /* all values in one bucket */
        return (struct significance){true, 1, 0};
    return (struct significance){true, two_sided(fmax(fabs(off) - 0.5, 0) / sqrt(variance)),
                                 off / pairs};
}
