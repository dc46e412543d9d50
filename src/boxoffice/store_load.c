/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading the whole store into an empty sale, in one read transaction. */
#include "base/log.h"
#include "boxoffice/core/sale_load.h"
#include "boxoffice/store_sqlite.h"

struct load {
    struct store_sqlite *s;
    struct sale *sale;
    uint64_t now_ns;
    struct buf *err;
};

static bool prepare(struct load *l, const char *sql, sqlite3_stmt **st)
{
    if (sqlite3_prepare_v2(l->s->db, sql, -1, st, NULL) == SQLITE_OK)
        return true;
    buf_printf(l->err, "%s: %s", l->s->path, sqlite3_errmsg(l->s->db));
    return false;
}

static bool wrong(struct load *l, const char *what, int64_t id, const char *why)
{
    if (why == NULL)
        return true;
    buf_printf(l->err, "%s: %s %lld: %s (boxoffice --check lists everything that is wrong)",
               l->s->path, what, (long long)id, why);
    return false;
}

/* After a loop over rows that ended with rc. */
static bool finish(struct load *l, sqlite3_stmt *st, bool ok, int rc)
{
    if (ok && rc != SQLITE_DONE) {
        buf_printf(l->err, "%s: %s", l->s->path, sqlite3_errmsg(l->s->db));
        ok = false;
    }
    sqlite3_finalize(st);
    return ok;
}

static struct slice text(sqlite3_stmt *st, int at)
{
    const void *p = sqlite3_column_blob(st, at);
    return slice_of(p == NULL ? "" : p, (size_t)sqlite3_column_bytes(st, at));
}

static bool load_key(struct load *l)
{
    sqlite3_stmt *st;
    int rc;
    bool ok;

    if (!prepare(l, "SELECT value FROM meta WHERE key = 'code_key'", &st))
        return false;
    rc = sqlite3_step(st);
    ok = rc == SQLITE_ROW && sqlite3_column_bytes(st, 0) == 16;
    if (ok)
        sale_load_key(l->sale, sqlite3_column_blob(st, 0));
    else
        buf_printf(l->err, "%s: the key of the order codes is missing", l->s->path);
    sqlite3_finalize(st);
    return ok;
}

/* The items of an event. Texts live until the statement steps again, so they are copied into
 * `texts`. */
static bool load_items(struct load *l, sqlite3_stmt *st, int64_t event, struct event_spec *spec,
                       int64_t *ids, struct buf *texts)
{
    size_t at[EVENT_ITEMS_MAX][4];
    int rc;

    buf_clear(texts);
    sqlite3_bind_int64(st, 1, event);
    while ((rc = sqlite3_step(st)) == SQLITE_ROW && spec->items_n < EVENT_ITEMS_MAX) {
        uint32_t i = spec->items_n++;
        int64_t quota = sqlite3_column_int64(st, 5);
        ids[i] = sqlite3_column_int64(st, 0);
        spec->items[i].quota = quota < 0 || quota > UINT32_MAX ? 0 : (uint32_t)quota;
        for (int k = 0; k < 4; k++) {
            at[i][k] = texts->n;
            buf_slice(texts, text(st, 1 + k));
        }
    }
    for (uint32_t i = 0; i < spec->items_n; i++) {
        struct slice *to[4] = {&spec->items[i].slug, &spec->items[i].name, &spec->items[i].price,
                               &spec->items[i].currency};
        for (int k = 0; k < 4; k++) {
            size_t end = k < 3 ? at[i][k + 1] : i + 1 < spec->items_n ? at[i + 1][0] : texts->n;
            *to[k] = slice_of(texts->p + at[i][k], end - at[i][k]);
        }
    }
    sqlite3_reset(st);
    return wrong(l, "event", event,
                 rc == SQLITE_DONE && !texts->failed ? NULL : "its items cannot be read");
}

