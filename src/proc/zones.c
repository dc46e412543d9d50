/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which zones the master has: a line each. Those that survive an upgrade are handed to the new
 * binary, which takes one over when its header and what `fits` looks at say that it is what this
 * binary would make; otherwise it makes a new, empty one and says why. The others belong to one
 * master's processes and begin anew.
 *
 * While workers of both binaries are at work they write the same zone, so only a zone whose words
 * may have several writers survives, or one whose single-writer parts are split between the two
 * (the lease slabs, zones_slab).
 */
#include "config.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "proc/master.h"

#define BANK_BYTES     (UINT64_C(32) << 20) /* per bank; memory is used only where it is written */
#define SENT_WORD_BITS 22                   /* 2 x 32 MB, touched as needed */
#define SLAB_HALF      (CONTROL_WORKERS / 2)

struct zone_kind {
    const char *name;
    uint32_t layout;
    size_t zone, mapping; /* where struct master has the zone, and a pointer to its content */
    size_t (*size)(const struct master *m);
    void (*init)(struct master *m);                                    /* a new one */
    bool (*fits)(const struct master *m, const struct zone_header *h); /* NULL: does not survive */
};

static size_t control_size(const struct master *m)
{
    (void)m;
    return sizeof(struct control);
}

static void control_fill(struct master *m)
{
    control_init(m->control);
}

static size_t bank_size(const struct master *m)
{
    (void)m;
    return bank_zone_size(BANK_BYTES);
}

static void config_fill(struct master *m)
{
    bank_zone_init(m->banks, BANK_BYTES);
}

static size_t metric_size(const struct master *m)
{
    (void)m;
    return sizeof(struct metric_zone);
}

static size_t ring_size(const struct master *m)
{
    (void)m;
    return sizeof(struct ring_zone);
}

static size_t offenders_size(const struct master *m)
{
    (void)m;
    return sizeof(struct offenders_zone);
}

static void nothing(struct master *m)
{
    (void)m;
}

/* The largest table that fits into what the configuration gives. */
static uint32_t limit_set_bits(const struct master *m)
{
    return 63 - (uint32_t)__builtin_clzll(m->process->limit_table_bytes / sizeof(struct limit_set));
}

static size_t limit_size(const struct master *m)
{
    return limit_zone_size(limit_set_bits(m));
}

static void limit_fill(struct master *m)
{
    uint64_t seed;

    random_bytes(&seed, sizeof seed);
    limit_zone_init(m->limits, limit_set_bits(m), seed);
}

static bool limit_fits(const struct master *m, const struct zone_header *h)
{
    return ((const struct limit_zone *)(const void *)h)->set_bits == limit_set_bits(m);
}

static size_t closed_size(const struct master *m)
{
    (void)m;
    return sizeof(struct closed_zone);
}

static size_t sent_size(const struct master *m)
{
    (void)m;
    return sent_zone_size(SENT_WORD_BITS);
}

static void sent_fill(struct master *m)
{
    uint64_t seed;

    random_bytes(&seed, sizeof seed);
    sent_zone_init(m->sent, SENT_WORD_BITS, seed,
                   (uint64_t)m->process->idempotency_remember_ms * NS_PER_MS, clock_mono_ns());
}

/* The period stays that of the master that made the zone: another one would forget keys. */
static bool sent_fits(const struct master *m, const struct zone_header *h)
{
    (void)m;
    return ((const struct sent_zone *)(const void *)h)->word_bits == SENT_WORD_BITS;
}

#define IN_MASTER(zone, mapping) offsetof(struct master, zone), offsetof(struct master, mapping)

