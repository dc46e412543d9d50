/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * boxoffice --check: every invariant of a SQLite store as a query that must find nothing. It runs
 * in one read transaction on a connection that cannot write, so it may run beside the owner; the
 * log cannot begin anew meanwhile.
 */
#include <stdio.h>

#include "boxoffice/store_sqlite.h"

static const struct {
    const char *what; /* of a violation; the query's columns fill it in */
    const char *sql;  /* one text column: what the line says */
} checks[] = {
    {"integrity",
     "SELECT integrity_check FROM pragma_integrity_check WHERE integrity_check <> 'ok'"},
    {"meta", "SELECT 'the key of the order codes is missing' WHERE NOT EXISTS"
             " (SELECT 1 FROM meta WHERE key = 'code_key' AND length(value) = 16)"},
    {"meta", "SELECT 'the epoch is missing' WHERE NOT EXISTS"
             " (SELECT 1 FROM meta WHERE key = 'epoch' AND value >= 0)"},
    {"schema", "SELECT 'the trigger units_quota is missing' WHERE NOT EXISTS"
               " (SELECT 1 FROM sqlite_schema WHERE type = 'trigger' AND name = 'units_quota')"},
    {"items", "SELECT printf('item %d belongs to no event', id) FROM items i WHERE NOT EXISTS"
              " (SELECT 1 FROM events e WHERE e.id = i.event)"},
    {"orders", "SELECT printf('order %d: item %d is not an item of event %d', id, item, event)"
               " FROM orders o WHERE NOT EXISTS"
               " (SELECT 1 FROM items i WHERE i.id = o.item AND i.event = o.event)"},
    {"orders", "SELECT printf('order %d: status %d, quantity %d', id, status, quantity) FROM orders"
               " WHERE status NOT BETWEEN 1 AND 4 OR quantity NOT BETWEEN 1 AND 100"},
    {"orders", "SELECT printf('order %d: buyer, secret or times are not valid', id) FROM orders"
               " WHERE length(buyer) NOT BETWEEN 1 AND 128 OR length(secret) <> 16"
               " OR expires_ns <= created_ns"},
    {"keys", "SELECT printf('buyer %s, key %s: orders %d and %d within 24 hours', buyer,"
             " idempotency_key, before, id) FROM (SELECT id, buyer, idempotency_key, created_ns,"
             " lag(id) OVER same AS before, lag(created_ns) OVER same AS before_ns FROM orders"
             " WINDOW same AS (PARTITION BY buyer, idempotency_key ORDER BY created_ns, id))"
             " WHERE created_ns - before_ns < 86400000000000"},
    {"units",
     "SELECT printf('unit %d of item %d is at or above the quota', id & 0xffffffff, id >> 32)"
     " FROM units u WHERE (id & 0xffffffff) >="
     " ifnull((SELECT quota FROM items WHERE items.id = u.id >> 32), 0)"},
    {"units", "SELECT printf('unit %d of item %d: order %d %s', u.id & 0xffffffff, u.id >> 32,"
              " u.order_id, CASE WHEN o.id IS NULL THEN 'does not exist'"
              " WHEN o.item <> u.id >> 32 THEN 'is for another item'"
              " ELSE 'is expired or canceled' END)"
              " FROM units u LEFT JOIN orders o ON o.id = u.order_id"
              " WHERE o.id IS NULL OR o.item <> u.id >> 32 OR o.status NOT IN (1, 2)"},
    {"orders", "SELECT printf('order %d holds %d units, its quantity is %d', o.id,"
               " ifnull(u.n, 0), o.quantity) FROM orders o LEFT JOIN"
               " (SELECT order_id, count(*) n FROM units GROUP BY order_id) u ON u.order_id = o.id"
               " WHERE o.status IN (1, 2) AND ifnull(u.n, 0) <> o.quantity"},
    {"quota", "SELECT printf('item %d: %d units held or sold, the quota is %d', i.id, t.n, i.quota)"
              " FROM items i JOIN (SELECT item, sum(quantity) n FROM orders WHERE status IN (1, 2)"
              " GROUP BY item) t ON t.item = i.id WHERE t.n > i.quota"},
    {"limit", "SELECT printf('event %s, buyer %s: %d units held or sold, the limit is %d', e.slug,"
              " t.buyer, t.n, e.max_per_buyer) FROM events e JOIN (SELECT event, buyer,"
              " sum(quantity) n FROM orders WHERE status IN (1, 2) GROUP BY event, buyer) t"
              " ON t.event = e.id WHERE e.max_per_buyer > 0 AND t.n > e.max_per_buyer"},
};

static long check_one(sqlite3 *db, unsigned i, struct buf *err)
{
    sqlite3_stmt *st = NULL;
    long found = 0;
    int rc = sqlite3_prepare_v2(db, checks[i].sql, -1, &st, NULL);

    while (rc == SQLITE_OK || rc == SQLITE_ROW) {
        rc = sqlite3_step(st);
        if (rc == SQLITE_ROW) {
            printf("%s: %s\n", checks[i].what, (const char *)sqlite3_column_text(st, 0));
            found++;
        }
    }
    if (rc != SQLITE_DONE) {
        buf_printf(err, "%s: %s", checks[i].what, sqlite3_errmsg(db));
        found = -1;
    }
    sqlite3_finalize(st);
    return found;
}

long store_sqlite_check(const char *path, struct buf *err)
{
    sqlite3 *db = NULL;
    long found = 0;

    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL) != SQLITE_OK ||
        sqlite3_busy_timeout(db, 5000) != SQLITE_OK ||
        sqlite3_exec(db, "BEGIN; SELECT 1 FROM meta", NULL, NULL, NULL) != SQLITE_OK) {
        buf_printf(err, "%s: %s", path, sqlite3_errmsg(db));
        found = -1;
    }
    for (unsigned i = 0; found >= 0 && i < sizeof checks / sizeof *checks; i++) {
        long more = check_one(db, i, err);
        found = more < 0 ? -1 : found + more;
    }
    sqlite3_close(db);
    return found;
}
