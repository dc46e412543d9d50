/* SPDX-License-Identifier: BSD-2-Clause */
/* What is closed, against torn entries, full sets and writers at once; which keys were sent, over
 * generations, stopped writers and writers at once (threads: for ThreadSanitizer). */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "table/closed.h"
#include "table/sent.h"

#define NOW       (1000 * NS_PER_S)
#define TTL       NS_PER_S
#define WORD_BITS 10u
#define PERIOD    (10 * NS_PER_S)

static struct closed_zone *closed_new(void)
{
    struct closed_zone *z = aligned_alloc(SHM_LINE, sizeof *z);

    memset(z, 0, sizeof *z);
    return z;
}

static struct sent_zone *sent_new(void)
{
    size_t n = (sent_zone_size(WORD_BITS) + SHM_LINE - 1) / SHM_LINE * SHM_LINE;
    struct sent_zone *z = aligned_alloc(SHM_LINE, n);

    memset(z, 0, n);
    sent_zone_init(z, WORD_BITS, 7, PERIOD, NOW);
    return z;
}

static const struct closed_answer sold_out = {
    .status = 409,
    .retry_after_s = 3,
    .reason = {"sold-out", 8},
    .detail = {"not enough units are free", 25},
    .members = {"\"available_number\":0", 20},
    .key = {"demo/standard", 13},
    .upstream = {"boxoffice", 9},
};

static bool same(const struct closed_answer *a, const struct closed_answer *b)
{
    return a->status == b->status && a->retry_after_s == b->retry_after_s &&
           slice_eq(a->reason, b->reason) && slice_eq(a->detail, b->detail) &&
           slice_eq(a->members, b->members);
}

static bool get(const struct closed_zone *z, uint64_t fp, uint64_t now_ns)
{
    struct closed_copy copy;
    struct closed_answer a;

    if (!closed_get(z, fp, now_ns, &copy, &a))
        return false;
    assert_true(same(&a, &sold_out));
    return true;
}

/* --- closed --- */

static void test_until(void **state)
{
    struct closed_zone *z = closed_new();
    struct closed_copy copy;
    struct closed_answer a;

    (void)state;
    assert_false(get(z, 5, NOW));
    assert_true(closed_put(z, 5, &sold_out, NOW, NOW + TTL));
    assert_true(get(z, 5, NOW));
    assert_true(get(z, 5, NOW + TTL - 1));
    assert_false(get(z, 5, NOW + TTL));
    assert_false(get(z, 6, NOW));
    assert_true(closed_get(z, 5, NOW, &copy, &a));
    assert_true(slice_eq(a.key, sold_out.key) && slice_eq(a.upstream, sold_out.upstream));
    /* Again, for longer: what is nearly as long stays. */
    assert_true(closed_put(z, 5, &sold_out, NOW + TTL / 2, NOW + TTL / 2 + TTL));
    assert_true(get(z, 5, NOW + TTL));
    assert_true(closed_put(z, 5, &sold_out, NOW, NOW));
    assert_true(closed_drop(z, 5));
    assert_false(get(z, 5, NOW));
    assert_false(closed_drop(z, 5));
    free(z);
}

static void test_size(void **state)
{
    static char text[400];
    struct closed_zone *z = closed_new();
    struct closed_answer a = sold_out, got;
    struct closed_copy copy;

    (void)state;
    memset(text, 'x', sizeof text);
    a.detail = slice_of(text, CLOSED_TEXT);
    assert_false(closed_put(z, 5, &a, NOW, NOW + TTL));
    a.detail = slice_of(text, CLOSED_TEXT - a.reason.n - a.members.n - 4);
    assert_true(closed_put(z, 5, &a, NOW, NOW + TTL));
    assert_true(closed_get(z, 5, NOW, &copy, &got));
    assert_true(same(&got, &a));
    assert_int_equal(got.key.n, 4);
    assert_int_equal(got.upstream.n, 0);
    free(z);
}

static uint64_t in_set(unsigned k)
{
    return UINT64_C(3) << 32 | (k + 1);
}

