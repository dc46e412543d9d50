/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "net/loop.h"

static struct loop loop;
static struct loop_timer a, b, far_off;
static struct loop_hook hook;
static uint64_t a_at, b_at;
static int hooks;

static void on_a(struct loop_timer *t)
{
    assert_ptr_equal(t, &a);
    a_at = clock_mono_ns();
    loop_defer(&loop, &hook);
    loop_defer(&loop, &hook);
}

static void on_b(struct loop_timer *t)
{
    (void)t;
    b_at = clock_mono_ns();
}

static void on_far(struct loop_timer *t)
{
    (void)t;
    fail();
}

static void on_hook(struct loop_hook *h)
{
    (void)h;
    hooks++;
}

/* Timers fire in order, never early, not more than a few ticks late; a disarmed one never. */
static void test_timers(void **state)
{
    uint64_t start;

    (void)state;
    loop_init(&loop);
    loop_timer_init(&a, on_a);
    loop_timer_init(&b, on_b);
    loop_timer_init(&far_off, on_far);
    loop_hook_init(&hook, on_hook);
    start = clock_mono_ns();
    loop_timer_arm(&loop, &far_off, 50 * NS_PER_MS);
    loop_timer_arm(&loop, &b, 80 * NS_PER_MS);
    loop_timer_arm(&loop, &a, 20 * NS_PER_MS);
    loop_timer_disarm(&loop, &far_off);
    while (loop.timers > 0)
        loop_turn(&loop);
    assert_true(a_at >= start + 20 * NS_PER_MS);
    assert_true(b_at >= start + 80 * NS_PER_MS);
    assert_true(a_at < b_at);
    assert_int_equal(hooks, 1); /* deferred twice, run once */
    loop_fini(&loop);
}

static void on_rearm(struct loop_timer *t)
{
    (void)t;
    /* Far away: it must not push back what is due before it. */
    loop_timer_arm(&loop, &far_off, 60 * NS_PER_S);
}

/* A timer armed from a callback does not delay one that was armed before. */
static void test_wakes_for_the_earliest(void **state)
{
    uint64_t start;

    (void)state;
    loop_init(&loop);
    loop_timer_init(&a, on_rearm);
    loop_timer_init(&b, on_b);
    loop_timer_init(&far_off, on_far);
    b_at = 0;
    start = clock_mono_ns();
    loop_timer_arm(&loop, &b, 60 * NS_PER_MS);
    loop_timer_arm(&loop, &a, 10 * NS_PER_MS);
    while (b_at == 0)
        loop_turn(&loop);
    assert_true(b_at >= start + 60 * NS_PER_MS);
    assert_true(b_at < start + 5 * NS_PER_S);
    /* Asleep in between: a turn for each timer and not one every tick. */
    assert_true(loop.turns <= 4);
    loop_timer_disarm(&loop, &far_off);
    loop_fini(&loop);
}

/* A delay longer than one round of the wheel stays for the next round. */
static void test_far_timer_waits(void **state)
{
    (void)state;
    loop_init(&loop);
    loop_timer_init(&far_off, on_far);
    loop_timer_init(&b, on_b);
    b_at = 0;
    /* Same slot as a timer due in 16 ms, one round later. */
    loop_timer_arm(&loop, &far_off,
                   16 * NS_PER_MS + (uint64_t)LOOP_WHEEL_SLOTS * LOOP_TICK_MS * NS_PER_MS);
    loop_timer_arm(&loop, &b, 16 * NS_PER_MS);
    while (b_at == 0)
        loop_turn(&loop);
    assert_true(loop_timer_armed(&far_off));
    loop_timer_disarm(&loop, &far_off);
    loop_fini(&loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_timers),
        cmocka_unit_test(test_wakes_for_the_earliest),
        cmocka_unit_test(test_far_timer_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
