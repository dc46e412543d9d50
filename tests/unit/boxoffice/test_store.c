/* SPDX-License-Identifier: BSD-2-Clause */
/* The SQLite store: what it refuses by itself, what its errors mean, who may own it. */
#include "fixture.h"

#include <sqlite3.h>

#include "base/log.h"
#include "fault_vfs.h"

struct world {
    char *dir, *path;
    struct store *store;
    struct sale *sale;
    struct batch batch;
    struct decision d;
};

static enum store_outcome commit(struct world *w)
{
    enum store_outcome out;

    sale_seal(w->sale, &w->batch);
    out = w->store->driver->commit(w->store, &w->batch);
    if (out == STORE_OK)
        sale_durable(w->sale, &w->batch);
    else
        sale_undo(w->sale, &w->batch);
    sale_open(w->sale, &w->batch);
    return out;
}

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    struct event_spec spec = spec_make("gig", 0, 2, 100);

    memset(&fault, 0, sizeof fault);
    w->dir = dir_make();
    w->path = dir_store(w->dir);
    w->store = store_open(w->path);
    w->sale = store_read(w->store, T0);
    sale_open(w->sale, &w->batch);
    create_event(w->sale, &spec);
    assert_int_equal(commit(w), STORE_OK);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;

    memset(&fault, 0, sizeof fault);
    if (w->store != NULL)
        w->store->driver->close(w->store);
    sale_free(&w->sale);
    batch_fini(&w->batch);
    free(w->path);
    dir_remove(w->dir);
    free(w);
    return 0;
}

static void order(struct world *w, const char *key, int n)
{
    assert_int_equal(buy(w->sale, T0, "gig", "a", "ann", key, n, &w->d), REASON_LATER);
}

