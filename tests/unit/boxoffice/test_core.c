/* SPDX-License-Identifier: BSD-2-Clause */
/* The parts the sale is made of: table, stock, codes, digests, specs, the wheel. */
#include "fixture.h"

#include "base/hash.h"
#include "boxoffice/core/code.h"
#include "boxoffice/core/siphash.h"
#include "boxoffice/core/stock.h"
#include "boxoffice/core/table.h"

static void test_code_is_a_permutation(void **state)
{
    struct code_key k;
    uint64_t rng = 7, back;
    char text[CODE_LEN + 1];
    unsigned char *seen = calloc(1 << 17, 1);

    (void)state;
    code_key_init(&k, (const unsigned char *)"0123456789abcdef");
    for (int i = 0; i < 100000; i++) {
        uint64_t id = i < 50000 ? (uint64_t)i : random_next(&rng) >> 24;
        uint64_t v = code_permute(&k, id);
        assert_true(v >> CODE_BITS == 0);
        assert_true(code_invert(&k, v) == id);
        code_write(&k, id, text);
        assert_true(code_read(&k, slice_str(text), &back) && back == id);
    }
    /* neighbours are spread: the upper 17 bits of 2^17 codes fall into most of the boxes there are
     */
    unsigned boxes = 0;
    for (uint64_t id = 0; id < 1 << 17; id++) {
        uint64_t at = code_permute(&k, id) >> (CODE_BITS - 17);
        boxes += seen[at] == 0;
        seen[at] = 1;
    }
    assert_in_range(boxes, (1 << 17) * 60 / 100, (1 << 17) * 67 / 100); /* 1 - 1/e */
    free(seen);
}

static void test_code_reads_what_people_type(void **state)
{
    struct code_key k;
    uint64_t a, b;

    (void)state;
    code_key_init(&k, (const unsigned char *)"0123456789abcdef");
    assert_true(code_read(&k, SLICE_LIT("0a1bcdef"), &a));
    assert_true(code_read(&k, SLICE_LIT("OAlBCDEF"), &b));
    assert_true(a == b);
    assert_false(code_read(&k, SLICE_LIT("0A1BCDE"), &a));
    assert_false(code_read(&k, SLICE_LIT("0A1BCDEU"), &a));
    assert_false(code_read(&k, SLICE_LIT("0A1BCDE-"), &a));
    assert_false(code_read(&k, slice_of("0A1BCDE\0", 8), &a));
}

/* The vector of the reference implementation: key 00..0f, input 00..0e. */
static void test_siphash(void **state)
{
    static const unsigned char want[16] = {0x54, 0x93, 0xe9, 0x99, 0x33, 0xb0, 0xa8, 0x11,
                                           0x7e, 0x08, 0xec, 0x0f, 0x97, 0xcf, 0xc3, 0xd9};
    unsigned char key[16], in[15];
    uint64_t k[2];
    struct digest d;

    (void)state;
    for (unsigned i = 0; i < 16; i++)
        key[i] = (unsigned char)i;
    memcpy(in, key, sizeof in);
    memcpy(k, key, sizeof k);
    d = siphash128(k, in, sizeof in);
    assert_memory_equal(&d, want, 16);
}

static bool value_eq(const void *key, uint32_t value)
{
    return *(const uint32_t *)key == value;
}

/* Few hashes, so that runs are long; growth, removal and search against a plain array. */
static void test_table_against_an_array(void **state)
{
    enum { N = 60000 };
    struct table t;
    unsigned char *in = calloc(N + 1, 1);
    uint64_t rng = 11, *hash = calloc(N + 1, sizeof *hash);
    uint32_t count = 0;

    (void)state;
    assert_true(table_init(&t));
    for (uint32_t v = 1; v <= N; v++)
        hash[v] = v % 3 == 0 ? random_next(&rng) : hash_mix(v / 64);
    for (uint32_t step = 0; step < 400000; step++) {
        /* the range in use grows, so that growth happens under removals */
        uint32_t v = 1 + (uint32_t)(random_next(&rng) % (1 + step * (uint64_t)(N - 1) / 400000));
        if (in[v]) {
            assert_int_equal(table_find(&t, hash[v], value_eq, &v), v);
            if (random_next(&rng) % 3 == 0) {
                assert_true(table_remove(&t, hash[v], v));
                in[v] = 0;
                count--;
            }
        } else {
            assert_int_equal(table_find(&t, hash[v], value_eq, &v), 0);
            assert_false(table_remove(&t, hash[v], v));
            assert_true(table_reserve(&t));
            table_insert(&t, hash[v], v);
            in[v] = 1;
            count++;
        }
        assert_int_equal(t.count, count);
    }
    for (uint32_t v = 1; v <= N; v++)
        assert_int_equal(table_find(&t, hash[v], value_eq, &v), in[v] ? v : 0);
    table_fini(&t);
    free(in);
    free(hash);
}

/* A run of entries that wraps around the end, searched while it moves to a larger half. */
static void test_table_wraps_while_it_grows(void **state)
{
    enum { RUN = 300, REST = 417, MORE = 300 };
    struct table t;
    uint64_t rng = 5;
    uint32_t v;
    bool gone[RUN + 1] = {false};

    (void)state;
    assert_true(table_init(&t));
    for (v = 1; v <= RUN; v++) {
        assert_true(table_reserve(&t));
        table_insert(&t, UINT32_MAX - v % 8, v);
    }
    for (; v <= RUN + REST + MORE; v++) {
        assert_true(table_reserve(&t));
        table_insert(&t, random_next(&rng), v);
        if (v <= RUN + REST - 2)
            continue;
        uint32_t out = 1 + v % RUN;
        if (!gone[out])
            assert_true(table_remove(&t, UINT32_MAX - out % 8, out));
        gone[out] = true;
        for (uint32_t i = 1; i <= RUN; i++)
            assert_int_equal(table_find(&t, UINT32_MAX - i % 8, value_eq, &i), gone[i] ? 0 : i);
    }
    table_fini(&t);
}

