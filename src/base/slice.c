/* SPDX-License-Identifier: BSD-2-Clause */
#include "base/slice.h"

#include <strings.h>

bool slice_eq_nocase(struct slice a, struct slice b)
{
    return a.n == b.n && (a.n == 0 || strncasecmp(a.p, b.p, a.n) == 0);
}

struct slice slice_trim(struct slice s)
{
    while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t')) {
        s.p++;
        s.n--;
    }
    while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
        s.n--;
    return s;
}

#define EACH_BYTE(c) (UINT64_C(0x0101010101010101) * (c))

/* A byte below c borrows into its top bit when c is subtracted; XOR turns "equal" into "below 1"
 * (Mycroft). A borrow that goes on into the next byte comes from one that is refused itself. */
static bool ascii8(uint64_t w, unsigned char low, unsigned char except)
{
    uint64_t odd = w | (w - EACH_BYTE(low));

    odd |= (w ^ EACH_BYTE(0x7f)) - EACH_BYTE(1);
    odd |= (w ^ EACH_BYTE(except)) - EACH_BYTE(1);
    return (odd & EACH_BYTE(0x80)) == 0;
}

bool slice_ascii(struct slice s, unsigned char low, unsigned char except)
{
    /* What is missing of eight bytes is filled up with one that is allowed. */
    uint64_t w = EACH_BYTE(except == '~' ? '}' : '~');
    size_t i = 0;

    for (; i + sizeof w <= s.n; i += sizeof w) {
        uint64_t eight;
        memcpy(&eight, s.p + i, sizeof eight);
        if (!ascii8(eight, low, except))
            return false;
    }
    if (i == s.n)
        return true;
    memcpy(&w, s.p + i, s.n - i);
    return ascii8(w, low, except);
}

size_t slice_find(struct slice s, char c)
{
    const char *at = s.n ? memchr(s.p, c, s.n) : NULL;
    return at ? (size_t)(at - s.p) : s.n;
}

bool slice_to_u64(struct slice s, uint64_t *out)
{
    uint64_t v = 0;

    if (s.n == 0)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        unsigned digit = (unsigned)(unsigned char)s.p[i] - '0';
        if (digit > 9 || __builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, digit, &v))
            return false;
    }
    *out = v;
    return true;
}
