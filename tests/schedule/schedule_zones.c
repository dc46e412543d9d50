/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Everything with one writer and many readers under randomized schedules: banks and the names that
 * change hands with them, bans, offenders. A reader finds the old
 * or the new, whole, also when the writer was killed half-way.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "metric/names.h"
#include "schedule.h"
#include "shm/bank.h"
#include "table/ban_book.h"
#include "table/offenders.h"

#define READERS 2u /* threads 0 and 1; the writer is the last, which may be killed */
#define WRITER  2u

/* What each thread found wrong; a word that they shared would order what they do. The last one is
 * the main thread's. */
static unsigned found[SCHEDULE_THREADS_MAX + 1];
static _Thread_local unsigned me = SCHEDULE_THREADS_MAX;

static void wrong_if(bool wrong)
{
    found[me] += wrong;
}

static void forget(void)
{
    memset(found, 0, sizeof found);
}

static bool holds(bool killed)
{
    (void)killed;
    for (unsigned i = 0; i <= SCHEDULE_THREADS_MAX; i++)
        if (found[i] > 0) {
            fprintf(stderr, "schedule_zones: thread %u found what nobody wrote\n", i);
            return false;
        }
    return true;
}

static void *memory(size_t size)
{
    void *p = aligned_alloc(4096, (size + 4095) & ~(size_t)4095);

    CHECK(p != NULL);
    memset(p, 0, size);
    return p;
}

/* --- banks, and the index of a name that changes with each generation --- */

#define GENERATIONS 6u

static struct control *control;
static struct bank_zone *banks;
static struct metric_zone *metrics;
static struct names names;

struct snapshot {
    char route[16];
    uint32_t index;
    uint64_t copy[4];
};

static void make_snapshot(struct snapshot *s, uint64_t generation)
{
    *s = (struct snapshot){0};
    snprintf(s->route, sizeof s->route, "route %u", (unsigned)generation % 4);
    for (unsigned i = 0; i < 4; i++)
        s->copy[i] = generation;
}

static bool publish(uint64_t generation)
{
    struct slots_held held;
    struct snapshot s;
    unsigned holder;
    int bank;

    slots_held(control, &held);
    make_snapshot(&s, generation);
    bank = bank_reserve(banks, control, sizeof s, generation, &holder);
    if (bank < 0)
        return false;
    names_begin(&names, generation, held.from, bank_in_use(banks, &held));
    /* Two indexes for four names: they must change hands. */
    for (uint32_t i = 3; i < METRIC_ROUTES; i++)
        strcpy(names.all[NAME_ROUTE][i].text, "full");
    s.index = names_index(&names, NAME_ROUTE, s.route);
    for (uint32_t i = 3; i < METRIC_ROUTES; i++)
        names.all[NAME_ROUTE][i] = (struct name_index){0};
    bank_fill(banks, (unsigned)bank, &s, sizeof s, generation);
    names_commit(&names, (unsigned)bank);
    bank_flip(banks, (unsigned)bank, 1);
    return true;
}

static void reset_banks(void)
{
    memset(control, 0, sizeof *control);
    control_init(control);
    bank_zone_init(banks, 4096);
    memset(metrics, 0, offsetof(struct metric_zone, blocks));
    for (unsigned i = 0; i < READERS; i++)
        memset(metrics->blocks[i].routes, 0, 3 * sizeof(struct metric_route));
    if (names.zone != NULL)
        names_fini(&names);
    names_init(&names, metrics, READERS);
    forget();
    wrong_if(!publish(1));
    for (unsigned i = 0; i < READERS; i++)
        slot_claim(&control->slots[i], 1, 0);
}

/* What it took into use is what was published, its name is in the zone, and it counts there. */
static void use(unsigned thread, struct bank_ref ref)
{
    const struct snapshot *s = ref.data;
    struct snapshot want;
    const char *name;

    make_snapshot(&want, ref.generation);
    wrong_if(strcmp(s->route, want.route) != 0 || memcmp(s->copy, want.copy, sizeof s->copy) != 0);
    if (s->index == 0)
        return;
    name = metric_route_name(metrics, s->index);
    wrong_if(name == NULL || strcmp(name, want.route) != 0);
    metric_add(&metrics->blocks[thread].routes[s->index].status[2], 1);
}

static void adopt(unsigned thread)
{
    struct bank_ref held = bank_current(banks);

    for (unsigned turn = 0; turn < 12; turn++) {
        struct bank_ref now = bank_current(banks);
        use(thread, now);
        use(thread, held); /* of a request that goes on */
        if (schedule_draw(3) == 0)
            held = now;
        /* What is current needs no bit: it is held by its number. */
        slot_hold(&control->slots[thread], now.generation, bank_bit(held.bank));
    }
}

