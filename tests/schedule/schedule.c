/* SPDX-License-Identifier: BSD-2-Clause */
/* Built without ThreadSanitizer, which must not learn from the turns what happened before what. */
#include "config.h"

#include "schedule.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/hash.h"

#define SEEDS_MIN 20u /* on however slow a machine */
#define NOBODY    UINT32_MAX
#define NEVER     UINT64_MAX

/* Of the run in progress. All but turn belongs to the thread whose turn it is. */
static struct run {
    const struct schedule_case *is;
    uint64_t seed, random, points;
    uint32_t live;                          /* bit i: thread i has not ended */
    uint64_t dies_in[SCHEDULE_THREADS_MAX]; /* accesses; NEVER: finishes */
    bool killed;
    uint64_t stays; /* one access in so many is followed by another thread's */
    uint32_t turn;  /* a futex */
} run;

static _Thread_local uint32_t self = NOBODY;
static _Thread_local jmp_buf end;

static uint64_t draw(uint64_t n)
{
    return (uint64_t)((unsigned __int128)random_next(&run.random) * n >> 64);
}

uint64_t schedule_draw(uint64_t n)
{
    return draw(n);
}

static void wait_turn(void)
{
    uint32_t now;

    while ((now = __atomic_load_n(&run.turn, __ATOMIC_ACQUIRE)) != self)
        syscall(SYS_futex, &run.turn, FUTEX_WAIT_PRIVATE, now, NULL, NULL, 0);
}

/* To any thread that lives. */
static void pass_on(void)
{
    uint32_t left = run.live;

    for (uint64_t skip = draw((unsigned)__builtin_popcount(left)); skip > 0; skip--)
        left &= left - 1;
    if (left == 0 || (uint32_t)__builtin_ctz(left) == self)
        return;
    __atomic_store_n(&run.turn, (uint32_t)__builtin_ctz(left), __ATOMIC_RELEASE);
    syscall(SYS_futex, &run.turn, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

static void point(void)
{
    if (self == NOBODY)
        return;
    run.points++;
    if (run.dies_in[self] != NEVER && run.dies_in[self]-- == 0)
        _longjmp(end, 1);
    if (draw(run.stays) != 0)
        return;
    pass_on();
    wait_turn();
}

static void *thread_main(void *arg)
{
    self = (uint32_t)(uintptr_t)arg;
    wait_turn();
    if (_setjmp(end) == 0)
        run.is->body(self);
    else
        run.killed = true;
    run.live &= ~(UINT32_C(1) << self);
    pass_on();
    self = NOBODY;
    return NULL;
}

static bool run_seed(const struct schedule_case *c, uint64_t seed)
{
    static const uint64_t stays[] = {1, 2, 4, 16, 64};
    pthread_t thread[SCHEDULE_THREADS_MAX];

    run = (struct run){.is = c, .seed = seed, .random = seed};
    run.turn = NOBODY;
    run.live = (UINT32_C(1) << c->threads) - 1;
    run.stays = stays[draw(sizeof stays / sizeof *stays)];
    for (unsigned i = 0; i < c->threads; i++)
        run.dies_in[i] =
            i + c->may_kill >= c->threads && draw(2) == 0 ? draw(UINT64_C(1) << draw(10)) : NEVER;
    c->reset();
    for (uintptr_t i = 0; i < c->threads; i++)
        if (pthread_create(&thread[i], NULL, thread_main, (void *)i) != 0)
            die("no thread");
    pass_on();
    for (unsigned i = 0; i < c->threads; i++)
        pthread_join(thread[i], NULL);
    return c->holds(run.killed);
}

static void say_seed(void)
{
    fprintf(stderr, "%s: RUSHGATE_SCHEDULE_SEED=%llu repeats it\n", run.is->name,
            (unsigned long long)run.seed);
}

static uint64_t number(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

static bool run_case(const struct schedule_case *c)
{
    uint64_t until = clock_mono_ns() + number("RUSHGATE_SCHEDULE_MS", 1000) * NS_PER_MS;
    uint64_t only = number("RUSHGATE_SCHEDULE_SEED", 0), n = 0, points = 0, killed = 0;

    do {
        if (!run_seed(c, only != 0 ? only : n + 1)) {
            say_seed();
            return false;
        }
        points += run.points;
        killed += run.killed;
        n++;
    } while (only == 0 && (n < SEEDS_MIN || clock_mono_ns() < until));
    printf("%s: %llu schedules, %llu accesses, a thread killed in %llu\n", c->name,
           (unsigned long long)n, (unsigned long long)points, (unsigned long long)killed);
    return true;
}

int schedule_all(const struct schedule_case *cases, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (!run_case(&cases[i]))
            return 1;
    return 0;
}

/* --- ThreadSanitizer's side --- */

/* The interface of libtsan; a declaration of each, since there is no header. */
#define VISIBLE __attribute__((visibility("default")))

const char *__tsan_default_options(void) VISIBLE;
void __tsan_on_report(void *report) VISIBLE;

const char *__tsan_default_options(void)
{
    return "halt_on_error=1";
}

void __tsan_on_report(void *report)
{
    (void)report;
    if (run.is != NULL)
        say_seed();
}

typedef unsigned __int128 word128;
typedef uint64_t word64;
typedef uint32_t word32;
typedef uint8_t word8;

#define LOAD(bits)                                                                                 \
    word##bits __real___tsan_atomic##bits##_load(const volatile word##bits *p, int order);         \
    word##bits __wrap___tsan_atomic##bits##_load(const volatile word##bits *p, int order);         \
    word##bits __wrap___tsan_atomic##bits##_load(const volatile word##bits *p, int order)          \
    {                                                                                              \
        point();                                                                                   \
        return __real___tsan_atomic##bits##_load(p, order);                                        \
    }

#define STORE(bits)                                                                                \
    void __real___tsan_atomic##bits##_store(volatile word##bits *p, word##bits v, int order);      \
    void __wrap___tsan_atomic##bits##_store(volatile word##bits *p, word##bits v, int order);      \
    void __wrap___tsan_atomic##bits##_store(volatile word##bits *p, word##bits v, int order)       \
    {                                                                                              \
        point();                                                                                   \
        __real___tsan_atomic##bits##_store(p, v, order);                                           \
    }

#define SWAP(bits, how)                                                                            \
    int __real___tsan_atomic##bits##_compare_exchange_##how(                                       \
        volatile word##bits *p, word##bits *old, word##bits v, int order, int failed);             \
    int __wrap___tsan_atomic##bits##_compare_exchange_##how(                                       \
        volatile word##bits *p, word##bits *old, word##bits v, int order, int failed);             \
    int __wrap___tsan_atomic##bits##_compare_exchange_##how(                                       \
        volatile word##bits *p, word##bits *old, word##bits v, int order, int failed)              \
    {                                                                                              \
        point();                                                                                   \
        return __real___tsan_atomic##bits##_compare_exchange_##how(p, old, v, order, failed);      \
    }

LOAD(8)
LOAD(32)
LOAD(64)
STORE(8)
STORE(32)
STORE(64)
SWAP(64, strong)
SWAP(64, weak)
SWAP(128, strong)
