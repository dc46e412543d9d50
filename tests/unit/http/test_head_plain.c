/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The one-pass reader of plain heads beside the reader of all heads (head_both.h): on heads that
 * are plain, on all that are refused elsewhere, and on a million damaged copies of
 * both. The seed is fixed; what a failure is about is printed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/block.h"
#include "base/buf.h"
#include "base/hash.h"
#include "head_both.h"

#include <http_parser.h>

#define MUTANTS 1000000u
#define H       "Host: a\r\n"
#define GET     "GET / HTTP/1.1\r\n" H "\r\n"

static const struct head_limits limits = {
    .max_line = 2048, .max_headers = 32, .max_header_bytes = 6000};

/* Read in one pass. */
static const char *const plain[] = {
    "GET / HTTP/1.1\r\n" H "\r\n",
    "GET /no/such/path HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n",
    "GET /limited HTTP/1.1\r\nHost: bench\r\nX-User-Id: u-4711\r\n\r\n",
    "HEAD /a-b_c~d/e.f;g=1,2/ HTTP/1.1\r\nhost:a.example.com\r\n\r\n",
    "OPTIONS /:@!$&'()*+= HTTP/1.1\r\nHOST: [::1]:80\r\nOrigin: http://a\r\n\r\n",
    "DELETE /a?b=/../%zz//\\./?c HTTP/1.1\r\n" H "\r\n",
    "PATCH /a? HTTP/1.0\r\n" H "Connection: keep-alive\r\n\r\n",
    "PUT /0123456789abcde/ HTTP/1.0\r\n" H "Connection: Close\r\nConnection: Keep-Alive\r\n\r\n",
    "GET /0123456789abcdef/0123456789abcdef0123456789abcdef HTTP/1.1\r\n" H
    "connection:close\r\n\r\n",
    "POST /api/v1/events/demo/orders HTTP/1.1\r\nHost: bench\r\nX-User-Id: a000000000012\r\n"
    "Idempotency-Key: a000000000012\r\nContent-Type: application/json\r\nContent-Length: 32\r\n\r\n"
    "{\"item\":\"standard\",\"quantity\":1}",
    "POST /a HTTP/1.1\r\n" H "CONTENT-LENGTH:000000000000000001\r\n\r\na",
    "POST /a HTTP/1.1\r\n" H "Content-Length: 999999999999999999\r\n\r\n",
    "GET / HTTP/1.1\r\n" H "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 "
    "Firefox/140.0\r\nAccept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
    "Accept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n"
    "Referer: https://tickets.example.com/event?id=1\r\nConnection: keep-alive\r\n"
    "Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n"
    "Upgrade-Insecure-Requests: 1\r\nSec-Fetch-Dest: document\r\nPriority: u=0, i\r\n\r\n",
    "GET / HTTP/1.1\r\n" H "Empty:\r\nEmptier: \r\nX: a  b\r\nKeep-Alive: timeout=5\r\nTE: x\r\n"
    "Content-Lengte: 1\r\nProxy-Connectiom: x\r\nTransfer-Encodinh: x\r\nUpgradf: x\r\n"
    "Connectios: x\r\nExpecu: x\r\nHosu: b\r\n\r\n",
};

/* Right, but left to the reader of all heads. */
static const char *const odd[] = {
    "\r\nGET / HTTP/1.1\r\n" H "\r\n",
    "GET / HTTP/1.0\r\n\r\n",
    "GET /a%20b?c=%zz HTTP/1.1\r\nHost: Example.com:80\r\n\r\n",
    "GET /%61%2Dmin/%7e%5F?%61=%7e HTTP/1.1\r\n" H "\r\n",
    "GET /.well-known/a HTTP/1.1\r\n" H "\r\n",
    "GET /a\\b HTTP/1.1\r\n" H "\r\n",
    "GET http://b:1/x?y HTTP/1.1\r\n" H "\r\n",
    "OPTIONS * HTTP/1.1\r\n" H "\r\n",
    "GET / HTTP/1.1\r\n" H "A_b: c\r\n\r\n",
    "GET / HTTP/1.1\r\n" H "A: b \r\n\r\n",
    "GET / HTTP/1.1\r\n" H "A:  b\r\n\r\n",
    "GET / HTTP/1.1\r\n" H "A: b\tc\r\n\r\n",
    "GET / HTTP/1.1\r\n" H "A: \xc3\xa9\r\n\r\n",
    "GET / HTTP/1.1\r\n" H "Connection: close, x\r\n\r\n",
    "GET / HTTP/1.1\r\n" H "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "GET / HTTP/1.1\r\n" H "Upgrade: h2c\r\n\r\n",
    "GET / HTTP/1.1\r\n" H "Proxy-Connection: close\r\n\r\n",
    "POST / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\n" H "Content-Length: 1\r\nExpect: 100-continue\r\n\r\na",
    "POST / HTTP/1.1\r\n" H "Content-Length: 0000000000000000001\r\n\r\na",
};

