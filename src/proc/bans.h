/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bans in the master: the list, the zone it is published in, and the state file that brings them
 * through a restart and the death of the master.
 *
 * A change is in force first and on disk second: a full disk must not keep an attacker in. Where
 * the file could not be written, the caller is told, and it is tried again every RETRY_NS until it
 * could. The file is written whole to a temporary one beside it, fsync'd, renamed, and the
 * directory fsync'd, so at any moment the old or the new list is there. One that is not whole (its
 * last line has a sum) is moved aside at start; bans then begin empty, and a warning says so.
 */
#ifndef PROC_BANS_H
#define PROC_BANS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "net/loop.h"
#include "shm/zone.h"
#include "table/ban_book.h"

#define BANS_MAX (UINT32_C(1) << 18)

struct bans {
    struct zone handle;
    struct ban_zone *zone; /* in it */
    struct ban_book book;
    struct buf saved; /* what the file says, or should */
    const char *path; /* borrowed; NULL: bans end with the daemon */
    bool dirty;       /* the file does not say `saved` */
    struct loop *loop;
    struct loop_timer timer; /* next expiry, or the next try to write */
};

/*
 * Creates the zone and publishes what the state file says, or instead of it the list (a file of the
 * same form, closed; -1: none) that the master before has handed over. 0 or -errno: no shared
 * memory.
 */
int bans_open(struct bans *b, const char *path, int list) __attribute__((warn_unused_result));
/* From now on bans that have expired are removed. */
void bans_start(struct bans *b, struct loop *loop);
/* From now on nothing is done until bans_start: another master may write the state file. */
void bans_rest(struct bans *b);
/* The list for bans_open, or -errno. */
int bans_list(const struct bans *b);
/* Also after a bans_open that failed, or none: b zeroed with handle.fd -1. */
void bans_close(struct bans *b);

/*
 * Puts n bans or none: 0; -ENOSPC: there is no room for all. Removes those about `what` (NULL:
 * all): how many. When they return it is so in every worker. why: filled when the state file could
 * not be written.
 */
int bans_put(struct bans *b, struct ban *list, size_t n, size_t *added, struct buf *why);
size_t bans_remove(struct bans *b, const struct ban_target *what, size_t n, struct buf *why);

#endif