static void test_full_set(void **state)
{
    struct closed_zone *z = closed_new();

    (void)state;
    for (unsigned k = 0; k < CLOSED_WAYS; k++)
        assert_true(closed_put(z, in_set(k), &sold_out, NOW, NOW + TTL + (k ^ 5)));
    assert_true(closed_put(z, in_set(20), &sold_out, NOW, NOW + 2 * TTL));
    for (unsigned k = 0; k < CLOSED_WAYS; k++)
        assert_int_equal(get(z, in_set(k), NOW), k != 5);
    assert_true(get(z, in_set(20), NOW));
    /* One that has ended goes first. */
    assert_true(closed_put(z, in_set(21), &sold_out, NOW + TTL + 1, NOW + 3 * TTL));
    assert_true(get(z, in_set(20), NOW + TTL + 1));
    assert_true(get(z, in_set(21), NOW + TTL + 1));
    free(z);
}

/* Any word of an entry changed: it says nothing, and the next writer makes it whole. */
static void test_torn(void **state)
{
    struct closed_zone *z = closed_new();

    (void)state;
    assert_true(closed_put(z, 5, &sold_out, NOW, NOW + TTL));
    for (unsigned i = 0; i < CLOSED_WORDS; i++) {
        _Atomic uint64_t *w = &z->set[0].way[0].word[i];
        uint64_t was = atomic_load(w);
        atomic_store(w, was ^ 0x100);
        assert_false(get(z, 5, NOW));
        atomic_store(w, was);
        assert_true(get(z, 5, NOW));
        atomic_store(w, ~was);
        assert_true(closed_put(z, 5, &sold_out, NOW, NOW + TTL));
        assert_true(get(z, 5, NOW));
    }
    free(z);
}

static const struct closed_answer paused = {
    .status = 503,
    .retry_after_s = 2,
    .reason = {"sale-paused", 11},
    .detail = {"the sale is paused", 18},
    .key = {"demo", 4},
};

/* What one process keeps of an answer says what the entry says. */
static void test_kept(void **state)
{
    struct closed_zone *z = closed_new();
    struct closed_kept k = {0};

    (void)state;
    assert_false(closed_get_kept(z, 5, NOW, &k));
    assert_true(closed_put(z, 5, &sold_out, NOW, NOW + TTL));
    for (unsigned i = 0; i < 2; i++) {
        assert_true(closed_get_kept(z, 5, NOW, &k));
        assert_true(same(&k.answer, &sold_out));
    }
    assert_false(closed_get_kept(z, 5, NOW + TTL, &k));
    assert_true(closed_get_kept(z, 5, NOW, &k));
    assert_true(closed_put(z, 5, &paused, NOW, NOW + TTL));
    assert_true(closed_get_kept(z, 5, NOW, &k) && same(&k.answer, &paused));
    assert_true(closed_drop(z, 5));
    assert_false(closed_get_kept(z, 5, NOW, &k));
    assert_true(closed_put(z, 5, &paused, NOW, NOW + TTL));
    assert_true(closed_get_kept(z, 5, NOW, &k) && same(&k.answer, &paused));
    atomic_fetch_xor(&z->set[0].way[0].word[0], 1);
    assert_false(closed_get_kept(z, 5, NOW, &k));
    free(z);
}

/* The same, whatever happens to a set and however few are kept. */
static void test_kept_at_random(void **state)
{
    struct closed_zone *z = closed_new();
    static struct closed_kept kept[4];
    struct closed_copy copy;
    struct closed_answer a;
    uint64_t rng = 11, now = NOW;

    (void)state;
    for (unsigned i = 0; i < 100000; i++) {
        uint64_t r = random_next(&rng), fp = in_set((unsigned)(r % 12));
        struct closed_kept *k = &kept[fp % 4];
        now += r >> 20 & 0xfffff;
        if (r >> 60 == 0)
            assert_true(closed_put(z, fp, r >> 59 & 1 ? &sold_out : &paused, now, now + 100000000));
        else if (r >> 60 == 1)
            closed_drop(z, fp);
        bool is = closed_get(z, fp, now, &copy, &a);
        assert_int_equal(closed_get_kept(z, fp, now, k), is);
        assert_true(!is || same(&k->answer, &a));
    }
    free(z);
}