/* Refused, most of them for their head. */
static const struct refusal {
    const char *text;
    unsigned status;
    const char *reason;
} refusals[] = {
#include "refusals.def"
};

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

static const char *seed_text(uint64_t i)
{
    i %= COUNT(plain) + COUNT(odd) + COUNT(refusals);
    if (i < COUNT(plain))
        return plain[i];
    i -= COUNT(plain);
    return i < COUNT(odd) ? odd[i] : refusals[i - COUNT(odd)].text;
}

static bool both(const char *text)
{
    return head_both(text, strlen(text), &limits, BOTH_HEADERS);
}

static void test_corpus(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(plain); i++) {
        if (!both(plain[i]))
            fail_msg("not read in one pass: %s", plain[i]);
    }
    for (size_t i = 0; i < COUNT(odd); i++) {
        if (both(odd[i]))
            fail_msg("read in one pass: %s", odd[i]);
    }
    for (size_t i = 0; i < COUNT(refusals); i++)
        both(refusals[i].text);
}

/* Cut anywhere it is not complete, and nothing behind the cut is looked at. */
static void test_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(plain); i++) {
        size_t head = (size_t)(strstr(plain[i], "\r\n\r\n") - plain[i]) + 4;
        for (size_t n = 0; n < head; n++)
            assert_false(head_both(plain[i], n, &limits, BOTH_HEADERS));
    }
}

/* Each limit at what a head needs, and one below. */
static void test_limits(void **state)
{
    static const char text[] = "GET /abc HTTP/1.1\r\nHost: a\r\nA: 123456789\r\n\r\n";
    const struct head_limits fits = {.max_line = 17, .max_headers = 2, .max_header_bytes = 21};

    (void)state;
    assert_true(head_both(text, sizeof text - 1, &fits, 2));
    assert_false(head_both(text, sizeof text - 1, &fits, 1));
    for (int i = 0; i < 3; i++) {
        struct head_limits tight = fits;
        *(uint32_t *[]){&tight.max_line, &tight.max_headers, &tight.max_header_bytes}[i] -= 1;
        assert_false(head_both(text, sizeof text - 1, &tight, BOTH_HEADERS));
    }
}

static size_t some_place(uint64_t *rng, const struct buf *b)
{
    return b->n > 0 ? random_next(rng) % b->n : 0;
}

static void insert(struct buf *b, size_t at, struct slice s)
{
    struct buf whole = {0};

    buf_add(&whole, b->p, at);
    buf_slice(&whole, s);
    buf_add(&whole, b->p + at, b->n - at);
    buf_free(b);
    *b = whole;
}

static void erase(struct buf *b, size_t at, size_t n)
{
    n = n < b->n - at ? n : b->n - at;
    memmove(b->p + at, b->p + at + n, b->n - at - n);
    b->n -= n;
}

/* What heads are made of and what parsers stumble over. */
static const char *const words[] = {
    "\r\n",
    "\n",
    "\r",
    " ",
    "\t",
    ":",
    ",",
    "/",
    "//",
    "/.",
    "/..",
    "?",
    "#",
    "%2e",
    "%",
    "\\",
    ";",
    "\x7f",
    "\x80",
    "\xff",
    "\x01",
    "_",
    "-",
    "0",
    "1",
    "close",
    "keep-alive",
    "GET ",
    " HTTP/1.1",
    " HTTP/1.0",
    "HTTP/1.2",
    H,
    "Host: b:1\r\n",
    "Expect: 100-continue\r\n",
    "Connection: close\r\n",
    "Connection: keep-alive\r\n",
    "Connection: upgrade\r\n",
    "Content-Length: 3\r\n",
    "Content-Length: 03\r\n",
    "Content_Length: 3\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Upgrade: a\r\n",
    "Proxy-Connection: close\r\n",
    "\r\n\r\n",
    "A: b\r\n",
    " c\r\n",
    "Connection: close \r\n",
    "Connection:\tclose\r\n",
    "Content-Length: 3 \r\n",
    "Content-Length:\r\n",
    "Transfer_Encoding: chunked\r\n",
    "Connection: close,\r\n",
};

