/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/buf.h"

#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buf_free(struct buf *b)
{
    free(b->p);
    *b = (struct buf){0};
}

bool buf_reserve_slow(struct buf *b, size_t more)
{
    size_t need, cap = b->cap ? b->cap : 256;
    char *p;

    if (__builtin_add_overflow(b->n, more, &need)) {
        b->failed = true;
        return false;
    }
    while (cap < need)
        cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    p = realloc(b->p, cap);
    if (p == NULL) {
        b->failed = true;
        return false;
    }
    b->p = p;
    b->cap = cap;
    return true;
}

/* How many decimal digits v has: the logarithm by its bits is one too small or right. */
static unsigned digits_of(uint64_t v)
{
    static const uint64_t power[] = {
        0,
        UINT64_C(10),
        UINT64_C(100),
        UINT64_C(1000),
        UINT64_C(10000),
        UINT64_C(100000),
        UINT64_C(1000000),
        UINT64_C(10000000),
        UINT64_C(100000000),
        UINT64_C(1000000000),
        UINT64_C(10000000000),
        UINT64_C(100000000000),
        UINT64_C(1000000000000),
        UINT64_C(10000000000000),
        UINT64_C(100000000000000),
        UINT64_C(1000000000000000),
        UINT64_C(10000000000000000),
        UINT64_C(100000000000000000),
        UINT64_C(1000000000000000000),
        UINT64_C(10000000000000000000),
    };
    unsigned about = (64 - (unsigned)__builtin_clzll(v | 1)) * 1233 >> 12; /* bits * log10(2) */

    return about + (v >= power[about]);
}

size_t fmt_u64(char *out, uint64_t v)
{
    static const char pairs[] = "00010203040506070809101112131415161718192021222324"
                                "25262728293031323334353637383940414243444546474849"
                                "50515253545556575859606162636465666768697071727374"
                                "75767778798081828384858687888990919293949596979899";
    unsigned n = digits_of(v), at = n;

    /* Two digits a division; what is left is one or two. */
    for (; v >= 100; v /= 100)
        memcpy(out + (at -= 2), pairs + v % 100 * 2, 2);
    if (v >= 10)
        memcpy(out, pairs + v * 2, 2);
    else
        out[0] = (char)('0' + v);
    return n;
}

/* The eight digits at once: a nibble to each byte, then '0', and another 39 for those above 9. */
static void hex8(char *out, uint32_t v)
{
    uint64_t x = v, above;

    x = (x | x << 16) & UINT64_C(0x0000ffff0000ffff);
    x = (x | x << 8) & UINT64_C(0x00ff00ff00ff00ff);
    x = (x | x << 4) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    above = (x + UINT64_C(0x0606060606060606)) >> 4 & UINT64_C(0x0101010101010101);
    x = htobe64(x + UINT64_C(0x3030303030303030) + above * ('a' - '0' - 10));
    memcpy(out, &x, sizeof x);
}

void fmt_hex16(char *out, uint64_t v)
{
    hex8(out, (uint32_t)(v >> 32));
    hex8(out + 8, (uint32_t)v);
}

void buf_u64(struct buf *b, uint64_t v)
{
    if (buf_reserve(b, 20))
        b->n += fmt_u64(b->p + b->n, v);
}

void buf_i64(struct buf *b, int64_t v)
{
    if (v < 0) {
        buf_char(b, '-');
        buf_u64(b, 0 - (uint64_t)v);
    } else {
        buf_u64(b, (uint64_t)v);
    }
}

void buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
    va_list again;
    int n;

    va_copy(again, ap);
    n = vsnprintf(NULL, 0, fmt, ap);
    if (n >= 0 && buf_reserve(b, (size_t)n + 1)) {
        vsnprintf(b->p + b->n, (size_t)n + 1, fmt, again);
        b->n += (size_t)n;
    }
    va_end(again);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    buf_vprintf(b, fmt, ap);
    va_end(ap);
}

size_t utf8_len(struct slice s)
{
    const unsigned char *p = (const unsigned char *)s.p;
    unsigned char lo = 0x80, hi = 0xbf;
    size_t len;

    if (s.n == 0)
        return 0;
    if (p[0] < 0x80)
        return 1;
    if (p[0] < 0xc2 || p[0] > 0xf4)
        return 0;
    len = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    if (s.n < len)
        return 0;
    /* The second byte's range is narrower after these leads (Unicode 15, table 3-7). */
    if (p[0] == 0xe0)
        lo = 0xa0;
    else if (p[0] == 0xed)
        hi = 0x9f;
    else if (p[0] == 0xf0)
        lo = 0x90;
    else if (p[0] == 0xf4)
        hi = 0x8f;
    if (p[1] < lo || p[1] > hi)
        return 0;
    for (size_t i = 2; i < len; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return len;
}

void buf_utf8_next(struct buf *b, struct slice *s)
{
    size_t n = utf8_len(*s);

    if (n > 0)
        buf_add(b, s->p, n);
    else
        buf_str(b, "\xef\xbf\xbd");
    n = n > 0 ? n : 1;
    *s = slice_of(s->p + n, s->n - n);
}

void buf_utf8(struct buf *b, struct slice s)
{
    while (s.n > 0)
        buf_utf8_next(b, &s);
}

static bool json_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

#define EACH_BYTE(c) (UINT64_C(0x0101010101010101) * (c))

/* True when all eight bytes are plain. A byte below c borrows into its top bit when c is
 * subtracted; XOR turns "equal" into "below 1" (Mycroft). */
static bool json_plain8(const char *p)
{
    uint64_t w, odd;

    memcpy(&w, p, sizeof w);
    odd = w | (w - EACH_BYTE(0x20));
    odd |= (w ^ EACH_BYTE('"')) - EACH_BYTE(1);
    odd |= (w ^ EACH_BYTE('\\')) - EACH_BYTE(1);
    return (odd & EACH_BYTE(0x80)) == 0;
}

/* How many bytes from i on need no escaping. */
static size_t json_run(struct slice s, size_t i)
{
    size_t end = i;

    while (end + 8 <= s.n && json_plain8(s.p + end))
        end += 8;
    while (end < s.n && json_plain((unsigned char)s.p[end]))
        end++;
    return end - i;
}

static void json_escape(struct buf *b, unsigned char c)
{
    static const char short_form[] = "\"\"\\\\\bb\ff\nn\rr\tt";

    for (const char *e = short_form; *e; e += 2)
        if ((unsigned char)*e == c) {
            buf_char(b, '\\');
            buf_char(b, e[1]);
            return;
        }
    buf_printf(b, "\\u%04x", c);
}

void buf_json(struct buf *b, struct slice s)
{
    size_t i = 0;

    buf_char(b, '"');
    while (i < s.n) {
        size_t run = json_run(s, i);
        buf_add(b, s.p + i, run);
        i += run;
        if (i == s.n)
            break;
        if ((unsigned char)s.p[i] < 0x80) {
            json_escape(b, (unsigned char)s.p[i++]);
            continue;
        }
        struct slice rest = slice_of(s.p + i, s.n - i);
        buf_utf8_next(b, &rest);
        i = s.n - rest.n;
    }
    buf_char(b, '"');
}

void buf_consume(struct buf *b, size_t n)
{
    if (n >= b->n) {
        b->n = 0;
        return;
    }
    memmove(b->p, b->p + n, b->n - n);
    b->n -= n;
}

const char *buf_cstr(struct buf *b)
{
    if (!buf_reserve(b, 1))
        return "";
    b->p[b->n] = '\0';
    return b->p;
}
