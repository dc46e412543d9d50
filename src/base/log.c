/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

int log_level_by_name(const char *name)
{
    for (int i = 0; i < (int)(sizeof level_names / sizeof *level_names); i++)
        if (strcmp(name, level_names[i]) == 0)
            return i;
    return -1;
}

/* Root writing into a directory of the service's user must not be led elsewhere by a symbolic link.
 */
static int open_append(const char *path)
{
    int follow = geteuid() == 0 ? O_NOFOLLOW : 0;
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | follow, 0640);
    return fd < 0 ? -errno : fd;
}

int log_open(const char *path)
{
    int fd = path ? open_append(path) : STDERR_FILENO;

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
    fd = open_append(the_log.path);
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
