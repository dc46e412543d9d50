/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Preloaded into the gateway and the box office by tools/chaos: a wall clock that can be set, and a
 * disk that can be slow or fail. What applies is in a small file that RUSHGATE_CHAOS names, mapped
 * and written by the scenario runner while we run (chaoslib/shim.py knows the same layout).
 *
 * Only CLOCK_REALTIME moves. Only files below a folder named "data" have disk trouble.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct orders {
    int64_t clock_ns;      /* added to the wall clock */
    int32_t sync_delay_ms; /* before every fsync */
    int32_t sync_errno;    /* 0: it works */
    int32_t write_errno;
    int32_t spare;
};

static struct orders none;
static volatile struct orders *orders = &none;

static int (*real_clock_gettime)(clockid_t, struct timespec *);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static ssize_t (*real_pwrite64)(int, const void *, size_t, off64_t);

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("RUSHGATE_CHAOS");
    int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *map = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof none, PROT_READ, MAP_SHARED, fd, 0);

    real_clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    real_pwrite64 = dlsym(RTLD_NEXT, "pwrite64");
    if (map != MAP_FAILED)
        orders = map;
    if (fd >= 0)
        close(fd);
}

/* ---- the clock ------------------------------------------------------------------------------ */

int clock_gettime(clockid_t id, struct timespec *t)
{
    int64_t ns;
    int rc;

    /* Others' constructors may come before ours. */
    if (real_clock_gettime == NULL)
        real_clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    rc = real_clock_gettime(id, t);
    if (rc != 0 || (id != CLOCK_REALTIME && id != CLOCK_REALTIME_COARSE))
        return rc;
    ns = (int64_t)t->tv_sec * 1000000000 + t->tv_nsec + orders->clock_ns;
    t->tv_sec = ns / 1000000000;
    t->tv_nsec = ns % 1000000000;
    return 0;
}

time_t time(time_t *out)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    if (out != NULL)
        *out = t.tv_sec;
    return t.tv_sec;
}

int gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
    struct timespec t;

    (void)zone;
    clock_gettime(CLOCK_REALTIME, &t);
    tv->tv_sec = t.tv_sec;
    tv->tv_usec = t.tv_nsec / 1000;
    return 0;
}

/* ---- the disk ------------------------------------------------------------------------------- */

static int ours(int fd)
{
    char link[32], path[512];
    ssize_t n;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    n = readlink(link, path, sizeof path - 1);
    if (n <= 0)
        return 0;
    path[n] = '\0';
    return strstr(path, "/data/") != NULL;
}

/* 0, or -1 with errno as ordered; waits as ordered. */
static int sync_trouble(int fd)
{
    int32_t ms = orders->sync_delay_ms, error = orders->sync_errno;

    if ((ms == 0 && error == 0) || !ours(fd))
        return 0;
    if (ms > 0)
        nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000L}, NULL);
    if (error == 0)
        return 0;
    errno = error;
    return -1;
}

int fsync(int fd)
{
    return sync_trouble(fd) != 0 ? -1 : real_fsync(fd);
}

int fdatasync(int fd)
{
    return sync_trouble(fd) != 0 ? -1 : real_fdatasync(fd);
}

ssize_t pwrite64(int fd, const void *p, size_t n, off64_t at)
{
    int32_t error = orders->write_errno;

    if (error != 0 && ours(fd)) {
        errno = error;
        return -1;
    }
    return real_pwrite64(fd, p, n, at);
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
    return pwrite64(fd, p, n, at);
}
