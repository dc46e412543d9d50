/* SPDX-License-Identifier: BSD-2-Clause */
/* The audit must see every way in which a sale can go wrong, and nothing in one that did not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "../../../tools/stampede/acks.h"
#include "../../../tools/stampede/audit.h"
#include "base/check.h"

#define NOW     INT64_C(1800000000)
#define LATER   "2027-01-15T08:10:00Z" /* NOW + 600 s */
#define EARLIER "2027-01-15T07:59:00Z"

struct world {
    char path[64];
    struct acks acks;
    struct store_view store;
    struct ack_record record;
    struct audit audit;
};

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    int fd;

    if (w == NULL)
        return 1;
    strcpy(w->path, "/tmp/test_audit.XXXXXX");
    fd = mkstemp(w->path);
    close(fd);
    acks_open(&w->acks, w->path);
    w->store.items = calloc(1, sizeof *w->store.items);
    w->store.items[0] = (struct store_item){.slug = xstrdup("standard"), .quota = 10};
    w->store.items_n = 1;
    w->store.orders = calloc(16, sizeof *w->store.orders);
    w->store.max_per_buyer = 4;
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;

    unlink(w->path);
    ack_record_free(&w->record);
    store_view_free(&w->store);
    free(w);
    return 0;
}

static const struct ack_times untimed;

/* Units first .. first + n - 1. `expires` may be the status of an order that ended instead. */
static void told(struct world *w, const char *code, const char *buyer, const char *key,
                 uint32_t first, uint32_t n, const char *expires)
{
    bool ended = strcmp(expires, "expired") == 0 || strcmp(expires, "canceled") == 0;
    uint32_t units[8];

    for (uint32_t i = 0; i < n; i++)
        units[i] = first + n - 1 - i; /* in any order */
    acks_order(&w->acks, &(struct ack_order_line){.event = SLICE_LIT("e"),
                                                  .item = SLICE_LIT("standard"),
                                                  .buyer = slice_str(buyer),
                                                  .key = slice_str(key),
                                                  .code = slice_str(code),
                                                  .status = slice_str(ended ? expires : "pending"),
                                                  .quantity = n,
                                                  .units = units,
                                                  .units_n = ended ? 0 : n,
                                                  .expires = slice_str(ended ? "" : expires)});
}

static void stored(struct world *w, const char *code, const char *buyer, const char *key,
                   enum store_status status, uint32_t first, uint32_t n)
{
    struct store_order *o = &w->store.orders[w->store.orders_n++];
    bool live = status == STORE_PENDING || status == STORE_PAID;

    *o = (struct store_order){.code = xstrdup(code),
                              .buyer = xstrdup(buyer),
                              .key = xstrdup(key),
                              .item = xstrdup("standard"),
                              .quantity = n,
                              .status = status,
                              .units_n = live ? n : 0};
    o->units = xcalloc(n + 1, sizeof *o->units);
    for (uint32_t i = 0; i < n; i++)
        o->units[i] = first + i;
}

static const struct audit *verdict(struct world *w)
{
    acks_close(&w->acks);
    assert_int_equal(ack_record_load(&w->record, w->path, "e"), 0);
    audit_compare(&w->audit, &w->record, &w->store, NOW);
    return &w->audit;
}

static void expect(const struct audit *a, uint64_t oversold, uint64_t duplicates, uint64_t lost,
                   uint64_t over_limit)
{
    assert_int_equal(a->oversold, oversold);
    assert_int_equal(a->duplicates, duplicates);
    assert_int_equal(a->lost, lost);
    assert_int_equal(a->over_limit, over_limit);
    assert_int_equal(audit_clean(a), oversold + duplicates + lost + over_limit == 0);
}

