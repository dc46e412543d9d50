/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bans: against a naive list (random prefixes, nested, expiring, with exceptions), over full and
 * torn banks, as text and back, and by threads that read while others publish (for
 * ThreadSanitizer).
 */
#include "config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "table/ban_book.h"

#define CAPACITY 4096u
#define NOW      (UINT64_C(1800000000) * NS_PER_S)

static int setup(void **state)
{
    struct zone *z = calloc(1, sizeof *z);

    assert_int_equal(zone_create(z, "ban", BAN_LAYOUT, ban_zone_size(CAPACITY)), 0);
    ban_zone_init((struct ban_zone *)z->head, CAPACITY, 7);
    *state = z;
    return 0;
}

static int teardown(void **state)
{
    struct zone *z = *state;

    zone_close(z);
    free(z);
    return 0;
}

static struct ban_zone *zone_of(void **state)
{
    return (struct ban_zone *)((struct zone *)*state)->head;
}

static struct ban ban_of(const char *text)
{
    struct ban b = {.since_ns = NOW, .until_ns = BAN_NEVER};
    struct buf why = {0};

    if (!ban_target_parse(slice_str(text), &b.what, &why))
        fail_msg("%s: %s", text, buf_cstr(&why));
    return b;
}

static void put(struct ban_book *book, struct ban b)
{
    size_t added;

    assert_int_equal(ban_book_put(book, &b, 1, &added), 0);
}

static bool banned(const struct ban_zone *z, const char *who, uint64_t now_ns)
{
    struct ban_hit hit;
    struct ban b = ban_of(who);
    static const uint8_t nobody[16];

    return b.what.identity.n > 0 ? ban_check(z, nobody, b.what.identity, &now_ns, &hit)
                                 : ban_check(z, b.what.addr, SLICE_NONE, &now_ns, &hit);
}

static void test_plain(void **state)
{
    struct ban_zone *z = zone_of(state);
    struct ban_book book;
    struct ban office = ban_of("10.2.3.0/24"), hour = ban_of("10.9.0.0/16");

    ban_book_init(&book, CAPACITY);
    assert_false(ban_any(z));
    assert_false(banned(z, "192.0.2.1", NOW));
    office.allow = true;
    hour.until_ns = NOW + 1;
    put(&book, ban_of("192.0.2.1"));
    put(&book, ban_of("10.2.0.0/16"));
    put(&book, office);
    put(&book, hour);
    put(&book, ban_of("2001:db8:5::/48"));
    put(&book, ban_of("identity:ann"));
    assert_int_equal(ban_book_publish(&book, z), 0);
    assert_true(ban_any(z));
    assert_true(banned(z, "192.0.2.1", NOW));
    assert_false(banned(z, "192.0.2.2", NOW));
    assert_false(banned(z, "192.0.3.1", NOW));
    assert_true(banned(z, "10.2.2.255", NOW));
    assert_true(banned(z, "10.2.4.0", NOW));
    assert_false(banned(z, "10.2.3.77", NOW));
    assert_true(banned(z, "10.9.1.1", NOW));
    assert_false(banned(z, "10.9.1.1", NOW + 1));
    assert_true(banned(z, "2001:db8:5:ffff::1", NOW));
    assert_false(banned(z, "2001:db8:6::1", NOW));
    assert_true(banned(z, "identity:ann", NOW));
    assert_false(banned(z, "identity:an", NOW));
    assert_false(banned(z, "identity:anna", NOW));
    ban_book_clear(&book);
    assert_int_equal(ban_book_publish(&book, z), 0);
    assert_false(ban_any(z));
    assert_false(banned(z, "192.0.2.1", NOW));
    ban_book_fini(&book);
}

/* --- against a list that is searched --- */

struct rng {
    uint64_t state;
};

static uint64_t below(struct rng *r, uint64_t n)
{
    return random_next(&r->state) % n;
}