static bool load_event(struct load *l, sqlite3_stmt *ev, sqlite3_stmt *items, struct buf *texts)
{
    int64_t ids[EVENT_ITEMS_MAX], id = sqlite3_column_int64(ev, 0);
    int64_t limit = sqlite3_column_int64(ev, 7);
    struct event_spec spec = {
        .slug = text(ev, 1),
        .name = text(ev, 2),
        .presale_start_ns = (uint64_t)sqlite3_column_int64(ev, 4),
        .presale_end_ns = (uint64_t)sqlite3_column_int64(ev, 5),
        .hold_ns = (uint64_t)sqlite3_column_int64(ev, 6),
        .max_per_buyer = limit < 0 || limit > INT32_MAX ? UINT32_MAX : (uint32_t)limit,
    };

    if (!load_items(l, items, id, &spec, ids, texts))
        return false;
    return wrong(l, "event", id,
                 sale_load_event(l->sale, id, sqlite3_column_int64(ev, 3), &spec, ids));
}

static bool load_events(struct load *l)
{
    sqlite3_stmt *ev, *items = NULL;
    struct buf texts = {0};
    bool ok = true;
    int rc = SQLITE_DONE;

    if (!prepare(l,
                 "SELECT id, slug, name, state, presale_start_ns, presale_end_ns, hold_ns,"
                 " max_per_buyer FROM events ORDER BY id",
                 &ev))
        return false;
    ok = prepare(l,
                 "SELECT id, slug, name, price, currency, quota FROM items"
                 " WHERE event = ? ORDER BY id",
                 &items);
    while (ok && (rc = sqlite3_step(ev)) == SQLITE_ROW)
        ok = load_event(l, ev, items, &texts);
    buf_free(&texts);
    sqlite3_finalize(items);
    return finish(l, ev, ok, rc);
}

static bool load_orders(struct load *l)
{
    sqlite3_stmt *st;
    bool ok = true;
    int rc = SQLITE_DONE;

    if (!prepare(l,
                 "SELECT id, event, item, quantity, status, created_ns, expires_ns, buyer,"
                 " idempotency_key, secret FROM orders ORDER BY id",
                 &st))
        return false;
    while (ok && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        struct order_row row = {
            .id = sqlite3_column_int64(st, 0),
            .event = sqlite3_column_int64(st, 1),
            .item = sqlite3_column_int64(st, 2),
            .quantity = sqlite3_column_int64(st, 3),
            .status = sqlite3_column_int64(st, 4),
            .created_ns = (uint64_t)sqlite3_column_int64(st, 5),
            .expires_ns = (uint64_t)sqlite3_column_int64(st, 6),
            .buyer = text(st, 7),
            .key = text(st, 8),
            .secret = text(st, 9),
        };
        ok = wrong(l, "order", row.id, sale_load_order(l->sale, &row, l->now_ns));
    }
    return finish(l, st, ok, rc);
}

/* Falling, so that each order's chain of units comes out rising. */
static bool load_units(struct load *l)
{
    sqlite3_stmt *st;
    bool ok = true;
    int rc = SQLITE_DONE;

    if (!prepare(l, "SELECT id, order_id FROM units ORDER BY id DESC", &st))
        return false;
    while (ok && (rc = sqlite3_step(st)) == SQLITE_ROW) {
        int64_t id = sqlite3_column_int64(st, 0);
        ok = wrong(l, "unit", id, sale_load_unit(l->sale, id, sqlite3_column_int64(st, 1)));
    }
    return finish(l, st, ok, rc);
}

static bool load_end(struct load *l)
{
    uint32_t order = 0;
    const char *why = sale_load_end(l->sale, &order);

    return wrong(l, "order", order, why);
}

bool sqlite_load(struct store *store, struct sale *sale, uint64_t now_ns, struct buf *err)
{
    struct load l = {(struct store_sqlite *)store, sale, now_ns, err};
    bool ok;

    if (sqlite3_exec(l.s->db, "BEGIN", NULL, NULL, NULL) != SQLITE_OK) {
        buf_printf(err, "%s: %s", l.s->path, sqlite3_errmsg(l.s->db));
        return false;
    }
    ok = load_key(&l) && load_events(&l) && load_orders(&l) && load_units(&l) && load_end(&l);
    sqlite3_exec(l.s->db, "COMMIT", NULL, NULL, NULL);
    return ok;
}
