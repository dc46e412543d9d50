/* SPDX-License-Identifier: BSD-2-Clause */
/* The lines of the Prometheus text format, version 0.0.4. All of them append to out. */
#ifndef ADMIN_PROM_H
#define ADMIN_PROM_H

#include <stdint.h>

#include "base/buf.h"
#include "metric/metric.h"

/* A histogram's state, as the metric zone adds it up. */
struct prom_times {
    const uint64_t *buckets; /* HISTOGRAM_BUCKETS, borrowed */
    uint64_t count, sum_ns;
};

static inline struct prom_times prom_latency(const struct metric_route_total *t)
{
    return (struct prom_times){t->latency, t->count, t->sum_ns};
}

/* HELP and TYPE of a metric, before its first line. */
void prom_head(struct buf *out, const char *name, const char *type, const char *help);
/* BEFORE NAME="VALUE", the value escaped; before: "{", "," or "". */
void prom_label(struct buf *out, const char *before, const char *name, struct slice value);
/* A time as seconds. */
void prom_seconds(struct buf *out, uint64_t ns);
/* A metric that is one number: head and line. */
void prom_value(struct buf *out, const char *name, const char *type, const char *help,
                uint64_t value);
/* Buckets, sum and count, without a head. labels: complete, without braces; "" none. */
void prom_histogram(const char *name, struct slice labels, struct prom_times t, struct buf *out);

#endif
