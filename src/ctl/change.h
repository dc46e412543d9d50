/* SPDX-License-Identifier: BSD-2-Clause */
/* Runtime changes between the control socket and the master: what is asked, what came of it. */
#ifndef CTL_CHANGE_H
#define CTL_CHANGE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "conf/conf.h"
#include "ctl/errors.h"

#define CTL_CHANGE_SETTINGS 16 /* that one command sets together or not at all */

enum ctl_change_kind { CTL_CHANGE_SET, CTL_CHANGE_REVERT, CTL_CHANGE_SAVE };

struct ctl_change_order {
    enum ctl_change_kind kind;
    struct {
        const char *path, *value;
    } settings[CTL_CHANGE_SETTINGS]; /* SET */
    unsigned settings_n;
    uint64_t for_ns;    /* SET; 0: until reverted */
    const char *reason; /* SET; "" none */
    uid_t uid;          /* SET */
    uint32_t id;        /* REVERT, SAVE; 0: all of them */
    uint64_t wait_ns;   /* for the processes, as a reload's */
};

/* A runtime change as `changes` lists it. */
struct ctl_change_row {
    uint32_t id;
    const char *path;
    const char *old_value; /* in a list of changes: what the file says; in an outcome: before it */
    const char *value;
    uint64_t since_real_ns, until_real_ns; /* until 0: until reverted */
    uid_t uid;
    const char *reason;
    const char *where; /* "FILE:LINE" it was saved to; NULL: it was not */
};

/* Borrowed for the time of the callback. */
struct ctl_change_outcome {
    enum ctl_error error; /* CTL_ERROR_COUNT: it is in force */
    const char *message;  /* of an error; "" none */
    const char *hint;
    const char *details; /* lines as check prints them */
    const char *warning; /* "" none */
    const struct ctl_change_row *rows;
    unsigned rows_n;
    uint64_t generation;
    unsigned processes_on_it, processes_total;
    bool incomplete; /* published, but somebody did not report it in time */
};

/* What a reload would do. Borrowed for the time of the callback. */
struct ctl_diff {
    const char *errors; /* lines as check prints them; "": the files are valid */
    const char *warnings;
    const struct conf_change *changes;
    unsigned changes_n;
};

typedef void ctl_diff_fn(void *request, const struct ctl_diff *diff);

typedef void ctl_change_fn(void *request, const struct ctl_change_outcome *outcome);

#endif
