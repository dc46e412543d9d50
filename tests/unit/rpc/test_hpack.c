/* SPDX-License-Identifier: BSD-2-Clause */
/* Blocks of rpc/hpack.c, read by nghttp2's decoder as a peer would. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <nghttp2/nghttp2.h>

#include "base/hash.h"
#include "rpc/hpack.h"

struct peer {
    struct hpack h;
    nghttp2_hd_inflater *in;
    struct buf block;
};

static void peer_open(struct peer *p)
{
    *p = (struct peer){0};
    assert_int_equal(nghttp2_hd_inflate_new(&p->in), 0);
}

static void peer_close(struct peer *p)
{
    nghttp2_hd_inflate_del(p->in);
    hpack_fini(&p->h);
    buf_free(&p->block);
}

/* Reads the block and compares it with n fields. */
static void expect(struct peer *p, const struct slice (*fields)[2], unsigned n)
{
    const uint8_t *at = (const uint8_t *)p->block.p, *end = at + p->block.n;
    unsigned got = 0;
    int flags = 0;

    for (;;) {
        nghttp2_nv nv;
        ssize_t used = nghttp2_hd_inflate_hd2(p->in, &nv, &flags, at, (size_t)(end - at), 1);
        assert_true(used >= 0);
        at += used;
        if (flags & NGHTTP2_HD_INFLATE_EMIT) {
            assert_true(got < n);
            assert_true(slice_eq(slice_of((char *)nv.name, nv.namelen), fields[got][0]));
            assert_true(slice_eq(slice_of((char *)nv.value, nv.valuelen), fields[got][1]));
            got++;
        }
        if (flags & NGHTTP2_HD_INFLATE_FINAL)
            break;
        assert_true(used > 0 || (flags & NGHTTP2_HD_INFLATE_EMIT));
    }
    nghttp2_hd_inflate_end_headers(p->in);
    assert_int_equal(got, n);
    buf_clear(&p->block);
}

static void test_call(void **state)
{
    const struct slice fields[][2] = {
        {SLICE_LIT(":method"), SLICE_LIT("POST")},
        {SLICE_LIT(":scheme"), SLICE_LIT("http")},
        {SLICE_LIT(":path"), SLICE_LIT("/pkg.Service/Call")},
        {SLICE_LIT(":authority"), SLICE_LIT("shop")},
        {SLICE_LIT("te"), SLICE_LIT("trailers")},
        {SLICE_LIT("content-type"), SLICE_LIT("application/grpc")},
        {SLICE_LIT("rushgate-buyer"), SLICE_LIT("ann")},
        {SLICE_LIT("empty"), SLICE_LIT("")},
    };
    struct peer p;
    size_t first = 0;

    (void)state;
    peer_open(&p);
    for (unsigned round = 0; round < 3; round++) {
        hpack_static(&p.block, HPACK_METHOD_POST);
        hpack_static(&p.block, HPACK_SCHEME_HTTP);
        for (unsigned i = 2; i < 6; i++)
            hpack_again(&p.h, &p.block, fields[i][0], fields[i][1]);
        for (unsigned i = 6; i < 8; i++)
            hpack_once(&p.h, &p.block, fields[i][0], fields[i][1]);
        if (round == 0)
            first = p.block.n;
        else /* a byte a constant field, two for a name */
            assert_int_equal(p.block.n, 6 + 2 + 1 + 3 + 2 + 1);
        expect(&p, fields, 8);
    }
    assert_true(first > 80);
    peer_close(&p);
}

/* More paths than one name may have entries, and values longer than the table. */
static void test_full(void **state)
{
    static char text[200][24], big[60000];
    struct slice field[1][2];
    struct peer p;

    (void)state;
    peer_open(&p);
    memset(big, 'x', sizeof big);
    for (unsigned round = 0; round < 2; round++)
        for (unsigned i = 0; i < 200; i++) {
            snprintf(text[i], sizeof text[i], "/service/method-%u", i);
            field[0][0] = SLICE_LIT(":path");
            field[0][1] = slice_str(text[i]);
            hpack_again(&p.h, &p.block, field[0][0], field[0][1]);
            expect(&p, field, 1);
            field[0][0] = slice_str(text[i] + 1);
            field[0][1] = slice_of(big, i * 300);
            hpack_once(&p.h, &p.block, field[0][0], field[0][1]);
            expect(&p, field, 1);
        }
    assert_true(p.h.n <= HPACK_ENTRIES && p.h.bytes <= HPACK_TABLE_BYTES);
    peer_close(&p);
}

