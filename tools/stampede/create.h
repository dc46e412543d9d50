/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Creates the event to buy for.
 *
 *   POST the event --201-------------------------------------------> done
 *      ^    |   \--409 already-exists--> GET it --what we want-----> done
 *      |    no answer, 408, 425, 429, 5xx           \--another one-> die
 *      +--a pause
 *
 * The slug makes the request safe to repeat: an answer that was lost is met again as 409, and a
 * look at the event tells ours from somebody else's.
 */
#ifndef STAMPEDE_CREATE_H
#define STAMPEDE_CREATE_H

#include <stdbool.h>
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
    bool looking;    /* the exchange is the GET */
    bool unknown;    /* a POST of ours went without an answer: the event may be ours */
    bool said;       /* that it takes a while */
};

void create_init(struct create *cr, const struct options *o, struct wire *w,
                 void (*done)(struct create *cr));
/* Calls done() once the event exists; dies where it cannot be created or is another one. */
void create_start(struct create *cr);
void create_fini(struct create *cr);

#endif