static const struct zone_kind kinds[] = {
    {"control", CONTROL_LAYOUT, IN_MASTER(control_zone, control), control_size, control_fill, NULL},
    {"config", BANK_LAYOUT, IN_MASTER(bank_zone, banks), bank_size, config_fill, NULL},
    {"metric", METRIC_LAYOUT, IN_MASTER(metric_zone, metrics), metric_size, nothing, NULL},
    {"ring", RING_LAYOUT, IN_MASTER(ring_zone, rings), ring_size, nothing, NULL},
    {"limit", LIMIT_LAYOUT, IN_MASTER(limit_zone, limits), limit_size, limit_fill, limit_fits},
    {"offenders", OFFENDERS_LAYOUT, IN_MASTER(offenders_zone, offenders), offenders_size, nothing,
     NULL},
    {"closed", CLOSED_LAYOUT, IN_MASTER(closed_zone, closed), closed_size, nothing, NULL},
    {"sent", SENT_LAYOUT, IN_MASTER(sent_zone, sent), sent_size, sent_fill, sent_fits},
};

#define KINDS_N (sizeof kinds / sizeof *kinds)
_Static_assert(KINDS_N <= HANDOVER_ZONES, "all can be handed over");

static struct zone *zone_of(struct master *m, const struct zone_kind *k)
{
    return (struct zone *)(void *)((char *)m + k->zone);
}

/* Why the zone behind the descriptor cannot be used. */
static void explain(const struct master *m, const struct zone_kind *k, int fd, char why[80])
{
    struct zone_header h;

    if (pread(fd, &h, sizeof h, 0) != (ssize_t)sizeof h || h.magic != ZONE_MAGIC)
        snprintf(why, 80, "it has no header");
    else if (h.layout != k->layout)
        snprintf(why, 80, "layout %u, this binary has %u", h.layout, k->layout);
    else if (h.size != k->size(m))
        snprintf(why, 80, "%llu bytes, the configuration wants %zu", (unsigned long long)h.size,
                 k->size(m));
    else
        snprintf(why, 80, "its content is not what this binary makes");
}

/* Takes over what the master before has handed to us. False: there is none that fits. */
static bool inherit(struct master *m, const struct zone_kind *k)
{
    struct zone *z = zone_of(m, k);
    int fd = m->from != NULL && k->fits != NULL ? handover_take_zone(m->from, k->name) : -1;
    char why[80];

    if (fd < 0) {
        if (m->from != NULL && k->fits != NULL)
            successor_note(m, "zone", k->name, "new", "it was not handed over");
        return false;
    }
    if (zone_attach(z, k->name, k->layout, fd, true) == 0) {
        if (z->head->size == k->size(m) && k->fits(m, z->head)) {
            successor_note(m, "zone", k->name, "kept", "");
            return true;
        }
        explain(m, k, fd, why);
        zone_close(z);
    } else {
        explain(m, k, fd, why);
        close(fd);
    }
    log_warn("zone %s is built anew: %s", k->name, why);
    successor_note(m, "zone", k->name, "new", why);
    return false;
}

int zones_open(struct master *m)
{
    for (unsigned i = 0; i < KINDS_N; i++) {
        const struct zone_kind *k = &kinds[i];
        struct zone *z = zone_of(m, k);
        bool kept = inherit(m, k);
        int rc = kept ? 0 : zone_create(z, k->name, k->layout, k->size(m));
        if (rc < 0)
            return rc;
        memcpy((char *)m + k->mapping, &z->head, sizeof z->head);
        if (!kept)
            k->init(m);
    }
    return 0;
}

void zones_init(struct master *m)
{
    for (unsigned i = 0; i < KINDS_N; i++)
        *zone_of(m, &kinds[i]) = (struct zone){.fd = -1};
}

void zones_hand_over(struct master *m, struct handover_out *out)
{
    for (unsigned i = 0; i < KINDS_N; i++)
        if (kinds[i].fits != NULL)
            handover_put(out, "zone", zone_of(m, &kinds[i])->fd, "%s", kinds[i].name);
}

void zones_close(struct master *m)
{
    for (unsigned i = 0; i < KINDS_N; i++)
        zone_close(zone_of(m, &kinds[i]));
}

struct limit_slab *zones_slab(const struct master *m, unsigned worker)
{
    return worker < SLAB_HALF ? &m->limits->slab[m->half * SLAB_HALF + worker] : NULL;
}
