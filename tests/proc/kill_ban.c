/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The master, killed at any instruction of a publication of bans; a worker, killed while it counts.
 * Whatever the instruction: readers find the whole old list or the whole new one, and the next
 * publication, by whoever comes, works.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "killstep.h"
#include "table/ban_book.h"

#define CAPACITY    8u
#define NOW         UINT64_C(1000)
#define STEP_BUDGET 60000

/* The images of two lists, made before: the section only publishes. */
struct shared {
    size_t old_n, new_n;
    uint64_t *old, *new; /* the parent's; a child has them by fork */
    struct ban_zone zone;
};

static size_t size_of(void)
{
    return offsetof(struct shared, zone) + ban_zone_size(CAPACITY);
}

static uint64_t *image(const char *const *texts, size_t n, size_t *words)
{
    struct ban_entry entries[CAPACITY];
    struct buf why = {0};

    for (size_t i = 0; i < n; i++) {
        entries[i] = (struct ban_entry){.until_ns = BAN_NEVER, .cell = (uint32_t)i, .serial = 5};
        if (!ban_target_parse(slice_str(texts[i]), &entries[i].what, &why))
            abort();
    }
    return ban_image_build(entries, n, 1, words);
}

static bool banned(const struct ban_zone *z, const char *text)
{
    static const uint8_t nobody[16];
    struct ban_target t;
    struct buf why = {0};
    struct ban_hit hit;

    if (!ban_target_parse(slice_str(text), &t, &why))
        abort();
    return ban_check(z, t.identity.n > 0 ? nobody : t.addr, t.identity, &(uint64_t){NOW}, &hit);
}

static bool say(bool held, const char *what)
{
    if (!held)
        fprintf(stderr, "kill_ban: %s\n", what);
    return held;
}

static void reset(void *memory)
{
    static const char *const old[] = {"10.2.0.0/16", "192.0.2.1", "identity:ann"};
    static const char *const new[] = {"10.2.3.0/24", "192.0.2.2", "2001:db8::/32", "identity:bob"};
    static struct shared made; /* once, and reachable to the end */
    struct shared *s = memory;

    if (made.old == NULL) {
        made.old = image(old, 3, &made.old_n);
        made.new = image(new, 4, &made.new_n);
    }
    memset(memory, 0, size_of());
    ban_zone_init(&s->zone, CAPACITY, 1);
    s->old = made.old;
    s->old_n = made.old_n;
    s->new = made.new;
    s->new_n = made.new_n;
    /* Often enough that the section writes over a bank that held something. */
    for (unsigned i = 0; i < BAN_BANKS + 1; i++)
        if (ban_publish(&s->zone, s->old, s->old_n) < 0)
            abort();
}

static void section(void *memory)
{
    struct shared *s = memory;

    if (ban_publish(&s->zone, s->new, s->new_n) < 0)
        abort();
}

static void section_none(void *memory)
{
    struct shared *s = memory;

    if (ban_publish(&s->zone, NULL, 0) < 0)
        abort();
}

static bool is_old(const struct ban_zone *z)
{
    return banned(z, "10.2.9.9") && banned(z, "192.0.2.1") && !banned(z, "192.0.2.2") &&
           !banned(z, "2001:db8::1") && banned(z, "identity:ann") && !banned(z, "identity:bob");
}

static bool is_new(const struct ban_zone *z)
{
    return !banned(z, "10.2.9.9") && banned(z, "10.2.3.9") && !banned(z, "192.0.2.1") &&
           banned(z, "192.0.2.2") && banned(z, "2001:db8::1") && !banned(z, "identity:ann") &&
           banned(z, "identity:bob");
}

static bool holds(void *memory, bool finished)
{
    struct shared *s = memory;
    bool was_new = is_new(&s->zone);
    bool ok = say(was_new || (!finished && is_old(&s->zone)), "neither the old nor the new list");

    for (unsigned i = 0; i < BAN_BANKS + 1; i++) {
        section(memory);
        ok &= say(is_new(&s->zone), "a successor's publication is not in force");
    }
    return ok;
}

static bool holds_none(void *memory, bool finished)
{
    struct shared *s = memory;
    bool none = !ban_any(&s->zone);
    bool ok = say(none || (!finished && is_old(&s->zone)), "neither the old list nor none");

    section(memory);
    return ok && say(is_new(&s->zone), "a successor's publication is not in force");
}

/* --- counting --- */

static const struct ban_hit hit = {.cell = 2, .serial = 5};

static void reset_count(void *memory)
{
    struct shared *s = memory;
    static const struct ban_hit before = {.cell = 2, .serial = 4};

    reset(memory);
    ban_count(&s->zone, 1, &before, NOW);
    ban_count(&s->zone, 0, &hit, NOW);
}

static void section_count(void *memory)
{
    struct shared *s = memory;

    ban_count(&s->zone, 1, &hit, NOW + 1);
}

static bool holds_count(void *memory, bool finished)
{
    struct shared *s = memory;
    uint64_t last, n = ban_hits(&s->zone, 2, hit.cell, hit.serial, &last);

    return say(n == 2 || (!finished && n == 1), "a hit of another ban is counted") &&
           say(last == NOW || last == NOW + 1, "no time of a hit");
}

static const struct kill_case cases[] = {
    {"ban_publish", reset, section, holds},
    {"ban_publish, none", reset, section_none, holds_none},
    {"ban_count", reset_count, section_count, holds_count},
};

int main(void)
{
    return kill_all(cases, sizeof cases / sizeof *cases, kill_memory(size_of()), size_of(),
                    STEP_BUDGET);
}
