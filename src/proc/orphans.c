/* SPDX-License-Identifier: BSD-2-Clause */
#include "config.h"

#include "proc/orphans.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"

#define STAT_STARTTIME 22 /* field of /proc/PID/stat, counted from 1 (proc(5)) */

static int open_pidfd(pid_t pid)
{
    return (int)syscall(SYS_pidfd_open, pid, 0);
}

static bool read_text(const char *path, char *out, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n;

    if (fd < 0)
        return false;
    n = read(fd, out, size - 1);
    close(fd);
    if (n <= 0)
        return false;
    out[n] = '\0';
    return true;
}

uint64_t process_start_time(pid_t pid)
{
    char path[32], text[1024], *p;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    if (!read_text(path, text, sizeof text))
        return 0;
    /* The second field is a name in parentheses and may hold anything, parentheses too. */
    p = strrchr(text, ')');
    if (p == NULL || strlen(p) < 4 || p[2] == 'Z')
        return 0;
    p += 2;
    for (int field = 3; field < STAT_STARTTIME; field++) {
        p = strchr(p, ' ');
        if (p == NULL)
            return 0;
        p++;
    }
    return strtoull(p, NULL, 10);
}

static void boot_id(char out[64])
{
    if (!read_text("/proc/sys/kernel/random/boot_id", out, 64))
        strcpy(out, "unknown\n");
    out[strcspn(out, "\n")] = '\0';
}

static void list_path(char out[4096], const char *pid_file)
{
    snprintf(out, 4096, "%s.children", pid_file);
}

static void consider(struct orphans *o, char kind, pid_t pid, uint64_t start)
{
    int pidfd;

    if (o->n == ORPHANS_MAX || pid <= 1 || pid == getpid() || start == 0)
        return;
    pidfd = open_pidfd(pid);
    if (pidfd < 0)
        return;
    /* After the pidfd: had the number been given to another process before, its start time differs;
     * if it is given away later, the pidfd still means the one that was looked at. */
    if (process_start_time(pid) != start) {
        close(pidfd);
        return;
    }
    o->all[o->n++] = (struct orphan){.pid = pid, .start = start, .pidfd = pidfd, .kind = kind};
}

/*
 * The directory may belong to the user whom children run as, who must not be able to make a master
 * that is root signal a process of its choice: only a file that the master itself has written is
 * believed.
 */
static FILE *open_list(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct stat st;

    if (fd < 0)
        return NULL;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid() || st.st_nlink != 1 ||
        (st.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        log_warn("%s is not ours and is ignored", path);
        close(fd);
        return NULL;
    }
    return fdopen(fd, "r");
}

void orphans_find(struct orphans *o, const char *pid_file)
{
    o->n = 0;
    orphans_add(o, pid_file);
}

unsigned orphans_alive(struct orphans *o)
{
    unsigned n = 0;

    for (unsigned i = 0; i < o->n; i++) {
        struct pollfd p = {.fd = o->all[i].pidfd, .events = POLLIN};
        if (poll(&p, 1, 0) == 1)
            close(p.fd);
        else
            o->all[n++] = o->all[i];
    }
    return o->n = n;
}

void orphans_add(struct orphans *o, const char *pid_file)
{
    char path[4096], line[256], boot[64];
    FILE *f;

    list_path(path, pid_file);
    f = open_list(path);
    if (f == NULL)
        return;
    boot_id(boot);
    if (fgets(line, sizeof line, f) != NULL && strncmp(line, boot, strlen(boot)) == 0)
        while (fgets(line, sizeof line, f) != NULL) {
            char kind;
            int pid;
            uint64_t start;
            if (sscanf(line, "%c %d %" SCNu64, &kind, &pid, &start) == 3)
                consider(o, kind, pid, start);
        }
    fclose(f);
}

bool orphans_have(const struct orphans *o, char kind)
{
    for (unsigned i = 0; i < o->n; i++)
        if (o->all[i].kind == kind)
            return true;
    return false;
}

void orphans_signal(const struct orphans *o, char kind, int sig)
{
    for (unsigned i = 0; i < o->n; i++) {
        if (o->all[i].kind != kind)
            continue;
        if (syscall(SYS_pidfd_send_signal, o->all[i].pidfd, sig, NULL, 0) < 0 && errno != ESRCH)
            log_warn("cannot signal process %d of an earlier master: %s", (int)o->all[i].pid,
                     strerror(errno));
    }
}

bool orphans_wait(const struct orphans *o, char kind, int timeout_ms)
{
    uint64_t deadline = clock_mono_ns() + (uint64_t)timeout_ms * NS_PER_MS;

    for (unsigned i = 0; i < o->n; i++) {
        struct pollfd p = {.fd = o->all[i].pidfd, .events = POLLIN};
        uint64_t now = clock_mono_ns();
        int left = now >= deadline ? 0 : (int)((deadline - now) / NS_PER_MS);

        if (o->all[i].kind == kind && poll(&p, 1, left) != 1)
            return false;
    }
    return true;
}

void orphans_move(struct orphans *from, struct orphans *to)
{
    for (unsigned i = 0; i < from->n; i++)
        if (to->n < ORPHANS_MAX)
            to->all[to->n++] = from->all[i];
        else
            close(from->all[i].pidfd);
    from->n = 0;
}

void orphans_free(struct orphans *o)
{
    for (unsigned i = 0; i < o->n; i++)
        close(o->all[i].pidfd);
    o->n = 0;
}

unsigned orphans_lines(const struct orphans *o, struct child_line *out)
{
    for (unsigned i = 0; i < o->n; i++)
        out[i] = (struct child_line){o->all[i].kind, o->all[i].pid, o->all[i].start};
    return o->n;
}

static int write_whole(const char *path, struct slice text)
{
    int fd, rc = 0;

    /* A new file in any case: what is there may be a link to somebody's. */
    unlink(path);
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0)
        return -errno;
    if (write(fd, text.p, text.n) != (ssize_t)text.n)
        rc = -EIO;
    close(fd);
    return rc;
}

void children_record(const char *pid_file, const struct child_line *lines, unsigned n)
{
    char path[4096], temporary[4096 + 4], boot[64];
    struct buf text = {0};
    int rc;

    list_path(path, pid_file);
    snprintf(temporary, sizeof temporary, "%s.new", path);
    boot_id(boot);
    buf_printf(&text, "%s\n", boot);
    for (unsigned i = 0; i < n; i++)
        if (lines[i].pid > 0)
            buf_printf(&text, "%c %d %" PRIu64 "\n", lines[i].kind, (int)lines[i].pid,
                       lines[i].start != 0 ? lines[i].start : process_start_time(lines[i].pid));
    rc = write_whole(temporary, buf_view(&text));
    if (rc == 0 && rename(temporary, path) < 0)
        rc = -errno;
    if (rc < 0)
        log_warn("cannot write %s: %s", path, strerror(-rc));
    buf_free(&text);
}

void children_move(const char *from, const char *to)
{
    char old[4096], new[4096];

    list_path(old, from);
    list_path(new, to);
    if (rename(old, new) < 0)
        log_warn("cannot rename %s: %s", old, strerror(errno));
}

void children_forget(const char *pid_file)
{
    char path[4096];

    list_path(path, pid_file);
    unlink(path);
}
