/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The head of a plain request in one pass, sixteen bytes at a time. Nearly every request is plain:
 *
 *   - it has arrived whole and begins with a method of ours; the target is a path and perhaps a
 *     query, the path without escape, backslash, empty or dotted segment;
 *   - names of headers are letters, digits and '-'; values are printable ASCII, with at most one
 *     space before and none behind;
 *   - there is one Host and at most one Content-Length, a number of at most 18 digits; Connection
 *     says keep-alive or close and nothing else; there is no Transfer-Encoding, Expect, Upgrade or
 *     Proxy-Connection.
 *
 * Whatever else there is, right or wrong, is declined and left to head_scan and head_parse_request:
 * nothing is refused here. What is accepted they would read in the very same way;
 * tests/unit/http/test_head_plain.c and tests/fuzz/head_plain.c hold the two side by side.
 */
#include "http/head.h"

#include "base/block.h"

/* What is read, at least a block of it, and what was seen so far. */
struct reader {
    const char *p;
    size_t at, n;
    unsigned hosts;
    bool stay, leave; /* words of Connection */
};

typedef block_flags stops_fn(block b);

/*
 * A bit for each byte from `at` on (r->n is not reached yet) at which `stops` holds. Near the end
 * the block overlaps what was read before, so that nothing behind is touched; bits beyond the end
 * are 0.
 */
static inline __attribute__((always_inline)) unsigned stops_at(const struct reader *r, size_t at,
                                                               stops_fn *stops)
{
    size_t from = at + BLOCK_BYTES <= r->n ? at : r->n - BLOCK_BYTES;

    return block_bits(stops(block_load(r->p + from))) >> (at - from);
}

/* The first byte from `at` on at which `stops` holds, or the end. */
static inline __attribute__((always_inline)) size_t find_stop(const struct reader *r, size_t at,
                                                              stops_fn *stops)
{
    for (; at < r->n; at += BLOCK_BYTES) {
        unsigned bits = stops_at(r, at, stops);
        if (bits != 0)
            return at + (unsigned)__builtin_ctz(bits);
    }
    return r->n;
}

static inline block_flags not_text(block b)
{
    return ~block_within(b, ' ', '~');
}

static inline block_flags not_name(block b)
{
    return ~(block_within(b | 0x20, 'a', 'z') | block_within(b, '0', '9') | block_equal(b, '-'));
}

static inline block_flags not_host(block b)
{
    return not_name(b) & ~block_equal(b, '.');
}

static inline block_flags not_query(block b)
{
    return ~block_within(b, '!', '~') | block_equal(b, '#');
}

/* Also where it is no longer plain. */
static inline block_flags not_path(block b)
{
    return not_query(b) | block_equal(b, '?') | block_equal(b, '%') | block_equal(b, '\\');
}

static inline block_flags slash(block b)
{
    return block_equal(b, '/');
}

static inline block_flags slash_or_dot(block b)
{
    return slash(b) | block_equal(b, '.');
}

/* Where the path that begins at `at` ends, or 0: a slash or a dot follows upon a slash. */
static size_t path_end(const struct reader *r, size_t at)
{
    unsigned behind_slash = 0;

    for (; at < r->n; at += BLOCK_BYTES) {
        unsigned ends = stops_at(r, at, not_path), slashes = stops_at(r, at, slash);
        unsigned odd = stops_at(r, at, slash_or_dot) & (slashes << 1 | behind_slash);
        /* Up to the first end. */
        if ((odd & (ends ^ (ends - 1))) != 0)
            return 0;
        if (ends != 0)
            return at + (unsigned)__builtin_ctz(ends);
        behind_slash = slashes >> (BLOCK_BYTES - 1);
    }
    return 0;
}

/* Up to and with the space behind it. */
static bool read_method(struct head *h, struct reader *r)
{
    size_t n;

    /* What nearly all are, without a search. */
    if (memcmp(r->p, "GET ", 4) == 0) {
        h->method = METHOD_GET;
        r->at = 4;
        return true;
    }
    if (memcmp(r->p, "POST ", 5) == 0) {
        h->method = METHOD_POST;
        r->at = 5;
        return true;
    }
    n = slice_find(slice_of(r->p, BLOCK_BYTES), ' ');
    h->method = method_by_name(slice_of(r->p, n));
    r->at = n + 1;
    return h->method != METHOD_COUNT;
}

static bool read_target(struct head *h, struct reader *r)
{
    const char *p = r->p + r->at;
    size_t path, end;

    if (p[0] != '/')
        return false;
    path = end = path_end(r, r->at);
    if (path == 0)
        return false;
    h->path = slice_of(p, path - r->at);
    h->query = SLICE_NONE;
    if (r->p[path] == '?') {
        end = find_stop(r, path + 1, not_query);
        h->query = slice_of(r->p + path + 1, end - path - 1);
    }
    h->target = slice_of(p, end - r->at);
    r->at = end;
    return true;
}

