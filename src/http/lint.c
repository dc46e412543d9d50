/* SPDX-License-Identifier: BSD-2-Clause */
#include "http/lint.h"

#include <stdint.h>

#include "http/method.h"

enum char_class {
    TOKEN = 1, /* tchar of RFC 9110: methods and header names */
    TEXT = 2,  /* header values: visible, space, tab, bytes above 127 */
    NAME = 4,  /* a registered name in an authority: unreserved, sub-delims, % */
    ADDR = 8,  /* inside the brackets of an IP literal */
    DIGIT = 16,
    PLAIN = 32, /* unreserved of RFC 3986: means the same escaped */
};

#define D (U | ADDR | DIGIT)
#define H (U | ADDR)            /* a to f */
#define U (A | PLAIN)           /* other letters, - . _ ~ */
#define A (TOKEN | TEXT | NAME) /* sub-delims that are tchar */
#define S (TEXT | NAME)         /* sub-delims that are no tchar */
#define T (TOKEN | TEXT)

static const uint8_t classes[256] = {
    ['\t'] = TEXT, [' '] = TEXT,      ['!'] = A,           ['"'] = TEXT,
    ['#'] = T,     ['$'] = A,         ['%'] = A,           ['&'] = A,
    ['\''] = A,    ['('] = S,         [')'] = S,           ['*'] = A,
    ['+'] = A,     [','] = S,         ['-'] = U,           ['.'] = U | ADDR,
    ['/'] = TEXT,  ['0' ... '9'] = D, [':'] = TEXT | ADDR, [';'] = S,
    ['<'] = TEXT,  ['='] = S,         ['>'] = TEXT,        ['?'] = TEXT,
    ['@'] = TEXT,  ['A' ... 'F'] = H, ['G' ... 'Z'] = U,   ['['] = TEXT,
    ['\\'] = TEXT, [']'] = TEXT,      ['^'] = T,           ['_'] = U,
    ['`'] = T,     ['a' ... 'f'] = H, ['g' ... 'z'] = U,   ['{'] = TEXT,
    ['|'] = T,     ['}'] = TEXT,      ['~'] = U,           [0x80 ... 0xff] = TEXT,
};

static const struct http_fault_info infos[FAULT_COUNT] = {
    [FAULT_NONE] = {200, "", ""},
#define FAULT(id, status, reason, detail) [FAULT_##id] = {status, reason, detail},
#include "http/fault.def"
#undef FAULT
};

const struct http_fault_info *http_fault_info(enum http_fault f)
{
    return &infos[(unsigned)f < FAULT_COUNT ? f : FAULT_SYNTAX];
}

static bool all(struct slice s, unsigned class)
{
    for (size_t i = 0; i < s.n; i++) {
        if ((classes[(uint8_t)s.p[i]] & class) == 0)
            return false;
    }
    return true;
}

/* Nearly always it is plain ASCII; tabs and other bytes are looked up one by one. */
bool lint_text(struct slice s)
{
    return slice_ascii(s, ' ', 0x7f) || all(s, TEXT);
}

/* "HTTP/" DIGIT "." DIGIT, and which. */
static enum http_fault lint_version(struct slice v)
{
    if (v.n != 8 || memcmp(v.p, "HTTP/", 5) != 0 || v.p[6] != '.' ||
        !all(slice_of(v.p + 5, 1), DIGIT) || !all(slice_of(v.p + 7, 1), DIGIT))
        return FAULT_LINE_BAD;
    return v.p[5] == '1' && (v.p[7] == '1' || v.p[7] == '0') ? FAULT_NONE : FAULT_VERSION;
}

enum http_fault lint_request_line(struct slice line)
{
    size_t m = slice_find(line, ' '), t;
    struct slice method = slice_of(line.p, m), target, version;
    enum http_fault f;

    if (m == 0 || m == line.n)
        return FAULT_LINE_BAD;
    target = slice_of(line.p + m + 1, line.n - m - 1);
    t = slice_find(target, ' ');
    if (t == target.n)
        return FAULT_LINE_BAD;
    version = slice_of(target.p + t + 1, target.n - t - 1);
    target.n = t;
    if (!all(method, TOKEN))
        return FAULT_LINE_BAD;
    if ((f = lint_version(version)) != FAULT_NONE)
        return f;
    if (method_by_name(method) == METHOD_COUNT)
        return FAULT_METHOD;
    return t > 0 && slice_ascii(target, '!', '#') ? FAULT_NONE : FAULT_TARGET;
}

/* "HTTP/1.1 200 OK"; the phrase may be empty, and the space before it may then be missing. */
enum http_fault lint_status_line(struct slice line)
{
    enum http_fault f;

