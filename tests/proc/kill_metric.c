/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The metric zone. The master, killed while names come, go, and hand their indexes on; a worker,
 * killed while it counts. Whatever the instruction: a name is there whole or not at all, who finds
 * a name finds its own counters and no earlier name's, counters never run backwards, and a name
 * that a worker still counts under keeps its index.
 */
#include "config.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "killstep.h"
#include "metric/metric.h"
#include "metric/names.h"

#define STEP_BUDGET 60000
#define SLOTS       2u
#define OLD         "the route that goes, with a name of some words"
#define NEW         "the route that comes in its place, other words"
#define STAYS       "the route that stays"
#define COUNTED     7u /* in every index, by the process in slot 1 */

static struct names names;

static bool say(bool held, const char *what)
{
    if (!held)
        fprintf(stderr, "kill_metric: %s\n", what);
    return held;
}

static uint64_t counted(const struct metric_zone *z, uint32_t route)
{
    return z->blocks[1].routes[route].status[2] + z->blocks[1].routes[route].latency.sum_ns;
}

static void count(struct metric_zone *z, uint32_t route)
{
    z->blocks[1].routes[route].status[2] = COUNTED;
    z->blocks[1].routes[route].latency.sum_ns = COUNTED;
}

/* The name in an index is one of these, letter for letter, or NULL. */
static const char *name_of(const struct metric_zone *z, uint32_t route, bool *ok)
{
    const char *name = metric_route_name(z, route);

    *ok &= say(name == NULL || strcmp(name, OLD) == 0 || strcmp(name, NEW) == 0 ||
                   strcmp(name, STAYS) == 0,
               "half a name is visible");
    return name;
}

static void clear(struct metric_zone *z)
{
    memset(z, 0, offsetof(struct metric_zone, blocks));
    for (unsigned s = 0; s < SLOTS; s++)
        memset(z->blocks[s].routes, 0, 4 * sizeof(struct metric_route));
}

/* Publishes a configuration with two routes; every process has moved to it. */
static void publish(uint64_t generation, uint64_t adopted, const char *first, const char *second)
{
    names_begin(&names, generation, adopted, UINT64_C(1) << (generation - 1));
    names_index(&names, NAME_ROUTE, first);
    if (second != NULL)
        names_index(&names, NAME_ROUTE, second);
    names_commit(&names, (unsigned)generation);
}

/* STAYS has index 1, OLD index 2, and both have counted. */
static struct metric_zone *reset(void *shared)
{
    struct metric_zone *z = shared;

    if (names.zone != NULL)
        names_fini(&names);
    clear(z);
    names_init(&names, z, SLOTS);
    publish(1, 0, STAYS, OLD);
    count(z, 1);
    count(z, 2);
    return z;
}

/* --- a name goes --- */

static void reset_hide(void *shared)
{
    reset(shared);
    publish(2, 1, STAYS, NULL); /* OLD is still read: in the bank of generation 1 */
    names_begin(&names, 3, 2, 1 << 2);
    names_index(&names, NAME_ROUTE, STAYS);
}

static void commit(void *shared)
{
    (void)shared;
    names_commit(&names, 3);
}

static bool holds_hide(void *shared, bool finished)
{
    const struct metric_zone *z = shared;
    bool ok = true;
    const char *gone = name_of(z, 2, &ok), *stays = name_of(z, 1, &ok);

    ok &= say(gone == NULL || (!finished && strcmp(gone, OLD) == 0), "what goes is another name");
    ok &= say(stays != NULL && strcmp(stays, STAYS) == 0, "a name that stays is gone");
    return ok &&
           say(counted(z, 1) == 2 * COUNTED && counted(z, 2) == 2 * COUNTED, "counters changed");
}

/* --- its index goes to another --- */

