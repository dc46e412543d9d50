/* SPDX-License-Identifier: BSD-2-Clause */
#include "config.h"

#include "proc/title.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/check.h"

/* A process has one command line: one of the few mutable globals. */
static struct {
    char *start;
    size_t argv_size; /* bytes of the arguments */
    size_t size;      /* with the environment behind them */
    char **argv;      /* the copy; for the life of the process */
} the_place;

static char **copy_strings(char **from, char **end)
{
    size_t n = 0;
    char **to;

    while (from[n] != NULL)
        n++;
    to = xcalloc(n + 1, sizeof *to);
    for (size_t i = 0; i < n; i++) {
        /* Only what lies behind the previous string is part of the same run of bytes. */
        if (from[i] == *end)
            *end = from[i] + strlen(from[i]) + 1;
        to[i] = xstrdup(from[i]);
    }
    return to;
}

char **title_init(int argc, char **argv)
{
    char *end = argv[0];

    (void)argc;
    the_place.argv = copy_strings(argv, &end);
    the_place.argv_size = (size_t)(end - argv[0]);
    environ = copy_strings(environ, &end);
    the_place.start = argv[0];
    the_place.size = (size_t)(end - argv[0]);
    return the_place.argv;
}

/* The name in top and pgrep has 15 bytes: "rushgate-worker". */
static void name_set(const char *title)
{
    char name[16];
    size_t n = 0;

    for (const char *p = title; *p != '\0' && n < sizeof name - 1; p++) {
        if (*p == ':')
            name[n++] = '-';
        else if (*p != ' ')
            name[n++] = *p;
        else if (n > 0 && name[n - 1] != '-')
            break;
    }
    name[n] = '\0';
    prctl(PR_SET_NAME, name, 0, 0, 0);
}

void title_set(const char *fmt, ...)
{
    char title[128];
    size_t room;
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(title, sizeof title, fmt, ap);
    va_end(ap);
    name_set(title);
    /* /proc/PID/environ stays readable where the arguments alone have room enough. */
    room = strlen(title) < the_place.argv_size ? the_place.argv_size : the_place.size;
    if (room == 0)
        return;
    memset(the_place.start, 0, room);
    snprintf(the_place.start, room, "%s", title);
}