/* Close together, so that they nest and touch; few bits differ. */
static void random_address(struct rng *r, uint8_t addr[16])
{
    static const uint8_t bases[4][16] = {
        {[10] = 0xff, [11] = 0xff, [12] = 10, [13] = 2},
        {[10] = 0xff, [11] = 0xff, [12] = 192, [13] = 0, [14] = 2},
        {0x20, 0x01, 0x0d, 0xb8},
        {0x20, 0x01, 0x0d, 0xb8, 0, 5, [15] = 1},
    };
    unsigned base = (unsigned)below(r, 4), from = base < 2 ? 104 : 24;

    memcpy(addr, bases[base], 16);
    for (unsigned i = 0; i < below(r, 4); i++) {
        unsigned bit = from + (unsigned)below(r, 128 - from);
        addr[bit / 8] ^= (uint8_t)(0x80u >> bit % 8);
    }
}

static struct ban random_ban(struct rng *r, char identity[32])
{
    struct ban b = {.since_ns = NOW, .allow = below(r, 8) == 0};

    b.until_ns = below(r, 3) == 0 ? BAN_NEVER : NOW - 50 + below(r, 100);
    if (below(r, 5) == 0) {
        b.allow = false;
        b.what.bits = BAN_BITS_IDENTITY;
        b.what.identity =
            slice_of(identity, (size_t)snprintf(identity, 32, "buyer-%u", (unsigned)below(r, 300)));
        return b;
    }
    random_address(r, b.what.addr);
    b.what.bits = (uint8_t)(b.what.addr[0] == 0 ? 104 + below(r, 25) : 16 + below(r, 113));
    for (unsigned i = b.what.bits; i < 128; i++)
        b.what.addr[i / 8] &= (uint8_t) ~(0x80u >> i % 8);
    return b;
}

static bool lies_in(const uint8_t addr[16], const struct ban_target *t)
{
    for (unsigned i = 0; i < t->bits; i++)
        if (((addr[i / 8] ^ t->addr[i / 8]) & (0x80u >> i % 8)) != 0)
            return false;
    return true;
}

static bool naive(const struct ban_book *book, const uint8_t addr[16], struct slice identity,
                  uint64_t now_ns)
{
    const struct ban *best = NULL;

    for (size_t i = 0; i < book->n; i++) {
        const struct ban *b = book->all[i];
        if (b->until_ns <= now_ns)
            continue;
        if (b->what.bits == BAN_BITS_IDENTITY) {
            if (slice_eq(b->what.identity, identity))
                return true;
        } else if (lies_in(addr, &b->what) && (best == NULL || b->what.bits > best->what.bits)) {
            best = b;
        }
    }
    return best != NULL && !best->allow;
}

static void compare(const struct ban_zone *z, const struct ban_book *book, struct rng *r)
{
    for (unsigned i = 0; i < 300; i++) {
        char name[32];
        struct slice identity =
            slice_of(name, (size_t)snprintf(name, 32, "buyer-%u", (unsigned)below(r, 400)));
        uint64_t now_ns = NOW - 60 + below(r, 120);
        uint8_t addr[16];
        struct ban_hit hit;
        random_address(r, addr);
        if (below(r, 2) == 0)
            identity = SLICE_NONE;
        assert_int_equal(ban_check(z, addr, identity, &now_ns, &hit),
                         naive(book, addr, identity, now_ns));
    }
}

static void test_model(void **state)
{
    struct ban_zone *z = zone_of(state);
    struct rng r = {1};

    for (unsigned round = 0; round < 60; round++) {
        struct ban_book book;
        unsigned n = 1 + (unsigned)below(&r, round < 30 ? 8 : 600);
        struct ban *list = calloc(n, sizeof *list);
        char(*names)[32] = calloc(n, sizeof *names);
        size_t added;
        ban_book_init(&book, CAPACITY);
        for (unsigned i = 0; i < n; i++)
            list[i] = random_ban(&r, names[i]);
        assert_int_equal(ban_book_put(&book, list, n, &added), 0);
        assert_int_equal(added, book.n);
        assert_int_equal(ban_book_publish(&book, z), 0);
        compare(z, &book, &r);
        for (unsigned i = 0; i < n / 3; i++) /* one by one out, others in */
            ban_book_remove(&book, &list[below(&r, n)].what);
        for (unsigned i = 0; i < 20; i++) {
            char name[32];
            put(&book, random_ban(&r, name));
        }
        ban_book_expire(&book, NOW - 20);
        assert_int_equal(ban_book_publish(&book, z), 0);
        compare(z, &book, &r);
        ban_book_fini(&book);
        free(list);
        free(names);
    }
}

