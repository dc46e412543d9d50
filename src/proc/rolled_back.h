/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What was rolled back while the file says it still. A rollback, of a canary or of what was in
 * force, leaves the file alone; so until somebody mends it, any reload would bring everybody what
 * has just been taken away. Here is remembered what that was, for status to say so and for a reload
 * and an upgrade to be refused while the file is still the same.
 *
 * Only in memory: a restart takes what the file says.
 */
#ifndef PROC_ROLLED_BACK_H
#define PROC_ROLLED_BACK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

struct conf;
struct kept;
struct master;

struct rolled_back {
    uint64_t generation;    /* as which it was tried or in force; 0: there is nothing */
    uint64_t since_real_ns; /* from when on it was */
    uint64_t at_real_ns;    /* when it was rolled back */
    struct conf *conf;      /* owned: what the file said */
    char *by, *reason;      /* owned; reason "" none */
    bool canary;
    bool replaced; /* by what is loaded now: rolled back only if that fails */
};

/* For the metrics. by: as below. */
void rolled_back_count(struct master *m, const char *by);
/* What is loaded has failed: if a canary was to make room for it, that one was rolled back. */
void rolled_back_after_all(struct master *m);

/* A canary's configuration (taken over) is what the file says, and not in force. */
void rolled_back_canary(struct master *m, struct conf *conf, const char *by, const char *reason);
/* A generation that the file says is no longer in force. by: NULL nobody known. */
void rolled_back_kept(struct master *m, const struct kept *k, const char *by, const char *reason);
/* The file is in force, or is being tried. */
void rolled_back_forget(struct master *m);
/* Whether `files`, loaded and without runtime changes, says what was rolled back. */
bool rolled_back_is(const struct master *m, const struct conf *files);
/* The same of the file as it is now; false too when it cannot be loaded. */
bool rolled_back_in_file(const struct master *m);
/* Appends "canary generation 2, rolled back TIME by rule: REASON". */
void rolled_back_text(const struct master *m, struct buf *out);

#endif
