/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A/B splits as they are compiled, and the choice of an arm. A part of the blob of compiled.h.
 *
 * The choice is weighted rendezvous hashing by the logarithmic method (C. Schindelhauer, G.
 * Schomaker, "Weighted Distributed Hash Tables", SPAA 2005): each arm draws an exponential time of
 * rate `weight` from a hash of key and arm, and the earliest wins. So an arm gets weight / sum of
 * the keys, and since an arm's time depends on nothing but its own weight, a changed weight moves
 * keys only to or from that arm, and only as many as the shares differ by. In general a key moves
 * from i to j only if j's weight has grown in proportion to i's.
 *
 * Nothing is stored. The same key meets the same arm in every worker and generation, after a
 * restart and on another host, as long as names, salt and weights stay.
 */
#ifndef CONF_SPLIT_H
#define CONF_SPLIT_H

#include <stdbool.h>
#include <stdint.h>

#include "conf/compiled.h"

#define CONF_ARMS          16u /* of one split */
#define CONF_ARMS_ALL      255u
#define CONF_ARM_LABEL_MAX 63u /* "split/arm" */

/* The words of splits.by and splits.override, in order. */
enum conf_split_by { CONF_BY_IDENTITY, CONF_BY_CLIENT_IP, CONF_BY_COOKIE, CONF_BY_HEADER };
enum conf_override { CONF_OVERRIDE_TRUSTED, CONF_OVERRIDE_ANYONE, CONF_OVERRIDE_OFF };

struct conf_arm {
    struct conf_str name;
    struct conf_str label; /* "split/arm", of metrics and access records */
    uint64_t id;           /* hash of the split's seed and its name */
    double inverse;        /* 1 / weight; of weight 0 nothing */
    uint32_t weight;
    uint32_t upstream;       /* index in conf_root.upstreams, or CONF_NONE: the route's */
    uint32_t responds;       /* 1: answered here */
    uint32_t respond_status; /* then: the answer */
    struct conf_str respond_body, respond_type;
    uint32_t stat; /* index of its counters in the metric zone; stable over reloads */
};

struct conf_split {
    struct conf_str name;
    uint64_t seed;           /* of name and salt; of the hash of keys */
    uint32_t by;             /* enum conf_split_by */
    uint32_t override;       /* enum conf_override */
    struct conf_str by_name; /* of the cookie or header */
    struct conf_str by_text; /* as configured */
    struct conf_str header, header_lower;
    uint32_t answer; /* 1: answers carry the header */
    uint32_t cookie_secure;
    uint32_t cookie_max_age_s;
    struct conf_arr arms; /* struct conf_arm; one at least has a weight */
};

static inline const struct conf_split *conf_splits(const struct conf_root *r)
{
    return conf_at(r, r->splits);
}

static inline const struct conf_arm *conf_arms(const struct conf_root *r,
                                               const struct conf_split *s)
{
    return conf_at(r, s->arms);
}

/* The arm of a key that was hashed with the split's seed. */
const struct conf_arm *split_choose(const struct conf_root *r, const struct conf_split *s,
                                    uint64_t key);
/*
 * The share of keys that are in another arm when the arms have these weights (one at least above 0)
 * instead of their own. Arm i keeps a key where it is the earliest before and after, so when every
 * other time is above its own by the larger of both ratios of weights:
 *
 *     1 - sum over i of 1 / (sum over j of max(old[j] / old[i], new[j] / new[i]))
 */
double split_moved(const struct conf_root *r, const struct conf_split *s, const uint32_t *weights);
/* The arm of that name, or NULL. */
const struct conf_arm *split_arm(const struct conf_root *r, const struct conf_split *s,
                                 struct slice name);

#endif