/* --- the list --- */

static void test_hits(void **state)
{
    struct ban_zone *z = zone_of(state);
    struct ban_book book;
    struct ban b = ban_of("192.0.2.0/24");
    const struct ban *kept;
    struct ban_hit hit;
    uint64_t last;

    ban_book_init(&book, CAPACITY);
    put(&book, b);
    assert_int_equal(ban_book_publish(&book, z), 0);
    assert_true(ban_check(z, ban_of("192.0.2.9").what.addr, SLICE_NONE, &(uint64_t){NOW}, &hit));
    ban_count(z, 0, &hit, NOW);
    ban_count(z, 1, &hit, NOW + 5);
    ban_count(z, 1, &hit, NOW + 3);
    b.until_ns = NOW + 100; /* new terms, the same ban */
    put(&book, b);
    kept = ban_book_find(&book, &b.what);
    assert_int_equal(ban_hits(z, 2, kept->cell, kept->serial, &last), 3);
    assert_true(last == NOW + 3);
    assert_int_equal(ban_hits(z, 1, kept->cell, kept->serial, &last), 1);
    assert_true(ban_book_remove(&book, &b.what)); /* another ban in the same cell begins at 0 */
    assert_false(ban_book_remove(&book, &b.what));
    put(&book, ban_of("identity:bob"));
    kept = book.all[0];
    assert_int_equal(kept->cell, hit.cell);
    assert_int_equal(ban_hits(z, 2, kept->cell, kept->serial, &last), 0);
    assert_int_equal(last, 0);
    ban_book_fini(&book);
}

static void test_full(void **state)
{
    struct ban_zone *z = zone_of(state);
    struct ban_book book;
    struct ban *list = calloc(CAPACITY + 1, sizeof *list);
    size_t added;

    ban_book_init(&book, CAPACITY);
    for (unsigned i = 0; i <= CAPACITY; i++) {
        list[i] = ban_of("10.0.0.0");
        list[i].what.addr[14] = (uint8_t)(i >> 8);
        list[i].what.addr[15] = (uint8_t)i;
    }
    put(&book, ban_of("identity:ann"));
    assert_int_equal(ban_book_put(&book, list, CAPACITY, &added), -ENOSPC);
    assert_int_equal(book.n, 1); /* all or nothing */
    assert_int_equal(ban_book_put(&book, list, CAPACITY - 1, &added), 0);
    assert_int_equal(book.n, CAPACITY);
    assert_int_equal(ban_book_put(&book, list, CAPACITY - 1, &added), 0); /* replaced */
    assert_int_equal(added, 0);
    assert_int_equal(ban_book_publish(&book, z), 0);
    assert_true(banned(z, "10.0.15.254", NOW));
    assert_false(banned(z, "10.0.15.255", NOW));
    ban_book_fini(&book);
    free(list);
}

/* --- text --- */

