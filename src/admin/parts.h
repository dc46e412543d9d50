/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Inside of src/admin: the keeper's parts. Each is a struct of its own that knows only what it
 * needs; struct admin (admin.c) holds them together.
 *
 *   access_log.c   rings -> file        access_format.c  a record -> a JSON line
 *   health.c       asks endpoints       sales.c          asks the box office once a second
 *   http.c         the listener         exposition*.c    /metrics     ready.c  /readyz
 *                                      prom.c           lines of the text format
 */
#ifndef ADMIN_PARTS_H
#define ADMIN_PARTS_H

#include <stdbool.h>
#include <stdint.h>

#include "admin/admin.h"
#include "base/buf.h"
#include "boxoffice.pb-c.h"
#include "conf/compiled.h"
#include "ctl/boxoffice.h"

/* --- access_format.c --- */

/* The second that was formatted last: most records share it. */
struct access_format {
    uint64_t second;
    char text[24]; /* "2026-11-03T12:00:31." */
};

/* Appends the record as one JSON object and a newline. */
void access_format(struct access_format *f, const struct access_record *rec, struct buf *out);

/* --- access_log.c --- */

struct access_log;

/* Counts in block, the keeper's own. path NULL: records are read and forgotten. NULL when memory is
 * out. */
struct access_log *access_log_new(struct loop *loop, struct ring_zone *rings,
                                  const struct control *control, struct metric_block *block,
                                  const char *path);
int access_log_reopen(struct access_log *l);
/* Takes what is in the rings and writes it. */
void access_log_drain(struct access_log *l);
/* Drains a last time. */
void access_log_free(struct access_log **l);

/* --- health.c --- */

struct health;

struct health *health_new(struct loop *loop, struct control *control);
/* Checks what the configuration says from now on; endpoints that stay keep their counts. */
void health_follow(struct health *h, const struct conf_root *root);
void health_free(struct health **h);

/* A row of counting: `fall` failures in a row take an endpoint down, `rise` successes bring it up.
 */
struct health_count {
    unsigned in_row; /* results in a row that speak against the present state */
    bool down;
};
/* Returns true when the state changed. */
bool health_note(struct health_count *c, bool ok, unsigned fall, unsigned rise);

/* --- sales.c --- */

typedef Rushgate__Boxoffice__V1__StatsResponse box_stats;

struct sales;

struct sales *sales_new(struct loop *loop, const struct bank_zone *banks);
/* Whether the configuration names a box office. */
bool sales_configured(const struct sales *s);
/* What it said last, at most about two seconds ago; NULL: it is down. */
const box_stats *sales_stats(const struct sales *s);
void sales_free(struct sales **s);

/* --- exposition*.c, ready.c --- */

/* What a scrape shows. Everything is borrowed. */
struct exposition {
    const struct control *control;
    const struct metric_zone *metrics;
    const struct bank_zone *banks; /* NULL: no canary is shown */
    const struct conf_root *root;  /* NULL: nothing published yet */
    const char *version;
    bool box_configured;
    const box_stats *box;
    uint64_t now_ns; /* monotonic */
};

/* Prometheus text, version 0.0.4. */
void exposition_write(const struct exposition *x, struct buf *out);
/* Parts of it: exposition_traffic.c, exposition_boxoffice.c. */
void exposition_traffic(const struct exposition *x, struct buf *out);
void exposition_boxoffice(const box_stats *b, struct buf *out);
/* Worker slots that are configured. */
uint32_t exposition_workers(const struct exposition *x);

/* True: ready. Appends a JSON object that says why not. */
bool ready_write(const struct control *control, uint64_t generation, uint64_t now_ns,
                 struct buf *out);

/* --- http.c --- */

struct admin_http;

struct admin_http_handler {
    /* Fill out with the body; ready returns whether it is a 200. */
    void (*metrics)(void *arg, struct buf *out);
    bool (*ready)(void *arg, struct buf *out);
};

struct admin_http *admin_http_new(struct loop *loop, int listen_fd,
                                  const struct admin_http_handler *handler, void *arg);
/* Whether it accepts; see admin_listen. */
void admin_http_listen(struct admin_http *h, bool on);
/* See admin_is_left. */
bool admin_http_is_left(const struct admin_http *h);
void admin_http_free(struct admin_http **h);

#endif
