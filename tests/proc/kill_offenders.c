/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A worker, killed at any instruction while it counts a refusal. Whatever the instruction: every
 * place is empty or holds one key with its own text, and the successor counts on.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "killstep.h"
#include "table/offenders.h"

#define NOW         (1000 * OFFENDERS_WINDOW_NS)
#define KEYS        9u /* of one set, one more than it has places */
#define STEP_BUDGET 60000

static const char *const names[KEYS] = {"key number 0, long enough for some words",
                                        "key 1",
                                        "key 2",
                                        "key 3",
                                        "key 4",
                                        "key 5",
                                        "key 6",
                                        "key 7",
                                        "the eighth, which takes the place of another"};

static uint64_t fingerprint_of(unsigned k)
{
    return UINT64_C(77) << 8 | (k + 1);
}

static void refuse(struct offenders *o, unsigned k)
{
    struct offender who = {
        .fingerprint = fingerprint_of(k), .limit = k + 1, .text = slice_str(names[k])};
    unsigned way;

    who.addr[15] = (uint8_t)k;
    if (offenders_count(o, who.fingerprint, NOW, &way))
        offenders_describe(o, &who, way);
}

static bool say(bool held, const char *what)
{
    if (!held)
        fprintf(stderr, "kill_offenders: %s\n", what);
    return held;
}

static void reset(void *memory)
{
    struct offenders_zone *z = memory;
    struct offenders o = {&z->slab[0], 1};

    memset(z, 0, sizeof *z);
    for (unsigned k = 0; k < KEYS - 1; k++)
        for (unsigned i = 0; i < (k == 3 ? 1 : 10); i++)
            refuse(&o, k);
}

/* A start from which the first newcomer is drawn (offenders.c). */
static uint64_t lucky(void)
{
    uint64_t start = 0, state;

    do
        state = ++start;
    while ((random_next(&state) >> 32) * 8 >> 32 != 0);
    return start;
}

/* Takes the place of key 3 and is counted in it. */
static void section(void *memory)
{
    struct offenders_zone *z = memory;
    struct offenders o = {&z->slab[0], lucky()};

    for (unsigned i = 0; i < 3; i++)
        refuse(&o, KEYS - 1);
}

static bool whole(const struct offender *who, bool *newcomer)
{
    unsigned k = (unsigned)(who->fingerprint & 0xff) - 1;

    *newcomer = *newcomer || k == KEYS - 1;
    return k < KEYS && who->limit == k + 1 && who->addr[15] == k &&
           slice_eq(who->text, slice_str(names[k])) && who->refused <= 10;
}

static bool holds(void *memory, bool finished)
{
    struct offenders_zone *z = memory;
    struct offender top[16];
    char texts[16 * OFFENDERS_TEXT];
    bool newcomer = false, ok = true;
    size_t n = offenders_top(z, 1, 0, NOW, top, texts, 16);

    ok &= say(n == KEYS - 1 || (n == KEYS - 2 && !finished), "places are lost");
    for (size_t i = 0; i < n; i++)
        ok &= say(whole(&top[i], &newcomer), "a place holds parts of two keys");
    ok &= say(!finished || newcomer, "the section did not take a place");
    for (unsigned i = 0; i < 3; i++)
        section(memory);
    n = offenders_top(z, 1, 0, NOW, top, texts, 16);
    return ok && say(n == KEYS - 1, "the successor does not go on");
}

int main(void)
{
    static const struct kill_case k = {"offenders", reset, section, holds};
    void *memory = kill_memory(sizeof(struct offenders_zone));

    return kill_all(&k, 1, memory, sizeof(struct offender_slab) + sizeof(struct zone_header),
                    STEP_BUDGET);
}
