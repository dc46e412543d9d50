/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which index of the metric zone counts which route: the master's side. A route keeps its index,
 * and so its counters, over reloads. An index goes from hand to hand like this:
 *
 *   free --a publication names it--> named ---no bank in use names it---> hidden
 *                                      ^                                      |
 *                                      +--- named again, counters go on ------+
 *                                      +--- another name, counters at zero ---+
 *
 * Hidden means that readers no longer find a name there; only when every process has moved to a
 * generation that was published after that may another route have the index. So nobody counts in
 * an index, or reads its name, while it changes hands.
 *
 * What is chosen for a configuration stays private until route_names_commit: a configuration that
 * is not published costs no index.
 */
#ifndef METRIC_ROUTE_NAMES_H
#define METRIC_ROUTE_NAMES_H

#include <stdbool.h>
#include <stdint.h>

#include "metric/metric.h"

struct route_name {
    char text[METRIC_NAME_MAX]; /* "" free */
    uint64_t banks;             /* bit i: the configuration in bank i names it */
    uint64_t hidden; /* generation before whose publication it was hidden; 0: it is not */
    bool wanted;     /* by the configuration that is being compiled */
    bool fresh;      /* for it only: not yet in the zone */
};

struct route_names {
    struct metric_zone *zone;
    unsigned slots;         /* whose blocks were ever written: workers */
    uint64_t generation;    /* being compiled */
    uint64_t adopted;       /* every process is on this generation or a later one */
    uint64_t in_use;        /* banks that a process may read, or that are kept */
    unsigned without_index; /* routes of this configuration that got none */
    struct route_name all[METRIC_ROUTES];
};

void route_names_init(struct route_names *n, struct metric_zone *z, unsigned slots);
/* Before a configuration is compiled as `generation`. adopted: slots_held.from; in_use:
 * bank_in_use.
 */
void route_names_begin(struct route_names *n, uint64_t generation, uint64_t adopted,
                       uint64_t in_use);
/* Index of a route's counters; 0 ("no route") when all are taken. */
uint32_t route_names_index(struct route_names *n, const char *name);
/* In place of compiling: the names of the configuration in that bank, which is in use. */
void route_names_again(struct route_names *n, unsigned bank);
/* The configuration is published next, in that bank, without fail: names become visible. */
void route_names_commit(struct route_names *n, unsigned bank);
/* It is not: what was chosen is free again. */
void route_names_abort(struct route_names *n);

#endif
