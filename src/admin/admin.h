/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the keeper does: the admin listener (/metrics, /healthz, /readyz), the access log, health
 * checks of endpoints, figures of the box office. One per keeper, in the keeper's loop.
 *
 * The keeper may block where a worker may not: the access log is written with plain write(2).
 *
 * It follows the configuration by itself (a look at the bank zone every 100 ms) and publishes in
 * its slot which generation it uses (`generation`, slot_hold). Heartbeat, state and loop lag of the
 * slot are the keeper's own business.
 */
#ifndef ADMIN_ADMIN_H
#define ADMIN_ADMIN_H

#include <stdint.h>

#include "metric/access_ring.h"
#include "metric/metric.h"
#include "net/loop.h"
#include "shm/bank.h"
#include "shm/control.h"

struct admin;

struct admin_config {
    struct loop *loop;
    struct control *control;
    struct metric_zone *metrics;
    struct ring_zone *rings;
    const struct bank_zone *banks;
    unsigned slot; /* the keeper's */
    int listen_fd; /* listening TCP socket, non-blocking, stays the caller's; -1: no listener */
    const char *access_log; /* path, copied; NULL: records are read and forgotten */
    const char *version;    /* copied */
};

/* Starts everything. NULL when memory is out or the listener cannot be used (logged). An access log
 * that cannot be opened is logged and tried again every few seconds. */
struct admin *admin_new(const struct admin_config *cfg);
/*
 * Looks whether there is a new configuration and takes it into use now. Returns the generation in
 * use afterwards; 0: none was published yet.
 */
uint64_t admin_adopt(struct admin *a);
/* Whether the admin listener accepts. Off: clients that are connected are told to connect anew, to
 * whoever accepts there now, and that they are welcome (another process is ready). */
void admin_listen(struct admin *a, bool on);
/* Whether nobody is connected any more who would have to be told so. One who never asked anything
 * counts as connected for good. */
bool admin_is_left(const struct admin *a);
/* Opens the access log again (USR1). 0 or -errno, the old file staying open. */
int admin_reopen_logs(struct admin *a);
/* Writes what is in the rings, closes everything. */
void admin_free(struct admin **a);

#endif