static bool read_version(struct head *h, struct reader *r)
{
    static const char rest[] = " HTTP/1.x\r\n";
    const char *p = r->p + r->at;

    if (r->n - r->at < sizeof rest - 1 || memcmp(p, rest, 8) != 0 || (p[8] != '0' && p[8] != '1') ||
        memcmp(p + 9, "\r\n", 2) != 0)
        return false;
    h->minor = (uint8_t)(p[8] - '0');
    r->at += sizeof rest - 1;
    return true;
}

/*
 * Does a name begin with the word? Setting 0x20 makes capital letters small and leaves the digits
 * and '-', which is all that names are made of here, as they are.
 */
static inline bool same4(const char *name, const char *word)
{
    uint32_t a, b;

    memcpy(&a, name, sizeof a);
    memcpy(&b, word, sizeof b);
    return (a | UINT32_C(0x20202020)) == b;
}

static inline bool same8(const char *name, const char *word)
{
    return same4(name, word) && same4(name + 4, word + 4);
}

/* Names that begin alike and are as long are told apart by their ends. In one of more than 16 bytes
 * the middle is passed over: to take another name for it must only lead to declining. */
static inline bool named(struct slice name, struct slice word)
{
    const char *a = name.p + name.n, *b = word.p + word.n;

    if (word.n < 8)
        return same4(name.p, word.p) && same4(a - 4, b - 4);
    return same8(name.p, word.p) && same8(a - 8, b - 8);
}

/* A name with letters, digits, '-' and '.' only, which nearly all are, and perhaps a port. */
static bool read_host(struct head *h, struct reader *r, struct slice value)
{
    size_t n = find_stop(r, (size_t)(value.p - r->p), not_host) - (size_t)(value.p - r->p);

    if (r->hosts++ > 0)
        return false;
    h->host = slice_of(value.p, n);
    if (n > 0 && (n == value.n ||
                  (value.p[n] == ':' && lint_port(slice_of(value.p + n + 1, value.n - n - 1)))))
        return true;
    return lint_host(value, &h->host) == FAULT_NONE;
}

static bool read_connection(struct reader *r, struct slice value)
{
    if (slice_eq_nocase(value, SLICE_LIT("keep-alive")))
        r->stay = true;
    else if (slice_eq_nocase(value, SLICE_LIT("close")))
        r->leave = true;
    else
        return false;
    return true;
}

static bool read_length(struct head *h, struct slice value)
{
    if (h->has_length || value.n > 18 || !slice_to_u64(value, &h->length))
        return false;
    h->has_length = true;
    return true;
}

/* Takes in what the fields say that http-parser and the tally of head.c look at. */
static bool weigh(struct head *h, struct reader *r, struct slice name, struct slice value)
{
#define NAMED(word) named(name, SLICE_LIT(word))
    switch (name.n) {
    case 4:
        return !NAMED("host") || read_host(h, r, value);
    case 6:
        return !NAMED("expect");
    case 7:
        return !NAMED("upgrade");
    case 10:
        return !NAMED("connection") || read_connection(r, value);
    case 14:
        return !NAMED("content-length") || read_length(h, value);
    case 16:
        return !NAMED("proxy-connection");
    case 17:
        return !NAMED("transfer-encoding");
    default:
        return true;
    }
#undef NAMED
}

/* One line; r->at moves behind it. */
static bool read_field(struct head *h, struct reader *r)
{
    const char *p = r->p;
    size_t name = r->at, colon = find_stop(r, name, not_name), value = colon + 1, end;
    struct http_header *f = &h->headers[h->headers_n];

    if (colon == name || value >= r->n || p[colon] != ':')
        return false;
    value += p[value] == ' ';
    end = find_stop(r, value, not_text);
    if (r->n - end < 2 || p[end] != '\r' || p[end + 1] != '\n')
        return false;
    if (end > value && (p[value] == ' ' || p[end - 1] == ' '))
        return false;
    *f = (struct http_header){.name = slice_of(p + name, colon - name),
                              .value = slice_of(p + value, end - value)};
    h->headers_n++;
    r->at = end + 2;
    return weigh(h, r, f->name, f->value);
}

/* The lines up to the empty one, which r->at moves behind. */
static bool read_fields(struct head *h, struct reader *r, const struct head_limits *limits)
{
    size_t first = r->at;
    unsigned max = limits->max_headers < h->headers_cap ? limits->max_headers : h->headers_cap;

    h->headers_n = 0;
    while (r->n - r->at >= 2 && r->p[r->at] != '\r') {
        if (h->headers_n == max || !read_field(h, r) ||
            r->at - 2 - first > limits->max_header_bytes)
            return false;
    }
    if (r->n - r->at < 2 || r->p[r->at + 1] != '\n')
        return false;
    r->at += 2;
    return r->hosts == 1;
}

size_t head_plain_request(struct head *h, const char *p, size_t n, const struct head_limits *limits)
{
    struct reader r = {.p = p, .n = n};

    if (n < BLOCK_BYTES || !read_method(h, &r) || !read_target(h, &r) || !read_version(h, &r) ||
        r.at - 2 > limits->max_line)
        return 0;
    h->chunked = h->has_length = h->expect = false;
    h->length = 0;
    if (!read_fields(h, &r, limits))
        return 0;
    h->keep_alive = !r.leave && (h->minor > 0 || r.stay);
    return r.at;
}
