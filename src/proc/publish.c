/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A configuration into a spare bank, and the flip. What is chosen on the way (indexes of routes and
 * endpoints) becomes valid only with a publication that cannot fail any more; before that nothing
 * has changed.
 */
#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "conf/compiled.h"
#include "proc/master.h"

static uint32_t route_stat(void *arg, const char *name)
{
    struct master *m = arg;

    return names_index(&m->names, NAME_ROUTE, name);
}

static uint32_t endpoint_stat(void *arg, const char *address)
{
    return endpoint_index(arg, address);
}

static uint32_t redis_stat(void *arg, const char *address)
{
    struct master *m = arg;

    return metric_redis_index(m->metrics, address);
}

static uint32_t limit_stat(void *arg, const char *name)
{
    struct master *m = arg;

    return names_index(&m->names, NAME_LIMIT, name);
}

static uint32_t concurrency_stat(void *arg, const char *name)
{
    struct master *m = arg;

    return names_index(&m->names, NAME_CONCURRENCY, name);
}

static uint32_t arm_stat(void *arg, const char *name)
{
    struct master *m = arg;

    return names_index(&m->names, NAME_ARM, name);
}

uint64_t publish_behind(const struct master *m, unsigned *slot)
{
    uint64_t current = bank_current(m->banks).generation;
    struct slots_held held;

    slots_held(m->control, &held);
    *slot = held.oldest;
    return held.from < current ? current - held.from : 0;
}

static void refused(const struct master *m, int rc, size_t size, unsigned holder,
                    struct buf *errors)
{
    unsigned oldest;
    uint64_t behind = publish_behind(m, &oldest);

    if (rc == -EFBIG)
        buf_printf(errors, "the compiled configuration has %zu bytes, a bank holds %" PRIu64 "\n",
                   size, m->banks->bank_size);
    else if (rc == -EBUSY)
        buf_printf(
            errors,
            "all %u banks are in use: slot %u alone still has requests of %d generations, and "
            "slot %u has not followed the last %" PRIu64 "\n",
            BANK_COUNT, holder, __builtin_popcountll(m->control->slots[holder].held_banks), oldest,
            behind);
    else
        buf_printf(errors, "publishing failed: %s\n", strerror(-rc));
}

/* The oldest that is kept gives up its bank, and nobody can go back to it any more. */
static bool give_way(struct master *m)
{
    uint64_t gone = history_drop_oldest(m);

    if (gone != 0)
        log_warn("every bank is in use: generation %" PRIu64 " is kept no longer", gone);
    return gone != 0;
}

/* What processes need comes before what is only kept, a canary with the runtime changes over it
 * too: it would have to end. But runtime changes by themselves are many and small: they cost nobody
 * a way back. */
static int reserve(struct master *m, size_t size, uint64_t generation, enum origin origin,
                   struct buf *errors)
{
    unsigned holder = 0;
    int bank;

    do
        bank = bank_reserve(m->banks, m->control, size, generation, &holder);
    while (bank == -EBUSY && origin != ORIGIN_RUNTIME && give_way(m));
    if (bank < 0)
        refused(m, bank, size, holder, errors);
    return bank;
}

static void indexes_begin(struct master *m, uint64_t generation)
{
    struct slots_held held;
    uint64_t in_use;

    slots_held(m->control, &held);
    in_use = bank_in_use(m->banks, &held);
    names_begin(&m->names, generation, held.from, in_use);
    endpoints_begin(m, in_use);
}

static void indexes_commit(struct master *m, unsigned bank)
{
    static const char *const what[NAME_KINDS] = {"routes", "limits", "concurrency limits", "arms"};

    for (unsigned k = 0; k < NAME_KINDS; k++)
        if (m->names.without_index[k] > 0)
            log_warn("more than %u %s: %u of them are counted together",
                     names_max((enum name_kind)k), what[k], m->names.without_index[k]);
    names_commit(&m->names, bank);
    endpoints_commit(m, bank);
}

static uint64_t next_generation(const struct master *m)
{
    return bank_newest(m->banks) + 1;
}

/* As what: share 0 as the current configuration, else as a canary. */
struct publish_as {
    enum origin origin;
    uint32_t share;
    uint64_t seed;
};

static bool publish(struct master *m, struct slice blob, uint64_t generation,
                    const struct publish_as *as, struct buf *errors)
{
    int bank = reserve(m, blob.n, generation, as->origin, errors);

    if (bank < 0)
        return false;
    indexes_commit(m, (unsigned)bank);
    bank_fill(m->banks, (unsigned)bank, blob.p, blob.n, generation);
    if (as->share == 0)
        bank_flip(m->banks, (unsigned)bank, clock_mono_ns());
    else
        bank_offer(m->banks, (unsigned)bank, as->share, as->seed != 0 ? as->seed : generation);
    bank_trim(m->banks, m->control);
    return true;
}

static bool compile(struct master *m, const struct conf *c, const struct publish_as *as,
                    struct buf *errors)
{
    const struct conf_resolver resolver = {route_stat,       endpoint_stat, m,         limit_stat,
                                           concurrency_stat, arm_stat,      redis_stat};
    uint64_t generation = next_generation(m);
    struct buf blob = {0};
    bool ok;

    indexes_begin(m, generation);
    ok = conf_compile(c, &resolver, generation, &blob, errors) &&
         publish(m, buf_view(&blob), generation, as, errors);
    if (!ok)
        names_abort(&m->names);
    buf_free(&blob);
    return ok;
}

bool publish_conf(struct master *m, const struct conf *c, enum origin origin, struct buf *errors)
{
    return compile(m, c, &(struct publish_as){.origin = origin}, errors);
}

bool publish_canary(struct master *m, const struct conf *c, uint32_t share, uint64_t seed,
                    struct buf *errors)
{
    return compile(m, c, &(struct publish_as){ORIGIN_CANARY, share, seed}, errors);
}

/* The copy says by itself which generation it is; so it is made in private memory first. */
bool publish_again(struct master *m, unsigned bank, struct buf *errors)
{
    const struct conf_root *from = bank_at(m->banks, bank).data;
    uint64_t generation = next_generation(m);
    struct buf blob = {0};
    struct conf_root *root;
    bool ok = false;

    buf_add(&blob, from, from->size);
    if (blob.failed) {
        buf_str(errors, "out of memory\n");
        goto out;
    }
    root = (struct conf_root *)(void *)blob.p;
    root->generation = generation;
    root->loaded_real_ns = clock_real_ns();
    indexes_begin(m, generation);
    names_again(&m->names, bank);
    endpoints_again(m, bank);
    ok = publish(m, buf_view(&blob), generation, &(struct publish_as){.origin = ORIGIN_ROLLBACK},
                 errors);
    if (!ok)
        names_abort(&m->names);
out:
    buf_free(&blob);
    return ok;
}
