/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which index of the metric zone counts which route, rate limit, concurrency limit or arm of a
 * split: the master's side. A name keeps its index, and so its counters, over reloads. An index
 * goes from hand to hand like this:
 *
 *   free --a publication names it--> named ---no bank in use names it---> hidden
 *                                      ^                                      |
 *                                      +--- named again, counters go on ------+
 *                                      +--- another name, counters at zero ---+
 *
 * Hidden means that readers no longer find a name there; only when every process has moved to a
 * generation that was published after that may another name have the index. So nobody counts in an
 * index, or reads its name, while it changes hands.
 *
 * What is chosen for a configuration stays private until names_commit: a configuration that is not
 * published costs no index.
 */
#ifndef METRIC_NAMES_H
#define METRIC_NAMES_H

#include <stdbool.h>
#include <stdint.h>

#include "metric/metric.h"

enum name_kind { NAME_ROUTE, NAME_LIMIT, NAME_CONCURRENCY, NAME_ARM, NAME_KINDS };

struct name_index {
    char text[METRIC_NAME_MAX]; /* "" free */
    uint64_t banks;             /* bit i: the configuration in bank i names it */
    uint64_t hidden; /* generation before whose publication it was hidden; 0: it is not */
    bool wanted;     /* by the configuration that is being compiled */
    bool fresh;      /* for it only: not yet in the zone */
};

struct names {
    struct metric_zone *zone;
    unsigned slots;                     /* whose blocks were ever written: workers */
    uint64_t generation;                /* being compiled */
    uint64_t adopted;                   /* every process is on this generation or a later one */
    uint64_t in_use;                    /* banks that a process may read, or that are kept */
    unsigned without_index[NAME_KINDS]; /* names of this configuration that got none */
    struct name_index *all[NAME_KINDS]; /* owned */
};

void names_init(struct names *n, struct metric_zone *z, unsigned slots);
void names_fini(struct names *n);
/* Before a configuration is compiled as `generation`. adopted: slots_held.from; in_use:
 * bank_in_use.
 */
void names_begin(struct names *n, uint64_t generation, uint64_t adopted, uint64_t in_use);
/* Index of a name's counters; 0 ("none") when all are taken. */
uint32_t names_index(struct names *n, enum name_kind kind, const char *name);
/* In place of compiling: the names of the configuration in that bank, which is in use. */
void names_again(struct names *n, unsigned bank);
/* The configuration is published next, in that bank, without fail: names become visible. */
void names_commit(struct names *n, unsigned bank);
/* It is not: what was chosen is free again. */
void names_abort(struct names *n);
/* How many names of that kind there are indexes for. */
unsigned names_max(enum name_kind kind);

#endif