static void test_targets(void **state)
{
    static const struct {
        const char *text, *canonical, *why;
    } all[] = {
        {"192.0.2.1", "192.0.2.1", NULL},
        {"192.0.2.1/32", "192.0.2.1", NULL},
        {"10.2.0.0/16", "10.2.0.0/16", NULL},
        {"2001:DB8::/32", "2001:db8::/32", NULL},
        {"2001:db8::1", "2001:db8::1", NULL},
        {"::ffff:10.2.0.0/112", "10.2.0.0/16", NULL},
        {"identity:ann", "identity:ann", NULL},
        {"10.2.3.0/16", NULL, "\"10.2.3.0/16\" has bits behind its prefix; write 10.2.0.0/16"},
        {"0.0.0.0/0", NULL, "a prefix of /0 is too much of the IPv4 Internet; the shortest is /8"},
        {"2000::/3", NULL, "a prefix of /3 is too much of the IPv6 Internet; the shortest is /16"},
        {"10.0.0.0/33", NULL, "is no address"},
        {"10.0.0.0/", NULL, "is no address"},
        {"10.0.0", NULL, "is no address"},
        {"", NULL, "is no address"},
        {"ann", NULL, "write 192.0.2.1, 10.2.0.0/16, 2001:db8::/32 or identity:NAME"},
        {"identity:", NULL, "an identity is 1 to 128 visible ASCII characters"},
        {"identity:a b", NULL, "an identity is"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct buf why = {0};
        struct ban_target t;
        char text[BAN_TEXT_MAX];
        bool ok = ban_target_parse(slice_str(all[i].text), &t, &why);
        assert_int_equal(ok, all[i].why == NULL);
        if (ok) {
            ban_target_text(&t, text);
            assert_string_equal(text, all[i].canonical);
        } else {
            assert_non_null(strstr(buf_cstr(&why), all[i].why));
        }
        buf_free(&why);
    }
}

static void test_list(void **state)
{
    static const char good[] = "# bots\n10.2.0.0/16 ; a network\r\n\n  192.0.2.7  # one\n"
                               "identity:ann";
    static const char bad[] = "10.2.0.0/16\n  10.2.3.4/8\nnonsense\n";
    struct buf errors = {0};
    struct ban *list = NULL;
    size_t n = 0;

    (void)state;
    assert_true(ban_list_parse("f", SLICE_LIT(good), &list, &n, &errors));
    assert_int_equal(n, 3);
    assert_int_equal(list[2].what.identity.n, 3);
    free(list);
    list = NULL;
    n = 0;
    assert_false(ban_list_parse("f", SLICE_LIT(bad), &list, &n, &errors));
    assert_non_null(strstr(buf_cstr(&errors), "f:2:3: error: \"10.2.3.4/8\" has bits"));
    assert_non_null(strstr(buf_cstr(&errors), "\nf:3:1: error: \"nonsense\" is no address"));
    free(list);
    buf_free(&errors);
}

static void test_file(void **state)
{
    struct rng r = {3};
    struct ban_book book, again;
    struct buf text = {0}, twice = {0}, why = {0};
    char names[200][32];

    (void)state;
    ban_book_init(&book, CAPACITY);
    ban_book_init(&again, CAPACITY);
    for (unsigned i = 0; i < 200; i++) {
        struct ban b = random_ban(&r, names[i]);
        b.until_ns = b.until_ns == BAN_NEVER ? BAN_NEVER : NOW + (1 + i) * NS_PER_MS;
        b.reason = i % 2 ? SLICE_LIT("buys \xc3\xbc"
                                     "berall")
                         : SLICE_NONE;
        b.who = SLICE_LIT("uid 0");
        put(&book, b);
    }
    ban_book_write(&book, &text);
    if (!ban_book_read(&again, buf_view(&text), NOW, &why))
        fail_msg("%s", buf_cstr(&why));
    assert_int_equal(again.n, book.n);
    ban_book_write(&again, &twice);
    assert_true(slice_eq(buf_view(&text), buf_view(&twice)));
    ban_book_clear(&again);
    assert_true(ban_book_read(&again, buf_view(&text), NOW + NS_PER_S, &why));
    assert_true(again.n > 0 && again.n < book.n); /* without those that have expired */
    for (size_t cut = 0; cut < text.n; cut += 1 + text.n / 97) { /* torn anywhere */
        ban_book_clear(&again);
        assert_false(ban_book_read(&again, slice_of(text.p, cut), NOW, &why));
        text.p[cut] ^= 1; /* or one bit wrong */
        assert_false(ban_book_read(&again, buf_view(&text), NOW, &why));
        text.p[cut] ^= 1;
        assert_int_equal(again.n, 0);
    }
    ban_book_fini(&book);
    ban_book_fini(&again);
    buf_free(&text);
    buf_free(&twice);
    buf_free(&why);
}

/* --- readers while others write --- */

/* Whatever a bank holds while it is written: no reader leaves it, none hangs. */
static void test_garbage(void **state)
{
    struct ban_zone *z = zone_of(state);
    struct rng r = {5};
    struct ban_book book;
    uint64_t *bank;
    char name[32];

    ban_book_init(&book, CAPACITY);
    for (unsigned i = 0; i < 200; i++)
        put(&book, random_ban(&r, name));
    for (unsigned round = 0; round < 400; round++) {
        unsigned b = (unsigned)((ban_generation(z) + 1) % BAN_BANKS);
        assert_int_equal(ban_book_publish(&book, z), 0);
        bank = (uint64_t *)(void *)((char *)z + ban_zone_size(CAPACITY) -
                                    8 * z->bank_words * (BAN_BANKS - b));
        for (unsigned i = 0; i < 20; i++)
            bank[below(&r, below(&r, 2) ? 4 : 2500)] =
                below(&r, 2) ? random_next(&r.state) : below(&r, 64) << below(&r, 2) * 32;
        for (unsigned i = 0; i < 50; i++) {
            uint8_t addr[16];
            struct ban_hit hit;
            random_address(&r, addr);
            ban_check(z, addr, slice_of(name, (size_t)snprintf(name, 32, "buyer-%u", i)),
                      &(uint64_t){NOW}, &hit);
        }
    }
    ban_book_fini(&book);
}

struct race {
    struct ban_zone *zone;
    _Atomic bool stop;
    _Atomic uint64_t looked;
};

/* In every list: 192.0.2.1 and "ann" are banned, 192.0.2.2 and "bob" are not. */
static void *reader(void *arg)
{
    struct race *race = arg;

    while (!race->stop) {
        bool bad = !banned(race->zone, "192.0.2.1", NOW) || banned(race->zone, "192.0.2.2", NOW) ||
                   !banned(race->zone, "identity:ann", NOW) ||
                   banned(race->zone, "identity:bob", NOW);
        if (bad)
            return race;
        race->looked++;
    }
    return NULL;
}

static void test_race(void **state)
{
    struct race race = {.zone = zone_of(state)};
    pthread_t thread[2];
    struct ban_book book;
    struct rng r = {9};
    char name[32];

    ban_book_init(&book, CAPACITY);
    put(&book, ban_of("192.0.2.1"));
    put(&book, ban_of("identity:ann"));
    assert_int_equal(ban_book_publish(&book, race.zone), 0);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, reader, &race), 0);
    for (unsigned i = 0; i < 3000 || race.looked < 200; i++) {
        struct ban b = random_ban(&r, name);
        if (i % 100 == 0) {
            ban_book_clear(&book);
            put(&book, ban_of("192.0.2.1"));
            put(&book, ban_of("identity:ann"));
        }
        if (b.what.bits == 255 || b.what.addr[12] != 192)
            put(&book, b);
        assert_int_equal(ban_book_publish(&book, race.zone), 0);
    }
    race.stop = true;
    for (unsigned i = 0; i < 2; i++) {
        void *what;
        pthread_join(thread[i], &what);
        if (what != NULL)
            fail_msg("a reader saw a torn image");
    }
    ban_book_fini(&book);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_plain, setup, teardown),
        cmocka_unit_test_setup_teardown(test_model, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full, setup, teardown),
        cmocka_unit_test(test_targets),
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_file),
        cmocka_unit_test_setup_teardown(test_garbage, setup, teardown),
        cmocka_unit_test_setup_teardown(test_race, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
