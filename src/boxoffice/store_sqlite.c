/* SPDX-License-Identifier: BSD-2-Clause */
/* Opening the SQLite store: its single owner, its schema, its epoch. */
#include "config.h"

#include "boxoffice/store_sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"

#define LOCK_POLL_US 20000u

/* migrations[v] leads from user_version v to v + 1. */
static const char *const migrations[] = {
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE events("
    " id INTEGER PRIMARY KEY, slug TEXT NOT NULL UNIQUE, name TEXT NOT NULL,"
    " state INTEGER NOT NULL CHECK(state BETWEEN 1 AND 3),"
    " presale_start_ns INTEGER NOT NULL, presale_end_ns INTEGER NOT NULL,"
    " hold_ns INTEGER NOT NULL, max_per_buyer INTEGER NOT NULL CHECK(max_per_buyer >= 0)) STRICT;"
    "CREATE TABLE items("
    " id INTEGER PRIMARY KEY, event INTEGER NOT NULL REFERENCES events(id),"
    " slug TEXT NOT NULL, name TEXT NOT NULL, price TEXT NOT NULL, currency TEXT NOT NULL,"
    " quota INTEGER NOT NULL CHECK(quota BETWEEN 1 AND 16777216), UNIQUE(event, slug)) STRICT;"
    "CREATE TABLE orders("
    " id INTEGER PRIMARY KEY, event INTEGER NOT NULL, item INTEGER NOT NULL,"
    " quantity INTEGER NOT NULL CHECK(quantity BETWEEN 1 AND 100),"
    " status INTEGER NOT NULL CHECK(status BETWEEN 1 AND 4),"
    " buyer TEXT NOT NULL, idempotency_key TEXT NOT NULL,"
    " created_ns INTEGER NOT NULL, expires_ns INTEGER NOT NULL, secret BLOB NOT NULL) STRICT;"
    "CREATE TABLE units(id INTEGER PRIMARY KEY, order_id INTEGER NOT NULL) STRICT;"
    "CREATE TRIGGER units_quota AFTER INSERT ON units"
    " WHEN (NEW.id & 0xffffffff) >= ifnull((SELECT quota FROM items WHERE id = NEW.id >> 32), 0)"
    " BEGIN SELECT RAISE(ROLLBACK, 'oversell: unit beyond the quota'); END;"
    "CREATE TRIGGER units_moved AFTER UPDATE OF id ON units"
    " WHEN (NEW.id & 0xffffffff) >= ifnull((SELECT quota FROM items WHERE id = NEW.id >> 32), 0)"
    " BEGIN SELECT RAISE(ROLLBACK, 'oversell: unit beyond the quota'); END;"
    "INSERT INTO meta VALUES('epoch', 0), ('probe', 0), ('code_key', randomblob(16));",
};

#define SCHEMA_VERSION (int)(sizeof migrations / sizeof *migrations)

/* OR ROLLBACK and OR FAIL spare the statement journal: a batch that fails is rolled back whole
 * anyway. */
static const char *const statements[STMT_COUNT] = {
    [STMT_BEGIN] = "BEGIN IMMEDIATE",
    [STMT_COMMIT] = "COMMIT",
    [STMT_ROLLBACK] = "ROLLBACK",
    [STMT_EPOCH] = "SELECT value FROM meta WHERE key = 'epoch'",
    [STMT_PROBE] = "UPDATE meta SET value = value + 1 WHERE key = 'probe'",
    [STMT_ORDERS_NEW] = "INSERT OR ROLLBACK INTO orders SELECT * FROM new_orders",
    [STMT_ORDER_STATUS] = "UPDATE OR ROLLBACK orders SET status = ?2 WHERE id = ?1 AND status = ?3",
    /* Units beyond the quota are not among them, and then there are fewer than there must be: see
     * sqlite_connect. */
    [STMT_UNITS_NEW] =
        ("INSERT OR ROLLBACK INTO units SELECT n.id, n.order_id FROM new_units n CROSS JOIN items i"
         " ON i.id = n.id >> 32 WHERE (n.id & 0xffffffff) < i.quota"),
    [STMT_UNIT_FREE] = "DELETE FROM units WHERE id = ?1 AND order_id = ?2",
    [STMT_EVENT_NEW] = "INSERT OR ROLLBACK INTO events VALUES(?,?,?,?,?,?,?,?)",
    [STMT_EVENT_STATE] = "UPDATE OR ROLLBACK events SET state = ?2 WHERE id = ?1",
    [STMT_ITEM_NEW] = "INSERT OR ROLLBACK INTO items VALUES(?,?,?,?,?,?,?)",
};

static bool fail(struct store_sqlite *s, struct buf *err, const char *what)
{
    buf_printf(err, "%s: %s: %s", s->path, what, s->db ? sqlite3_errmsg(s->db) : "out of memory");
    return false;
}

static bool run(struct store_sqlite *s, const char *sql, struct buf *err)
{
    return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK || fail(s, err, sql);
}

/* The first column of the first row, as a number. */
static bool number(struct store_sqlite *s, const char *sql, int64_t *out, struct buf *err)
{
    sqlite3_stmt *st = NULL;
    bool ok = sqlite3_prepare_v2(s->db, sql, -1, &st, NULL) == SQLITE_OK &&
              sqlite3_step(st) == SQLITE_ROW;

    if (ok)
        *out = sqlite3_column_int64(st, 0);
    else
        fail(s, err, sql);
    sqlite3_finalize(st);
    return ok;
}

static bool is_wal(struct store_sqlite *s, struct buf *err)
{
    sqlite3_stmt *st = NULL;
    bool ok = sqlite3_prepare_v2(s->db, "PRAGMA journal_mode=WAL", -1, &st, NULL) == SQLITE_OK &&
              sqlite3_step(st) == SQLITE_ROW &&
              strcmp((const char *)sqlite3_column_text(st, 0), "wal") == 0;

    if (!ok)
        fail(s, err, "write-ahead logging is not possible here");
    sqlite3_finalize(st);
    return ok;
}

static bool migrate(struct store_sqlite *s, struct buf *err)
{
    int64_t version;
    char set[64];

    if (!number(s, "PRAGMA user_version", &version, err))
        return false;
    if (version > SCHEMA_VERSION || version < 0) {
        buf_printf(err, "%s: schema %lld is newer than this program knows (%d)", s->path,
                   (long long)version, SCHEMA_VERSION);
        return false;
    }
    for (; version < SCHEMA_VERSION; version++) {
        snprintf(set, sizeof set, "PRAGMA user_version = %lld; COMMIT", (long long)version + 1);
        if (!run(s, "BEGIN IMMEDIATE", err) || !run(s, migrations[version], err) ||
            !run(s, set, err))
            return false;
    }
    return true;
}

static int on_wal(void *arg, sqlite3 *db, const char *name, int frames)
{
    struct store_sqlite *s = arg;

    (void)db;
    (void)name;
    s->wal_frames = (unsigned)frames;
    return SQLITE_OK;
}

bool sqlite_connect(struct store_sqlite *s, struct buf *err)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;

    if (sqlite3_open_v2(s->path, &s->db, flags, NULL) != SQLITE_OK) {
        fail(s, err, "open");
        goto out;
    }
    sqlite3_extended_result_codes(s->db, 1);
    sqlite3_busy_timeout(s->db, 2000);
    if (!is_wal(s, err) ||
        !run(s,
             "PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0; PRAGMA cache_size=-32768;"
             "PRAGMA journal_size_limit=67108864; PRAGMA trusted_schema=OFF",
             err) ||
        !migrate(s, err))
        goto out;
    sqlite3_wal_hook(s->db, on_wal, s);
    /* The file's triggers are for everybody else. A trigger is a program that runs for each row,
     * and all rows are copied first, a fifth of a commit; the one statement that writes units looks
     * at the quota itself. */
    if (sqlite3_db_config(s->db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL) != SQLITE_OK) {
        fail(s, err, "triggers");
        goto out;
    }
    if (sqlite_rows_init(s) != SQLITE_OK) {
        fail(s, err, "new rows");
        goto out;
    }
    for (int i = 0; i < STMT_COUNT; i++)
        if (sqlite3_prepare_v3(s->db, statements[i], -1, SQLITE_PREPARE_PERSISTENT, &s->stmt[i],
                               NULL) != SQLITE_OK) {
            fail(s, err, statements[i]);
            goto out;
        }
    return true;
out:
    sqlite_disconnect(s);
    return false;
}

