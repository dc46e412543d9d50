/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the limit table does with two processes: one JSON object a line.
 *
 *   bench_limit rates [SECONDS]     admitted beside allowed, offered as fast as it goes
 *   bench_limit speed [SECONDS]     decisions per second on one key: strict, leased, denied
 *   bench_limit keys [SECONDS]      strict decisions per second over 1 to 10 million live keys
 *
 * Decisions read the clock every BATCH, as a worker that handles a turn's requests would.
 */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/hash.h"
#include "table/limit.h"

#define PROCESSES 2u
#define SET_BITS  12u
#define KEYS_BITS 19u /* as the master makes it: places for 4 million keys */
#define BATCH     64u

#define GAPS 256u

/* When a process did not ask, because the scheduler let others run. */
struct gap {
    uint64_t from_ns, to_ns;
};

struct share {
    _Atomic unsigned ready;
    struct {
        _Alignas(SHM_LINE) uint64_t admitted, decisions, overflowed, first_ns, last_ns;
        struct gap gap[GAPS]; /* those in which more than the burst flows in */
        unsigned gaps;
    } of[PROCESSES];
};

struct run {
    uint64_t rate, burst;
    bool leases;
    unsigned batch;
    double seconds;
    uint64_t keys; /* of `keys` */
};

static struct limit_zone *zone_make(unsigned set_bits)
{
    struct zone z;

    if (zone_create(&z, "limit", LIMIT_LAYOUT, limit_zone_size(set_bits)) < 0)
        die("cannot create a zone");
    limit_zone_init((struct limit_zone *)z.head, set_bits, 1);
    return (struct limit_zone *)z.head;
}

static void note_gap(struct share *s, unsigned me, uint64_t from_ns, uint64_t to_ns)
{
    if (s->of[me].gaps < GAPS)
        s->of[me].gap[s->of[me].gaps++] = (struct gap){from_ns, to_ns};
}

/* Tokens that ran over an idle bucket because neither process asked: no limit can admit them. */
static double unasked(const struct share *s, const struct run *r)
{
    double tokens = 0;

    for (unsigned i = 0; i < s->of[0].gaps; i++)
        for (unsigned j = 0; j < s->of[1].gaps; j++) {
            struct gap a = s->of[0].gap[i], b = s->of[1].gap[j];
            uint64_t from = a.from_ns > b.from_ns ? a.from_ns : b.from_ns;
            uint64_t to = a.to_ns < b.to_ns ? a.to_ns : b.to_ns;
            double flowed = to > from ? (double)(to - from) / 1e9 * (double)r->rate : 0;
            if (flowed > (double)r->burst)
                tokens += (double)(uint64_t)(flowed - (double)r->burst);
        }
    return tokens;
}

static void part(struct limit_zone *z, struct share *s, unsigned me, const struct run *r)
{
    struct limit_worker w = {z, r->leases ? &z->slab[me] : NULL, PROCESSES};
    uint64_t interval = limit_interval(r->rate, NS_PER_S), now, end, admitted = 0, n = 0;
    uint64_t burst_ns = r->burst * interval / LIMIT_TICKS_PER_NS;
    struct limit_ask a = {.fingerprint = limit_fingerprint(hash_mix(1)),
                          .interval = interval,
                          .capacity = r->burst * interval,
                          .charge = interval};

    atomic_fetch_add(&s->ready, 1);
    while (atomic_load(&s->ready) < PROCESSES)
        ;
    now = s->of[me].first_ns = clock_mono_ns();
    end = now + (uint64_t)(r->seconds * 1e9);
    while (now < end) {
        if (now - s->of[me].last_ns > burst_ns && n > 0)
            note_gap(s, me, s->of[me].last_ns, now);
        s->of[me].last_ns = now; /* of the last attempt: what comes later nobody asked for */
        for (unsigned i = 0; i < r->batch; i++)
            admitted += limit_lease_take(&w, &a, now);
        n += r->batch;
        now = clock_mono_ns();
    }
    s->of[me].admitted = admitted;
    s->of[me].decisions = n;
}

static void both(const struct run *r, struct share *s)
{
    struct limit_zone *z = zone_make(SET_BITS);

    memset(s, 0, sizeof *s);
    for (unsigned i = 0; i < PROCESSES; i++)
        if (fork() == 0) {
            part(z, s, i, r);
            _exit(0);
        }
    for (unsigned i = 0; i < PROCESSES; i++)
        wait(NULL);
}

/* ---- many keys ---------------------------------------------------------------------------------
 */

/* Two seconds a token: a bucket that was taken from stays live until it is asked again. */
static struct limit_ask key_ask(uint64_t key)
{
    uint64_t interval = limit_interval(1, 2 * NS_PER_S);

    return (struct limit_ask){.fingerprint = limit_fingerprint(hash_mix(key)),
                              .interval = interval,
                              .capacity = UINT64_C(200000000) * interval,
                              .charge = interval};
}

static void keys_part(struct limit_zone *z, struct share *s, unsigned me, const struct run *r)
{
    uint64_t now, end, x = hash_mix(me + 1), n = 0, admitted = 0, overflowed = 0;

    atomic_fetch_add(&s->ready, 1);
    while (atomic_load(&s->ready) < PROCESSES)
        ;
    now = s->of[me].first_ns = clock_mono_ns();
    end = now + (uint64_t)(r->seconds * 1e9);
    for (; now < end; now = clock_mono_ns()) {
        for (unsigned i = 0; i < BATCH; i++) {
            struct limit_ask a = key_ask((x = hash_mix(x + i)) % r->keys);

            admitted += limit_take(z, &a, now);
            overflowed += a.overflowed;
        }
        n += BATCH;
    }
    s->of[me].last_ns = now;
    s->of[me].admitted = admitted;
    s->of[me].decisions = n;
    s->of[me].overflowed = overflowed;
}

