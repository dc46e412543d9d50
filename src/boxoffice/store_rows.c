/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A run of new orders, and their units, as two tables that SQLite reads:
 *
 *   INSERT INTO orders SELECT * FROM new_orders      one statement for all orders of the run
 *   INSERT INTO units SELECT ... FROM new_units      and one for all units, joined with the quotas
 *
 * So a row costs no binding, no start and no end of a statement, and the cursor stays at the right
 * edge of the tree from one row to the next. They are eponymous virtual tables of the connection,
 * nothing of them is in the file.
 */
#include "boxoffice/store_sqlite.h"

#include <stdlib.h>

struct rows {
    sqlite3_vtab base; /* first */
    const struct store_sqlite *store;
};

struct rows_cursor {
    sqlite3_vtab_cursor base; /* first */
    const struct run *run;
    uint32_t op;   /* in the batch */
    uint32_t unit; /* of the order's: new_units only */
};

static int rows_connect(sqlite3 *db, const char *sql, void *store, sqlite3_vtab **out)
{
    struct rows *r = calloc(1, sizeof *r);
    int rc;

    if (r == NULL)
        return SQLITE_NOMEM;
    r->store = store;
    rc = sqlite3_declare_vtab(db, sql);
    if (rc == SQLITE_OK)
        *out = &r->base;
    else
        free(r);
    return rc;
}

static int orders_connect(sqlite3 *db, void *store, int argc, const char *const *argv,
                          sqlite3_vtab **out, char **err)
{
    (void)argc;
    (void)argv;
    (void)err;
    return rows_connect(db,
                        "CREATE TABLE x(id, event, item, quantity, status, buyer, idempotency_key,"
                        " created_ns, expires_ns, secret)",
                        store, out);
}

static int units_connect(sqlite3 *db, void *store, int argc, const char *const *argv,
                         sqlite3_vtab **out, char **err)
{
    (void)argc;
    (void)argv;
    (void)err;
    return rows_connect(db, "CREATE TABLE x(id, order_id)", store, out);
}

static int rows_disconnect(sqlite3_vtab *t)
{
    free(t);
    return SQLITE_OK;
}

static int rows_best_index(sqlite3_vtab *t, sqlite3_index_info *info)
{
    (void)t;
    info->estimatedRows = 64;
    info->estimatedCost = 64;
    return SQLITE_OK;
}

static int rows_open(sqlite3_vtab *t, sqlite3_vtab_cursor **out)
{
    struct rows_cursor *c = calloc(1, sizeof *c);

    if (c == NULL)
        return SQLITE_NOMEM;
    c->run = &((struct rows *)t)->store->run;
    *out = &c->base;
    return SQLITE_OK;
}

static int rows_close(sqlite3_vtab_cursor *base)
{
    free(base);
    return SQLITE_OK;
}

static int rows_filter(sqlite3_vtab_cursor *base, int plan, const char *name, int argc,
                       sqlite3_value **argv)
{
    struct rows_cursor *c = (struct rows_cursor *)base;

    (void)plan;
    (void)name;
    (void)argc;
    (void)argv;
    c->op = c->run->from;
    c->unit = 0;
    return SQLITE_OK;
}

static int rows_eof(sqlite3_vtab_cursor *base)
{
    const struct rows_cursor *c = (const struct rows_cursor *)base;

    return c->op >= c->run->to;
}

static int rows_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *rowid)
{
    const struct rows_cursor *c = (const struct rows_cursor *)base;

    *rowid = (sqlite3_int64)c->op << 32 | c->unit;
    return SQLITE_OK;
}

static int orders_next(sqlite3_vtab_cursor *base)
{
    ((struct rows_cursor *)base)->op++;
    return SQLITE_OK;
}

static int units_next(sqlite3_vtab_cursor *base)
{
    struct rows_cursor *c = (struct rows_cursor *)base;

    if (++c->unit >= c->run->batch->ops[c->op].quantity) {
        c->op++;
        c->unit = 0;
    }
    return SQLITE_OK;
}

static void give_text(sqlite3_context *to, struct slice v)
{
    sqlite3_result_text(to, v.n == 0 ? "" : v.p, (int)v.n, SQLITE_STATIC);
}

static int orders_column(sqlite3_vtab_cursor *base, sqlite3_context *to, int column)
{
    const struct rows_cursor *c = (const struct rows_cursor *)base;
    const struct op *op = &c->run->batch->ops[c->op];

    switch (column) {
    case 0:
        sqlite3_result_int64(to, op->order);
        break;
    case 1:
        sqlite3_result_int64(to, op->event->id);
        break;
    case 2:
        sqlite3_result_int64(to, op->item);
        break;
    case 3:
        sqlite3_result_int(to, op->quantity);
        break;
    case 4:
        sqlite3_result_int(to, op->status);
        break;
    case 5:
        give_text(to, op->buyer);
        break;
    case 6:
        give_text(to, op->key);
        break;
    case 7:
        sqlite3_result_int64(to, (sqlite3_int64)op->created_ns);
        break;
    case 8:
        sqlite3_result_int64(to, (sqlite3_int64)op->expires_ns);
        break;
    default:
        sqlite3_result_blob(to, op->secret, sizeof op->secret, SQLITE_STATIC);
        break;
    }
    return SQLITE_OK;
}

static int units_column(sqlite3_vtab_cursor *base, sqlite3_context *to, int column)
{
    const struct rows_cursor *c = (const struct rows_cursor *)base;
    const struct batch *b = c->run->batch;
    const struct op *op = &b->ops[c->op];

    sqlite3_result_int64(
        to, column == 0 ? sqlite_unit_id(op->item, b->units[op->units_at + c->unit]) : op->order);
    return SQLITE_OK;
}

#define ROWS(which)                                                                                \
    {                                                                                              \
        .xConnect = which##_connect, .xBestIndex = rows_best_index,                                \
        .xDisconnect = rows_disconnect, .xOpen = rows_open, .xClose = rows_close,                  \
        .xFilter = rows_filter, .xNext = which##_next, .xEof = rows_eof,                           \
        .xColumn = which##_column, .xRowid = rows_rowid                                            \
    }

static const sqlite3_module orders_module = ROWS(orders), units_module = ROWS(units);

int sqlite_rows_init(struct store_sqlite *s)
{
    int rc = sqlite3_create_module(s->db, "new_orders", &orders_module, s);

    return rc == SQLITE_OK ? sqlite3_create_module(s->db, "new_units", &units_module, s) : rc;
}
