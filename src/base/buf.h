/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Growable byte buffer. Appending never fails half-way: when memory is out the buffer keeps what it
 * had and `failed` is set, so that a writer appends freely and checks once at the end.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct buf {
    char *p; /* owned; NULL while nothing was appended */
    size_t n, cap;
    bool failed; /* memory ran out at some append since the last buf_clear */
};

/* Initialise with {0} or buf_init. */
static inline void buf_init(struct buf *b)
{
    *b = (struct buf){0};
}

void buf_free(struct buf *b);

/* Forgets the content, keeps the memory. */
static inline void buf_clear(struct buf *b)
{
    b->n = 0;
    b->failed = false;
}

/* Room for `more` bytes behind the content; false (and failed) when memory is out. */
bool buf_reserve_slow(struct buf *b, size_t more);

static inline bool buf_reserve(struct buf *b, size_t more)
{
    return b->cap - b->n >= more ? true : buf_reserve_slow(b, more);
}

static inline void buf_add(struct buf *b, const void *p, size_t n)
{
    if (n > 0 && buf_reserve(b, n)) {
        memcpy(b->p + b->n, p, n);
        b->n += n;
    }
}

static inline void buf_slice(struct buf *b, struct slice s)
{
    buf_add(b, s.p, s.n);
}

static inline void buf_str(struct buf *b, const char *z)
{
    buf_add(b, z, strlen(z));
}

static inline void buf_char(struct buf *b, char c)
{
    if (buf_reserve(b, 1))
        b->p[b->n++] = c;
}

/* Decimal. */
void buf_u64(struct buf *b, uint64_t v);
void buf_i64(struct buf *b, int64_t v);

void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_vprintf(struct buf *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));

/* A JSON string with its quotes; bytes that are not UTF-8 become U+FFFD, so the output always
 * parses. */
void buf_json(struct buf *b, struct slice s);

/* Appends the character at the start of s (not empty), or U+FFFD for a byte that is no UTF-8, and
 * takes it off s. */
void buf_utf8_next(struct buf *b, struct slice *s);
/* Text of any origin: as above, all of s. */
void buf_utf8(struct buf *b, struct slice s);

/* Drops the first n bytes. */
void buf_consume(struct buf *b, size_t n);

static inline struct slice buf_view(const struct buf *b)
{
    return slice_of(b->p, b->n);
}

/* The content with a NUL behind it (not counted in n); "" when empty or memory is out. */
const char *buf_cstr(struct buf *b);

/* Writes v in decimal to out (at least 20 bytes); returns the number of digits. */
size_t fmt_u64(char *out, uint64_t v);
/* Writes v as 16 lower-case hexadecimal digits. */
void fmt_hex16(char *out, uint64_t v);

/*
 * Length of the well-formed UTF-8 sequence at the start of s (1 to 4; no surrogates, nothing above
 * U+10FFFF, no overlong form), or 0.
 */
size_t utf8_len(struct slice s);

#endif
