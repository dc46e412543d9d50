/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Assertions for our own bugs. They stay on in release builds. Network input, peers, and memory
 * that another process wrote are never asserted: they are checked and refused.
 */
#ifndef BASE_CHECK_H
#define BASE_CHECK_H

/* Prints what failed and where, then aborts. */
void check_failed(const char *expr, const char *file, int line, const char *func)
    __attribute__((noreturn, cold));

#define CHECK(expr)                                                                                \
    do {                                                                                           \
        if (__builtin_expect(!(expr), 0))                                                          \
            check_failed(#expr, __FILE__, __LINE__, __func__);                                     \
    } while (0)

/* Objects reached through void pointers (event callbacks, lists) carry a magic number first. */
#define CHECK_OBJ(ptr, type_magic) CHECK((ptr) != NULL && (ptr)->magic == (type_magic))

/* printf-style message to stderr, exit 1. Only before workers start and in tools. */
void die(const char *fmt, ...) __attribute__((noreturn, cold, format(printf, 1, 2)));

/* Memory that must be there: for start-up, configuration and tools; never the request path. */
void *xmalloc(unsigned long n) __attribute__((malloc));
void *xcalloc(unsigned long n, unsigned long size) __attribute__((malloc));
void *xrealloc(void *p, unsigned long n);
char *xstrdup(const char *s) __attribute__((malloc));

#endif
