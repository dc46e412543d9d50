/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who the children run as, and whose the directories are. The master stays what it was
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

/*
 * Fills *id from the configured user and group ("": the user's primary one). No change where we are
 * not root, and with user "" or "root". False with a message in err: there is no such user or
 * group. Only the default user (user_set false) may be missing: no change then, and err has a
 * warning.
 */
bool identity_find(struct identity *id, const char *user, bool user_set, const char *group,
                   struct buf *err);

/* In a child: groups, gid, uid, and no way back. 0 or -errno; the child must not go on after an
 * error. */
int privileges_drop(const struct identity *id) __attribute__((warn_unused_result));

/* Raises the limit of open files to the hard limit; the number in force. */
unsigned long files_limit_raise(void);

/*
 * The directory of `path`, made with its parents where missing. Parents that are made stay the
 * master's. False with a message in err.
 *
 * directory_given: one that is made is given to id, whose processes make files there.
 * directory_kept: it is the master's, so that nobody else can replace what lies in it; one that was
 * id's is taken back.
 */
bool directory_given(const char *path, const struct identity *id, struct buf *err);
bool directory_kept(const char *path, const struct identity *id, struct buf *err);

/* Gives an open file that the master created to id, so that children can open it again. Nothing for
 * what is no plain file. */
void file_give(int fd, const struct identity *id);

#endif
