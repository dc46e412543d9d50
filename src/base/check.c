/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void check_failed(const char *expr, const char *file, int line, const char *func)
{
    fprintf(stderr, "rushgate[%d]: %s:%d: %s: check failed: %s\n", (int)getpid(), file, line, func,
            expr);
    abort();
}

void die(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    exit(1);
}

void *xmalloc(unsigned long n)
{
    void *p = malloc(n ? n : 1);
    if (p == NULL)
        die("out of memory: %lu bytes", n);
    return p;
}

void *xcalloc(unsigned long n, unsigned long size)
{
    void *p = calloc(n ? n : 1, size ? size : 1);
    if (p == NULL)
        die("out of memory: %lu x %lu bytes", n, size);
    return p;
}

void *xrealloc(void *p, unsigned long n)
{
    p = realloc(p, n ? n : 1);
    if (p == NULL)
        die("out of memory: %lu bytes", n);
    return p;
}

char *xstrdup(const char *s)
{
    char *p = strdup(s);
    if (p == NULL)
        die("out of memory: string");
    return p;
}
