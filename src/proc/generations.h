/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How a configuration comes into force, and which earlier ones are kept. In the master.
 *
 *   reload.c     where it comes from: the file, or an earlier generation
 *   canary.h     a configuration beside the current one, and the rule that ends it
 *   publish.c    compile, spare bank, indexes, flip                    all or nothing, at once
 *   history.c    the list of those that are kept, each with its bank
 *   adoption.c   waits until the processes use it, reports to who asked
 *
 * A kept generation keeps its bank too (bank_zone.kept): a rollback copies what is compiled already
 * and flips. When banks run short, the oldest kept ones are given up.
 */
#ifndef PROC_GENERATIONS_H
#define PROC_GENERATIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/list.h"
#include "conf/conf.h"
#include "ctl/ctl.h"
#include "net/loop.h"

struct master;

/* What a change of the configuration did, for whoever asked for it. Valid during the callback. */
struct reload_report {
    bool ok;        /* the new generation is in force, as far as was waited for */
    bool invalid;   /* the configuration has errors; nothing changed */
    bool timed_out; /* published, but not every process has reported */
    uint64_t old_generation, generation; /* equal when nothing changed */
    uint64_t duration_ns;
    unsigned reporting, expected; /* processes on the new generation, of those that were ready */
    unsigned files, settings;
    bool unchanged;              /* the configuration says the same as the one before it */
    struct conf_change *changes; /* their texts are the report's own */
    unsigned changes_n;
    struct buf errors; /* text for people, "" when ok */
    const char *hint;  /* refused, and this is what to do; NULL: it was tried */
    struct buf warnings;
};

typedef void reload_done(void *arg, const struct reload_report *report);

/* --- history.c --- */

#define HISTORY_MAX 32 /* that are kept beside the current one; generations.keep */

/* Why a configuration came into force. */
enum origin { ORIGIN_START, ORIGIN_FILE, ORIGIN_ROLLBACK, ORIGIN_RUNTIME, ORIGIN_CANARY };

struct kept {
    struct conf *conf; /* owned; may be the master's boot, which it then is not */
    uint64_t generation;
    uint64_t first; /* generation as which this configuration came into force at first */
    unsigned bank;
    uint64_t since_real_ns;
    enum origin origin; /* its own: runtime changes over it do not count */
    bool of_file;       /* the file said so when it was last loaded */
    bool changed;  /* with runtime changes over it: a rollback makes it anew, with those of then */
    char *reason;  /* owned; "" none */
    char *changes; /* owned: what it changed, in short */
};

/* The configurations that came into force, each once, in the order in which they last did. Runtime
 * changes make no configuration of its own: they lie over the current one. */
struct history {
    struct kept all[HISTORY_MAX + 1];
    unsigned n;
    uint64_t wanted; /* generation that is not given up while a rollback to it goes on; 0 */
};

/* How the current generation came into force. */
struct origin_of {
    enum origin origin;
    const char *reason; /* NULL: none */
    uint64_t again; /* generation whose configuration it is, in whose place it comes; 0: none's */
};

/* The current generation, of this configuration (taken over), is in force. changes: from the one
 * before it. */
void history_add(struct master *m, struct conf *conf, const struct origin_of *o,
                 const struct reload_report *changes);
/* The file says what is tried now, which is none of these; same: which the current one says, too.
 */
void history_file_is_tried(struct master *m, bool same);
/* The current configuration has been made anew (taken over) from other files, with the same values:
 * nothing is published. */
void history_same(struct master *m, struct conf *conf);
/* NULL: not kept. 0: the one that was in force before the current. */
const struct kept *history_find(const struct master *m, uint64_t generation);
const struct kept *history_current(const struct master *m);
/* Gives the oldest up; which generation that was, or 0: only the current one is left. */
uint64_t history_drop_oldest(struct master *m);
/* As generations.keep says. */
void history_trim(struct master *m);
void history_fini(struct master *m);
const char *origin_name(enum origin o);
/* "http.server_name, routes[a] and 3 more"; to be freed. */
char *history_in_short(const struct reload_report *r);

/* --- publish.c --- */

/* By how many generations the process that is furthest behind is; its slot. A canary is none. */
uint64_t publish_behind(const struct master *m, unsigned *slot);

/* Compiles and publishes. False with errors: nothing has changed. */
bool publish_conf(struct master *m, const struct conf *c, enum origin origin, struct buf *errors);
/* Compiles and offers as a canary. seed 0: the generation it gets. */
bool publish_canary(struct master *m, const struct conf *c, uint32_t share, uint64_t seed,
                    struct buf *errors);
/* Publishes once more what is in a bank that is in use. */
bool publish_again(struct master *m, unsigned bank, struct buf *errors);

/* --- adoption.c --- */

#define ADOPTION_WAITERS 32

struct adoption_waiter {
    reload_done *fn; /* may be NULL */
    uint64_t wait_ns;
    void *arg;
};

/* A configuration on its way into force. */
struct adoption {
    struct list node; /* on master.adoptions while processes are waited for */
    struct master *m;
    struct reload_report report;
    uint64_t started_ns;
    struct loop_timer timer;
    struct adoption_waiter waiters[ADOPTION_WAITERS];
    unsigned waiters_n;
    bool workers_only;              /* the keeper is not waited for: it follows no canary */
    bool brings_back;               /* workers that were drained come back */
    bool is_reload;                 /* of the file: its outcome is counted */
    void (*over)(struct master *m); /* called last; may be NULL */
};

struct adoption *adoption_begin(struct master *m);
void adoption_add_waiter(struct adoption *c, struct adoption_waiter w);
/* Fills the report: what `next`, published as `generation`, changes; pending: and what of it waits
 * for a restart. */
void adoption_compare(struct adoption *c, const struct conf *next, uint64_t generation,
                      bool pending);
/* What the current generation, of this configuration (taken over), changes; it goes into the
 * history. */
void adoption_in_force(struct adoption *c, struct conf *next, const struct origin_of *o);
/* Published: waits for the processes and then answers. */
void adoption_wait(struct adoption *c);
/* Not published: answers with the report's errors. */
void adoption_failed(struct adoption *c);
/* A child reported, became ready or ended. */
void adoptions_progress(struct master *m);
void adoptions_fini(struct master *m);

#endif
