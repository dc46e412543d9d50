/* SPDX-License-Identifier: BSD-2-Clause */
/* Who is at the other end of a Unix socket, as the kernel recorded it when it connected. */
#ifndef CTL_PEER_H
#define CTL_PEER_H

#include <stdbool.h>
#include <sys/types.h>

#include "ctl/commands.h"

struct peer {
    pid_t pid; /* for the log; never for a decision */
    uid_t uid;
    bool operate; /* may run `operate` commands */
};

/* False when the kernel does not say: then the client is refused. */
bool peer_identify(int fd, gid_t group, struct peer *out) __attribute__((warn_unused_result));

/* The rule alone: root, the daemon's own user, members of the group ((gid_t)-1: it has none). */
bool peer_may_operate(uid_t uid, uid_t daemon, const gid_t *groups, size_t groups_n, gid_t group);

static inline bool peer_may(const struct peer *p, enum ctl_permission permission)
{
    return permission == CTL_VIEW || p->operate;
}

#endif