static void test_stock_take_and_give(void **state)
{
    struct stock s;
    uint32_t a[4], b[4], c[6];

    (void)state;
    assert_true(stock_init(&s, 10));
    assert_int_equal(stock_take(&s, 4, a), 4);
    assert_int_equal(stock_take(&s, 4, b), 4);
    stock_give(&s, a[0], 4);
    assert_int_equal(stock_free(&s), 6);
    assert_int_equal(stock_take(&s, 6, c), 2); /* two fresh, four that came back, in their order */
    assert_int_equal(c[0], 8);
    assert_int_equal(c[2], 0);
    assert_int_equal(c[5], 3);
    assert_int_equal(stock_free(&s), 0);
    assert_int_equal(stock_count(&s), 10);
    stock_untake(&s, c, 6, 2);
    assert_int_equal(stock_free(&s), 6);
    assert_int_equal(s.cursor, 8);
    stock_ungive(&s, a[0], 4);
    assert_int_equal(stock_free(&s), 2);
    assert_int_equal(stock_next(&s, a[3]), STOCK_NONE);
    stock_untake(&s, b, 4, 4);
    stock_untake(&s, a, 4, 4);
    assert_int_equal(s.cursor, 0);
    assert_int_equal(stock_count(&s), 0);
    stock_fini(&s);
}

static void test_stock_loads_gaps(void **state)
{
    struct stock s;
    uint32_t out[8];

    (void)state;
    assert_true(stock_init(&s, 8));
    assert_true(stock_load(&s, 6, STOCK_NONE));
    assert_true(stock_load(&s, 2, 6));
    assert_false(stock_load(&s, 2, STOCK_NONE));
    assert_false(stock_load(&s, 8, STOCK_NONE));
    stock_load_end(&s);
    assert_int_equal(stock_free(&s), 6);
    assert_int_equal(stock_take(&s, 6, out), 1);
    assert_int_equal(out[0], 7);
    assert_int_equal(out[1], 0); /* the lowest gap first */
    assert_int_equal(out[5], 5);
    stock_fini(&s);
}

static const char *field_of(struct event_spec *s)
{
    static struct spec_error err;
    return event_spec_check(s, &err) ? "" : err.field;
}

static void test_spec_names_the_field(void **state)
{
    static const struct {
        const char *price, *field;
    } prices[] = {{"88.00", ""},
                  {"0.1234", ""},
                  {"5", ""},
                  {"0", ""},
                  {"88.0", "items[0].price"},
                  {"", "items[0].price"},
                  {".50", "items[0].price"},
                  {"1.12345", "items[0].price"},
                  {"-1.00", "items[0].price"},
                  {"01.00", "items[0].price"},
                  {"1e3", "items[0].price"},
                  {"1.00.00", "items[0].price"},
                  {"1.", "items[0].price"},
                  {"1234567890123456", "items[0].price"}};
    struct event_spec s = spec_make("gig", 0, 2, 5);

    (void)state;
    assert_string_equal(field_of(&s), "");
    for (size_t i = 0; i < sizeof prices / sizeof *prices; i++) {
        s.items[0].price = slice_str(prices[i].price);
        assert_string_equal(field_of(&s), prices[i].field);
    }
    s = spec_make("gig", 0, 2, 5);
    s.items[1].slug = s.items[0].slug;
    assert_string_equal(field_of(&s), "items[1].item");
    s = spec_make("gig", 0, 2, EVENT_QUOTA_MAX + 1);
    assert_string_equal(field_of(&s), "items[0].quota");
    s = spec_make("-gig", 0, 2, 1);
    assert_string_equal(field_of(&s), "slug");
    s = spec_make("gig", 0, 2, 1);
    s.items[1].currency = SLICE_LIT("EuR");
    assert_string_equal(field_of(&s), "items[1].currency");
    s = spec_make("gig", 0, 1, 1);
    s.hold_ns = NS_PER_S - 1;
    assert_string_equal(field_of(&s), "hold");
    s = spec_make("gig", 0, 1, 1);
    s.name = SLICE_LIT("\xff");
    assert_string_equal(field_of(&s), "name");
    s = spec_make("gig", 0, 1, 1);
    s.presale_start_ns = s.presale_end_ns = 5;
    assert_string_equal(field_of(&s), "presale_end");
    s = spec_make("gig", 0, 0, 1);
    assert_string_equal(field_of(&s), "items");
}

static void test_total(void **state)
{
    static const struct {
        const char *price;
        uint32_t quantity;
        const char *total;
    } cases[] = {{"88.00", 2, "176.00"},
                 {"0.05", 3, "0.15"},
                 {"0.0001", 100, "0.0100"},
                 {"7", 3, "21"},
                 {"999999999999.99", 100, "99999999999999.00"},
                 {"0.00", 9, "0.00"}};
    char out[EVENT_TOTAL_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct item it = {.price = slice_str(cases[i].price)};
        item_total(&it, cases[i].quantity, out);
        assert_string_equal(out, cases[i].total);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_code_is_a_permutation),
        cmocka_unit_test(test_code_reads_what_people_type),
        cmocka_unit_test(test_siphash),
        cmocka_unit_test(test_table_against_an_array),
        cmocka_unit_test(test_table_wraps_while_it_grows),
        cmocka_unit_test(test_stock_take_and_give),
        cmocka_unit_test(test_stock_loads_gaps),
        cmocka_unit_test(test_spec_names_the_field),
        cmocka_unit_test(test_total),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
