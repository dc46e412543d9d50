/* SPDX-License-Identifier: BSD-2-Clause */
/* Texts of refusals that stand ready: always what would be written anew. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/hash.h"
#include "gate/refusal_text.h"
#include "http/problem.h"

#define BASE SLICE_LIT("urn:rushgate:problem:")

static struct refusal_texts texts;

static int setup(void **state)
{
    (void)state;
    texts = (struct refusal_texts){0};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    refusal_texts_fini(&texts);
    return 0;
}

static void expect(unsigned status, struct slice reason, struct slice detail)
{
    const struct refusal_text *got = refusal_text_get(&texts, BASE, status, reason, detail);
    struct buf want = {0};

    assert_non_null(got);
    buf_str(&want, "X-Rushgate-Reason: ");
    buf_slice(&want, reason);
    buf_str(&want, "\r\n");
    assert_true(slice_eq(got->line, buf_view(&want)));
    buf_clear(&want);
    http_problem(&want, BASE, reason, SLICE_NONE, status, detail, SLICE_NONE);
    assert_true(slice_eq(got->document, buf_view(&want)));
    assert_memory_equal(got->document.p + got->document.n - REFUSAL_END, "}\n", REFUSAL_END);
    buf_free(&want);
}

static void test_kept(void **state)
{
    const struct refusal_text *first;
    struct slice reason = SLICE_LIT("sold-out"), detail = SLICE_LIT("Nothing is left.");

    (void)state;
    first = refusal_text_get(&texts, BASE, 409, reason, detail);
    expect(409, reason, detail);
    assert_ptr_equal(refusal_text_get(&texts, BASE, 409, reason, detail), first);
    expect(409, reason, SLICE_NONE);
    expect(404, SLICE_LIT("no-route"), SLICE_NONE);
}

/* What lies in the same memory and is as long may say something else. */
static void test_same_place(void **state)
{
    char reason[] = "paused-a", detail[] = "Come back at 10:00.";

    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        reason[7] = (char)('a' + i % 3);
        detail[17] = (char)('0' + i % 7);
        expect(503, slice_str(reason), slice_str(detail));
        reason[6] ^= 1;
        expect(503, slice_str(reason), slice_str(detail));
        detail[0] ^= 0x20;
        expect(503, slice_str(reason), slice_str(detail));
        expect(503 - i % 2, slice_str(reason), slice_str(detail));
    }
}

static void test_escaped(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        expect(400, SLICE_LIT("invalid"), SLICE_LIT("a \"b\"\n\x01\xff\xc3\xa4"));
        expect(599, SLICE_LIT("x"), SLICE_LIT("\0"));
    }
}

/* Of any length, beside each other. */
static void test_random(void **state)
{
    char text[2048];
    uint64_t rng = 7;

    (void)state;
    for (unsigned i = 0; i < sizeof(text); i++)
        text[i] = (char)('a' + i % 26);
    for (unsigned i = 0; i < 3000; i++) {
        size_t reason_n = 1 + random_next(&rng) % 40, at = random_next(&rng) % 3;
        size_t detail_n = random_next(&rng) % (i % 10 == 0 ? 2000 : 60);
        expect(400 + (unsigned)(random_next(&rng) % 5), slice_of(text + at, reason_n),
               slice_of(text + at, detail_n));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(test_same_place, setup, teardown),
        cmocka_unit_test_setup_teardown(test_escaped, setup, teardown),
        cmocka_unit_test_setup_teardown(test_random, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
