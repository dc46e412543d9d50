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

#define DIRECTORY_MODE 0750

bool identity_find(struct identity *id, const char *user, const char *group)
{
    struct passwd *pw;
    struct group *gr = NULL;

    *id = (struct identity){0};
    if (geteuid() != 0 || user[0] == '\0')
        return true;
    pw = getpwnam(user);
    if (group[0] != '\0')
        gr = getgrnam(group);
    if (pw == NULL || strlen(user) >= sizeof id->name || (group[0] != '\0' && gr == NULL))
        return false;
    strcpy(id->name, user);
    id->uid = pw->pw_uid;
    id->gid = gr != NULL ? gr->gr_gid : pw->pw_gid;
    id->change = pw->pw_uid != 0;
    return true;
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

static int make_directory(const char *dir, const struct identity *id)
{
    if (mkdir(dir, DIRECTORY_MODE) < 0)
        return errno == EEXIST ? 0 : -errno;
    if (id->change && chown(dir, id->uid, id->gid) < 0)
        return -errno;
    return 0;
}

bool directory_of(const char *path, const struct identity *id, struct buf *err)
{
    char *dir = xstrdup(path), *end = strrchr(dir, '/');
    int rc = 0;

    if (end == NULL || end == dir) {
        free(dir);
        return true;
    }
    *end = '\0';
    for (char *slash = strchr(dir + 1, '/'); rc == 0 && slash != NULL;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        rc = make_directory(dir, id);
        *slash = '/';
    }
    if (rc == 0)
        rc = make_directory(dir, id);
    if (rc < 0)
        buf_printf(err, "cannot create directory %s: %s", dir, strerror(-rc));
    free(dir);
    return rc == 0;
}

void file_give(const char *path, const struct identity *id)
{
    if (path == NULL || !id->change)
        return;
    if (lchown(path, id->uid, id->gid) < 0)
        return; /* the child says so when it cannot open it */
}