void sqlite_disconnect(struct store_sqlite *s)
{
    for (int i = 0; i < STMT_COUNT; i++) {
        sqlite3_finalize(s->stmt[i]);
        s->stmt[i] = NULL;
    }
    sqlite3_close(s->db);
    s->db = NULL;
    s->wal_frames = s->wal_checked = 0;
}

static void file_name(const struct store_sqlite *s, enum sqlite_file which, char out[PATH_MAX + 8])
{
    static const char *const suffix[] = {
        [FILE_DATABASE] = "", [FILE_LOCK] = ".lock", [FILE_LOG] = "-wal"};

    snprintf(out, PATH_MAX + 8, "%s%s", s->path, suffix[which]);
}

/*
 * The lock's name comes from the path, so the path must be the same whichever way somebody came.
 * The database is made here if there is none, since only what exists has a real path: never opened
 * when it exists, because closing it would drop SQLite's locks of this process.
 */
static bool resolve_path(struct store_sqlite *s, const char *path, struct buf *err)
{
    int fd;

    s->path = realpath(path, NULL);
    if (s->path == NULL && errno == ENOENT &&
        (fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644)) >= 0) {
        close(fd);
        s->path = realpath(path, NULL);
    }
    if (s->path == NULL)
        buf_printf(err, "%s: open: %s", path, strerror(errno));
    return s->path != NULL;
}

