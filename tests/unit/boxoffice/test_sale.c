/* SPDX-License-Identifier: BSD-2-Clause */
/* The rules of selling, with a clock that the test sets. */
#include "fixture.h"

struct world {
    struct sale *sale;
    struct batch batch;
    struct decision d;
};

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    struct event_spec spec = spec_make("gig", 4, 2, 6);

    w->sale = sale_new();
    assert_non_null(w->sale);
    sale_open(w->sale, &w->batch);
    create_event(w->sale, &spec);
    settle(w->sale, &w->batch);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;

    sale_free(&w->sale);
    batch_fini(&w->batch);
    free(w);
    return 0;
}

static enum reason order(struct world *w, uint64_t now, const char *buyer, const char *key, int n)
{
    return buy(w->sale, now, "gig", "a", buyer, key, n, &w->d);
}

/* Creates an order that is durable; its code and buyer make the reference. */
static struct order_ref bought(struct world *w, uint64_t now, const char *buyer, const char *key,
                               int n, char code[CODE_LEN + 1])
{
    assert_int_equal(order(w, now, buyer, key, n), REASON_LATER);
    code_write(&w->sale->code, w->sale->orders.last, code);
    settle(w->sale, &w->batch);
    return (struct order_ref){SLICE_LIT("gig"), slice_str(code), slice_str(buyer), SLICE_NONE,
                              NULL};
}

static struct counts shown(struct world *w)
{
    return sale_event(w->sale, SLICE_LIT("gig"))->items[0].shown;
}

static void test_unknown_and_invalid(void **state)
{
    struct world *w = *state;

    assert_int_equal(buy(w->sale, T0, "no", "a", "ann", "k", 1, &w->d), REASON_NOT_FOUND);
    assert_int_equal(buy(w->sale, T0, "gig", "z", "ann", "k", 1, &w->d), REASON_NOT_FOUND);
    assert_int_equal(order(w, T0, "ann", "k", -1), REASON_INVALID);
    assert_int_equal(order(w, T0, "ann", "k", 101), REASON_INVALID);
    assert_int_equal(order(w, T0, "ann", "k", INT32_MIN), REASON_INVALID);
    assert_int_equal(order(w, T0, "ann", "k", 0), REASON_INVALID);
    assert_int_equal(w->sale->orders.last, 0);
}

static void test_same_key(void **state)
{
    struct world *w = *state;

    assert_int_equal(order(w, T0, "ann", "k", 2), REASON_LATER);
    assert_int_equal(order(w, T0, "ann", "k", 2), REASON_IN_PROGRESS);
    assert_int_equal(order(w, T0, "ann", "k", 1), REASON_KEY_REUSED);
    settle(w->sale, &w->batch);
    assert_int_equal(order(w, T0, "ann", "k", 2), REASON_REPLAYED);
    assert_int_equal(w->d.order, 1);
    assert_int_equal(order(w, T0, "ann", "k", 1), REASON_KEY_REUSED);
    assert_int_equal(buy(w->sale, T0, "gig", "b", "ann", "k", 2, &w->d), REASON_KEY_REUSED);
    assert_int_equal(order(w, T0, "bob", "k", 2), REASON_LATER); /* keys are the buyer's own */
    /* pairs that read the same when put side by side */
    assert_int_equal(order(w, T0, "bobk", "x", 1), REASON_LATER);
    assert_int_equal(order(w, T0, "bob", "kx", 1), REASON_LATER);
}

static void test_key_lives_for_a_day(void **state)
{
    struct world *w = *state;

    assert_int_equal(order(w, T0, "ann", "k", 1), REASON_LATER);
    settle(w->sale, &w->batch);
    assert_int_equal(order(w, T0 + 86399 * NS_PER_S, "ann", "k", 1), REASON_REPLAYED);
    assert_int_equal(order(w, T0 + 86400 * NS_PER_S, "ann", "k", 1), REASON_LATER);
    settle(w->sale, &w->batch);
    assert_int_equal(w->sale->keys.table.count, 1);
    sale_sweep(w->sale, T0 + 3 * 86400 * NS_PER_S, 100);
    assert_int_equal(w->sale->keys.table.count, 0);
}