/* Another program with its fingers in the file. */
static int meddle(struct world *w, const char *sql)
{
    sqlite3 *db;
    int rc;

    assert_int_equal(sqlite3_open(w->path, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 1000);
    rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
    sqlite3_close(db);
    return rc & 0xff;
}

static long check(struct world *w)
{
    struct buf err = {0};
    long n = store_sqlite_check(w->path, &err);

    buf_free(&err);
    return n;
}

static void test_round_trip(void **state)
{
    struct world *w = *state;
    const struct order *o;

    order(w, "k", 3);
    assert_int_equal(commit(w), STORE_OK);
    unsigned char secret[16];
    memcpy(secret, order_get(&w->sale->orders, 1)->secret, 16);
    w->store->driver->close(w->store);
    sale_free(&w->sale);
    w->store = store_open(w->path);
    assert_int_equal(w->store->epoch, 2);
    w->sale = store_read(w->store, T0 + NS_PER_S);
    o = order_get(&w->sale->orders, 1);
    assert_int_equal(o->quantity, 3);
    assert_memory_equal(o->secret, secret, 16);
    sale_open(w->sale, &w->batch);
    assert_int_equal(buy(w->sale, T0, "gig", "a", "ann", "k", 3, &w->d), REASON_REPLAYED);
    assert_int_equal(check(w), 0);
}

/* New orders that stand side by side are written by one statement; between them another operation
 * keeps its place: what it frees is sold again in the same batch. */
static void test_runs_of_new_orders(void **state)
{
    struct world *w = *state;
    struct order_ref r = {SLICE_LIT("gig"), SLICE_NONE, SLICE_LIT("ann"), SLICE_NONE, NULL};
    char code[CODE_LEN + 1];

    order(w, "1", 40);
    order(w, "2", 40);
    order(w, "3", 20);
    assert_int_equal(commit(w), STORE_OK);
    code_write(&w->sale->code, 2, code);
    r.code = slice_of(code, CODE_LEN);
    assert_int_equal(buy(w->sale, T0, "gig", "b", "ann", "4", 7, &w->d), REASON_LATER);
    assert_int_equal(buy(w->sale, T0, "gig", "b", "bob", "5", 1, &w->d), REASON_LATER);
    assert_int_equal(sale_cancel(w->sale, &r, &w->d), REASON_LATER);
    order(w, "6", 30);
    order(w, "7", 10);
    assert_int_equal(commit(w), STORE_OK);
    assert_int_equal(check(w), 0);
    sale_free(&w->sale);
    w->sale = store_read(w->store, T0);
    assert_int_equal(w->sale->orders.last, 7);
    assert_int_equal(order_get(&w->sale->orders, 2)->status, ORDER_CANCELED);
    assert_int_equal(order_get(&w->sale->orders, 6)->quantity, 30);
    assert_int_equal(order_get(&w->sale->orders, 5)->quantity, 1);
    assert_int_equal(order_get(&w->sale->orders, 4)->first_unit, 0);
    assert_int_equal(order_get(&w->sale->orders, 5)->first_unit, 7);
    assert_int_equal(order_get(&w->sale->orders, 6)->first_unit, 40);
    assert_int_equal(order_get(&w->sale->orders, 7)->first_unit, 70);
    sale_open(w->sale, &w->batch);
}

static void test_database_refuses_a_unit_twice(void **state)
{
    struct world *w = *state;

    assert_int_equal(meddle(w, "INSERT INTO units VALUES((1 << 32) | 1, 77)"), SQLITE_OK);
    order(w, "k", 3);
    assert_int_equal(commit(w), STORE_CONFLICT);
    assert_int_equal(w->sale->orders.last, 0);
    assert_true(check(w) > 0);
}

static void test_database_refuses_beyond_the_quota(void **state)
{
    struct world *w = *state;
    struct item *it = sale_event(w->sale, SLICE_LIT("gig"))->items;

    assert_int_equal(meddle(w, "INSERT INTO units VALUES((1 << 32) | 100, 1)"), SQLITE_CONSTRAINT);
    assert_int_equal(meddle(w, "INSERT INTO units VALUES((1 << 32) | 4294967295, 1)"),
                     SQLITE_CONSTRAINT);
    assert_int_equal(meddle(w, "INSERT INTO units VALUES((9 << 32) | 0, 1)"), SQLITE_CONSTRAINT);
    assert_int_equal(meddle(w, "INSERT INTO units VALUES(-1, 1)"), SQLITE_CONSTRAINT);
    assert_int_equal(meddle(w, "INSERT INTO units VALUES((1 << 32) | 99, 1);"
                               "UPDATE units SET id = id + 1"),
                     SQLITE_CONSTRAINT);
    assert_int_equal(meddle(w, "DELETE FROM units"), SQLITE_OK);
    /* a program that believes in a larger quota */
    stock_fini(&it->stock);
    assert_true(stock_init(&it->stock, 200));
    order(w, "k", 100);
    order(w, "l", 1);
    assert_int_equal(commit(w), STORE_CONFLICT);
    assert_int_equal(check(w), 0);
}

static void test_foreign_change_is_noticed(void **state)
{
    struct world *w = *state;
    char code[CODE_LEN + 1];

    order(w, "k", 1);
    assert_int_equal(commit(w), STORE_OK);
    assert_int_equal(meddle(w, "UPDATE orders SET status = 4; DELETE FROM units"), SQLITE_OK);
    code_write(&w->sale->code, 1, code);
    struct order_ref r = {SLICE_LIT("gig"), slice_str(code), SLICE_LIT("ann"), SLICE_NONE, NULL};
    assert_int_equal(sale_confirm(w->sale, &r, &w->d), REASON_LATER);
    assert_int_equal(commit(w), STORE_CONFLICT);
}

static void test_fenced(void **state)
{
    struct world *w = *state;

    assert_int_equal(meddle(w, "UPDATE meta SET value = value + 1 WHERE key = 'epoch'"), SQLITE_OK);
    order(w, "k", 1);
    assert_int_equal(commit(w), STORE_FENCED);
    assert_int_equal(w->sale->orders.last, 0);
}

static void test_one_owner(void **state)
{
    struct world *w = *state;
    struct buf err = {0};

    assert_null(store_sqlite_open(w->path, 50, &err));
    assert_non_null(strstr(buf_cstr(&err), "another box office owns this store"));
    buf_free(&err);
}

/* A symbolic link to the store is the same store. */
static void test_one_owner_behind_links(void **state)
{
    struct world *w = *state;
    struct buf err = {0};
    char link[8192];

    snprintf(link, sizeof link, "%s/acks", w->dir);
    assert_int_equal(symlink("b.db", link), 0);
    assert_null(store_sqlite_open(link, 0, &err));
    assert_non_null(strstr(buf_cstr(&err), "another box office owns this store"));
    buf_free(&err);
    unlink(link);
}

/* Disk full at the log: surely not durable; works again when there is room. */
static void test_disk_full(void **state)
{
    struct world *w = *state;

    order(w, "k", 1);
    assert_int_equal(commit(w), STORE_OK);
    fault.wal_write = SQLITE_FULL;
    order(w, "l", 2);
    assert_int_equal(commit(w), STORE_UNDONE);
    assert_int_equal(w->sale->orders.last, 1);
    assert_false(w->store->driver->recover(w->store, false));
    fault.wal_write = 0;
    assert_true(w->store->driver->recover(w->store, false));
    order(w, "l", 2);
    assert_int_equal(commit(w), STORE_OK);
    assert_int_equal(check(w), 0);
}

/* fsync fails, and the frames are in the log all the same: whatever reading says then holds. */
static void unknown_outcome(struct world *w, bool done)
{
    struct sale *fresh;
    uint32_t last;

    order(w, "k", 1);
    assert_int_equal(commit(w), STORE_OK);
    fault.wal_sync = SQLITE_IOERR_FSYNC;
    fault.sync_done = done;
    order(w, "l", 2);
    assert_int_equal(commit(w), STORE_UNKNOWN);
    assert_false(w->store->driver->recover(w->store, true));
    fault.wal_sync = 0;
    assert_true(w->store->driver->recover(w->store, true));
    fresh = store_read(w->store, T0);
    last = fresh->orders.last;
    assert_in_range(last, 1, 2);
    sale_free(&w->sale);
    w->sale = fresh;
    sale_open(w->sale, &w->batch);
    assert_int_equal(buy(w->sale, T0, "gig", "a", "ann", "l", 2, &w->d),
                     last == 2 ? REASON_REPLAYED : REASON_LATER);
    assert_int_equal(commit(w), STORE_OK);
    assert_int_equal(w->sale->orders.last, 2);
    assert_int_equal(check(w), 0);
}

static void test_fsync_fails(void **state)
{
    unknown_outcome(*state, false);
}

static void test_fsync_fails_but_was_done(void **state)
{
    unknown_outcome(*state, true);
}

/* The database cannot grow, the log can: orders go on, the log waits, and is emptied in the end. */
static void test_checkpoint_fails(void **state)
{
    struct world *w = *state;
    char key[16];
    struct event_spec spec = spec_make("big", 0, 1, 10000);

    create_event(w->sale, &spec);
    fault.db_write = SQLITE_FULL;
    for (int i = 0; i < 400; i++) {
        snprintf(key, sizeof key, "k%d", i);
        if (i > 0)
            assert_int_equal(buy(w->sale, T0, "big", "a", "ann", key, 9, &w->d), REASON_LATER);
        assert_int_equal(commit(w), STORE_OK);
        w->store->driver->tidy(w->store, i % 2 == 0);
    }
    assert_true(fault.hits > 0);
    fault.db_write = 0;
    w->store->driver->tidy(w->store, false);
    assert_int_equal(check(w), 0);
}

static bool loads(const char *path)
{
    struct store *store = store_open(path);
    struct sale *sale = sale_new();
    struct buf err = {0};
    bool ok = store->driver->load(store, sale, T0, &err);

    buf_free(&err);
    sale_free(&sale);
    store->driver->close(store);
    return ok;
}

static void damage(struct world *w, const char *sql, bool sells)
{
    char *saved = w->path, copy[4096], line[8192];
    static const char *const tails[] = {"", "-wal", "-shm", ".lock"};

    snprintf(copy, sizeof copy, "%s/copy", w->dir);
    snprintf(line, sizeof line, "VACUUM INTO '%s'", copy);
    assert_int_equal(meddle(w, line), SQLITE_OK);
    w->path = copy;
    assert_int_equal(meddle(w, sql), SQLITE_OK);
    if (check(w) <= 0)
        fail_msg("not seen: %s", sql);
    if (loads(copy) != sells)
        fail_msg("%s: %s", sells ? "must be sold from" : "must not be sold from", sql);
    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
        snprintf(line, sizeof line, "%s%s", copy, tails[i]);
        unlink(line);
    }
    w->path = saved;
}

