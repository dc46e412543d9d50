/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a store of the box office must do: make batches durable, and give back the whole state. A
 * driver is a table of functions. One thread at a time calls them: the main thread until the commit
 * thread starts, then only the commit thread (but for `bytes` and `in_place`). A driver may have
 * threads of its own for housekeeping; what they share with the calls is the driver's to guard.
 *
 * Every call may block on the disk or the network.
 */
#ifndef BOXOFFICE_STORE_H
#define BOXOFFICE_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "boxoffice/core/batch.h"

struct sale;
struct store;

enum store_outcome {
    STORE_OK,       /* durable */
    STORE_UNDONE,   /* surely not durable */
    STORE_UNKNOWN,  /* an error after which it may be durable: recover, then load */
    STORE_CONFLICT, /* the database refused it: a bug or a foreign writer; surely not durable */
    STORE_FENCED,   /* another process owns the events now */
    STORE_GONE,     /* what was written is in files that are not the store's any more */
};

struct store_driver {
    const char *name;
    enum store_outcome (*commit)(struct store *s, const struct batch *b);
    /*
     * After an outcome other than OK. `reopen`: throw the connection away and make sure that what
     * it left behind is durable or gone. Then proves with a write that commits work. False while
     * they do not.
     */
    bool (*recover)(struct store *s, bool reopen);
    /* Fills an empty sale. False, with the reason in err. */
    bool (*load)(struct store *s, struct sale *sale, uint64_t now_ns, struct buf *err);
    /* Housekeeping after a commit; `busy`: the next batch is waiting already. */
    void (*tidy)(struct store *s, bool busy);
    uint64_t (*bytes)(const struct store *s);
    /*
     * Whether the store is still where it was opened. False: it was deleted or replaced, or the
     * lock that keeps others away was. Not while a commit or a recovery is under way.
     */
    bool (*in_place)(const struct store *s);
    void (*close)(struct store *s);
};

struct store {
    const struct store_driver *driver;
    uint64_t epoch; /* raised when the store was opened; a commit under another one is fenced */
};

/*
 * Opens (creating) the SQLite store at path as its only owner and raises the epoch. Waits up to
 * wait_ms for another owner to go. NULL, with the reason in err.
 */
struct store *store_sqlite_open(const char *path, unsigned wait_ms, struct buf *err);

/*
 * Verifies every invariant of the store at path, read-only, beside a running owner if there is one;
 * prints one line for each violation to stdout. Number of violations, or -1 with the reason in err.
 */
long store_sqlite_check(const char *path, struct buf *err);

#endif
