/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the limit table does with two processes: one JSON object a line.
 *
 *   bench_limit rates [SECONDS]     admitted beside allowed, offered as fast as it goes
 *   bench_limit speed [SECONDS]     decisions per second on one key: strict, leased, denied
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
#define BATCH     64u

struct share {
    _Atomic unsigned ready;
    struct {
        _Alignas(SHM_LINE) uint64_t admitted, decisions, first_ns, last_ns;
    } of[PROCESSES];
};

struct run {
    uint64_t rate, burst;
    bool leases;
    unsigned batch;
    double seconds;
};

static struct limit_zone *zone_make(void)
{
    struct zone z;

    if (zone_create(&z, "limit", LIMIT_LAYOUT, limit_zone_size(SET_BITS)) < 0)
        die("cannot create a zone");
    limit_zone_init((struct limit_zone *)z.head, SET_BITS, 1);
    return (struct limit_zone *)z.head;
}

static void part(struct limit_zone *z, struct share *s, unsigned me, const struct run *r)
{
    struct limit_worker w = {z, r->leases ? &z->slab[me] : NULL, PROCESSES};
    uint64_t interval = limit_interval(r->rate, NS_PER_S), now, end, admitted = 0, n = 0;
    struct limit_ask a = {.fingerprint = hash_mix(1),
                          .interval = interval,
                          .capacity = r->burst * interval,
                          .charge = interval};

    atomic_fetch_add(&s->ready, 1);
    while (atomic_load(&s->ready) < PROCESSES)
        ;
    now = s->of[me].first_ns = clock_mono_ns();
    end = now + (uint64_t)(r->seconds * 1e9);
    while (now < end) {
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
    struct limit_zone *z = zone_make();

    memset(s, 0, sizeof *s);
    for (unsigned i = 0; i < PROCESSES; i++)
        if (fork() == 0) {
            part(z, s, i, r);
            _exit(0);
        }
    for (unsigned i = 0; i < PROCESSES; i++)
        wait(NULL);
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

/* Up to 50 ms of burst, so that a process the scheduler stops for a while loses nothing. */
static int rates(struct share *s, double seconds)
{
    static const uint64_t all[] = {1, 100, 3000, 50000, 1000000};
    int rc = 0;

    for (unsigned i = 0; i < 2 * sizeof all / sizeof *all; i++) {
        struct run r = {.rate = all[i / 2], .leases = i % 2, .batch = 1};
        uint64_t admitted, decisions;
        double took, allowed;
        r.burst = 1 + r.rate / 20;
        /* At 1/s as many whole seconds as make one token in a thousand visible would take a quarter
         * of an hour; what is shown is that no token is missing or too many. */
        r.seconds = r.rate == 1 && seconds < 5 ? 5.5 : seconds;
        both(&r, s);
        totals(s, &admitted, &decisions, &took);
        allowed = (double)r.burst + (double)(uint64_t)((double)r.rate * took);
        rc |= (double)admitted > allowed || (double)admitted < 0.999 * allowed - 1;
        printf("{\"rate\": %llu, \"leases\": %s, \"admitted\": %llu, \"allowed\": %.0f, "
               "\"percent\": %.3f, \"offered_per_s\": %.0f}\n",
               (unsigned long long)r.rate, r.leases ? "true" : "false",
               (unsigned long long)admitted, allowed, 100 * (double)admitted / allowed,
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
        struct run r = {all[i].rate, all[i].burst, all[i].leases, BATCH, seconds};
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

int main(int argc, char **argv)
{
    double seconds = argc > 2 ? atof(argv[2]) : 1;
    struct share *s =
        mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (argc > 1 && strcmp(argv[1], "rates") == 0)
        return rates(s, seconds);
    if (argc > 1 && strcmp(argv[1], "speed") == 0)
        return speed(s, seconds);
    fprintf(stderr, "usage: bench_limit rates|speed [SECONDS]\n");
    return 2;
}
