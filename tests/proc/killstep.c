/* SPDX-License-Identifier: BSD-2-Clause */
#include "config.h"

#include "killstep.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"

enum phase { BEFORE, INSIDE, AFTER };

/* Where the child is; on a shared page of its own. */
struct marker {
    volatile int phase;
};

struct stepper {
    pid_t pid;
    struct marker *marker;
};

enum step { STEPPED, ENDED, FORBIDDEN };

void *kill_memory(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED)
        die("no shared memory: %s", strerror(errno));
    return p;
}

static void child_main(const struct kill_case *k, void *shared, struct marker *marker)
{
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
        _exit(KILL_SKIP);
    raise(SIGSTOP);
    marker->phase = INSIDE;
    k->section(shared);
    marker->phase = AFTER;
    for (;;)
        pause();
}

/* One instruction further. */
static enum step step_once(struct stepper *s)
{
    int status;

    if (ptrace(PTRACE_SINGLESTEP, s->pid, NULL, NULL) < 0)
        return FORBIDDEN;
    if (waitpid(s->pid, &status, 0) < 0 || !WIFSTOPPED(status))
        return ENDED;
    return STEPPED;
}

static void stepper_kill(struct stepper *s)
{
    int status;

    kill(s->pid, SIGKILL);
    while (waitpid(s->pid, &status, 0) == s->pid && !WIFSIGNALED(status) && !WIFEXITED(status))
        ;
}

/* A fresh child, standing before the first instruction of the section. */
static enum step stepper_start(struct stepper *s, const struct kill_case *k, void *shared)
{
    int status;
    enum step rc = STEPPED;

    k->reset(shared);
    s->marker->phase = BEFORE;
    fflush(NULL);
    s->pid = fork();
    if (s->pid < 0)
        die("fork: %s", strerror(errno));
    if (s->pid == 0)
        child_main(k, shared, s->marker);
    if (waitpid(s->pid, &status, 0) < 0 || !WIFSTOPPED(status))
        return FORBIDDEN;
    while (rc == STEPPED && s->marker->phase == BEFORE)
        rc = step_once(s);
    if (rc == FORBIDDEN)
        stepper_kill(s);
    return rc;
}

static int complain(const struct kill_case *k, const char *how, unsigned long n)
{
    fprintf(stderr, "%s: %s after instruction %lu: the invariants do not hold\n", k->name, how, n);
    return 1;
}

/* From where the child stands to its end, a check after each instruction, of which *at is the
 * number. 0, or 1 where a check failed or the child ended. */
static int check_on(const struct kill_case *k, struct stepper *s, void *shared, size_t size,
                    unsigned long *at, unsigned long *checks)
{
    char *before = xmalloc(size + 1);
    enum step rc = STEPPED;
    int failed = 0;

    while (rc == STEPPED && failed == 0) {
        bool finished = s->marker->phase == AFTER;
        memcpy(before, shared, size);
        if (!k->holds(shared, finished))
            failed = complain(k, "paused", *at);
        memcpy(shared, before, size);
        (*checks)++;
        if (finished)
            break;
        (*at)++;
        rc = step_once(s);
    }
    free(before);
    return rc != STEPPED ? complain(k, "the child ended", *at) : failed;
}

/* All instructions with one child. */
static int run_paused(const struct kill_case *k, struct stepper *s, void *shared, size_t size,
                      struct kill_report *out)
{
    enum step rc = stepper_start(s, k, shared);
    int failed;

    if (rc == FORBIDDEN)
        return KILL_SKIP;
    failed = rc == STEPPED ? check_on(k, s, shared, size, &out->instructions, &out->paused)
                           : complain(k, "the child ended", 0);
    stepper_kill(s);
    return failed;
}

static int run_killed(const struct kill_case *k, struct stepper *s, void *shared, unsigned long n)
{
    enum step rc = stepper_start(s, k, shared);
    bool finished;

    for (unsigned long i = 0; rc == STEPPED && i < n && s->marker->phase == INSIDE; i++)
        rc = step_once(s);
    finished = s->marker->phase == AFTER;
    stepper_kill(s);
    if (rc != STEPPED || !k->holds(shared, finished))
        return complain(k, "killed", n);
    return 0;
}

int kill_run(const struct kill_case *k, void *shared, size_t size, unsigned long budget,
             struct kill_report *out)
{
    struct stepper s = {.marker = kill_memory(sizeof(struct marker))};
    unsigned long stride;
    int rc;

    *out = (struct kill_report){0};
    rc = run_paused(k, &s, shared, size, out);
    /* Sum of all n up to N, divided by the stride, is the number of steps. */
    stride = out->instructions * (out->instructions + 1) / 2 / (budget ? budget : 1) + 1;
    for (unsigned long n = 0; rc == 0 && n <= out->instructions; n += stride) {
        rc = run_killed(k, &s, shared, n);
        out->killed++;
    }
    munmap(s.marker, sizeof *s.marker);
    return rc;
}

/* Stopped after instruction n while others act, and after each that follows. *n: the last. */
static int run_beside(const struct kill_case *k, void (*others)(void *shared), struct stepper *s,
                      void *shared, size_t size, unsigned long *n, unsigned long *checks)
{
    enum step rc = stepper_start(s, k, shared);
    unsigned long first = *n;
    int failed;

    if (rc == FORBIDDEN)
        return KILL_SKIP;
    for (unsigned long i = 0; rc == STEPPED && i < first && s->marker->phase == INSIDE; i++)
        rc = step_once(s);
    others(shared);
    failed = rc == STEPPED ? check_on(k, s, shared, size, n, checks)
                           : complain(k, "the child ended", first);
    stepper_kill(s);
    return failed != 0 ? complain(k, "others at work", first) : 0;
}

int kill_beside(const struct kill_case *k, void (*others)(void *shared), void *shared, size_t size,
                unsigned long budget, struct kill_report *out)
{
    struct stepper s = {.marker = kill_memory(sizeof(struct marker))};
    unsigned long last, stride = 1;
    int rc = 0;

    *out = (struct kill_report){0};
    for (unsigned long n = 0; rc == 0 && n <= out->instructions; n += stride) {
        last = n;
        rc = run_beside(k, others, &s, shared, size, &last, &out->paused);
        if (n == 0)
            stride = last * last / (budget ? budget : 1) + 1;
        out->instructions = last > out->instructions ? last : out->instructions;
    }
    munmap(s.marker, sizeof *s.marker);
    return rc;
}

int kill_all(const struct kill_case *cases, unsigned n, void *shared, size_t size,
             unsigned long budget)
{
    unsigned long points = 0;
    int rc = 0;

    for (unsigned i = 0; i < n && rc == 0; i++) {
        struct kill_report r;
        rc = kill_run(&cases[i], shared, size, budget, &r);
        if (rc == KILL_SKIP)
            return rc;
        printf("%s: %lu instructions, %lu checked paused, %lu killed\n", cases[i].name,
               r.instructions, r.paused, r.killed);
        points += r.paused + r.killed;
    }
    printf("%lu kill points tried\n", points);
    return rc;
}
