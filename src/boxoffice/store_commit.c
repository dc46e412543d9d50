/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Making a batch durable: one transaction that first looks whether the epoch is still ours. Where
 * an error comes decides what it means. Before COMMIT nothing can have become durable. At COMMIT,
 * "disk full" means that the frame with the commit mark could not be written; after any other
 * error, such as one of fsync, the frames may be in the log all the same, and only reading it again
 * tells.
 */
#include <errno.h>

#include "base/check.h"
#include "base/log.h"
#include "boxoffice/store_sqlite.h"

static struct store_sqlite *self(struct store *s)
{
    return (struct store_sqlite *)s;
}

static int done(sqlite3_stmt *st)
{
    int rc = sqlite3_step(st);

    sqlite3_reset(st);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* The row must have been as we believe: else somebody else writes here. */
static int done_once(struct store_sqlite *s, sqlite3_stmt *st)
{
    int rc = done(st);
    return rc == SQLITE_OK && sqlite3_changes(s->db) != 1 ? SQLITE_CONSTRAINT : rc;
}

static void bind_text(sqlite3_stmt *st, int at, struct slice v)
{
    sqlite3_bind_text(st, at, v.n == 0 ? "" : v.p, (int)v.n, SQLITE_STATIC);
}

/* Units of the run, as many as its operations have: fewer where one is beyond the quota. */
static int put_units(struct store_sqlite *s)
{
    const struct batch *b = s->run.batch;
    int units = 0, rc = done(s->stmt[STMT_UNITS_NEW]);

    for (uint32_t i = s->run.from; i < s->run.to; i++)
        units += b->ops[i].quantity;
    return rc == SQLITE_OK && sqlite3_changes(s->db) != units ? SQLITE_CONSTRAINT : rc;
}

static int free_units(struct store_sqlite *s, const struct op *op, const uint32_t *units)
{
    sqlite3_stmt *st = s->stmt[STMT_UNIT_FREE];
    int rc = SQLITE_OK;

    sqlite3_bind_int64(st, 2, op->order);
    for (uint32_t i = 0; rc == SQLITE_OK && i < op->quantity; i++) {
        sqlite3_bind_int64(st, 1, sqlite_unit_id(op->item, units[i]));
        rc = done_once(s, st);
    }
    return rc;
}

/* Orders of the run and their units. */
static int put_orders(struct store_sqlite *s)
{
    int rc = done(s->stmt[STMT_ORDERS_NEW]);

    if (rc == SQLITE_OK && sqlite3_changes(s->db) != (int)(s->run.to - s->run.from))
        rc = SQLITE_CONSTRAINT;
    return rc == SQLITE_OK ? put_units(s) : rc;
}

static int set_status(struct store_sqlite *s, const struct op *op)
{
    sqlite3_stmt *st = s->stmt[STMT_ORDER_STATUS];

    sqlite3_bind_int64(st, 1, op->order);
    sqlite3_bind_int(st, 2, op->status);
    sqlite3_bind_int(st, 3, op->old_status);
    return done_once(s, st);
}

static int put_item(struct store_sqlite *s, const struct item *it)
{
    sqlite3_stmt *st = s->stmt[STMT_ITEM_NEW];

    sqlite3_bind_int64(st, 1, it->id);
    sqlite3_bind_int64(st, 2, it->event->id);
    bind_text(st, 3, it->slug);
    bind_text(st, 4, it->name);
    bind_text(st, 5, it->price);
    bind_text(st, 6, it->currency);
    sqlite3_bind_int64(st, 7, it->stock.quota);
    return done(st);
}

static int put_event(struct store_sqlite *s, const struct sale_event *e)
{
    sqlite3_stmt *st = s->stmt[STMT_EVENT_NEW];
    int rc;

    sqlite3_bind_int64(st, 1, e->id);
    bind_text(st, 2, e->slug);
    bind_text(st, 3, e->name);
    sqlite3_bind_int(st, 4, SALE_OPEN);
    sqlite3_bind_int64(st, 5, (sqlite3_int64)e->presale_start_ns);
    sqlite3_bind_int64(st, 6, (sqlite3_int64)e->presale_end_ns);
    sqlite3_bind_int64(st, 7, (sqlite3_int64)e->hold_ns);
    sqlite3_bind_int64(st, 8, e->max_per_buyer);
    rc = done(st);
    for (uint32_t i = 0; rc == SQLITE_OK && i < e->items_n; i++)
        rc = put_item(s, &e->items[i]);
    return rc;
}

static int set_state(struct store_sqlite *s, const struct op *op)
{
    sqlite3_stmt *st = s->stmt[STMT_EVENT_STATE];

    sqlite3_bind_int64(st, 1, op->event->id);
    sqlite3_bind_int(st, 2, op->state);
    return done_once(s, st);
}

static int apply(struct store_sqlite *s, const struct op *op, const uint32_t *units)
{
    int rc;

    switch ((enum op_kind)op->kind) {
    case OP_CREATE:
        return put_orders(s);
    case OP_CONFIRM:
        return set_status(s, op);
    case OP_RETAKE:
        rc = set_status(s, op);
        return rc == SQLITE_OK ? put_units(s) : rc;
    case OP_CANCEL:
    case OP_EXPIRE:
        rc = set_status(s, op);
        return rc == SQLITE_OK ? free_units(s, op, units) : rc;
    case OP_EVENT:
        return put_event(s, op->event);
    case OP_STATE:
        return set_state(s, op);
    }
    return SQLITE_MISUSE;
}

/* SQLITE_AUTH stands for a foreign epoch: nothing else here gives it. */
static int begin(struct store_sqlite *s)
{
    sqlite3_stmt *st = s->stmt[STMT_EPOCH];
    int rc = done(s->stmt[STMT_BEGIN]);

    if (rc != SQLITE_OK)
        return rc;
    rc = sqlite3_step(st);
    if (rc == SQLITE_ROW)
        rc = (uint64_t)sqlite3_column_int64(st, 0) == s->store.epoch ? SQLITE_OK : SQLITE_AUTH;
    else if (rc == SQLITE_DONE)
        rc = SQLITE_AUTH;
    sqlite3_reset(st);
    return rc;
}

static void roll_back(struct store_sqlite *s)
{
    if (!sqlite3_get_autocommit(s->db))
        done(s->stmt[STMT_ROLLBACK]);
}

static enum store_outcome refused(struct store_sqlite *s, int rc, const struct op *op)
{
    static const char missed[] = "a row is not as it was left, or a unit is beyond the quota";
    enum store_outcome out = STORE_UNDONE;

    if ((rc & 0xff) == SQLITE_CONSTRAINT || (rc & 0xff) == SQLITE_MISMATCH ||
        (rc & 0xff) == SQLITE_CORRUPT)
        out = STORE_CONFLICT;
    else if (rc == SQLITE_AUTH)
        out = STORE_FENCED;
    if (out == STORE_CONFLICT)
        log_error(
            "store: the database refused operation %d on order %u (the first of %u), item %u: %s",
            op ? op->kind : -1, op ? op->order : 0, s->run.to - s->run.from, op ? op->item : 0,
            rc == SQLITE_CONSTRAINT ? missed : sqlite3_errmsg(s->db));
    else if (out == STORE_FENCED)
        log_error("store: the epoch is not %llu any more: another box office owns the store",
                  (unsigned long long)s->store.epoch);
    else
        log_error("store: commit failed, undone: %s (%d)", sqlite3_errmsg(s->db), rc);
    roll_back(s);
    return out;
}

/*
 * What is written at once: new orders that stand side by side, or else one operation. Their order
 * is kept, since a unit that one operation frees may be taken by a later one.
 */
static uint32_t run_end(const struct batch *b, uint32_t from)
{
    uint32_t to = from + 1;

    while (b->ops[from].kind == OP_CREATE && to < b->n && b->ops[to].kind == OP_CREATE)
        to++;
    return to;
}

enum store_outcome sqlite_commit(struct store *store, const struct batch *b)
{
    struct store_sqlite *s = self(store);
    int rc = s->db == NULL ? SQLITE_CANTOPEN : begin(s);

    if (s->db == NULL)
        return STORE_UNDONE;
    if (rc != SQLITE_OK)
        return refused(s, rc, NULL);
    for (uint32_t i = 0; i < b->n; i = s->run.to) {
        const struct op *op = &b->ops[i];
        s->run = (struct run){b, i, run_end(b, i)};
        rc = apply(s, op, b->units + op->units_at);
        if (rc != SQLITE_OK)
            return refused(s, rc, op);
    }
    rc = done(s->stmt[STMT_COMMIT]);
    if (rc == SQLITE_OK)
        return sqlite_files_in_place(s, SQLITE_FILES) ? STORE_OK : STORE_GONE;
    if (rc == SQLITE_FULL || (rc & 0xff) == SQLITE_BUSY)
        return refused(s, rc, NULL);
    log_error("store: commit failed, its outcome is unknown: %s (%d)", sqlite3_errmsg(s->db), rc);
    roll_back(s);
    return STORE_UNKNOWN;
}

/* A write of one row. */
static bool probe(struct store_sqlite *s)
{
    int rc = begin(s);

    if (rc == SQLITE_OK)
        rc = done(s->stmt[STMT_PROBE]);
    if (rc == SQLITE_OK)
        rc = done(s->stmt[STMT_COMMIT]);
    roll_back(s);
    return rc == SQLITE_OK;
}

/*
 * After a failed fsync the kernel may call pages clean that never reached the disk, and a later
 * fsync succeeds without them. So the log that was left is not trusted to be extended: it is copied
 * into the database as it reads now, the database is synced, and the log begins anew.
 */
static bool open_again(struct store_sqlite *s)
{
    struct buf err = {0};
    bool ok;

    sqlite_tidy_wait(s);
    sqlite_disconnect(s);
    /* Connecting would make an empty database where there is none. */
    ok = sqlite_files_in_place(s, FILE_LOG) && sqlite_connect(s, &err);
    if (!ok)
        log_debug("store: %s", buf_cstr(&err));
    buf_free(&err);
    if (!ok)
        return false;
    if (sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL) ==
        SQLITE_OK) {
        sqlite_note_files(s);
        return true;
    }
    sqlite_disconnect(s);
    return false;
}

bool sqlite_recover(struct store *store, bool reopen)
{
    struct store_sqlite *s = self(store);

    if (reopen || s->db == NULL) {
        if (!open_again(s))
            return false;
    } else {
        /* What a checkpoint moves out of the log is room for new frames, even on a full disk. */
        sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    }
    return probe(s);
}