static void adopt_or_publish(unsigned thread)
{
    me = thread;
    if (thread < READERS)
        adopt(thread);
    else
        for (uint64_t g = 2; g <= GENERATIONS; g++)
            wrong_if(!publish(g));
}

/* --- bans --- */

static struct ban_zone *bans;
static uint64_t *image[2];
static size_t image_words[2];

static struct ban_target target(const char *text)
{
    struct ban_target t;
    struct buf why = {0};

    CHECK(ban_target_parse(slice_str(text), &t, &why));
    return t;
}

/* In both lists 192.0.2.1 is banned and 192.0.2.9 is not. */
static void make_images(void)
{
    static const char *const other[2] = {"10.0.0.0/8", "192.0.2.2"};

    for (unsigned i = 0; i < 2; i++) {
        struct ban_entry e[2] = {{.what = target("192.0.2.1"), .until_ns = BAN_NEVER, .serial = 5},
                                 {.what = target(other[i]), .until_ns = BAN_NEVER, .cell = 1}};
        image[i] = ban_image_build(e, 2, 1, &image_words[i]);
    }
}

static void reset_bans(void)
{
    memset(bans, 0, ban_zone_size(8));
    ban_zone_init(bans, 8, 1);
    forget();
    wrong_if(ban_publish(bans, image[0], image_words[0]) < 0);
}

static bool banned(const char *text, struct ban_hit *hit)
{
    struct ban_target t = target(text);

    return ban_check(bans, t.addr, slice_of("", 0), &(uint64_t){1000}, hit);
}

static void ban(unsigned thread)
{
    struct ban_hit hit;

    me = thread;
    for (unsigned i = 0; thread == WRITER && i < 9; i++)
        wrong_if(ban_publish(bans, image[i % 2], image_words[i % 2]) < 0);
    for (unsigned i = 0; thread < READERS && i < 4; i++) {
        wrong_if(banned("192.0.2.9", &hit) || !banned("192.0.2.1", &hit) || hit.serial != 5);
        ban_count(bans, thread, &hit, 1000);
    }
}

static bool holds_bans(bool killed)
{
    uint64_t last;

    return holds(killed) && ban_hits(bans, READERS, 0, 5, &last) == 4 * READERS;
}

/* --- offenders --- */

#define NOW (1000 * OFFENDERS_WINDOW_NS)

static struct offenders_zone *offenders;

static void reset_offenders(void)
{
    memset(&offenders->slab[0], 0, sizeof offenders->slab[0]);
    forget();
}

/* More keys than a set has places; each has the number of its key as limit and in its text. */
static void refuse(void)
{
    struct offenders o = {&offenders->slab[0], schedule_draw(1000)};

    for (unsigned i = 0; i < 80; i++) {
        uint32_t k = (uint32_t)schedule_draw(40) + 1;
        char text[16];
        struct offender who = {.fingerprint = UINT64_C(7) << 8 | k, .limit = k};
        unsigned way;
        who.text = slice_of(text, (size_t)snprintf(text, sizeof text, "the key %u", k));
        if (offenders_count(&o, who.fingerprint, NOW, &way))
            offenders_describe(&o, &who, way);
    }
}

static void look(void)
{
    struct offender top[16];
    char texts[16 * OFFENDERS_TEXT], want[16];
    size_t n = offenders_top(offenders, 1, 0, NOW, top, texts, 16);

    for (size_t i = 0; i < n; i++) {
        snprintf(want, sizeof want, "the key %u", top[i].limit);
        wrong_if((top[i].fingerprint & 0xff) != top[i].limit ||
                 !slice_eq(top[i].text, slice_str(want)));
    }
}

static void refuse_or_look(unsigned thread)
{
    me = thread;
    if (thread == 1)
        refuse();
    for (unsigned i = 0; thread == 0 && i < 3; i++)
        look();
}

int main(void)
{
    static const struct schedule_case cases[] = {
        {"bank_publish, names_commit", 3, reset_banks, adopt_or_publish, holds, 1},
        {"ban_publish", 3, reset_bans, ban, holds_bans, 1},
        {"offenders_count", 2, reset_offenders, refuse_or_look, holds, 1},
    };

    control = memory(sizeof *control);
    banks = memory(bank_zone_size(4096));
    metrics = memory(sizeof *metrics);
    bans = memory(ban_zone_size(8));
    offenders = memory(sizeof *offenders);
    make_images();
    return schedule_all(cases, sizeof cases / sizeof *cases);
}