static void test_refusals_are_not_stored(void **state)
{
    struct world *w = *state;

    assert_int_equal(order(w, T0, "ann", "k", 5), REASON_LIMIT);
    assert_int_equal(w->d.limit, 4);
    assert_int_equal(w->d.used, 0);
    assert_int_equal(order(w, T0, "ann", "k", 4), REASON_LATER);
}

static void test_limit_counts_held_and_sold(void **state)
{
    struct world *w = *state;
    char code[CODE_LEN + 1];
    struct order_ref r = bought(w, T0, "ann", "k1", 3, code);

    assert_int_equal(order(w, T0, "ann", "k2", 2), REASON_LIMIT);
    assert_int_equal(w->d.used, 3);
    assert_int_equal(buy(w->sale, T0, "gig", "b", "ann", "k2", 2, &w->d), REASON_LIMIT);
    assert_int_equal(sale_confirm(w->sale, &r, &w->d), REASON_LATER);
    settle(w->sale, &w->batch);
    assert_int_equal(order(w, T0, "ann", "k2", 2), REASON_LIMIT);
    assert_int_equal(order(w, T0, "ann", "k2", 1), REASON_LATER);
}

static void test_sold_out_sells_no_part(void **state)
{
    struct world *w = *state;

    assert_int_equal(order(w, T0, "ann", "k", 4), REASON_LATER);
    settle(w->sale, &w->batch);
    assert_int_equal(order(w, T0, "bob", "k", 3), REASON_SOLD_OUT);
    assert_int_equal(w->d.available, 2);
    assert_int_equal(order(w, T0, "bob", "k", 2), REASON_LATER);
    settle(w->sale, &w->batch);
    assert_int_equal(order(w, T0, "cid", "k", 1), REASON_SOLD_OUT);
    assert_int_equal(w->d.available, 0);
}

/* Nobody is turned away for an order that may yet fail. */
static void test_sold_out_waits_for_the_disk(void **state)
{
    struct world *w = *state;

    assert_int_equal(order(w, T0, "ann", "k", 4), REASON_LATER);
    assert_int_equal(order(w, T0, "bob", "k", 3), REASON_AGAIN);
    sale_seal(w->sale, &w->batch);
    sale_undo(w->sale, &w->batch);
    sale_open(w->sale, &w->batch);
    assert_int_equal(order(w, T0, "bob", "k", 3), REASON_LATER);
}

static void test_shown_is_durable(void **state)
{
    struct world *w = *state;
    struct batch next = {0};

    assert_int_equal(order(w, T0, "ann", "k", 4), REASON_LATER);
    assert_int_equal(shown(w).held, 0);
    sale_seal(w->sale, &w->batch);
    sale_open(w->sale, &next);
    assert_int_equal(order(w, T0, "bob", "k", 2), REASON_LATER);
    sale_durable(w->sale, &w->batch);
    assert_int_equal(shown(w).held, 4);
    sale_seal(w->sale, &next);
    sale_durable(w->sale, &next);
    assert_int_equal(shown(w).held, 6);
    batch_fini(&next);
}

static void test_states(void **state)
{
    struct world *w = *state;
    struct slice gig = SLICE_LIT("gig");

    assert_int_equal(sale_set_state(w->sale, SLICE_LIT("x"), SALE_PAUSED, true, NULL, &w->d),
                     REASON_NOT_FOUND);
    assert_int_equal(sale_set_state(w->sale, gig, SALE_PAUSED, true, NULL, &w->d), REASON_LATER);
    assert_int_equal(sale_set_state(w->sale, gig, SALE_CLOSED, true, NULL, &w->d), REASON_AGAIN);
    assert_int_equal(order(w, T0, "ann", "k", 1), REASON_PAUSED); /* at once */
    assert_int_equal(sale_event(w->sale, gig)->shown_state, SALE_OPEN);
    settle(w->sale, &w->batch);
    assert_int_equal(sale_event(w->sale, gig)->shown_state, SALE_PAUSED);
    assert_int_equal(sale_set_state(w->sale, gig, SALE_PAUSED, true, NULL, &w->d), REASON_DONE);
    assert_int_equal(sale_set_state(w->sale, gig, SALE_CLOSED, true, NULL, &w->d), REASON_LATER);
    assert_int_equal(order(w, T0, "ann", "k", 1), REASON_CLOSED);
    settle(w->sale, &w->batch);
    assert_int_equal(sale_set_state(w->sale, gig, SALE_PAUSED, true, NULL, &w->d), REASON_CLOSED);
    assert_int_equal(sale_set_state(w->sale, gig, SALE_OPEN, false, NULL, &w->d), REASON_CLOSED);
    assert_int_equal(sale_set_state(w->sale, gig, SALE_CLOSED, false, NULL, &w->d), REASON_DONE);
    assert_int_equal(sale_set_state(w->sale, gig, SALE_OPEN, true, NULL, &w->d), REASON_LATER);
}