static void test_clean(void **state)
{
    struct world *w = *state;
    const struct audit *a;

    told(w, "A", "ann", "k1", 0, 2, LATER);
    told(w, "A", "ann", "k1", 0, 2, LATER); /* a replay */
    told(w, "B", "bob", "k2", 2, 3, LATER);
    acks_confirm(&w->acks, "e", "B", (uint32_t[]){2, 3, 4}, 3, &untimed);
    told(w, "C", "cyd", "k3", 5, 1, LATER);
    acks_action(&w->acks, "ask-cancel", "e", "C", &untimed);
    acks_action(&w->acks, "cancel", "e", "C", &untimed);
    told(w, "D", "dan", "k4", 6, 1, EARLIER);
    told(w, "X", "eve", "k5", 5, 1, LATER); /* the unit that C gave back */
    stored(w, "A", "ann", "k1", STORE_PENDING, 0, 2);
    stored(w, "B", "bob", "k2", STORE_PAID, 2, 3);
    stored(w, "C", "cyd", "k3", STORE_CANCELED, 5, 1);
    stored(w, "D", "dan", "k4", STORE_EXPIRED, 6, 1);
    stored(w, "X", "eve", "k5", STORE_PENDING, 5, 1);
    stored(w, "Z", "someone", "else", STORE_PENDING, 9, 1);
    a = verdict(w);
    expect(a, 0, 0, 0, 0);
    assert_int_equal(a->quota, 10);
    assert_int_equal(a->ordered, 9);
    assert_int_equal(a->unanswered, 1);
    assert_int_equal(a->given_back, 2);
    assert_int_equal(a->sold, 7);
    assert_int_equal(a->paid, 3);
    assert_int_equal(a->free, 3);
    assert_int_equal(a->acknowledged, 5);
    assert_int_equal(a->unacknowledged, 1);
}

static void test_missing(void **state)
{
    struct world *w = *state;

    told(w, "A", "ann", "k1", 0, 2, LATER);
    expect(verdict(w), 0, 0, 1, 0);
}

static void test_different(void **state)
{
    struct world *w = *state;

    told(w, "A", "ann", "k1", 0, 2, LATER);
    told(w, "B", "bob", "k2", 2, 2, LATER);
    told(w, "C", "cyd", "k3", 4, 1, LATER);
    stored(w, "A", "bob", "k1", STORE_PENDING, 0, 2); /* another buyer */
    stored(w, "B", "bob", "k2", STORE_PENDING, 7, 2); /* other units */
    stored(w, "C", "cyd", "k3", STORE_PENDING, 4, 2); /* another quantity */
    expect(verdict(w), 0, 0, 3, 0);
}

static void test_undone(void **state)
{
    struct world *w = *state;

    told(w, "A", "ann", "k1", 0, 1, LATER);
    acks_confirm(&w->acks, "e", "A", NULL, 0, &untimed);
    told(w, "B", "bob", "k2", 1, 1, LATER);
    told(w, "C", "cyd", "k3", 2, 1, LATER);
    told(w, "D", "dan", "k4", 3, 1, LATER);
    acks_action(&w->acks, "cancel", "e", "D", &untimed);
    stored(w, "A", "ann", "k1", STORE_PENDING, 0, 1);  /* paid, they said */
    stored(w, "B", "bob", "k2", STORE_CANCELED, 1, 1); /* nobody asked */
    stored(w, "C", "cyd", "k3", STORE_EXPIRED, 2, 1);  /* not yet */
    stored(w, "D", "dan", "k4", STORE_PENDING, 3, 1);  /* canceled, they said */
    expect(verdict(w), 0, 0, 4, 0);
}

static void test_contradiction(void **state)
{
    struct world *w = *state;

    told(w, "A", "ann", "k1", 0, 1, LATER);
    told(w, "A", "ann", "k1", 1, 1, LATER);
    stored(w, "A", "ann", "k1", STORE_PENDING, 0, 1);
    assert_int_equal(verdict(w)->lost > 0, 1);
}