static void reset_hand_on(void *shared)
{
    reset(shared);
    publish(2, 1, STAYS, NULL);
    publish(3, 2, STAYS, NULL); /* hidden before it */
    names_begin(&names, 4, 3, 1 << 3);
    names_index(&names, NAME_ROUTE, STAYS);
    if (names_index(&names, NAME_ROUTE, "another") == 2)
        die("the index was given away while others were free");
    names_abort(&names);
    /* As when there is none free: it is the first to be picked. */
    for (uint32_t i = 3; i < METRIC_ROUTES; i++)
        strcpy(names.all[NAME_ROUTE][i].text, "full");
    names_begin(&names, 4, 3, 1 << 3);
    names_index(&names, NAME_ROUTE, STAYS);
    if (names_index(&names, NAME_ROUTE, NEW) != 2)
        die("the index does not change hands");
    for (uint32_t i = 3; i < METRIC_ROUTES; i++)
        names.all[NAME_ROUTE][i] = (struct name_index){0};
}

static bool holds_hand_on(void *shared, bool finished)
{
    const struct metric_zone *z = shared;
    bool ok = true;
    const char *name = name_of(z, 2, &ok);

    ok &= say(name != NULL || !finished, "the new name is not there");
    ok &= say(name == NULL || strcmp(name, NEW) == 0, "a hidden name is back");
    ok &= say(name == NULL || counted(z, 2) == 0, "a name with the counters of another");
    return ok && say(counted(z, 1) == 2 * COUNTED, "the counters of a name that stays");
}

/* --- a name comes back before its index is given away --- */

static void reset_back(void *shared)
{
    reset(shared);
    publish(2, 1, STAYS, NULL);
    publish(3, 2, STAYS, NULL);
    names_begin(&names, 4, 3, 1 << 3);
    names_index(&names, NAME_ROUTE, STAYS);
    names_index(&names, NAME_ROUTE, OLD);
}

static bool holds_back(void *shared, bool finished)
{
    const struct metric_zone *z = shared;
    bool ok = true;
    const char *name = name_of(z, 2, &ok);

    ok &= say(name == NULL ? !finished : strcmp(name, OLD) == 0, "the name that came back");
    return ok && say(counted(z, 2) == 2 * COUNTED, "its counters are gone");
}

/* --- the address of a Redis server --- */

#define REDIS "redis-1.example.net:6379"

static void reset_redis(void *shared)
{
    clear(shared);
    metric_redis_index(shared, "redis-0.example.net:6379");
}

static void add_redis(void *shared)
{
    metric_redis_index(shared, REDIS);
}

static bool holds_redis(void *shared, bool finished)
{
    const struct metric_zone *z = shared;
    const char *name = metric_redis_name(z, 2), *before = metric_redis_name(z, 1);

    return say(before != NULL && strcmp(before, "redis-0.example.net:6379") == 0,
               "the name before it") &&
           say(name == NULL ? !finished : strcmp(name, REDIS) == 0, "half an address is visible");
}

/* --- counting --- */

static void reset_count(void *shared)
{
    struct metric_zone *z = shared;

    clear(z);
    count(z, 1);
}

static void request(void *shared)
{
    struct metric_route *r = &((struct metric_zone *)shared)->blocks[1].routes[1];

    metric_add(&r->status[2], 1);
    histogram_record(&r->latency, 5000);
}

static bool holds_count(void *shared, bool finished)
{
    const struct metric_zone *z = shared;
    struct metric_route_total t;
    uint64_t requests = metric_route_total(z, SLOTS, 1, &t), n = t.latency[histogram_bucket(5000)];

    return say(requests == COUNTED + 1 || (requests == COUNTED && !finished), "requests") &&
           say(n == 1 || (n == 0 && !finished), "the histogram's bucket") &&
           say(t.sum_ns == COUNTED + 5000 || (t.sum_ns == COUNTED && !finished), "its sum") &&
           say(requests >= COUNTED + n, "a latency of no request");
}

int main(void)
{
    static const struct kill_case cases[] = {
        {"names_commit, a name goes", reset_hide, commit, holds_hide},
        {"names_commit, an index changes hands", reset_hand_on, commit, holds_hand_on},
        {"names_commit, a name comes back", reset_back, commit, holds_back},
        {"metric_redis_index", reset_redis, add_redis, holds_redis},
        {"metric_add, histogram_record", reset_count, request, holds_count},
    };

    return kill_all(cases, sizeof cases / sizeof *cases, kill_memory(sizeof(struct metric_zone)), 0,
                    STEP_BUDGET);
}
