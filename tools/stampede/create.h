/* SPDX-License-Identifier: BSD-2-Clause */
/* Creates the event to buy for, asking again until the gateway is up. */
#ifndef STAMPEDE_CREATE_H
#define STAMPEDE_CREATE_H

#include <stdint.h>

#include "net/loop.h"
#include "options.h"
#include "wire.h"

struct create {
    const struct options *o; /* borrowed */
    struct wire *wire;       /* borrowed */
    void (*done)(struct create *cr);
    struct exchange x;
    struct loop_timer wait;
    uint64_t end_ns; /* patience */
};

void create_init(struct create *cr, const struct options *o, struct wire *w,
                 void (*done)(struct create *cr));
/* Calls done() once the event exists; dies where it cannot be created. */
void create_start(struct create *cr);
void create_fini(struct create *cr);

#endif
