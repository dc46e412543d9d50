/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * stampede: buyers for a sale, and the audit afterwards.
 *
 *   stampede [run]   open-loop arrivals, behaviours, a record of every acknowledgement
 *   stampede bench   the cheapest purchases a client can make, to measure what they cost the server
 *   stampede audit   the record against the store
 *
 * Exit code: 0 done (and clean, where there was an audit), 1 not clean or failed, 2 usage.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "audit.h"
#include "bench.h"
#include "crowd.h"
#include "options.h"

static void raise_file_limit(void)
{
    struct rlimit r;

    if (getrlimit(RLIMIT_NOFILE, &r) == 0) {
        r.rlim_cur = r.rlim_max;
        setrlimit(RLIMIT_NOFILE, &r);
    }
}

static void print_json(json_t *obj)
{
    json_dumpf(obj, stdout, JSON_REAL_PRECISION(10));
    putchar('\n');
}

/* What is in the store, in tickets; then what was compared. */
static void print_verdict(const struct audit *a, const struct tally *t)
{
    printf(
        "tickets   %lld ordered (%lld by who left before the answer) - %lld given back by orders "
        "canceled or expired = %lld sold; + %lld free = %lld in all\n",
        (long long)a->ordered, (long long)a->unanswered, (long long)a->given_back,
        (long long)a->sold, (long long)a->free, (long long)a->quota);
    printf("sold %lld/%lld (tickets: %lld paid, %lld held) · oversold %llu · duplicates %llu · "
           "lost %llu · over-limit %llu",
           (long long)a->sold, (long long)a->quota, (long long)a->paid,
           (long long)(a->sold - a->paid), (unsigned long long)a->oversold,
           (unsigned long long)a->duplicates, (unsigned long long)a->lost,
           (unsigned long long)a->over_limit);
    if (t != NULL)
        printf(" · p50 %.2f ms · p99 %.2f ms (all answers) · %.0f purchases/s",
               latency_quantile_ms(&t->all, 0.5), latency_quantile_ms(&t->all, 0.99),
               tally_purchases_per_s(t));
    putchar('\n');
}

static int audit_mode(const struct options *o)
{
    struct audit a;
    json_t *obj;

    if (!audit_files(&a, o->acks, o->store, o->event, o->ahead_s))
        return 1;
    print_verdict(&a, NULL);
    if (o->json) {
        obj = json_object();
        json_object_set_new(obj, "event", json_string(o->event));
        audit_json(&a, obj);
        print_json(obj);
        json_decref(obj);
    }
    return audit_clean(&a) ? 0 : 1;
}

static int report(const struct options *o, const struct crowd *c)
{
    json_t *obj = json_object();
    struct audit a;
    int rc = c->tally.unsettled == 0 ? 0 : 1;

    json_object_set_new(obj, "event", json_string(o->event));
    json_object_set_new(obj, "seed", json_integer((json_int_t)o->seed));
    tally_print(&c->tally, &c->wire);
    if (o->store != NULL) {
        if (audit_files(&a, o->acks, o->store, o->event, o->ahead_s)) {
            print_verdict(&a, &c->tally);
            audit_json(&a, obj);
            rc = audit_clean(&a) && rc == 0 ? 0 : 1;
        } else {
            rc = 1;
        }
    }
    tally_json(&c->tally, obj);
    json_object_set_new(obj, "backlog_max", json_integer(c->wire.backlog_max));
    json_object_set_new(obj, "connections", json_integer((json_int_t)c->wire.opened));
    json_object_set_new(obj, "idle_cut", json_integer((json_int_t)c->wire.idle_cut));
    if (o->json)
        print_json(obj);
    json_decref(obj);
    return rc;
}

static int run_mode(const struct options *o)
{
    struct crowd *c = calloc(1, sizeof *c);
    int rc;

    if (c == NULL)
        return 1;
    crowd_init(c, o);
    crowd_run(c);
    rc = report(o, c);
    crowd_fini(c);
    free(c);
    return rc;
}

int main(int argc, char **argv)
{
    struct options o;

    setvbuf(stdout, NULL, _IOLBF, 0);
    switch (options_parse(&o, argc, argv)) {
    case MODE_AUDIT:
        return audit_mode(&o);
    case MODE_BENCH:
        raise_file_limit();
        return bench_run(&o);
    case MODE_RUN:
        raise_file_limit();
        return run_mode(&o);
    }
    return 2;
}
