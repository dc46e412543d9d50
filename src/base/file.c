/* SPDX-License-Identifier: BSD-2-Clause */
#include "config.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

#define ASIDE_TRIES 64u

int file_write_all(int fd, struct slice text)
{
    while (text.n > 0) {
        ssize_t n = write(fd, text.p, text.n);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0)
            text = slice_of(text.p + n, text.n - (size_t)n);
    }
    return 0;
}

int file_sync_directory(const char *path)
{
    const char *slash = strrchr(path, '/');
    char directory[PATH_MAX];
    int fd, rc;

    if (slash == NULL)
        rc = snprintf(directory, sizeof directory, ".");
    else
        rc = snprintf(directory, sizeof directory, "%.*s", (int)(slash + 1 - path), path);
    if (rc >= (int)sizeof directory)
        return -ENAMETOOLONG;
    fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    rc = fsync(fd) < 0 ? -errno : 0;
    close(fd);
    return rc;
}

static int new_name(const char *path, char name[PATH_MAX])
{
    return snprintf(name, PATH_MAX, "%s.new", path) < PATH_MAX ? 0 : -ENAMETOOLONG;
}

int file_prepare(const char *path, struct slice text)
{
    char name[PATH_MAX];
    int rc = new_name(path, name), fd;

    if (rc < 0)
        return rc;
    if (unlink(name) < 0 && errno != ENOENT)
        return -errno;
    fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    rc = file_write_all(fd, text);
    if (rc == 0 && fsync(fd) < 0)
        rc = -errno;
    close(fd);
    if (rc < 0)
        unlink(name);
    return rc;
}

int file_commit(const char *path)
{
    char name[PATH_MAX];
    int rc = new_name(path, name);

    if (rc < 0)
        return rc;
    if (rename(name, path) == 0)
        return file_sync_directory(path);
    rc = -errno;
    unlink(name);
    return rc;
}

void file_abort(const char *path)
{
    char name[PATH_MAX];

    if (new_name(path, name) == 0)
        unlink(name);
}

/* rename() that takes no name from another file. 0 or -errno. */
static int rename_new(const char *from, const char *to)
{
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -errno;
    /* NFS and some others cannot do it in one step. */
    if (link(from, to) != 0)
        return -errno;
    return unlink(from) == 0 ? 0 : -errno;
}

int file_set_aside(const char *path, char *aside)
{
    unsigned long long now = clock_real_ns() / NS_PER_S;
    int rc = 0;

    /* The next second's name is as good, when there is one of this already. */
    for (unsigned i = 0; i < ASIDE_TRIES; i++) {
        int n = snprintf(aside, PATH_MAX, "%s.bad-%llu", path, now + i);
        if (n < 0 || n >= PATH_MAX)
            return -ENAMETOOLONG;
        rc = rename_new(path, aside);
        if (rc != -EEXIST)
            return rc;
    }
    return rc;
}
