/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A slice is a borrowed run of bytes: pointer and length, no terminator, no ownership.
 * Whoever holds one must know what keeps the bytes alive (a request's arena, the read buffer, a
 * configuration bank); the field's comment says which.
 */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
    const char *p;
    size_t n;
};

#define SLICE_LIT(s) ((struct slice){(s), sizeof(s) - 1})
#define SLICE_NONE   ((struct slice){NULL, 0})
/* For printf: printf("%.*s", SLICE_ARG(s)) */
#define SLICE_ARG(s) (int)(s).n, (s).p

static inline struct slice slice_of(const char *p, size_t n)
{
    return (struct slice){p, n};
}

static inline struct slice slice_str(const char *z)
{
    return (struct slice){z, z ? strlen(z) : 0};
}

static inline bool slice_eq(struct slice a, struct slice b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool slice_starts(struct slice s, struct slice prefix)
{
    return s.n >= prefix.n && memcmp(s.p, prefix.p, prefix.n) == 0;
}

/* ASCII case is ignored, as header names and hosts want it. */
bool slice_eq_nocase(struct slice a, struct slice b);

/* Without leading and trailing spaces and tabs. */
struct slice slice_trim(struct slice s);

/* Is every byte one of `low` (at most 0x7f) to 0x7e, and none of them `except`? Eight at a time. */
bool slice_ascii(struct slice s, unsigned char low, unsigned char except);

/* Index of c, or s.n when there is none. */
size_t slice_find(struct slice s, char c);

/*
 * Unsigned decimal of the whole slice: digits only, no sign, no blank, at least one digit.
 * Returns false, leaving *out alone, where it is anything else or above UINT64_MAX.
 */
bool slice_to_u64(struct slice s, uint64_t *out) __attribute__((warn_unused_result));

/* Value of a hexadecimal digit of either case, -1 for another character. */
static inline int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Value of the percent escape at p, of which n bytes are there; -1 when it is none. */
static inline int hex_escape(const char *p, size_t n)
{
    int high, low;

    if (n < 3 || p[0] != '%' || (high = hex_digit(p[1])) < 0 || (low = hex_digit(p[2])) < 0)
        return -1;
    return high << 4 | low;
}

#endif
