/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"

static const char *const level_names[] = {"error", "warn", "notice", "info", "debug"};

static struct {
    const char *process;
    char *path; /* NULL: stderr */
    int fd;
    enum log_level level;
} the_log = {.process = "rushgate", .fd = STDERR_FILENO, .level = LOG_LEVEL_NOTICE};

void log_init(const char *process)
{
    the_log.process = process;
}

void log_set_level(enum log_level level)
{
    the_log.level = level;
}

enum log_level log_get_level(void)
{
    return the_log.level;
}

const char *log_level_name(enum log_level level)
{
    return level_names[level];
}

int log_level_by_name(const char *name)
{
    for (int i = 0; i < (int)(sizeof level_names / sizeof *level_names); i++)
        if (strcmp(name, level_names[i]) == 0)
            return i;
    return -1;
}

/* Root writes into a directory of the service's user, who may have put a link or a pipe there. */
static bool may_be_log(int fd)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return false;
    return S_ISCHR(st.st_mode) || (S_ISREG(st.st_mode) && st.st_nlink == 1);
}

int log_open_append(const char *path)
{
    bool root = geteuid() == 0;
    /* O_NONBLOCK: a pipe without a reader must not hold up the process that opens it. */
    int flags = O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    int fd = open(path, root ? flags | O_NOFOLLOW : flags, 0640);

    if (fd < 0)
        return -errno;
    if (root && !may_be_log(fd)) {
        close(fd);
        return -EPERM;
    }
    return fd;
}

int log_descriptor(void)
{
    return the_log.fd;
}

int log_open(const char *path)
{
    int fd = path ? log_open_append(path) : STDERR_FILENO;

    if (fd < 0)
        return fd;
    if (the_log.fd != STDERR_FILENO)
        close(the_log.fd);
    free(the_log.path);
    the_log.path = path ? xstrdup(path) : NULL;
    the_log.fd = fd;
    return 0;
}

int log_reopen(void)
{
    int fd;

    if (the_log.path == NULL)
        return 0;
    fd = log_open_append(the_log.path);
    if (fd < 0)
        return fd;
    close(the_log.fd);
    the_log.fd = fd;
    return 0;
}

void log_write(enum log_level level, const char *fmt, ...)
{
    char line[2048], when[CLOCK_ISO_MAX];
    va_list ap;
    int n, m;

    if (level > the_log.level)
        return;
    clock_iso8601(clock_real_ns(), 1, when);
    n = snprintf(line, sizeof line, "%s %s %s[%d] ", when, level_names[level], the_log.process,
                 (int)getpid());
    va_start(ap, fmt);
    m = vsnprintf(line + n, sizeof line - (size_t)n - 1, fmt, ap);
    va_end(ap);
    if (m < 0)
        return;
    n = n + m > (int)sizeof line - 2 ? (int)sizeof line - 2 : n + m;
    /* What peers sent may be quoted in a message: a record stays one line. */
    for (int i = 0; i < n; i++)
        if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
            line[i] = ' ';
    line[n++] = '\n';
    if (write(the_log.fd, line, (size_t)n) < 0)
        return; /* nowhere left to say it */
}

void log_lines(enum log_level level, struct slice text)
{
    while (text.n > 0) {
        size_t n = slice_find(text, '\n');

        if (n > 0)
            log_write(level, "%.*s", (int)n, text.p);
        n += n < text.n;
        text = slice_of(text.p + n, text.n - n);
    }
}