/* Takes a random step away from what b is. */
static void damage(uint64_t *rng, struct buf *b)
{
    size_t at = some_place(rng, b), from = some_place(rng, b), n = 1 + random_next(rng) % 24;
    const char *word = words[random_next(rng) % COUNT(words)];

    if (b->n == 0)
        return;
    switch (random_next(rng) % 8) {
    case 0:
        b->p[at] = (char)random_next(rng);
        break;
    case 1:
        b->p[at] = word[0];
        break;
    case 2:
        b->p[at] ^= 0x20; /* the other case of a letter */
        break;
    case 3:
        erase(b, at, random_next(rng) % 2 == 0 ? 1 : n);
        break;
    case 4: { /* another part of itself */
        struct buf part = {0};
        buf_add(&part, b->p + from, n < b->n - from ? n : b->n - from);
        insert(b, at, buf_view(&part));
        buf_free(&part);
        break;
    }
    case 5: { /* a word where a line begins */
        const char *lf = memchr(b->p + at, '\n', b->n - at);
        insert(b, lf != NULL ? (size_t)(lf - b->p) + 1 : at, slice_str(word));
        break;
    }
    default:
        insert(b, at, slice_str(word));
        break;
    }
}

/* Now and then a head meets limits that it is about to reach. */
static struct head_limits some_limits(uint64_t *rng)
{
    if (random_next(rng) % 8 != 0)
        return limits;
    return (struct head_limits){.max_line = (uint32_t)(random_next(rng) % 64),
                                .max_headers = (uint32_t)(random_next(rng) % 6),
                                .max_header_bytes = (uint32_t)(random_next(rng) % 128)};
}

static void test_damaged(void **state)
{
    uint64_t rng = 20261123;
    unsigned accepted = 0;

    (void)state;
    for (unsigned i = 0; i < MUTANTS; i++) {
        struct buf b = {0};
        /* Half of them begin plain. */
        uint64_t which = random_next(&rng);
        struct head_limits l = some_limits(&rng);
        buf_str(&b, i % 2 == 0 ? plain[which % COUNT(plain)] : seed_text(which));
        for (uint64_t steps = 1 + random_next(&rng) % 3; steps > 0; steps--)
            damage(&rng, &b);
        accepted += head_both(b.p, b.n, &l, random_next(&rng) % 16 == 0 ? 3 : BOTH_HEADERS);
        buf_free(&b);
    }
    /* Or the comparison was about nothing. */
    assert_in_range(accepted, MUTANTS / 20, MUTANTS);
}

/* Every byte at every place, against the comparison that the vectors stand for. */
static void test_blocks(void **state)
{
    char bytes[BLOCK_BYTES];

    (void)state;
    for (unsigned i = 0; i < 256 * BLOCK_BYTES; i++) {
        uint8_t c = (uint8_t)(i / BLOCK_BYTES);
        unsigned bit = 1u << i % BLOCK_BYTES;
        memset(bytes, '/', sizeof bytes);
        bytes[i % BLOCK_BYTES] = (char)c;
        block b = block_load(bytes);
        unsigned within = block_bits(block_within(b, '0', '~'));
        assert_int_equal(within, c >= '0' && c <= '~' ? bit : 0);
        assert_int_equal(within, block_bits_portable(block_within(b, '0', '~')));
        assert_int_equal(block_bits(block_equal(b, c)), c == '/' ? 0xffff : bit);
        assert_int_equal(block_bits_portable(~block_equal(b, c)), c == '/' ? 0 : 0xffff & ~bit);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks), cmocka_unit_test(test_corpus),  cmocka_unit_test(test_cut),
        cmocka_unit_test(test_limits), cmocka_unit_test(test_damaged),
    };

    /* As http_server_set_limits does. */
    http_parser_set_max_header_size(UINT32_MAX / 2);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
