/* SPDX-License-Identifier: BSD-2-Clause */
/* The control socket's file: made with its final mode, then given to its group. */
#include "config.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ctl/ctl.h"
#include "rpc/addr.h"

static int group_id(const char *group, gid_t *gid)
{
    const struct group *g;

    if (group[0] == '\0')
        return 0;
    errno = 0;
    g = getgrnam(group);
    if (g == NULL)
        return errno != 0 ? -errno : -ENOENT;
    *gid = g->gr_gid;
    return 0;
}

int ctl_listen(const char *path, mode_t mode, const char *group, gid_t otherwise, gid_t *gid)
{
    struct addr addr;
    struct addr_listen how = {.backlog = 64, .mode = mode};
    struct stat st;
    char text[ADDR_TEXT_MAX];
    int fd, rc;

    *gid = otherwise;
    rc = group_id(group, gid);
    if (rc < 0)
        return rc;
    if ((size_t)snprintf(text, sizeof text, "unix:%s", path) >= sizeof text)
        return -ENAMETOOLONG;
    rc = addr_parse(slice_str(text), ADDR_LISTEN, &addr, NULL);
    if (rc < 0)
        return rc;
    fd = addr_listen(&addr, &how);
    if (fd < 0)
        return fd;
    /* Of the socket itself: whatever its directory's owner may have put in its place is not
     * followed.
     */
    if ((*gid != (gid_t)-1 && lchown(path, (uid_t)-1, *gid) < 0) || lstat(path, &st) < 0)
        rc = -errno;
    else if (!S_ISSOCK(st.st_mode))
        rc = -EADDRINUSE;
    if (rc < 0) {
        addr_unlink(&addr);
        close(fd);
        return rc;
    }
    *gid = st.st_gid;
    return fd;
}