/*
 * Which file a name stands for: 0 or -errno. Not asked for times: where they were, Linux (from 6.13
 * on) gives the file's next write a time of its own, and an ext4 without a journal writes the inode
 * to disk for it, with every commit.
 */
static int identify(const char *name, struct sqlite_file_id *id)
{
    struct statx st;

    if (statx(AT_FDCWD, name, 0, STATX_INO, &st) != 0)
        return -errno;
    *id = (struct sqlite_file_id){st.stx_ino, st.stx_dev_major, st.stx_dev_minor};
    return 0;
}

void sqlite_note_files(struct store_sqlite *s)
{
    char name[PATH_MAX + 8];

    for (unsigned i = 0; i < SQLITE_FILES; i++) {
        file_name(s, (enum sqlite_file)i, name);
        /* One that cannot be seen is not compared. */
        if (identify(name, &s->files[i]) != 0)
            s->files[i] = (struct sqlite_file_id){0};
    }
}

static bool is_same(const struct sqlite_file_id *a, const struct sqlite_file_id *b)
{
    return a->ino == b->ino && a->dev_major == b->dev_major && a->dev_minor == b->dev_minor;
}

/* An error other than that it is not there says nothing about the file. */
bool sqlite_files_in_place(const struct store_sqlite *s, unsigned n)
{
    char name[PATH_MAX + 8];
    struct sqlite_file_id now = {0};

    for (unsigned i = 0; i < n; i++) {
        int rc;
        file_name(s, (enum sqlite_file)i, name);
        rc = identify(name, &now);
        if (s->files[i].ino == 0 || (rc < 0 && rc != -ENOENT && rc != -ENOTDIR) ||
            (rc == 0 && is_same(&now, &s->files[i])))
            continue;
        log_error("store: %s was %s while it was in use", name, rc < 0 ? "removed" : "replaced");
        return false;
    }
    return true;
}

/* Opens the lock's file and tries to lock it. -EAGAIN: somebody else has it. */
static int try_lock(struct store_sqlite *s, const char *name)
{
    struct stat ours, there;
    int rc = 0;

    s->lock_fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (s->lock_fd < 0)
        return -errno;
    if (flock(s->lock_fd, LOCK_EX | LOCK_NB) != 0)
        return errno == EWOULDBLOCK || errno == EINTR ? -EAGAIN : -errno;
    /* Removed meanwhile: whoever comes next would lock another file of this name. */
    if (fstat(s->lock_fd, &ours) != 0 || stat(name, &there) != 0 || ours.st_ino != there.st_ino)
        rc = -EAGAIN;
    return rc;
}

