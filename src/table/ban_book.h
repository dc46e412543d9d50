/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The master's list of bans, with what people want to know about each. Sorted by target, each
 * target once, in plain memory; after a change ban_book_publish makes the image that workers look
 * at.
 *
 * As text, one line each, which is the form of the state file too (proc/bans.c):
 *
 *   rushgate bans 1
 *   10.2.0.0/16<TAB>2026-11-03T12:00:00Z<TAB>never<TAB>deny<TAB>uid 0<TAB>scraper
 *   end 1 0123456789abcdef                  lines, and a hash of all before
 */
#ifndef TABLE_BAN_BOOK_H
#define TABLE_BAN_BOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "table/ban.h"
#include "table/ban_image.h"

#define BAN_NEVER      UINT64_MAX /* until_ns: it does not expire */
#define BAN_REASON_MAX 200u       /* bytes */
#define BAN_WHO_MAX    64u
#define BAN_TEXT_MAX   (BAN_IDENTITY_MAX + 16) /* of a target */

struct ban {
    struct ban_target what;
    bool allow;
    uint64_t since_ns, until_ns; /* CLOCK_REALTIME */
    struct slice reason, who;    /* UTF-8 in one line, no control characters */
    uint32_t cell, serial;       /* of its hits; given by the book */
};

struct ban_book {
    struct ban **all; /* owned, each with its texts in one block */
    size_t n, room;
    uint32_t capacity;
    uint32_t *free_cells; /* owned; a stack */
    uint32_t free_n, serial;
};

void ban_book_init(struct ban_book *b, uint32_t capacity);
void ban_book_fini(struct ban_book *b);

/* Adds copies, or takes the place of those about the same target, which keep their hits. All or,
 * with -ENOSPC, none. `list` is sorted by this (of two about one target one stays). *added:
 * how many were not there before. */
int ban_book_put(struct ban_book *b, struct ban *list, size_t n, size_t *added)
    __attribute__((warn_unused_result));
/* NULL: not there. Valid until the next change. */
const struct ban *ban_book_find(const struct ban_book *b, const struct ban_target *what);
bool ban_book_remove(struct ban_book *b, const struct ban_target *what);
void ban_book_clear(struct ban_book *b);
/* Removes those that have expired; how many. */
size_t ban_book_expire(struct ban_book *b, uint64_t now_ns);
/* When the next one does; BAN_NEVER: none. */
uint64_t ban_book_next_expiry(const struct ban_book *b);

/* Makes it the image in force. 0 or -ENOSPC: it does not fit into the zone. */
int ban_book_publish(const struct ban_book *b, struct ban_zone *z)
    __attribute__((warn_unused_result));

void ban_book_write(const struct ban_book *b, struct buf *out);
/*
 * Reads what ban_book_write wrote into an empty book; bans that have expired by now_ns are left
 * out. False with a line in why where it is anything else; the book is then empty.
 */
bool ban_book_read(struct ban_book *b, struct slice text, uint64_t now_ns, struct buf *why)
    __attribute__((warn_unused_result));

/* ban_text.c ----------------------------------------------------------------------------------- */

/* "192.0.2.1", "10.2.0.0/16", "2001:db8::/32", "identity:ann". What is borrowed of text is the
 * identity. False with what is wrong and what was expected in why. */
bool ban_target_parse(struct slice text, struct ban_target *out, struct buf *why)
    __attribute__((warn_unused_result));
/* The same text again; the length. */
size_t ban_target_text(const struct ban_target *t, char out[BAN_TEXT_MAX]);
/* A reason: at most BAN_REASON_MAX bytes of UTF-8 without control characters. */
bool ban_reason_check(struct slice reason, struct buf *why) __attribute__((warn_unused_result));

/*
 * A list for `ban load`: a target a line, blank lines and what follows # or ; passed over. Appends
 * to *list (heap, grown; identities are borrowed from text), *n of them. False with a line
 * "FILE:LINE:COLUMN: error: ..." in errors for each that is wrong, of the first 20.
 */
bool ban_list_parse(const char *file, struct slice text, struct ban **list, size_t *n,
                    struct buf *errors) __attribute__((warn_unused_result));

#endif
