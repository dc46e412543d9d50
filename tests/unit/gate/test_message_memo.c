/* SPDX-License-Identifier: BSD-2-Clause */
/* Messages that are kept by what they were made from: never another one, and none that came once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/hash.h"
#include "gate/message_memo.h"

static struct message_memo *memo;
static const int route_a, route_b;

static int setup(void **state)
{
    (void)state;
    memo = calloc(1, sizeof(*memo));
    return memo == NULL;
}

static int teardown(void **state)
{
    (void)state;
    free(memo);
    return 0;
}

static struct message_key key_of(const void *route, const char *var, const char *var2,
                                 const char *query, const char *body)
{
    struct slice vars[] = {slice_str(var), slice_str(var2)};
    struct message_key k;

    assert_true(message_key_make(&k, route, vars, 2, slice_str(query), slice_str(body)));
    return k;
}

static void keep(const struct message_key *k, const char *message)
{
    message_put(memo, k, slice_str(message));
    assert_non_null(message_put(memo, k, slice_str(message)));
}

static void test_kept(void **state)
{
    struct message_key k = key_of(&route_a, "demo", "", "q=1", "{\"item\":\"x\"}");
    struct message_slot *s;

    (void)state;
    assert_null(message_find(memo, &k));
    assert_null(message_put(memo, &k, SLICE_LIT("m")));
    assert_null(message_find(memo, &k));
    s = message_put(memo, &k, SLICE_LIT("m"));
    assert_non_null(s);
    assert_ptr_equal(message_find(memo, &k), s);
    assert_true(slice_eq(message_of(s), SLICE_LIT("m")));
    assert_int_equal(s->closed[0] | s->closed[1], 0);
}

/* Keys that differ in one place only, or in where a part ends; even with the same hash. */
static void test_others(void **state)
{
    struct message_key k = key_of(&route_a, "ab", "c", "q", "body");
    const struct message_key others[] = {
        key_of(&route_b, "ab", "c", "q", "body"), key_of(&route_a, "a", "bc", "q", "body"),
        key_of(&route_a, "ab", "cq", "", "body"), key_of(&route_a, "ab", "c", "qb", "ody"),
        key_of(&route_a, "ab", "c", "q", "bodY"), key_of(&route_a, "ab", "c", "q", "bod"),
        key_of(&route_a, "ab", "c", "", "body"),
    };

    (void)state;
    keep(&k, "message");
    for (unsigned i = 0; i < sizeof(others) / sizeof(*others); i++) {
        struct message_key same_hash = others[i];
        assert_null(message_find(memo, &others[i]));
        same_hash.hash = k.hash;
        assert_null(message_find(memo, &same_hash));
    }
    assert_non_null(message_find(memo, &k));
}

static void test_too_long(void **state)
{
    char body[MESSAGE_BYTES + 1];
    struct message_key k;
    struct slice message = slice_of(body, MESSAGE_BYTES);

    (void)state;
    memset(body, 'x', sizeof(body));
    for (size_t n = 0; n <= MESSAGE_BYTES; n++) {
        bool fits = message_key_make(&k, &route_a, NULL, 0, SLICE_NONE, slice_of(body, n));
        assert_int_equal(fits, n + 4 <= MESSAGE_BYTES);
        if (!fits)
            continue;
        message.n = MESSAGE_BYTES - k.n + 1;
        assert_null(message_put(memo, &k, message));
        assert_null(message_put(memo, &k, message));
        message.n--;
        assert_null(message_put(memo, &k, message));
        assert_non_null(message_put(memo, &k, message));
        assert_true(slice_eq(message_of(message_find(memo, &k)), message));
    }
}

/* What comes once pushes nobody out. */
static void test_once(void **state)
{
    struct message_key hot = key_of(&route_a, "demo", "", "", "{}");
    char body[32];

    (void)state;
    keep(&hot, "hot");
    for (unsigned i = 0; i < 20000; i++) {
        snprintf(body, sizeof(body), "{\"n\":%u}", i);
        struct message_key k = key_of(&route_a, "demo", "", "", body);
        assert_null(message_find(memo, &k));
        assert_null(message_put(memo, &k, SLICE_LIT("cold")));
    }
    assert_true(slice_eq(message_of(message_find(memo, &hot)), SLICE_LIT("hot")));
}

/* Whatever is found is what belongs to the key. */
static void test_random(void **state)
{
    char body[32], want[40];
    uint64_t rng = 3;
    unsigned found = 0;

    (void)state;
    for (unsigned i = 0; i < 100000; i++) {
        struct message_slot *s;
        snprintf(body, sizeof(body), "%u", (unsigned)(random_next(&rng) % 400));
        snprintf(want, sizeof(want), "m-%s", body);
        struct message_key k = key_of(&route_a, "v", "", "", body);
        s = message_find(memo, &k);
        if (s == NULL)
            s = message_put(memo, &k, slice_str(want));
        else
            found++;
        if (s != NULL)
            assert_true(slice_eq(message_of(s), slice_str(want)));
    }
    assert_true(found > 20000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(test_others, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_long, setup, teardown),
        cmocka_unit_test_setup_teardown(test_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_random, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
