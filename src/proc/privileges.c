/* SPDX-License-Identifier: BSD-2-Clause */
#include "config.h"

#include "proc/privileges.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"

#define GIVEN_MODE  0750
#define PARENT_MODE 0755 /* other users pass through it */

/* Of the group that is named, or of the user. */
static bool find_group(struct identity *id, const struct passwd *pw, const char *group,
                       struct buf *err)
{
    const struct group *gr;

    id->gid = pw->pw_gid;
    if (group[0] == '\0')
        return true;
    gr = getgrnam(group);
    if (gr == NULL) {
        buf_printf(err, "there is no group \"%s\" (setting group)", group);
        return false;
    }
    id->gid = gr->gr_gid;
    return true;
}

bool identity_find(struct identity *id, const char *user, bool user_set, const char *group,
                   struct buf *err)
{
    const struct passwd *pw;

    *id = (struct identity){0};
    if (geteuid() != 0 || user[0] == '\0')
        return true;
    pw = getpwnam(user);
    if (pw == NULL && !user_set) {
        buf_printf(err,
                   "there is no user \"%s\": workers, keeper and box office run as root; the "
                   "setting user names another one",
                   user);
        return true;
    }
    if (pw == NULL || strlen(user) >= sizeof id->name) {
        buf_printf(err, "there is no user \"%s\" (setting user)", user);
        return false;
    }
    strcpy(id->name, user);
    id->uid = pw->pw_uid;
    id->change = pw->pw_uid != 0;
    return find_group(id, pw, group, err);
}

int privileges_drop(const struct identity *id)
{
    /* Nothing a child executes may gain what the master has. */
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -errno;
    if (!id->change)
        return 0;
    if (initgroups(id->name, id->gid) < 0 || setgid(id->gid) < 0 || setuid(id->uid) < 0)
        return -errno;
    if (setuid(0) == 0)
        return -EPERM;
    /* setuid forbids core files and ptrace by the same user; a crash must be explainable. */
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    return 0;
}

unsigned long files_limit_raise(void)
{
    struct rlimit r;

    if (getrlimit(RLIMIT_NOFILE, &r) < 0)
        return 0;
    if (r.rlim_cur < r.rlim_max) {
        r.rlim_cur = r.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &r) < 0)
            getrlimit(RLIMIT_NOFILE, &r);
    }
    return r.rlim_cur;
}

/* 1: it was made. */
static int make_directory(const char *dir, mode_t mode)
{
    /* Of all umasks this one: those who are to reach what lies below do. */
    mode_t before = umask(022);
    int rc = mkdir(dir, mode) == 0 ? 1 : errno == EEXIST ? 0 : -errno;

    umask(before);
    return rc;
}

/* The directory of path, "" for the root. To be freed. */
static char *directory_name(const char *path)
{
    char *dir = xstrdup(path), *end = strrchr(dir, '/');

    *(end != NULL ? end : dir) = '\0';
    return dir;
}

/* As make_directory, after its parents. */
static int make_all(char *dir, mode_t mode)
{
    int rc = 0;

    for (char *slash = strchr(dir + 1, '/'); rc >= 0 && slash != NULL;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        rc = make_directory(dir, PARENT_MODE);
        *slash = '/';
    }
    return rc < 0 ? rc : make_directory(dir, mode);
}

/* By descriptor: its own name may lie in a directory of somebody else. */
static int change_owner(const char *dir, uid_t from, uid_t uid, gid_t gid, mode_t mode)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), rc = 0;
    struct stat st;

    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) < 0 ||
        (st.st_uid == from && (fchown(fd, uid, gid) < 0 || fchmod(fd, mode) < 0)))
        rc = -errno;
    close(fd);
    return rc;
}

static bool made(const char *dir, int rc, struct buf *err)
{
    if (rc < 0)
        buf_printf(err, "cannot create directory %s: %s", dir, strerror(-rc));
    return rc >= 0;
}

bool directory_given(const char *path, const struct identity *id, struct buf *err)
{
    char *dir = directory_name(path);
    int rc = dir[0] == '\0' ? 0 : make_all(dir, GIVEN_MODE);
    bool ok;

    if (rc == 1 && id->change)
        rc = change_owner(dir, geteuid(), id->uid, id->gid, GIVEN_MODE);
    ok = made(dir, rc, err);
    free(dir);
    return ok;
}

bool directory_kept(const char *path, const struct identity *id, struct buf *err)
{
    char *dir = directory_name(path);
    int rc = dir[0] == '\0' ? 0 : make_all(dir, id->change ? PARENT_MODE : GIVEN_MODE);
    bool ok;

    if (rc == 0 && id->change && dir[0] != '\0') {
        rc = change_owner(dir, id->uid, geteuid(), getegid(), PARENT_MODE);
        /* A link to a directory is a choice of whoever made the link; it is left alone. */
        rc = rc == -ELOOP || rc == -ENOTDIR ? 0 : rc;
    }
    ok = made(dir, rc, err);
    free(dir);
    return ok;
}

void file_give(int fd, const struct identity *id)
{
    struct stat st;

    if (!id->change || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return;
    if (fchown(fd, id->uid, id->gid) < 0)
        return; /* the child says so when it cannot open it */
}