/* A replay shows an order as it is now: when its hold is over, without units and time. */
static void test_replay_of_an_order_that_ended(void **state)
{
    struct world *w = *state;

    told(w, "A", "ann", "k1", 0, 2, EARLIER);
    told(w, "A", "ann", "k1", 0, 2, "expired");
    told(w, "B", "bob", "k2", 2, 1, "expired"); /* its first answer was lost */
    told(w, "C", "cyd", "k3", 3, 2, LATER);
    acks_action(&w->acks, "ask-cancel", "e", "C", &untimed);
    told(w, "C", "cyd", "k3", 3, 2, "canceled");
    stored(w, "A", "ann", "k1", STORE_EXPIRED, 0, 2);
    stored(w, "B", "bob", "k2", STORE_EXPIRED, 2, 1);
    stored(w, "C", "cyd", "k3", STORE_CANCELED, 3, 2);
    expect(verdict(w), 0, 0, 0, 0);
    assert_int_equal(w->record.orders_n, 3);
    assert_int_equal(w->record.orders[0].units_n, 2);
    assert_int_equal(w->record.orders[2].units_n, 2);
}

static void test_replay_hides_nothing(void **state)
{
    struct world *w = *state;

    told(w, "A", "ann", "k1", 0, 2, "expired");
    told(w, "A", "ann", "k1", 0, 2, LATER);
    told(w, "B", "bob", "k2", 2, 1, "canceled");
    told(w, "C", "cyd", "k3", 3, 2, "expired");
    stored(w, "A", "ann", "k1", STORE_EXPIRED, 0, 2);  /* before its time */
    stored(w, "B", "bob", "k2", STORE_CANCELED, 2, 1); /* nobody asked */
    stored(w, "C", "cyd", "k3", STORE_EXPIRED, 3, 1);  /* another quantity */
    expect(verdict(w), 0, 0, 3, 0);
}

/* A payment after the hold takes what is free then; before, the units stay what they were. */
static void test_late_payment_takes_other_units(void **state)
{
    struct world *w = *state;

    told(w, "A", "ann", "k1", 0, 2, EARLIER);
    acks_confirm(&w->acks, "e", "A", (uint32_t[]){5, 4}, 2, &untimed);
    told(w, "B", "bob", "k2", 0, 2, LATER); /* the units that were A's */
    told(w, "C", "cyd", "k3", 6, 1, "expired");
    acks_confirm(&w->acks, "e", "C", (uint32_t[]){7}, 1, &untimed);
    told(w, "D", "dan", "k4", 8, 1, LATER);
    acks_confirm(&w->acks, "e", "D", (uint32_t[]){9}, 1, &untimed);
    stored(w, "A", "ann", "k1", STORE_PAID, 4, 2);
    stored(w, "B", "bob", "k2", STORE_PENDING, 0, 2);
    stored(w, "C", "cyd", "k3", STORE_PAID, 6, 1); /* was told unit 7 */
    stored(w, "D", "dan", "k4", STORE_PAID, 9, 1); /* its hold was not over */
    expect(verdict(w), 0, 0, 2, 0);
}

/* The same where the buyer was never told; only a payment that was sent after the hold explains it.
 */
static void test_late_payment_without_an_answer(void **state)
{
    struct world *w = *state;

    told(w, "A", "ann", "k1", 0, 2, EARLIER);
    acks_action(&w->acks, "ask-confirm", "e", "A", &untimed);
    told(w, "B", "bob", "k2", 0, 2, LATER); /* the units that were A's */
    told(w, "C", "cyd", "k3", 2, 1, EARLIER);
    acks_action(&w->acks, "ask-confirm", "e", "C", &untimed); /* in time */
    stored(w, "A", "ann", "k1", STORE_PAID, 4, 2);
    stored(w, "B", "bob", "k2", STORE_PENDING, 0, 2);
    stored(w, "C", "cyd", "k3", STORE_PAID, 2, 1);
    expect(verdict(w), 0, 0, 0, 0);
}