static void write_pid(const struct store_sqlite *s)
{
    char pid[32];
    int n = snprintf(pid, sizeof pid, "%d", (int)getpid());

    if (ftruncate(s->lock_fd, 0) != 0 || pwrite(s->lock_fd, pid, (size_t)n, 0) != n)
        return; /* it is for people only */
}

/* The lock is a file of its own: closing any descriptor of the database would drop SQLite's locks.
 */
static bool lock_owner(struct store_sqlite *s, unsigned wait_ms, struct buf *err)
{
    uint64_t end = clock_mono_ns() + wait_ms * NS_PER_MS;
    char name[PATH_MAX + 8], pid[32];
    ssize_t n;
    int rc;

    file_name(s, FILE_LOCK, name);
    while ((rc = try_lock(s, name)) != 0) {
        if (rc != -EAGAIN) {
            buf_printf(err, "%s: %s", name, strerror(-rc));
            return false;
        }
        if (clock_mono_ns() >= end) {
            n = pread(s->lock_fd, pid, sizeof pid - 1, 0);
            pid[n > 0 ? n : 0] = '\0';
            buf_printf(err, "%s: another box office owns this store (process %s)", s->path, pid);
            return false;
        }
        close(s->lock_fd);
        s->lock_fd = -1;
        usleep(LOCK_POLL_US);
    }
    write_pid(s);
    return true;
}

static bool raise_epoch(struct store_sqlite *s, struct buf *err)
{
    int64_t epoch;

    if (!run(s, "BEGIN IMMEDIATE; UPDATE meta SET value = value + 1 WHERE key = 'epoch'", err) ||
        !number(s, statements[STMT_EPOCH], &epoch, err) || !run(s, "COMMIT", err))
        return false;
    s->store.epoch = (uint64_t)epoch;
    return true;
}

static uint64_t sqlite_bytes(const struct store *store)
{
    const struct store_sqlite *s = (const struct store_sqlite *)store;
    char name[PATH_MAX + 8];
    struct stat st;
    uint64_t n = 0;

    file_name(s, FILE_LOG, name);
    if (stat(name, &st) == 0)
        n += (uint64_t)st.st_size;
    if (stat(s->path, &st) == 0)
        n += (uint64_t)st.st_size;
    return n;
}

static bool sqlite_in_place(const struct store *store)
{
    return sqlite_files_in_place((const struct store_sqlite *)store, SQLITE_FILES);
}

static void sqlite_close(struct store *store)
{
    struct store_sqlite *s = (struct store_sqlite *)store;

    sqlite_tidy_fini(s);
    sqlite_disconnect(s);
    if (s->lock_fd >= 0)
        close(s->lock_fd);
    free(s->path);
    free(s);
}

static const struct store_driver driver = {
    .name = "sqlite",
    .commit = sqlite_commit,
    .recover = sqlite_recover,
    .load = sqlite_load,
    .tidy = sqlite_tidy,
    .bytes = sqlite_bytes,
    .in_place = sqlite_in_place,
    .close = sqlite_close,
};

struct store *store_sqlite_open(const char *path, unsigned wait_ms, struct buf *err)
{
    struct store_sqlite *s = xcalloc(1, sizeof *s);

    /* Without statistics SQLite's allocator takes no process-wide lock. Fails, harmlessly, when it
     * runs. */
    sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
    s->store.driver = &driver;
    s->lock_fd = -1;
    sqlite_tidy_init(s);
    if (resolve_path(s, path, err) && lock_owner(s, wait_ms, err) && sqlite_connect(s, err) &&
        raise_epoch(s, err)) {
        sqlite_note_files(s);
        return &s->store;
    }
    sqlite_close(&s->store);
    return NULL;
}
