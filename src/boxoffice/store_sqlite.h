/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The SQLite store. One file in WAL mode, synchronous=FULL; times are nanoseconds since the epoch,
 * UTC.
 *
 *   meta    key, value              epoch, code_key (16 bytes)
 *   events  id, slug, name, state, presale_start_ns, presale_end_ns, hold_ns, max_per_buyer
 *   items   id, event, slug, name, price, currency, quota
 *   orders  id (append only), event, item, quantity, status, buyer, idempotency_key, created_ns,
 *           expires_ns, secret (16 bytes)      status: 1 pending, 2 paid, 3 expired, 4 canceled
 *   units   id = item << 32 | unit, order_id   a unit that is held or sold; a free one has no row
 *
 * An order costs appends at the right edge of two trees and no index of random values. The database
 * itself refuses an oversell: a unit is a key, so it cannot be there twice, and the statement by
 * which the box office writes units joins them with the quotas of their items; for whoever else
 * writes into the file a trigger refuses one at or above the quota of its item, or of an item that
 * does not exist.
 */
#ifndef BOXOFFICE_STORE_SQLITE_H
#define BOXOFFICE_STORE_SQLITE_H

#include <pthread.h>
#include <sqlite3.h>
#include <sys/types.h>

#include "boxoffice/store.h"

enum sqlite_stmt {
    STMT_BEGIN,
    STMT_COMMIT,
    STMT_ROLLBACK,
    STMT_EPOCH,
    STMT_PROBE,
    STMT_ORDERS_NEW,
    STMT_ORDER_STATUS,
    STMT_UNITS_NEW,
    STMT_UNIT_FREE,
    STMT_EVENT_NEW,
    STMT_EVENT_STATE,
    STMT_ITEM_NEW,
    STMT_COUNT,
};

/* Files of a store: what is behind its path. */
enum sqlite_file { FILE_DATABASE, FILE_LOCK, FILE_LOG, SQLITE_FILES };

/* Which file it is, of all on this host; 0: none. */
struct sqlite_file_id {
    uint64_t ino;
    uint32_t dev_major, dev_minor;
};

/* The checkpoint thread: copies the log into the database while commits go on. See store_tidy.c. */
struct checkpointer {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool running, quit; /* under lock */
    bool finish;        /* the commit thread's: a run is over, what it left is to be copied */
};

/* Operations of a batch that are being written by one statement. See store_rows.c. */
struct run {
    const struct batch *batch;
    uint32_t from, to;
};

struct store_sqlite {
    struct store store;
    char *path;  /* owned; absolute, without symbolic links: the lock is one for all ways here */
    int lock_fd; /* of path.lock, flocked as long as we live */
    struct sqlite_file_id files[SQLITE_FILES]; /* those that were opened; all zero before */
    sqlite3 *db;                               /* NULL while recovery has not opened it again */
    sqlite3_stmt *stmt[STMT_COUNT];
    struct run run;
    unsigned wal_frames;  /* in the WAL after the last commit */
    unsigned wal_checked; /* frames when a checkpoint last left something */
    struct checkpointer checkpointer;
};

/* Opens the database and prepares the statements; makes or migrates the schema. */
bool sqlite_connect(struct store_sqlite *s, struct buf *err);
void sqlite_disconnect(struct store_sqlite *s);
/* Notes which files are the store's; they exist. */
void sqlite_note_files(struct store_sqlite *s);
/* Whether the first n of enum sqlite_file are still those. Logs which one is not. */
bool sqlite_files_in_place(const struct store_sqlite *s, unsigned n);

/* A unit's key. */
static inline sqlite3_int64 sqlite_unit_id(uint32_t item, uint32_t unit)
{
    return (sqlite3_int64)((uint64_t)item << 32 | unit);
}

/* Makes the tables that show s->run to this connection. A code of SQLite. */
int sqlite_rows_init(struct store_sqlite *s);

enum store_outcome sqlite_commit(struct store *s, const struct batch *b);
bool sqlite_recover(struct store *s, bool reopen);
bool sqlite_load(struct store *s, struct sale *sale, uint64_t now_ns, struct buf *err);
void sqlite_tidy(struct store *s, bool busy);
/* Starts and ends the checkpoint thread; wait: until it has nothing open. */
void sqlite_tidy_init(struct store_sqlite *s);
void sqlite_tidy_wait(struct store_sqlite *s);
void sqlite_tidy_fini(struct store_sqlite *s);

#endif