/* Bytes that nobody wrote. */
static void test_garbage(void **state)
{
    struct closed_zone *z = closed_new();
    uint64_t seed = 1, *p = (uint64_t *)(void *)z->set;
    const size_t words = sizeof z->set / 8;
    struct closed_copy copy;
    struct closed_answer a;

    (void)state;
    for (size_t i = 0; i < words; i++)
        p[i] = random_next(&seed);
    for (uint32_t i = 0; i < CLOSED_ALL; i++) {
        uint64_t tag = atomic_load(&z->set[i / CLOSED_WAYS].tag[i % CLOSED_WAYS]);
        assert_int_equal(closed_at(z, i, 0, &copy, &a), 0);
        assert_false(closed_get(z, tag, 0, &copy, &a));
    }
    assert_true(closed_put(z, 5, &sold_out, NOW, NOW + TTL));
    assert_true(get(z, 5, NOW));
    free(z);
}

/* Two write two answers under one fingerprint, one drops it, one reads: whole or nothing. */
struct race {
    struct closed_zone *z;
    unsigned rounds;
    unsigned role;
};

static void *racer(void *arg)
{
    struct race *r = arg;
    struct closed_kept kept = {0};

    for (unsigned i = 0; i < r->rounds; i++) {
        uint64_t until = NOW + TTL + (uint64_t)i * NS_PER_MS;
        if (r->role < 2) {
            if (!closed_put(r->z, in_set(i % 12), r->role == 0 ? &sold_out : &paused, NOW, until))
                return (void *)"an answer did not fit";
        } else if (r->role == 2 && i % 16 == 0) {
            closed_drop(r->z, in_set(i % 12));
        } else if (closed_get_kept(r->z, in_set(i / 4 % 12), NOW, &kept) &&
                   !same(&kept.answer, &sold_out) && !same(&kept.answer, &paused)) {
            return (void *)"an answer of two halves";
        }
    }
    return NULL;
}

static void test_race(void **state)
{
    struct race r[4];
    struct closed_zone *z = closed_new();
    pthread_t t[4];
    void *what;

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        r[i] = (struct race){z, 20000, i};
        assert_int_equal(pthread_create(&t[i], NULL, racer, &r[i]), 0);
    }
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(t[i], &what), 0);
        if (what != NULL)
            fail_msg("%s", (const char *)what);
    }
    for (unsigned k = 0; k < 12; k++)
        assert_true(closed_put(z, in_set(k), &sold_out, NOW, NOW + (uint64_t)9e12));
    assert_true(get(z, in_set(11), NOW));
    free(z);
}

/* --- sent --- */

static struct slice key_of(char text[32], uint64_t k)
{
    return slice_of(text, (size_t)snprintf(text, 32, "key-%llu", (unsigned long long)k));
}

static void add(struct sent_zone *z, uint64_t k, uint64_t now_ns)
{
    char text[32];

    sent_add(z, sent_hash(z, key_of(text, k)), now_ns);
}

static bool has(const struct sent_zone *z, uint64_t k, uint64_t now_ns)
{
    char text[32];

    return sent_has(z, sent_hash(z, key_of(text, k)), now_ns);
}

static unsigned found(const struct sent_zone *z, uint64_t from, uint64_t n, uint64_t now_ns)
{
    unsigned count = 0;

    for (uint64_t k = from; k < from + n; k++)
        count += has(z, k, now_ns);
    return count;
}

static void test_remembered(void **state)
{
    struct sent_zone *z = sent_new();

    (void)state;
    assert_false(sent_is_complete(z, NOW));
    assert_false(sent_is_complete(z, NOW - 1));
    assert_false(sent_is_complete(z, NOW + PERIOD - 1));
    assert_true(sent_is_complete(z, NOW + PERIOD));
    for (unsigned i = 0; i < 40; i++) { /* at any time of an epoch */
        uint64_t at = NOW + i * PERIOD / 4, k = i * 1000;
        for (uint64_t j = k; j < k + 100; j++)
            add(z, j, at);
        assert_int_equal(found(z, k, 100, at), 100);
        assert_int_equal(found(z, k, 100, at + PERIOD), 100);
        assert_true(found(z, k, 100, at + 2 * PERIOD) < 10);
        assert_true(found(z, k + 500, 100, at) < 30);
    }
    free(z);
}

