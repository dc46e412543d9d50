/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A canary: a new configuration beside the current one, for a share of the buyers. It ends in one
 * of two ways, by hand or by rule: promoted, it comes into force for everybody as a generation of
 * its own; rolled back, it is gone. What it says about the master itself is not tried: that needs a
 * restart, or comes into force with the promotion.
 */
#ifndef PROC_CANARY_H
#define PROC_CANARY_H

#include "metric/metric.h"
#include "proc/generations.h"

struct canary {
    struct conf *conf; /* owned; NULL: there is none */
    uint64_t generation;
    unsigned bank;
    uint32_t share;    /* of BANK_SHARE_ALL */
    uint64_t first;    /* its first generation, which chose the buyers: runtime changes make it
                          anew, they stay */
    uint64_t since_ns; /* monotonic */
    uint64_t since_real_ns;
    char *reason, *changes;                         /* owned */
    bool same;                                      /* it says what the current one says */
    struct metric_route_total before[METRIC_SIDES]; /* what was counted when it began */
    struct loop_timer timer;                        /* looks at the rule */
};

/* What was counted on a side since it began. */
struct canary_side {
    uint64_t requests, errors; /* answers with 5xx */
    uint64_t p50_ns, p99_ns;   /* 0: not known */
};

void canary_init(struct master *m);
void canary_fini(struct master *m);
bool canary_runs(const struct master *m);
/* Loads the file and offers it to order->share of the buyers. */
void canary_start(struct master *m, const struct ctl_order *order, reload_done *done, void *arg);
/* Comes into force for everybody. */
void canary_promote(struct master *m, const struct ctl_order *order, reload_done *done, void *arg);
/* Is gone. */
void canary_rollback(struct master *m, const struct ctl_order *order, reload_done *done, void *arg);
/* Another share. */
void canary_set_share(struct master *m, const struct ctl_order *order, reload_done *done,
                      void *arg);
/* Rolls it back, if there is one. by: who, "rule" for the rule; NULL or "": nobody who is known.
 * why: NULL or "": not said. */
void canary_end(struct master *m, const char *by, const char *why);
/* The file is tried anew in its place, if there is one; rolled back it is only if that fails. */
void canary_replace(struct master *m, const char *by, const char *why);
/* Runtime changes came into force: over the canary, too. */
void canary_follow(struct master *m);
void canary_figures(const struct master *m, struct canary_side out[METRIC_SIDES]);

/* canary_rule.c: whether it ends now, and why; *promote: in which way. */
bool canary_judge(const struct conf_canary *rule, const struct canary_side side[METRIC_SIDES],
                  uint64_t age_ns, bool *promote, struct buf *why);

#endif
