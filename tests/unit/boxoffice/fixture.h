/* SPDX-License-Identifier: BSD-2-Clause */
/* What the box office's tests share: a directory of their own, an event, orders in one line. */
#ifndef TESTS_BOXOFFICE_FIXTURE_H
#define TESTS_BOXOFFICE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "boxoffice/core/sale.h"
#include "boxoffice/store.h"

#define T0 (UINT64_C(1790000000) * NS_PER_S)

/* A fresh directory in which a path still fits into a socket's 107 bytes; dir_remove empties and
 * removes it. */
static inline char *dir_make(void)
{
    const char *base = getenv("TMPDIR");
    char *dir = malloc(4096);

    snprintf(dir, 4096, "%s/rushgate-test-XXXXXX",
             base != NULL && strlen(base) <= 60 ? base : "/tmp");
    assert_non_null(mkdtemp(dir));
    return dir;
}

static inline void dir_remove(char *dir)
{
    static const char *const names[] = {"b.db",      "b.db-wal", "b.db-shm",
                                        "b.db.lock", "sock",     "acks"};
    char path[8192];

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        unlink(path);
    }
    rmdir(dir);
    free(dir);
}

static inline char *dir_store(const char *dir)
{
    char *path = malloc(8192);
    snprintf(path, 8192, "%s/b.db", dir);
    return path;
}

static inline struct store *store_open(const char *path)
{
    struct buf err = {0};
    struct store *s = store_sqlite_open(path, 0, &err);

    if (s == NULL)
        fail_msg("%s", buf_cstr(&err));
    buf_free(&err);
    return s;
}

static inline struct sale *store_read(struct store *s, uint64_t now_ns)
{
    struct sale *sale = sale_new();
    struct buf err = {0};

    assert_non_null(sale);
    if (!s->driver->load(s, sale, now_ns, &err))
        fail_msg("%s", buf_cstr(&err));
    buf_free(&err);
    return sale;
}

static inline struct event_spec spec_make(const char *slug, uint32_t limit, uint32_t items,
                                          uint32_t quota)
{
    static const char *const names[] = {"a", "b", "c", "d"};
    struct event_spec s = {.slug = slice_str(slug),
                           .name = SLICE_LIT("A name"),
                           .hold_ns = 600 * NS_PER_S,
                           .max_per_buyer = limit,
                           .items_n = items};

    for (uint32_t i = 0; i < items; i++)
        s.items[i] = (struct item_spec){slice_str(names[i]), SLICE_LIT("An item"),
                                        SLICE_LIT("88.00"), SLICE_LIT("EUR"), quota};
    return s;
}

static inline enum reason buy(struct sale *s, uint64_t now_ns, const char *event, const char *item,
                              const char *buyer, const char *key, int quantity, struct decision *d)
{
    struct order_request r = {slice_str(event), slice_str(item), slice_str(buyer),
                              slice_str(key),   quantity,        NULL};
    return sale_order(s, now_ns, &r, d);
}

/* Seals the open batch, calls it durable, opens it again. */
static inline void settle(struct sale *s, struct batch *b)
{
    sale_seal(s, b);
    sale_durable(s, b);
    sale_open(s, b);
}

static inline void create_event(struct sale *s, const struct event_spec *spec)
{
    struct decision d;
    struct spec_error err;

    assert_true(event_spec_check(spec, &err));
    assert_int_equal(sale_create_event(s, spec, NULL, &d), REASON_LATER);
}

#endif
