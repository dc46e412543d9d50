/* SPDX-License-Identifier: BSD-2-Clause */
#include "config.h"

#include "ctl/peer.h"

#include <sys/socket.h>
#include <unistd.h>

#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59
#endif

/* One more group than this and a member may be taken for a stranger, never the other way round. */
#define GROUPS_MAX 1024

bool peer_may_operate(uid_t uid, uid_t daemon, const gid_t *groups, size_t groups_n, gid_t group)
{
    if (uid == 0 || uid == daemon)
        return true;
    if (group == (gid_t)-1)
        return false;
    for (size_t i = 0; i < groups_n; i++)
        if (groups[i] == group)
            return true;
    return false;
}

bool peer_identify(int fd, gid_t group, struct peer *out)
{
    struct ucred cred;
    gid_t groups[GROUPS_MAX + 1];
    socklen_t n = sizeof cred, groups_n = GROUPS_MAX * sizeof *groups;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) < 0)
        return false;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &groups_n) < 0)
        groups_n = 0;
    groups_n /= sizeof *groups;
    groups[groups_n++] = cred.gid;
    out->pid = cred.pid;
    out->uid = cred.uid;
    out->operate = peer_may_operate(cred.uid, geteuid(), groups, groups_n, group);
    return true;
}