/* Everything is told by the check; what would make the state wrong also keeps the store from
 * opening. */
static void test_damage_is_seen(void **state)
{
    struct world *w = *state;

    order(w, "k", 3);
    assert_int_equal(commit(w), STORE_OK);
    assert_int_equal(check(w), 0);
    damage(w, "DELETE FROM units WHERE id & 0xffffffff = 0", false);
    damage(w, "UPDATE orders SET status = 3", false);
    damage(w, "UPDATE orders SET quantity = 5", false);
    damage(w, "UPDATE orders SET event = 7", false);
    damage(w, "UPDATE units SET order_id = 99", false);
    damage(w, "UPDATE items SET quota = 1", false);
    damage(w, "DELETE FROM meta WHERE key = 'code_key'", false);
    damage(w, "UPDATE events SET max_per_buyer = 1", true);
    damage(w, "DROP TRIGGER units_quota", true);
    damage(w,
           "INSERT INTO orders SELECT 50, event, item, quantity, 4, buyer, idempotency_key,"
           " created_ns + 5, expires_ns, secret FROM orders",
           true);
    /* two within a day, though the first of the key is two days old */
    damage(w,
           "INSERT INTO orders SELECT 50, event, item, quantity, 4, buyer, idempotency_key,"
           " created_ns + 172800000000000, expires_ns + 172800000000000, secret FROM orders;"
           "INSERT INTO orders SELECT 51, event, item, quantity, 4, buyer, idempotency_key,"
           " created_ns + 5, expires_ns, secret FROM orders WHERE id = 50",
           true);
}

/* A key may be used again after a day. */
static void test_old_key_is_no_damage(void **state)
{
    struct world *w = *state;

    order(w, "k", 3);
    assert_int_equal(commit(w), STORE_OK);
    assert_int_equal(meddle(w, "INSERT INTO orders SELECT 50, event, item, quantity, 4, buyer,"
                               " idempotency_key, created_ns + 86400000000000,"
                               " expires_ns + 86400000000000, secret FROM orders"),
                     SQLITE_OK);
    assert_int_equal(check(w), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_round_trip),
        TEST(test_runs_of_new_orders),
        TEST(test_database_refuses_a_unit_twice),
        TEST(test_database_refuses_beyond_the_quota),
        TEST(test_foreign_change_is_noticed),
        TEST(test_fenced),
        TEST(test_one_owner_behind_links),
        TEST(test_one_owner),
        TEST(test_disk_full),
        TEST(test_fsync_fails),
        TEST(test_fsync_fails_but_was_done),
        TEST(test_checkpoint_fails),
        TEST(test_damage_is_seen),
        TEST(test_old_key_is_no_damage),
    };
    log_open("/dev/null");
    fault_vfs_install();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