    if (line.n < 12 || line.p[8] != ' ' || !all(slice_of(line.p + 9, 3), DIGIT))
        return FAULT_LINE_BAD;
    if ((f = lint_version(slice_of(line.p, 8))) != FAULT_NONE)
        return f;
    if (line.p[9] < '1' || line.p[9] > '5' || (line.n > 12 && line.p[12] != ' '))
        return FAULT_LINE_BAD;
    return lint_text(line) ? FAULT_NONE : FAULT_LINE_BAD;
}

enum http_fault lint_field(struct slice line)
{
    size_t i = 0;

    if (line.p[0] == ' ' || line.p[0] == '\t')
        return FAULT_FOLD;
    while (i < line.n && (classes[(uint8_t)line.p[i]] & TOKEN) != 0)
        i++;
    if (i == 0 || i == line.n || line.p[i] != ':')
        return FAULT_FIELD;
    return lint_text(slice_of(line.p + i, line.n - i)) ? FAULT_NONE : FAULT_FIELD;
}

enum http_fault lint_trailer(struct slice line)
{
    static const struct slice forbidden[] = {
        SLICE_LIT("content-length"), SLICE_LIT("transfer-encoding"), SLICE_LIT("host"),
        SLICE_LIT("connection"),     SLICE_LIT("trailer"),           SLICE_LIT("content_length"),
        SLICE_LIT("upgrade"),        SLICE_LIT("transfer_encoding"), SLICE_LIT("expect"),
    };
    struct slice name = slice_of(line.p, slice_find(line, ':'));

    if (lint_field(line) != FAULT_NONE)
        return FAULT_TRAILER;
    for (size_t i = 0; i < sizeof forbidden / sizeof forbidden[0]; i++) {
        if (slice_eq_nocase(name, forbidden[i]))
            return FAULT_TRAILER;
    }
    return FAULT_NONE;
}

/* Where an upstream may see a segment end that is none to us: an escaped slash, a backslash, and
 * the parameters that some take off ("..;x"). */
static bool ends_for_some(int c)
{
    return c == '/' || c == '\\' || c == ';';
}

/* Walks the path once; `dots` counts the dots of a segment that so far is nothing else. */
enum http_fault lint_path(struct slice path)
{
    int dots = -1; /* -1: the segment holds something else */

    for (size_t i = 0; i < path.n; i++) {
        int c = (uint8_t)path.p[i];
        if (c == '/') {
            if (dots >= 0 && dots <= 2)
                return FAULT_PATH;
            dots = 0;
            continue;
        }
        if (c == '%') {
            c = hex_escape(path.p + i, path.n - i);
            if (c <= 0)
                return FAULT_PATH;
            i += 2;
        }
        if (ends_for_some(c)) {
            if (dots == 1 || dots == 2)
                return FAULT_PATH;
            dots = c == ';' ? -1 : 0;
            continue;
        }
        dots = c == '.' && dots >= 0 ? dots + 1 : -1;
    }
    return dots == 1 || dots == 2 ? FAULT_PATH : FAULT_NONE;
}

size_t lint_path_decode(char *p, size_t n)
{
    static const char digits[] = "0123456789ABCDEF";
    char *from = memchr(p, '%', n), *to = from;

    if (from == NULL)
        return n;
    while (from < p + n) {
        int c;
        if (*from != '%') {
            *to++ = *from++;
            continue;
        }
        c = hex_escape(from, 3);
        from += 3;
        if ((classes[c] & PLAIN) != 0) {
            *to++ = (char)c;
        } else {
            *to++ = '%';
            *to++ = digits[c >> 4];
            *to++ = digits[c & 15];
        }
    }
    return (size_t)(to - p);
}

bool lint_port(struct slice port)
{
    uint64_t v;

    return port.n == 0 || (port.n <= 5 && slice_to_u64(port, &v) && v <= 65535);
}

enum http_fault lint_host(struct slice authority, struct slice *host)
{
    size_t n;

    if (authority.n > 0 && authority.p[0] == '[') {
        n = slice_find(authority, ']');
        if (n < 3 || n == authority.n || !all(slice_of(authority.p + 1, n - 1), ADDR))
            return FAULT_HOST;
        n++;
    } else {
        n = slice_find(authority, ':');
        if (n == 0 || !all(slice_of(authority.p, n), NAME))
            return FAULT_HOST;
        for (size_t i = 0; i < n; i++) {
            if (authority.p[i] == '%' && hex_escape(authority.p + i, n - i) <= 0x20)
                return FAULT_HOST;
        }
    }
    *host = slice_of(authority.p, n);
    if (n == authority.n)
        return FAULT_NONE;
    return authority.p[n] == ':' && lint_port(slice_of(authority.p + n + 1, authority.n - n - 1))
               ? FAULT_NONE
               : FAULT_HOST;
}
