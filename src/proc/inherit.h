/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a child gets from the master by fork, and nothing else: master and worker meet here and in
 * shm/. The strings and arrays live in the child's copy of the master's memory and stay valid.
 */
#ifndef PROC_INHERIT_H
#define PROC_INHERIT_H

#include <stdint.h>

#include "metric/access_ring.h"
#include "metric/metric.h"
#include "proc/privileges.h"
#include "shm/bank.h"
#include "shm/control.h"
#include "table/ban.h"
#include "table/closed.h"
#include "table/limit.h"
#include "table/offenders.h"
#include "table/sent.h"

struct inherited {
    unsigned slot;        /* index in control.slots */
    uint64_t incarnation; /* of that slot */
    struct control *control;
    struct bank_zone *banks;
    struct metric_zone *metrics;
    struct ring_zone *rings;
    struct limit_zone *limits;
    struct ban_zone *bans;
    struct offenders_zone *offenders;
    struct closed_zone *closed;
    struct sent_zone *sent;
    struct limit_slab *limit_slab;      /* worker: its leases; NULL: it takes none */
    int channel;                        /* proc/channel.h; EOF: the master is gone */
    const int *listeners;               /* worker: one socket per listen address, the slot's own */
    const struct listeners *addresses;  /* all of them: listeners_kind */
    const struct conf_listener *listen; /* what they were opened from */
    unsigned listeners_n;
    int admin_listener;     /* keeper; -1: admin.address is "" */
    bool standby;           /* keeper: another one answers there until RESUME */
    const char *access_log; /* keeper; NULL: no access log */
    const struct identity *run_as;
    int cpu; /* core to be pinned to, -1: any */
};

/* The programs of the children: they run the loop and return the exit status. */
int worker_run(const struct inherited *in);
int keeper_run(const struct inherited *in);

#endif