static void test_random(void **state)
{
    static const char *const names[] = {"a",  "bb", ":path", "content-type", "x-request-id",
                                        "k1", "k2", "k3",    "k4",           "grpc-timeout"};
    uint64_t rng = 7;
    struct peer p;

    (void)state;
    for (unsigned session = 0; session < 50; session++) {
        peer_open(&p);
        for (unsigned block = 0; block < 40; block++) {
            struct slice fields[12][2];
            char values[12][40];
            unsigned n = (unsigned)(random_next(&rng) % 12);
            for (unsigned i = 0; i < n; i++) {
                uint64_t r = random_next(&rng);
                fields[i][0] = slice_str(names[r % 10]);
                snprintf(values[i], sizeof values[i], "%.*s%u", (int)(r >> 8 & 31),
                         "abcdefghijklmnopqrstuvwxyz0123456789", (unsigned)(r >> 16 & 7));
                fields[i][1] = slice_str(values[i]);
                (r >> 32 & 1 ? hpack_again : hpack_once)(&p.h, &p.block, fields[i][0],
                                                         fields[i][1]);
            }
            if (n > 0)
                expect(&p, (const struct slice(*)[2])fields, n);
        }
        peer_close(&p);
    }
}

/* What nghttp2's encoder writes when the peer's SETTINGS change the table. */
static void resize(struct peer *p, size_t bytes)
{
    nghttp2_hd_deflater *d;
    uint8_t out[16];
    ssize_t n;

    assert_int_equal(nghttp2_hd_deflate_new(&d, HPACK_TABLE_BYTES), 0);
    assert_int_equal(nghttp2_hd_deflate_change_table_size(d, bytes), 0);
    n = nghttp2_hd_deflate_hd(d, out, sizeof out, NULL, 0);
    assert_true(n >= 0);
    nghttp2_hd_deflate_del(d);
    assert_int_equal(nghttp2_hd_inflate_change_table_size(p->in, bytes), 0);
    buf_add(&p->block, out, (size_t)n);
    hpack_resized(&p->h, slice_of((char *)out, (size_t)n));
}

static void test_resized(void **state)
{
    static const size_t sizes[] = {4096, 65536, 100, 0};
    const struct slice field[1][2] = {{SLICE_LIT("te"), SLICE_LIT("trailers")}};

    (void)state;
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct peer p;
        peer_open(&p);
        for (unsigned round = 0; round < 4; round++) {
            if (round == 2)
                resize(&p, sizes[i]);
            hpack_again(&p.h, &p.block, field[0][0], field[0][1]);
            if (round == 3)
                assert_int_equal(p.block.n, sizes[i] >= HPACK_TABLE_BYTES ? 1 : 13);
            expect(&p, field, 1);
        }
        peer_close(&p);
    }
}

static void test_frames(void **state)
{
    static char text[40000];
    struct buf out = {0}, joined = {0};
    unsigned frames = 0;

    (void)state;
    for (unsigned i = 0; i < sizeof text; i++)
        text[i] = (char)(i * 31);
    hpack_frames(&out, 0x01020304, true, slice_of(text, sizeof text));
    for (size_t at = 0; at < out.n; frames++) {
        const unsigned char *h = (unsigned char *)out.p + at;
        size_t n = (size_t)h[0] << 16 | (size_t)h[1] << 8 | h[2];
        assert_true(n <= HPACK_FRAME_MAX);
        assert_int_equal(h[3], frames == 0 ? NGHTTP2_HEADERS : NGHTTP2_CONTINUATION);
        assert_memory_equal(h + 5, "\1\2\3\4", 4);
        buf_add(&joined, h + HPACK_FRAME_HEAD, n);
        at += HPACK_FRAME_HEAD + n;
        assert_int_equal(h[4], (frames == 0 ? NGHTTP2_FLAG_END_STREAM : 0) |
                                   (at == out.n ? NGHTTP2_FLAG_END_HEADERS : 0));
    }
    assert_int_equal(frames, 3);
    assert_true(slice_eq(buf_view(&joined), slice_of(text, sizeof text)));
    buf_free(&out);
    buf_free(&joined);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_call),   cmocka_unit_test(test_full),
        cmocka_unit_test(test_random), cmocka_unit_test(test_resized),
        cmocka_unit_test(test_frames),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