static void test_full(void **state)
{
    struct sent_zone *z = sent_new();

    (void)state;
    for (uint64_t k = 0; k < 20u << WORD_BITS; k++)
        add(z, k, NOW);
    assert_int_equal(found(z, 0, 20u << WORD_BITS, NOW + PERIOD), 20u << WORD_BITS);
    /* Two periods later nothing of it is in the way. */
    assert_int_equal(found(z, 0, 1000, NOW + 2 * PERIOD), 0);
    for (uint64_t k = 1 << 20; k < (1 << 20) + 300; k++)
        add(z, k, NOW + 2 * PERIOD);
    assert_int_equal(found(z, 1 << 20, 300, NOW + 2 * PERIOD), 300);
    assert_true(found(z, 0, 1000, NOW + 2 * PERIOD) < 60);
    free(z);
}

/* A writer that read its clock long ago takes nothing away, and its own key is there. */
static void test_stopped_writer(void **state)
{
    struct sent_zone *z = sent_new();
    uint64_t late = NOW + 8 * PERIOD;

    (void)state;
    for (uint64_t k = 0; k < 2000; k++)
        add(z, k, late);
    for (uint64_t k = 5000; k < 7000; k++) /* in the same array */
        add(z, k, NOW);
    assert_int_equal(found(z, 0, 2000, late), 2000);
    assert_int_equal(found(z, 5000, 2000, NOW), 2000);
    /* Who looks with an old clock finds what came since. */
    assert_int_equal(found(z, 0, 2000, late - PERIOD), 2000);
    free(z);
}

/* All read one clock. Who is not scheduled for long between reading and writing proves nothing: the
 * period is counted from the clock that was read. */
struct sender {
    struct sent_zone *z;
    _Atomic uint64_t *ticks;
    uint64_t from;
};
#define SENT_KEYS 20000u
#define BACK      2000u

static uint64_t tick(const struct sender *s)
{
    return NOW + atomic_fetch_add(s->ticks, 1) * (PERIOD / 40000);
}

static void *sender(void *arg)
{
    const struct sender *s = arg;
    static _Thread_local uint64_t at[SENT_KEYS];

    for (uint64_t k = 0; k < SENT_KEYS; k++) {
        uint64_t now = tick(s), then;
        add(s->z, s->from + k, now);
        if (!has(s->z, s->from + k, now) && tick(s) - now < PERIOD)
            return (void *)"a key is not there at once";
        then = tick(s);
        at[k] = then - now < PERIOD / 8 ? now : 0;
        if (k >= BACK && at[k - BACK] > then - PERIOD && !has(s->z, s->from + k - BACK, then) &&
            at[k - BACK] > tick(s) - PERIOD)
            return (void *)"a key is gone within its period";
    }
    return NULL;
}

static void test_senders(void **state)
{
    struct sender s[4];
    pthread_t t[4];
    struct sent_zone *z = sent_new();
    _Atomic uint64_t ticks = 0;
    void *what;

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        s[i] = (struct sender){z, &ticks, (uint64_t)i << 32};
        assert_int_equal(pthread_create(&t[i], NULL, sender, &s[i]), 0);
    }
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(t[i], &what), 0);
        if (what != NULL)
            fail_msg("%s", (const char *)what);
    }
    free(z);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_until),          cmocka_unit_test(test_size),
        cmocka_unit_test(test_full_set),       cmocka_unit_test(test_torn),
        cmocka_unit_test(test_kept),           cmocka_unit_test(test_kept_at_random),
        cmocka_unit_test(test_garbage),        cmocka_unit_test(test_race),
        cmocka_unit_test(test_remembered),     cmocka_unit_test(test_full),
        cmocka_unit_test(test_stopped_writer), cmocka_unit_test(test_senders),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
