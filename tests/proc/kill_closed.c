/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A worker, killed at any instruction while it keeps a refusal, opens what was closed, or notes a
 * key. Whatever the instruction: an entry is whole or says nothing and can be written again; no key
 * that was noted before is missing.
 */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "killstep.h"
#include "table/closed.h"
#include "table/sent.h"

#define NOW         (1000 * NS_PER_S)
#define LATER       (NOW + 10 * NS_PER_S)
#define PERIOD      (10 * NS_PER_S)
#define STEP_BUDGET 60000
#define OTHERS      CLOSED_WAYS

static const struct closed_answer answers[2] = {
    {.status = 409, .reason = {"sold-out", 8}, .detail = {"not enough units are free", 25}},
    {.status = 503, .retry_after_s = 2, .reason = {"sale-paused", 11}, .detail = {"paused", 6}},
};

static uint64_t fingerprint(unsigned k)
{
    return UINT64_C(77) << 32 | (k + 1);
}

static bool say(bool held, const char *what)
{
    if (!held)
        fprintf(stderr, "kill_closed: %s\n", what);
    return held;
}

/* --- an entry takes the place of another, in a full set --- */

static void full_set(void *memory)
{
    struct closed_zone *z = memory;

    memset(z, 0, sizeof *z);
    for (unsigned k = 0; k < OTHERS; k++)
        closed_put(z, fingerprint(k), &answers[0], NOW, LATER + (k != 3) * NS_PER_S);
}

static void put(void *memory)
{
    closed_put(memory, fingerprint(OTHERS), &answers[1], NOW, LATER);
}

/* 0: not there, 1: whole, -1: something else. */
static int seen(const struct closed_zone *z, unsigned k, const struct closed_answer *want)
{
    struct closed_copy copy;
    struct closed_answer a;

    if (!closed_get(z, fingerprint(k), NOW, &copy, &a))
        return 0;
    return a.status == want->status && a.retry_after_s == want->retry_after_s &&
                   slice_eq(a.reason, want->reason) && slice_eq(a.detail, want->detail)
               ? 1
               : -1;
}

static bool whole(void *memory, bool finished)
{
    const struct closed_zone *z = memory;
    bool ok = true;

    for (unsigned k = 0; k < OTHERS; k++) {
        int s = seen(z, k, &answers[0]);
        ok &= say(s >= 0, "an entry of two halves");
        ok &= say(k == 3 || s == 1, "an entry is lost");
    }
    ok &= say(seen(z, OTHERS, &answers[1]) >= (finished ? 1 : 0), "the new entry is torn");
    put(memory);
    return ok && say(seen(z, OTHERS, &answers[1]) == 1, "the successor cannot write");
}

/* --- what was closed opens --- */

static void drop(void *memory)
{
    closed_drop(memory, fingerprint(2));
}

static bool opened(void *memory, bool finished)
{
    struct closed_zone *z = memory;
    bool ok = true;

    for (unsigned k = 0; k < OTHERS; k++)
        ok &= say(k == 2 || seen(z, k, &answers[0]) == 1, "another one opened");
    ok &= say(seen(z, 2, &answers[0]) == (finished ? 0 : seen(z, 2, &answers[0]) & 1),
              "it is neither closed nor open");
    closed_put(z, fingerprint(2), &answers[0], NOW, LATER);
    return ok && say(seen(z, 2, &answers[0]) == 1, "it cannot be closed again");
}

/* --- a key is noted: into words of this epoch, of an old one, of a newer one --- */

#define WORD_BITS 3u /* few words, so that each holds many keys */
#define OLD       40u
#define NEW       8u

static bool has(const struct sent_zone *z, unsigned k, uint64_t now_ns)
{
    return sent_has(z, sent_hash(z, slice_of((const char *)&k, sizeof k)), now_ns);
}

static void add(struct sent_zone *z, unsigned k, uint64_t now_ns)
{
    sent_add(z, sent_hash(z, slice_of((const char *)&k, sizeof k)), now_ns);
}

static void keys_before(void *memory)
{
    memset(memory, 0, sent_zone_size(WORD_BITS));
    sent_zone_init(memory, WORD_BITS, 1, PERIOD, NOW);
    for (unsigned k = 0; k < OLD; k++)
        add(memory, k, NOW + (k % 2 ? 2 : 1) * PERIOD);
}

static void send_keys(void *memory)
{
    for (unsigned k = 0; k < NEW; k++)
        add(memory, 1000 + k, NOW + (k % 3 + 1) * PERIOD);
}

static bool all_there(void *memory, bool finished)
{
    const struct sent_zone *z = memory;
    bool ok = true;

    for (unsigned k = 0; k < OLD; k++) /* asked within their period */
        ok &= say(has(z, k, NOW + 2 * PERIOD) || k % 2 == 0, "a key is gone");
    for (unsigned k = 0; finished && k < NEW; k++)
        ok &= say(has(z, 1000 + k, NOW + (k % 3 + 1) * PERIOD), "a new key is not there");
    send_keys(memory);
    for (unsigned k = 0; k < NEW; k++)
        ok &= say(has(z, 1000 + k, NOW + (k % 3 + 1) * PERIOD), "the successor cannot add");
    return ok;
}

int main(void)
{
    static const struct kill_case closed[] = {
        {"closed: put", full_set, put, whole},
        {"closed: drop", full_set, drop, opened},
    };
    static const struct kill_case sent = {"sent: add", keys_before, send_keys, all_there};
    size_t size = sizeof(struct closed_zone);
    void *memory = kill_memory(size);
    int rc = kill_all(closed, sizeof closed / sizeof *closed, memory, size, STEP_BUDGET);

    return rc != 0 ? rc : kill_all(&sent, 1, memory, sent_zone_size(WORD_BITS), STEP_BUDGET);
}
