/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The audit log: who changed what, when, why, and how it ended. One JSON object a line, appended
 * with one write(2); besides, each is one line of the error log at level notice.
 *
 *   {"time":"2026-11-03T12:00:31.123Z","uid":1000,"pid":4711,"command":"limit set",
 *    "args":["per_buyer","8/10s"],"for_s":600,"reason":"bots","changes":[{"setting":
 *    "limits.per_buyer.rate","old":"10/s","new":"8/10s"}],"result":"ok"}
 *
 * Commands of the control socket that operate are recorded by themselves when they are answered,
 * refused ones too (request.c); a handler only adds what they changed: ctl_audit_change. What the
 * daemon does by itself (an expiry, a reload by signal) is audit_event: no uid and no pid.
 *
 * Written by the master only. A line that cannot be written is a line in the error log; the command
 * goes on.
 */
#ifndef CTL_AUDIT_H
#define CTL_AUDIT_H

#include <jansson.h>

struct audit {
    const char *path; /* borrowed; NULL: off */
    int fd;           /* -1: not open */
};

/* 0 or -errno. path NULL: there is no file, but the error log has its lines. */
int audit_open(struct audit *a, const char *path) __attribute__((warn_unused_result));
/* For logrotate: 0 or -errno, the old file staying. */
int audit_reopen(struct audit *a);
void audit_close(struct audit *a);

/* Adds the time and writes the record (taken over), an object as above. a may be NULL: only the
 * error log. */
void audit_write(struct audit *a, json_t *record);

/* Something that happened without a client. changes (taken over): NULL or as audit_change makes it;
 * reason: "" none. */
void audit_event(struct audit *a, const char *command, json_t *changes, const char *reason,
                 const char *result);

/* Appends {"setting", "old", "new"} to a list of changes; *list may be NULL. */
void audit_change(json_t **list, const char *setting, const char *old, const char *new_value);

#endif
