/* SPDX-License-Identifier: BSD-2-Clause */
/* The control socket's file: made with its final mode, then given to its group. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "ctl/attachment.h"
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

/* Whoever may look only sends no descriptors, from the first connection on. A kernel that cannot
 * refuse them is told of in ctl_new. */
static void refuse_descriptors(int fd)
{
    if (attachment_allow(fd, false) < 0)
        log_debug("control: descriptors are taken from everybody");
}

int ctl_listen(const char *path, mode_t mode, const char *group, gid_t otherwise, gid_t *gid)
{
    struct addr addr;
    struct addr_listen how = {
        .backlog = 64, .mode = mode, .fresh = mode & S_IWOTH ? refuse_descriptors : NULL};
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

int ctl_relisten(int fd, const char *path, mode_t mode, const char *group, gid_t otherwise,
                 struct stat *is)
{
    gid_t gid = otherwise;
    int rc = group_id(group, &gid);

    if (lstat(path, is) < 0)
        return -errno;
    if (!S_ISSOCK(is->st_mode) || is->st_uid != geteuid()) {
        *is = (struct stat){0};
        return -EADDRINUSE;
    }
    if (mode & S_IWOTH)
        refuse_descriptors(fd); /* before there are strangers */
    /* As above, no link is followed. The group first: a mode is never another group's. */
    if (rc == 0 && gid != (gid_t)-1 && gid != is->st_gid && lchown(path, (uid_t)-1, gid) < 0)
        rc = -errno;
    if (rc == 0 && mode != (is->st_mode & 07777) &&
        fchmodat(AT_FDCWD, path, mode, AT_SYMLINK_NOFOLLOW) < 0)
        rc = -errno;
    return lstat(path, is) < 0 ? -errno : rc;
}
