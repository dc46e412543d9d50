/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a worker publishes of its concurrency limits, which its successor begins with. Killed at any
 * instruction of a call's beginning or end, or of a change of the settings: the successor's limit
 * is inside the configured bounds, the counters never run backwards, and no call is counted twice.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "gate/request.h"
#include "killstep.h"

#define STEP_BUDGET 60000
#define NOW         (1000 * NS_PER_S)
#define MIN         4u
#define MAX         50u
#define ADMITTED    9u

/* A configuration with one limit, and the words of a slot. */
struct shared {
    struct conf_root root; /* names lie at offsets from here */
    char name[16];
    struct metric_concurrency words;
};

/* The worker's own, as it dies with it. */
static struct metric_block *block;
static struct concurrency limit;
static struct concurrency_places places;

static bool say(bool held, const char *what)
{
    if (!held)
        fprintf(stderr, "kill_concurrency: %s\n", what);
    return held;
}

static struct conf_concurrency settings(uint32_t min, uint32_t max)
{
    return (struct conf_concurrency){.mode = CONF_CONCURRENCY_ADAPTIVE,
                                     .min = min,
                                     .max = max,
                                     .initial = min,
                                     .tolerance_percent = 150,
                                     .stat = 1,
                                     .name = {offsetof(struct shared, name), 5}};
}

static void reset(void *memory)
{
    struct shared *s = memory;
    struct gradient_config cfg = {.min = MIN, .max = MAX, .initial = 20, .tolerance = 1.5};

    memset(s, 0, sizeof *s);
    memcpy(s->name, "limit", 5);
    limit = (struct concurrency){.words = &s->words, .mode = CONF_CONCURRENCY_ADAPTIVE};
    gradient_init(&limit.gradient, &cfg, NOW, 2e6);
    s->words.limit_milli = 20000;
    s->words.long_ns = 2000000;
    s->words.admitted = ADMITTED;
}

static void enter(void *memory)
{
    struct concurrency *of[2] = {&limit, NULL};

    (void)memory;
    if (concurrency_has_room(of))
        concurrency_enter(&places, of, NOW);
}

static void reset_leave(void *memory)
{
    reset(memory);
    enter(memory);
}

static void leave(void *memory)
{
    (void)memory;
    concurrency_leave(&places, CALL_FAILED, NOW + 5 * NS_PER_MS);
}

static void change(void *memory)
{
    struct conf_concurrency conf = settings(MIN, 10);

    (void)memory;
    concurrency_update(&limit, &conf);
}

/* The next worker in the slot, with other bounds: any value is one it may begin with. */
static bool goes_on(struct shared *s, uint32_t min, uint32_t max)
{
    struct conf_concurrency conf = settings(min, max);
    struct gate g = {.ctx.metrics = block};
    struct concurrency *c;
    bool ok;

    block->concurrency[1] = s->words;
    list_init(&g.concurrency);
    if (concurrency_get(&g, &s->root, &conf, false, &c) < 0)
        die("no memory");
    ok = gradient_limit(&c->gradient) >= min && gradient_limit(&c->gradient) <= max &&
         block->concurrency[1].in_flight == 0;
    concurrency_put(&c);
    return say(ok, "the successor's limit is outside its bounds");
}

static bool holds(struct shared *s, uint64_t admitted, uint64_t failed, uint64_t most_in_flight)
{
    return say(s->words.admitted == admitted || s->words.admitted + 1 == admitted, "admitted") &
           say(s->words.failed == failed || s->words.failed + 1 == failed, "failed") &
           say(s->words.in_flight <= most_in_flight, "more calls than there were") &
           say(s->words.limit_milli >= MIN * 1000 && s->words.limit_milli <= MAX * 1000,
               "a limit outside the bounds") &
           goes_on(s, MIN, MAX) & goes_on(s, 1, 2) & goes_on(s, 60, 100);
}

static bool holds_enter(void *memory, bool finished)
{
    struct shared *s = memory;

    return holds(s, ADMITTED + 1, 0, 1) &
           say(!finished || (s->words.in_flight == 1 && s->words.admitted == ADMITTED + 1),
               "the call is not counted");
}

static bool holds_leave(void *memory, bool finished)
{
    struct shared *s = memory;

    return holds(s, ADMITTED + 1, 1, 1) &
           say(!finished || (s->words.in_flight == 0 && s->words.failed == 1),
               "the call is not over");
}

static bool holds_change(void *memory, bool finished)
{
    struct shared *s = memory;

    return holds(s, ADMITTED, 0, 0) &
           say(!finished || s->words.limit_milli <= 10000, "the settings are not in force");
}

int main(void)
{
    static const struct kill_case cases[] = {
        {"concurrency_enter", reset, enter, holds_enter},
        {"concurrency_leave", reset_leave, leave, holds_leave},
        {"concurrency_update", reset, change, holds_change},
    };

    block = xcalloc(1, sizeof *block);
    return kill_all(cases, sizeof cases / sizeof *cases, kill_memory(sizeof(struct shared)),
                    sizeof(struct shared), STEP_BUDGET);
}
