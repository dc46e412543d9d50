/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Unique purchases at the least cost to the client: a request template per connection with counters
 * patched in, no JSON, no record. Closed loop (every connection asks again at once) or open loop
 * (--rate: requests have a time to start, and latency counts from it).
 */
#ifndef STAMPEDE_BENCH_H
#define STAMPEDE_BENCH_H

#include "options.h"

/* Runs and prints; the exit code. */
int bench_run(const struct options *o);

#endif
