/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Inside of the runtime changes:
 *
 *   changes.c  orders, expiry       changes_state.c  the list, with a publication, over a restart
 *   changes_save.c  into the file   change_set.c, change_file.c  list and state file by themselves
 */
#ifndef PROC_CHANGES_INT_H
#define PROC_CHANGES_INT_H

#include "base/buf.h"
#include "proc/changes.h"

enum job_kind { JOB_SET, JOB_REVERT, JOB_EXPIRE, JOB_SAVE };

struct change_job {
    struct master *m;
    struct change_job *next;
    enum job_kind kind;
    struct change_set wanted; /* SET: ids are not given yet */
    uint32_t id;              /* REVERT, SAVE; 0: all */
    uint64_t wait_ns;
    ctl_change_fn *done; /* NULL: nobody waits */
    void *request;
    /* For the outcome: */
    struct ctl_change_row *rows; /* texts owned */
    unsigned rows_n;
    struct buf message, hint, details, warning;
};

/* changes.c */
void changes_answer(struct change_job *j, enum ctl_error error, const struct reload_report *report);
/* For the answer and the audit log: its value in both. */
void changes_add_row(struct change_job *j, const struct change *c, const struct conf *old_conf,
                     const struct conf *new_conf);
/* False, with a message in the job: it names a change that is not there. */
bool changes_known(struct change_job *j, const struct change_set *s);
/* Sets the clock for what there is to do next, least_ns from now at the earliest. */
void changes_wind(struct master *m, uint64_t least_ns);

/* changes_state.c */

/* What is to be true with the next publication; takes over s. False with a message: the state file
 * cannot be written. changes_commit or changes_abort follows in any case. */
bool changes_prepare(struct master *m, struct change_set *s, struct buf *why);
/* A state file that could not be written: once more. */
void changes_write_again(struct master *m);
struct conf *changes_derive(const struct conf *base, const struct change_set *s,
                            struct buf *errors);
/* The configuration with as many of them as go together: one that is wrong by itself, or with those
 * before it, is taken out of s. */
struct conf *changes_fit(const struct conf *base, struct change_set *s, struct buf *warnings);
void changes_first_line(struct buf *out, struct buf *errors);
/* To be freed; NULL: there is no such setting. */
char *changes_value(const struct conf *c, const char *path);

/* changes_save.c: carries out a save and answers. */
void changes_save(struct master *m, struct change_job *j);

#endif