static void test_presale(void **state)
{
    struct world *w = *state;
    struct event_spec spec = spec_make("pre", 0, 1, 5);

    spec.presale_start_ns = T0 + 10;
    spec.presale_end_ns = T0 + 20;
    create_event(w->sale, &spec);
    assert_int_equal(buy(w->sale, T0 + 15, "pre", "a", "ann", "k", 1, &w->d), REASON_NOT_FOUND);
    settle(w->sale, &w->batch);
    assert_int_equal(buy(w->sale, T0 + 9, "pre", "a", "ann", "k", 1, &w->d), REASON_NOT_STARTED);
    assert_int_equal(buy(w->sale, T0 + 10, "pre", "a", "ann", "k", 1, &w->d), REASON_LATER);
    assert_int_equal(buy(w->sale, T0 + 20, "pre", "a", "ann", "k2", 1, &w->d), REASON_ENDED);
    settle(w->sale, &w->batch);
    /* who bought in time gets the same answer later */
    assert_int_equal(buy(w->sale, T0 + 20, "pre", "a", "ann", "k", 1, &w->d), REASON_REPLAYED);
}

static void test_event_twice(void **state)
{
    struct world *w = *state;
    struct event_spec spec = spec_make("gig", 0, 1, 5), other = spec_make("new", 0, 1, 5);

    assert_int_equal(sale_create_event(w->sale, &spec, NULL, &w->d), REASON_EXISTS);
    assert_int_equal(sale_create_event(w->sale, &other, NULL, &w->d), REASON_LATER);
    assert_int_equal(sale_create_event(w->sale, &other, NULL, &w->d), REASON_AGAIN);
}

static void test_who_may_see(void **state)
{
    struct world *w = *state;
    char code[CODE_LEN + 1], hex[33];
    struct order_ref r = bought(w, T0, "ann", "k", 1, code);
    const struct order *o = order_get(&w->sale->orders, 1);

    for (unsigned i = 0; i < 16; i++)
        snprintf(hex + 2 * i, 3, "%02x", o->secret[i]);
    assert_int_equal(sale_find(w->sale, T0, &r, &w->d), REASON_DONE);
    r.buyer = SLICE_LIT("bob");
    assert_int_equal(sale_find(w->sale, T0, &r, &w->d), REASON_NOT_FOUND);
    r.secret = slice_str(hex);
    assert_int_equal(sale_find(w->sale, T0, &r, &w->d), REASON_DONE);
    hex[31] ^= 1;
    assert_int_equal(sale_find(w->sale, T0, &r, &w->d), REASON_NOT_FOUND);
    hex[31] ^= 1;
    r.secret.n = 31;
    assert_int_equal(sale_find(w->sale, T0, &r, &w->d), REASON_NOT_FOUND);
    r.secret = r.buyer = SLICE_NONE;
    assert_int_equal(sale_find(w->sale, T0, &r, &w->d), REASON_NOT_FOUND);
    r.buyer = SLICE_LIT("ann");
    r.event = SLICE_LIT("other");
    assert_int_equal(sale_find(w->sale, T0, &r, &w->d), REASON_NOT_FOUND);
}

