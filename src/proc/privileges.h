/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who the children run as, and the directories that must be theirs. The master stays what it was
 * started as: it must bind and write the pid file again after a restart.
 */
#ifndef PROC_PRIVILEGES_H
#define PROC_PRIVILEGES_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/buf.h"

struct identity {
    bool change; /* false: children stay who the master is */
    uid_t uid;
    gid_t gid;
    char name[64]; /* for setgroups and messages */
};

/* Fills *id from the configured user and group ("": the user's primary one); user "" or not being
 * root means no change. False: started as root and there is no such user or group (no change then;
 * the caller decides whether that is worth a warning). */
bool identity_find(struct identity *id, const char *user, const char *group);

/* In a child: groups, gid, uid, and no way back. 0 or -errno; the child must not go on after an
 * error. */
int privileges_drop(const struct identity *id) __attribute__((warn_unused_result));

/* Raises the limit of open files to the hard limit; the number in force. */
unsigned long files_limit_raise(void);

/*
 * The directory of `path`, made with its parents where missing and then given to id. False with a
 * message in err.
 */
bool directory_of(const char *path, const struct identity *id, struct buf *err);

/* Gives an existing file that the master created to id, so that children can open it again. */
void file_give(const char *path, const struct identity *id);

#endif
