/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Randomized schedules: workers as threads, of which one runs at a time. Before each access to an
 * atomic word a draw decides whether another one goes on, so that a seed is an interleaving, and
 * a seed that fails fails again. In some runs a thread ends at some access, as if it had been
 * killed there, or several do, while the others go on.
 *
 * The accesses are found by the linker: in a build by gcc with --enable-sanitize=thread each is a
 * call into ThreadSanitizer, and the calls are wrapped. So nothing of it is in the code under test.
 * The turns themselves are hidden from ThreadSanitizer (schedule.c is built without it, and waits
 * by futex), which therefore sees every race that would be one without them.
 */
#ifndef TESTS_SCHEDULE_SCHEDULE_H
#define TESTS_SCHEDULE_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

#define SCHEDULE_THREADS_MAX 4u

struct schedule_case {
    const char *name;
    unsigned threads;
    void (*reset)(void); /* the state before; called for each seed */
    void (*body)(unsigned thread);
    /* Afterwards. killed: a thread ended in the middle of its body. Prints why when false. */
    bool (*holds)(bool killed);
    unsigned may_kill; /* so many of the case's last threads; the others finish */
};

/* Each case for about a second or as long as RUSHGATE_SCHEDULE_MS says; with RUSHGATE_SCHEDULE_SEED
 * only that seed. What main returns. */
int schedule_all(const struct schedule_case *cases, unsigned n);

/* A number below n out of the seed; for the bodies. */
uint64_t schedule_draw(uint64_t n);

#endif