static void test_confirm_and_cancel(void **state)
{
    struct world *w = *state;
    char code[CODE_LEN + 1], code2[CODE_LEN + 1];
    struct order_ref r = bought(w, T0, "ann", "k", 2, code);
    struct order_ref r2 = bought(w, T0, "ann", "k2", 1, code2);

    assert_int_equal(sale_confirm(w->sale, &r, &w->d), REASON_LATER);
    assert_int_equal(sale_confirm(w->sale, &r, &w->d), REASON_AGAIN);
    assert_int_equal(sale_find(w->sale, T0, &r, &w->d), REASON_AGAIN);
    assert_int_equal(sale_cancel(w->sale, &r2, &w->d), REASON_LATER);
    settle(w->sale, &w->batch);
    assert_int_equal(sale_confirm(w->sale, &r, &w->d), REASON_DONE);
    assert_int_equal(sale_cancel(w->sale, &r, &w->d), REASON_ORDER_PAID);
    assert_int_equal(sale_cancel(w->sale, &r2, &w->d), REASON_DONE);
    assert_int_equal(sale_confirm(w->sale, &r2, &w->d), REASON_ORDER_CANCELED);
    assert_int_equal(shown(w).sold, 2);
    assert_int_equal(shown(w).held, 0);
    assert_int_equal(sale_event(w->sale, SLICE_LIT("gig"))->sold_total, 2);
}

static void test_expiry_frees_and_late_payment_retakes(void **state)
{
    struct world *w = *state;
    char code[CODE_LEN + 1];
    struct order_ref r = bought(w, T0, "ann", "k", 4, code);
    uint64_t late = T0 + 601 * NS_PER_S;

    sale_sweep(w->sale, T0 + 599 * NS_PER_S, 100);
    assert_int_equal(w->batch.n, 0);
    sale_sweep(w->sale, late, 100);
    assert_int_equal(w->batch.n, 1);
    assert_int_equal(sale_confirm(w->sale, &r, &w->d), REASON_AGAIN);
    settle(w->sale, &w->batch);
    assert_int_equal(order_get(&w->sale->orders, 1)->status, ORDER_EXPIRED);
    assert_int_equal(shown(w).held, 0);
    assert_int_equal(sale_cancel(w->sale, &r, &w->d), REASON_ORDER_EXPIRED);
    /* three others leave too few */
    assert_int_equal(order(w, late, "bob", "k", 3), REASON_LATER);
    assert_int_equal(sale_confirm(w->sale, &r, &w->d), REASON_AGAIN);
    settle(w->sale, &w->batch);
    assert_int_equal(sale_confirm(w->sale, &r, &w->d), REASON_ORDER_EXPIRED);
    sale_sweep(w->sale, late + 601 * NS_PER_S, 100);
    settle(w->sale, &w->batch);
    /* the buyer's limit holds for a late payment, too */
    assert_int_equal(order(w, late + 602 * NS_PER_S, "ann", "k9", 1), REASON_LATER);
    assert_int_equal(sale_confirm(w->sale, &r, &w->d), REASON_ORDER_EXPIRED);
    settle(w->sale, &w->batch);
    sale_sweep(w->sale, late + 1300 * NS_PER_S, 100);
    settle(w->sale, &w->batch);
    assert_int_equal(sale_confirm(w->sale, &r, &w->d), REASON_LATER);
    settle(w->sale, &w->batch);
    assert_int_equal(shown(w).sold, 4);
    assert_int_equal(order_get(&w->sale->orders, 1)->status, ORDER_PAID);
}

static void test_overdue_is_shown_expired_before_it_is_released(void **state)
{
    struct world *w = *state;
    char code[CODE_LEN + 1];
    struct order_ref r = bought(w, T0, "ann", "k", 4, code);
    const struct order *o = order_get(&w->sale->orders, 1);

    assert_int_equal(sale_status(o, T0 + 599 * NS_PER_S), ORDER_PENDING);
    assert_int_equal(sale_status(o, T0 + 600 * NS_PER_S), ORDER_EXPIRED);
    assert_int_equal(sale_find(w->sale, T0 + 600 * NS_PER_S, &r, &w->d), REASON_DONE);
    assert_int_equal(w->batch.n, 1); /* reading it released it */
    assert_int_equal(order(w, T0 + 600 * NS_PER_S, "bob", "k", 4), REASON_LATER);
}

