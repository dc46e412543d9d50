/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Keeping the write-ahead log short without keeping commits waiting.
 *
 * Copying a thousand frames into the database and syncing it takes some milliseconds. So under load
 * a thread with a connection of its own does that, passively, while commits go on appending:
 *
 *   log   [ copied by the checkpoint thread ......... | appended meanwhile ]
 *                                                       copied by the commit thread between two
 * commits
 *
 * What was appended meanwhile is a few pages, mostly the same ones. The commit thread, being the
 * only writer, copies them between two commits, and as then nothing is left, its next commit begins
 * the log anew. While a reader (an audit) holds an old snapshot nothing can begin anew; it is tried
 * again each time the log has grown by as much once more.
 */
#include "config.h"

#include <signal.h>

#include "base/check.h"
#include "base/log.h"
#include "boxoffice/store_sqlite.h"

#define WAL_BUSY_FRAMES 1000u /* while batches come */
#define WAL_IDLE_FRAMES 100u  /* when none came for a while */

/* One passive run on a connection that lives as long: recovery finds nothing of it. What it could
 * not copy is left to copy_rest. */
static void copy_most(const char *path)
{
    sqlite3 *db = NULL;
    int rc = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);

    if (rc == SQLITE_OK)
        rc = sqlite3_exec(db,
                          "PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0;"
                          " SELECT 1 FROM meta",
                          NULL, NULL, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
    if (rc != SQLITE_OK)
        log_warn("store: checkpoint beside commits: %s", db ? sqlite3_errmsg(db) : "out of memory");
    sqlite3_close(db);
}

static void *run(void *arg)
{
    struct store_sqlite *s = arg;
    struct checkpointer *c = &s->checkpointer;

    pthread_mutex_lock(&c->lock);
    while (!c->quit) {
        if (!c->running) {
            pthread_cond_wait(&c->changed, &c->lock);
            continue;
        }
        pthread_mutex_unlock(&c->lock);
        copy_most(s->path);
        pthread_mutex_lock(&c->lock);
        c->running = false;
        pthread_cond_broadcast(&c->changed);
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

void sqlite_tidy_init(struct store_sqlite *s)
{
    struct checkpointer *c = &s->checkpointer;
    sigset_t all, old;

    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->changed, NULL);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    CHECK(pthread_create(&c->thread, NULL, run, s) == 0);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_setname_np(c->thread, "boxoffice:wal");
}

void sqlite_tidy_wait(struct store_sqlite *s)
{
    struct checkpointer *c = &s->checkpointer;

    pthread_mutex_lock(&c->lock);
    while (c->running)
        pthread_cond_wait(&c->changed, &c->lock);
    pthread_mutex_unlock(&c->lock);
    c->finish = false;
}

void sqlite_tidy_fini(struct store_sqlite *s)
{
    struct checkpointer *c = &s->checkpointer;

    pthread_mutex_lock(&c->lock);
    c->quit = true;
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
    pthread_join(c->thread, NULL);
    pthread_cond_destroy(&c->changed);
    pthread_mutex_destroy(&c->lock);
}

static bool is_running(struct checkpointer *c)
{
    bool running;

    pthread_mutex_lock(&c->lock);
    running = c->running;
    pthread_mutex_unlock(&c->lock);
    return running;
}

static void start(struct checkpointer *c)
{
    pthread_mutex_lock(&c->lock);
    c->running = true;
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
    c->finish = true;
}

/* Between two commits nobody writes: all that is in the log is copied, unless a reader is in the
 * way. */
static void copy_rest(struct store_sqlite *s)
{
    int frames = 0, copied = 0;
    int rc = sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_PASSIVE, &frames, &copied);
    /* After an error both are -1. */
    bool all = rc == SQLITE_OK && frames == copied;

    if (rc != SQLITE_OK)
        log_warn("store: checkpoint: %s", sqlite3_errmsg(s->db));
    s->checkpointer.finish = false;
    s->wal_checked = all ? 0 : s->wal_frames;
    if (all)
        s->wal_frames = 0;
}

void sqlite_tidy(struct store *store, bool busy)
{
    struct store_sqlite *s = (struct store_sqlite *)store;
    struct checkpointer *c = &s->checkpointer;

    if (s->db == NULL || is_running(c))
        return;
    if (c->finish)
        copy_rest(s);
    else if (busy && s->wal_frames >= s->wal_checked + WAL_BUSY_FRAMES)
        start(c);
    else if (!busy && s->wal_frames >= s->wal_checked + WAL_IDLE_FRAMES)
        copy_rest(s);
}