static void test_other_units_without_a_reason(void **state)
{
    struct world *w = *state;

    told(w, "A", "ann", "k1", 0, 1, EARLIER); /* no payment was sent */
    told(w, "B", "bob", "k2", 1, 1, LATER);   /* its hold was not over */
    acks_action(&w->acks, "ask-confirm", "e", "B", &untimed);
    told(w, "C", "cyd", "k3", 2, 1, EARLIER); /* not paid */
    acks_action(&w->acks, "ask-confirm", "e", "C", &untimed);
    told(w, "D", "dan", "k4", 3, 1, EARLIER); /* was told that it keeps unit 3 */
    acks_action(&w->acks, "ask-confirm", "e", "D", &untimed);
    acks_confirm(&w->acks, "e", "D", (uint32_t[]){3}, 1, &untimed);
    told(w, "E", "eve", "k5", 0, 1, LATER); /* A's unit */
    stored(w, "A", "ann", "k1", STORE_PAID, 5, 1);
    stored(w, "B", "bob", "k2", STORE_PAID, 6, 1);
    stored(w, "C", "cyd", "k3", STORE_PENDING, 7, 1);
    stored(w, "D", "dan", "k4", STORE_PAID, 8, 1);
    stored(w, "E", "eve", "k5", STORE_PENDING, 0, 1);
    expect(verdict(w), 0, 1, 4, 0);
}

static void test_duplicates(void **state)
{
    struct world *w = *state;

    told(w, "A", "ann", "k1", 0, 1, LATER);
    told(w, "B", "ann", "k1", 1, 1, LATER); /* two orders for one key: seen in both */
    told(w, "C", "cyd", "k3", 1, 1, LATER); /* B's unit: seen in both */
    stored(w, "A", "ann", "k1", STORE_PENDING, 0, 1);
    stored(w, "B", "ann", "k1", STORE_PENDING, 1, 1);
    stored(w, "C", "cyd", "k3", STORE_PENDING, 1, 1);
    expect(verdict(w), 0, 4, 0, 0);
}

static void test_oversold(void **state)
{
    struct world *w = *state;

    w->store.items[0].quota = 2;
    stored(w, "A", "ann", "k1", STORE_PENDING, 0, 2);
    stored(w, "B", "bob", "k2", STORE_PENDING, 2, 1); /* beyond the quota, and one too many */
    expect(verdict(w), 2, 0, 0, 0);
}

static void test_conservation(void **state)
{
    struct world *w = *state;

    stored(w, "A", "ann", "k1", STORE_PENDING, 0, 2);
    w->store.orders[0].units_n = 1; /* a unit is missing */
    w->store.stray_units = 1;       /* a unit is left over */
    expect(verdict(w), 2, 0, 0, 0);
}

static void test_over_limit(void **state)
{
    struct world *w = *state;

    stored(w, "A", "ann", "k1", STORE_PENDING, 0, 3);
    stored(w, "B", "bob", "k2", STORE_PENDING, 3, 4);
    stored(w, "C", "ann", "k3", STORE_PAID, 7, 2);
    expect(verdict(w), 0, 0, 0, 1);
}

/* A stampede that was killed left half a line; other events are not this audit's. */
static void test_record_file(void **state)
{
    struct world *w = *state;
    FILE *f;

    told(w, "A", "ann", "k1", 0, 1, LATER);
    acks_close(&w->acks);
    f = fopen(w->path, "a");
    fputs("{\"t\":\"order\",\"event\":\"other\",\"code\":\"Q\"}\n{\"t\":\"order\",\"event\":\"e\","
          "\"co",
          f);
    fclose(f);
    assert_int_equal(ack_record_load(&w->record, w->path, "e"), 0);
    assert_int_equal(w->record.orders_n, 1);
    assert_int_equal(w->record.bad_lines, 0);
    assert_string_equal(w->record.orders[0].code, "A");
    assert_int_equal(w->record.orders[0].expires_s, NOW + 600);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_clean),
        T(test_missing),
        T(test_different),
        T(test_undone),
        T(test_contradiction),
        T(test_duplicates),
        T(test_oversold),
        T(test_conservation),
        T(test_replay_of_an_order_that_ended),
        T(test_replay_hides_nothing),
        T(test_late_payment_takes_other_units),
        T(test_late_payment_without_an_answer),
        T(test_other_units_without_a_reason),
        T(test_over_limit),
        T(test_record_file),
    };

    return cmocka_run_group_tests_name("stampede/audit", tests, NULL, NULL);
}
