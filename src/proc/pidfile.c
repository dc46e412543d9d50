/* SPDX-License-Identifier: BSD-2-Clause */
#include "config.h"

#include "proc/pidfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

#define LOCK_TRIES 10

static int lock(int fd, pid_t *holder)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    struct flock held = whole;

    if (fcntl(fd, F_SETLK, &whole) == 0)
        return 0;
    if (errno != EACCES && errno != EAGAIN)
        return -errno;
    *holder = fcntl(fd, F_GETLK, &held) == 0 && held.l_type != F_UNLCK ? held.l_pid : 0;
    return -EADDRINUSE;
}

/* False when the file was removed or replaced between open and lock: the lock is then on nothing.
 */
static bool still_there(int fd, const char *path)
{
    struct stat a, b;

    return fstat(fd, &a) == 0 && lstat(path, &b) == 0 && a.st_ino == b.st_ino &&
           a.st_dev == b.st_dev;
}

static int write_pid(int fd)
{
    char text[32];
    int n = snprintf(text, sizeof text, "%d\n", (int)getpid());

    if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)n, 0) != n)
        return -errno;
    return 0;
}

/* A plain file of our own with one name. Another one would let its owner change the number in it,
 * or make root write where he chose. */
static bool is_ours(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 1 && st.st_uid == geteuid();
}

static int take_once(struct pidfile *p, const char *path, pid_t *holder)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW | O_NONBLOCK, 0644);
    int rc;

    if (fd < 0)
        return -errno;
    rc = lock(fd, holder);
    if (rc == 0 && !still_there(fd, path))
        rc = -EAGAIN;
    if (rc == 0 && !is_ours(fd)) {
        unlink(path);
        rc = -EAGAIN;
    }
    if (rc == 0)
        rc = write_pid(fd);
    if (rc < 0) {
        close(fd);
        return rc;
    }
    p->fd = fd;
    p->path = path;
    return 0;
}

int pidfile_take(struct pidfile *p, const char *path, pid_t *holder)
{
    *p = (struct pidfile){.fd = -1};
    *holder = 0;
    for (int i = 0; i < LOCK_TRIES; i++) {
        int rc = take_once(p, path, holder);
        if (rc != -EAGAIN)
            return rc;
    }
    return -EBUSY;
}

int pidfile_replace(struct pidfile *p, const char *path, const char *old)
{
    if (unlink(old) < 0 && errno != ENOENT)
        return -errno;
    if (link(path, old) < 0 || rename(p->path, path) < 0)
        return -errno;
    p->path = path;
    return 0;
}

void pidfile_restore(const struct pidfile *p, const char *path)
{
    char old[PATH_MAX];

    if ((size_t)snprintf(old, sizeof old, "%s.oldbin", path) >= sizeof old || p->fd < 0 ||
        !still_there(p->fd, old))
        return;
    if (still_there(p->fd, path))
        unlink(old);
    else if (rename(old, path) < 0)
        log_warn("cannot put %s back: %s", path, strerror(errno));
}

void pidfile_drop(struct pidfile *p)
{
    if (p->fd < 0)
        return;
    /* Removed while locked: who opened it meanwhile sees in still_there that it is gone. */
    unlink(p->path);
    close(p->fd);
    p->fd = -1;
}