/* 1,000 orders a sweep at most, the rest the next time; a clock set back loses nobody. */
static void test_sweep_is_bounded_and_survives_the_clock(void **state)
{
    struct world *w = *state;
    struct event_spec spec = spec_make("big", 0, 1, 5000);
    char key[16];

    create_event(w->sale, &spec);
    settle(w->sale, &w->batch);
    for (int i = 0; i < 3000; i++) {
        snprintf(key, sizeof key, "k%d", i);
        /* the last thousand is made by a clock a day behind */
        uint64_t now = i < 2000 ? T0 : T0 - 86400 * NS_PER_S;
        assert_int_equal(buy(w->sale, now, "big", "a", "ann", key, 1, &w->d), REASON_LATER);
    }
    settle(w->sale, &w->batch);
    unsigned released = 0;
    for (int i = 0; i < 4; i++) {
        sale_sweep(w->sale, T0 + 700 * NS_PER_S, 1000);
        assert_true(w->batch.n <= 1000);
        released += w->batch.n;
        settle(w->sale, &w->batch);
    }
    assert_int_equal(released, 3000);
    assert_int_equal(sale_event(w->sale, SLICE_LIT("big"))->items[0].now.held, 0);
}

/* An order that is due in a time which was swept before: made by a clock set back, or an expiry
 * undone. */
static void test_sweep_goes_back(void **state)
{
    struct world *w = *state;
    uint64_t late = T0 + 700 * NS_PER_S;
    char code[CODE_LEN + 1];

    sale_sweep(w->sale, late, 100);
    bought(w, T0, "ann", "k", 1, code);
    sale_sweep(w->sale, late + NS_PER_S, 100);
    assert_int_equal(w->batch.n, 1);
    sale_sweep(w->sale, late + 10 * NS_PER_S, 100);
    sale_seal(w->sale, &w->batch);
    sale_undo(w->sale, &w->batch);
    sale_open(w->sale, &w->batch);
    sale_sweep(w->sale, late + 11 * NS_PER_S, 100);
    assert_int_equal(w->batch.n, 1);
}

static void test_audit_sees_a_lost_unit(void **state)
{
    struct world *w = *state;
    const struct item *it;
    struct sale_event *e = sale_event(w->sale, SLICE_LIT("gig"));

    assert_int_equal(order(w, T0, "ann", "k", 2), REASON_LATER);
    assert_true(sale_audit(w->sale, &it));
    assert_true(sale_audit(w->sale, &it));
    e->items[1].now.sold++;
    assert_true(sale_audit(w->sale, &it));
    assert_false(sale_audit(w->sale, &it));
    assert_ptr_equal(it, &e->items[1]);
}

static void test_without_a_batch_nothing_is_taken(void **state)
{
    struct world *w = *state;

    sale_seal(w->sale, &w->batch);
    sale_undo(w->sale, &w->batch);
    assert_int_equal(order(w, T0, "ann", "k", 1), REASON_STORE);
    assert_int_equal(order(w, T0, "ann", "k", 5), REASON_LIMIT);
    sale_sweep(w->sale, T0, 10);
    sale_open(w->sale, &w->batch);
    assert_int_equal(order(w, T0, "ann", "k", 1), REASON_LATER);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_unknown_and_invalid),
        TEST(test_same_key),
        TEST(test_key_lives_for_a_day),
        TEST(test_refusals_are_not_stored),
        TEST(test_limit_counts_held_and_sold),
        TEST(test_sold_out_sells_no_part),
        TEST(test_sold_out_waits_for_the_disk),
        TEST(test_shown_is_durable),
        TEST(test_states),
        TEST(test_presale),
        TEST(test_event_twice),
        TEST(test_who_may_see),
        TEST(test_confirm_and_cancel),
        TEST(test_expiry_frees_and_late_payment_retakes),
        TEST(test_overdue_is_shown_expired_before_it_is_released),
        TEST(test_sweep_is_bounded_and_survives_the_clock),
        TEST(test_sweep_goes_back),
        TEST(test_audit_sees_a_lost_unit),
        TEST(test_without_a_batch_nothing_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
