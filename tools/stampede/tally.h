/* SPDX-License-Identifier: BSD-2-Clause */
/* What happened during a run, counted. */
#ifndef STAMPEDE_TALLY_H
#define STAMPEDE_TALLY_H

#include <jansson.h>
#include <stdint.h>

#include "base/slice.h"
#include "latency.h"
#include "wire.h"

#define TALLY_REASONS 32

struct tally {
    uint64_t buyers;   /* who arrived */
    uint64_t offered;  /* orders they wanted, each with a key of its own */
    uint64_t answered; /* of them: with a known outcome while the sale ran */
    uint64_t created;  /* orders acknowledged with 201, each counted once */
    uint64_t units;    /* in them */
    uint64_t replayed; /* further 201 for the same order */
    uint64_t confirmed, canceled;
    uint64_t unknown;   /* outcomes that were unknown when the sale ended, then settled */
    uint64_t unsettled; /* ... and those that stayed unknown */
    uint64_t retries;
    uint64_t malformed; /* 2xx whose body is not what it should be */
    uint64_t errors[WIRE_ERRORS];
    uint64_t status[600]; /* answers to everything that was sent */
    struct {
        char name[48];
        uint64_t n;
    } reasons[TALLY_REASONS];  /* of refusals; the last one is "other" once the table is full */
    struct latency all;        /* of answered orders, from the intended start */
    struct latency bought;     /* of those that were created */
    uint64_t begin_ns, end_ns; /* first arrival, last arrival */
    uint64_t sale_created;     /* orders created while buyers arrived, between these two: */
    uint64_t first_created_ns, last_created_ns;
};

void tally_answer(struct tally *t, const struct wire_result *r);
double tally_purchases_per_s(const struct tally *t);
/* Adds the members of the summary to obj. */
void tally_json(const struct tally *t, json_t *obj);
/* For people, several lines on stdout. */
void tally_print(const struct tally *t, const struct wire *w);

#endif
