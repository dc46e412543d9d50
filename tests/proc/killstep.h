/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Kill harness: what does shared memory look like when a process dies at any instruction of a
 * critical section? A child is single-stepped (ptrace) through the section; the parent checks the
 * invariants from outside.
 *
 * In these ways, over the same section of N instructions:
 *   paused  after each instruction the child stands still, and all its stores are in memory:
 * exactly what SIGKILL there would leave. The parent checks, recovers as a successor would, puts
 * the bytes back and steps on. One child, all N. killed  a fresh child is stepped n instructions
 * and really gets SIGKILL, the kernel cleans up, and the parent checks. For every n where N is
 * small; else for as many evenly spread n as the step budget allows, because this costs N * N / 2
 * steps.
 * beside a fresh child stands still after instruction n, others act, and it is stepped on to its
 * end with a check after each instruction: stopped twice, with others at work both times
 * (kill_beside).
 *
 * Other interleavings of two running processes are not what this finds; those are for
 * ThreadSanitizer.
 */
#ifndef TESTS_PROC_KILLSTEP_H
#define TESTS_PROC_KILLSTEP_H

#include <stdbool.h>
#include <stddef.h>

#define KILL_SKIP 77 /* exit status when ptrace is not permitted here */

struct kill_case {
    const char *name;
    void (*reset)(
        void *shared); /* parent: the state before the section; called before every child */
    void (*section)(void *shared); /* child: what may be killed */
    /* Parent: do the invariants hold, and can a successor go on? May change the memory. `finished`:
     * the section ran to its end. Prints why when it returns false. */
    bool (*holds)(void *shared, bool finished);
};

struct kill_report {
    unsigned long instructions; /* of the section */
    unsigned long paused;       /* checks with the child standing still */
    unsigned long killed;       /* checks after a real SIGKILL */
};

/* Memory that children share, zeroed. Dies when there is none. */
void *kill_memory(size_t size);

/*
 * Runs one case. size: of the memory that is put back after each check; 0: holds changes nothing.
 * budget: about how many single steps the killed part may take. 0: everything held;
 * 1: something did not, the instruction is printed; KILL_SKIP.
 */
int kill_run(const struct kill_case *k, void *shared, size_t size, unsigned long budget,
             struct kill_report *out);

/* As kill_run, with what others do meanwhile; `paused` counts the checks. As many n as the budget
 * has steps for. */
int kill_beside(const struct kill_case *k, void (*others)(void *shared), void *shared, size_t size,
                unsigned long budget, struct kill_report *out);

/*
 * All of them, until one fails: what main returns. Prints a line a case, and last how many kill
 * points were tried together.
 */
int kill_all(const struct kill_case *cases, unsigned n, void *shared, size_t size,
             unsigned long budget);

#endif