static void totals(const struct share *s, uint64_t *admitted, uint64_t *decisions, double *seconds)
{
    uint64_t first = UINT64_MAX, last = 0;

    *admitted = *decisions = 0;
    for (unsigned i = 0; i < PROCESSES; i++) {
        *admitted += s->of[i].admitted;
        *decisions += s->of[i].decisions;
        first = s->of[i].first_ns < first ? s->of[i].first_ns : first;
        last = s->of[i].last_ns > last ? s->of[i].last_ns : last;
    }
    *seconds = (double)(last - first) / 1e9;
}

/* Up to 200 ms of burst, so that processes the scheduler stops for a while lose nothing, nor with
 * them the rest of a lease: leases are of the upper half, and strict is what is near the limit.
 * What flows by while both are stopped for longer is counted, and not allowed for. */
static int rates(struct share *s, double seconds)
{
    static const uint64_t all[] = {1, 100, 3000, 50000, 1000000};
    int rc = 0;

    for (unsigned i = 0; i < 2 * sizeof all / sizeof *all; i++) {
        struct run r = {.rate = all[i / 2], .leases = i % 2, .batch = 1};
        uint64_t admitted, decisions;
        double took, allowed, missed;
        r.burst = 1 + r.rate / 5;
        /* At 1/s as many seconds as make one token in a thousand visible would take a quarter of an
         * hour; what is shown is that no token is missing or too many. Half a token more than a
         * whole number of them: the two do not begin in the same microsecond, so that a token due
         * at the very end is there for the clock of one and not yet for the other's. */
        r.seconds = (r.rate == 1 && seconds < 5 ? 5 : seconds) + 0.5 / (double)r.rate;
        both(&r, s);
        totals(s, &admitted, &decisions, &took);
        allowed = (double)r.burst + (double)(uint64_t)((double)r.rate * took);
        missed = unasked(s, &r);
        allowed -= missed;
        rc |= (double)admitted > allowed || (double)admitted < 0.999 * allowed;
        printf("{\"rate\": %llu, \"leases\": %s, \"admitted\": %llu, \"allowed\": %.0f, "
               "\"percent\": %.3f, \"unasked\": %.0f, \"offered_per_s\": %.0f}\n",
               (unsigned long long)r.rate, r.leases ? "true" : "false",
               (unsigned long long)admitted, allowed, 100 * (double)admitted / allowed, missed,
               (double)decisions / took);
        fflush(stdout);
    }
    return rc;
}

static int speed(struct share *s, double seconds)
{
    static const struct {
        const char *name;
        uint64_t rate, burst;
        bool leases;
    } all[] = {
        {"strict", 1000000000, 1000000000, false},
        {"leased", 1000000000, 1000000000, true},
        {"denied", 1, 1, false},
    };

    for (unsigned i = 0; i < sizeof all / sizeof *all; i++) {
        struct run r = {.rate = all[i].rate,
                        .burst = all[i].burst,
                        .leases = all[i].leases,
                        .batch = BATCH,
                        .seconds = seconds};
        uint64_t admitted, decisions;
        double took;
        both(&r, s);
        totals(s, &admitted, &decisions, &took);
        printf("{\"decisions\": \"%s\", \"per_s\": %.0f, \"admitted_percent\": %.1f}\n",
               all[i].name, (double)decisions / took, 100 * (double)admitted / (double)decisions);
        fflush(stdout);
    }
    return 0;
}

static void keys_run(struct share *s, const struct run *r)
{
    struct limit_zone *z = zone_make(KEYS_BITS);
    uint64_t now = clock_mono_ns(), admitted, decisions, overflowed = 0;
    double took;

    for (uint64_t key = 0; key < r->keys; key++) {
        struct limit_ask a = key_ask(key);

        limit_take(z, &a, now);
    }
    memset(s, 0, sizeof *s);
    for (unsigned i = 0; i < PROCESSES; i++)
        if (fork() == 0) {
            keys_part(z, s, i, r);
            _exit(0);
        }
    for (unsigned i = 0; i < PROCESSES; i++)
        wait(NULL);
    for (unsigned i = 0; i < PROCESSES; i++)
        overflowed += s->of[i].overflowed;
    totals(s, &admitted, &decisions, &took);
    printf("{\"keys\": %llu, \"per_s\": %.0f, \"admitted_percent\": %.1f, \"shared\": %.4f}\n",
           (unsigned long long)r->keys, (double)decisions / took,
           100 * (double)admitted / (double)decisions, (double)overflowed / (double)decisions);
    fflush(stdout);
    munmap(z, limit_zone_size(KEYS_BITS));
}

static int keys(struct share *s, double seconds)
{
    static const uint64_t all[] = {1, 1000, 1000000, 4000000, 10000000};

    for (unsigned i = 0; i < sizeof all / sizeof *all; i++)
        keys_run(s, &(struct run){.seconds = seconds, .keys = all[i]});
    return 0;
}

int main(int argc, char **argv)
{
    double seconds = argc > 2 ? atof(argv[2]) : 1;
    struct share *s =
        mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (argc > 1 && strcmp(argv[1], "rates") == 0)
        return rates(s, seconds);
    if (argc > 1 && strcmp(argv[1], "speed") == 0)
        return speed(s, seconds);
    if (argc > 1 && strcmp(argv[1], "keys") == 0)
        return keys(s, seconds);
    fprintf(stderr, "usage: bench_limit rates|speed|keys [SECONDS]\n");
    return 2;
}
