/* SPDX-License-Identifier: BSD-2-Clause */
/* What the box office answers: orders, retries, a store that fails, and what is not to be believed.
 */
#include "service_rig.h"

#include <sqlite3.h>

#include "base/hash.h"
#include "base/log.h"
#include "boxoffice/service_part.h"
#include "fault_vfs.h"

static void test_answers(void **state)
{
    struct world *w = *state;
    struct answer *a = one_order(w, "ann", "k", 2);

    assert_int_equal(a->status, RPC_OK);
    assert_string_equal(a->http, "201");
    a = one_order(w, "ann", "k", 2);
    assert_string_equal(a->http, "201");
    assert_string_equal(a->replayed, "true");
    a = one_order(w, "ann", "k", 3);
    assert_int_equal(a->status, RPC_INVALID_ARGUMENT);
    assert_string_equal(a->http, "422");
    assert_string_equal(a->reason, "idempotency-key-reused");
    a = one_order(w, "ann", "l", 49);
    assert_string_equal(a->http, "403");
    assert_string_equal(a->reason, "purchase-limit");
    assert_string_equal(a->problem, "{\"limit\":50,\"used\":2}");
    a = one_order(w, NULL, "l", 1);
    assert_int_equal(a->status, RPC_UNAUTHENTICATED);
    assert_string_equal(a->reason, "identity-required");
    a = one_order(w, "ann", NULL, 1);
    assert_string_equal(a->reason, "idempotency-key-missing");
    a = one_order(w, "ann", "two words", 1);
    assert_string_equal(a->reason, "idempotency-key-invalid");
    a = one_order(w, "two words", "k", 1);
    assert_string_equal(a->reason, "identity-invalid");
    a = one_order(w, "ann", "l", 101);
    assert_string_equal(a->problem,
                        "{\"errors\":[{\"path\":\"quantity\",\"message\":\"must be 1 to 100\"}]}");
    one_order(w, "bob", "k", 50);
    a = one_order(w, "cid", "k", 48);
    assert_string_equal(a->http, "201");
    assert_string_equal(a->gate, "sold-out; key=gig/a; ttl=1000"); /* the last ones */
    a = one_order(w, "dan", "k", 1);
    assert_string_equal(a->http, "409");
    assert_string_equal(a->problem, "{\"available_number\":0}");
    assert_string_equal(a->gate, "sold-out; key=gig/a; ttl=1000");
}

static void test_double_click(void **state)
{
    struct world *w = *state;
    struct answer *a;

    add_order(w, "ann", "k", 1);
    add_order(w, "ann", "k", 1);
    a = go(w);
    /* over two connections either may come first */
    assert_true((a[0].status == RPC_OK) + (a[1].status == RPC_OK) == 1);
    a = a[0].status == RPC_OK ? &a[1] : &a[0];
    assert_string_equal(a->http, "409");
    assert_string_equal(a->reason, "request-in-progress");
    assert_int_equal(available(w), 99);
}

static void test_many_at_once(void **state)
{
    struct world *w = *state;
    unsigned sold = 0, out = 0;

    for (unsigned i = 0; i < CALLS; i++) {
        snprintf(w->keys[i], sizeof w->keys[i], "k%u", i);
        add_order(w, w->keys[i], w->keys[i], 2);
    }
    struct answer *a = go(w);
    for (unsigned i = 0; i < CALLS; i++) {
        sold += strcmp(a[i].http, "201") == 0;
        out += strcmp(a[i].reason, "sold-out") == 0;
    }
    assert_int_equal(sold, 50);
    assert_int_equal(out, CALLS - 50);
    assert_int_equal(available(w), 0);
}

/* Waits until orders are taken again; the probe backs off to a second at most. */
static struct answer *until_taken(struct world *w, const char *key)
{
    for (;;) {
        struct answer *a = one_order(w, "ann", key, 2);
        if (a->status != RPC_UNAVAILABLE)
            return a;
        usleep(5000);
    }
}

static void test_disk_full(void **state)
{
    struct world *w = *state;
    struct answer *a;

    one_order(w, "ann", "before", 1);
    fault.wal_write = SQLITE_FULL;
    for (unsigned i = 0; i < 20; i++) {
        snprintf(w->keys[i], sizeof w->keys[i], "k%u", i);
        add_order(w, "ann", w->keys[i], 1);
    }
    a = go(w);
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(a[i].status, RPC_UNAVAILABLE);
        assert_string_equal(a[i].http, "503");
        assert_string_equal(a[i].reason, "store-unavailable");
        assert_string_equal(a[i].retry, "1");
    }
    assert_int_equal(available(w), 99); /* reads go on and see nothing of it */
    a = one_order(w, "ann", "before", 1);
    assert_string_equal(a->replayed, "true");
    a = one_order(w, "ann", "limit", 50);
    assert_string_equal(a->reason, "purchase-limit");
    fault.wal_write = 0;
    a = until_taken(w, "k0");
    assert_string_equal(a->http, "201");
    assert_int_equal(available(w), 97);
    assert_true(w->service.stats.commit_failures >= 1);
}

static unsigned stored_units(const struct world *w)
{
    sqlite3 *db;
    sqlite3_stmt *st;
    unsigned n;

    assert_int_equal(sqlite3_open(w->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT count(*) FROM units", -1, &st, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    n = (unsigned)sqlite3_column_int(st, 0);
    sqlite3_finalize(st);
    sqlite3_close(db);
    return n;
}

/* Everybody whom `done` does not name orders two; notes who got a final answer. */
static void all_order(struct world *w, bool done[CALLS], bool failing, unsigned *sold,
                      unsigned *sold_out)
{
    unsigned who[CALLS], n = 0;
    struct answer *a;

    for (unsigned i = 0; i < CALLS; i++) {
        if (done[i])
            continue;
        snprintf(w->keys[n], sizeof w->keys[n], "k%u", i);
        add_order(w, w->keys[n], w->keys[n], 2);
        who[n++] = i;
    }
    a = go(w);
    for (unsigned i = 0; i < n; i++) {
        bool out = strcmp(a[i].reason, "sold-out") == 0, bought = a[i].status == RPC_OK;

        assert_true(bought || out || a[i].status == RPC_UNAVAILABLE);
        done[who[i]] = bought || (out && !failing);
        *sold += bought;
        *sold_out += out && !failing;
    }
}

/* Many after the last six units, with the same keys again and again, while the store fails in one
 * way after the other: no unit is sold twice, and none is lost. */
static void test_last_units_while_failing(void **state)
{
    static const struct {
        int wal_write, wal_sync;
        bool sync_done;
    } failures[] = {
        {.wal_write = SQLITE_FULL},
        {.wal_write = SQLITE_IOERR_WRITE},
        {.wal_sync = SQLITE_IOERR_FSYNC},
        {.wal_sync = SQLITE_IOERR_FSYNC, .sync_done = true},
    };
    struct world *w = *state;
    bool done[CALLS] = {false};
    unsigned sold = 0, sold_out = 0;

    one_order(w, "first", "k", 47);
    one_order(w, "second", "k", 47);
    for (unsigned round = 0; sold + sold_out < CALLS; round++) {
        bool failing = round % 3 != 2;
        unsigned kind = round / 3 % (sizeof failures / sizeof *failures);

        assert_true(round < 400);
        fault.wal_write = failing ? failures[kind].wal_write : 0;
        fault.wal_sync = failing ? failures[kind].wal_sync : 0;
        fault.sync_done = failures[kind].sync_done;
        all_order(w, done, failing, &sold, &sold_out);
        usleep(failing ? 0 : 20000);
    }
    assert_int_equal(sold, 3);
    assert_int_equal(available(w), 0);
    assert_int_equal(stored_units(w), 100);
}

/* An fsync that fails after it did its work: the order may exist, and the retry must find out. */
static void test_unknown_outcome(void **state)
{
    struct world *w = *state;
    struct answer *a;

    one_order(w, "ann", "before", 1);
    fault.sync_done = 1;
    fault.wal_sync = SQLITE_IOERR_FSYNC;
    a = one_order(w, "ann", "k", 2);
    assert_string_equal(a->reason, "store-unavailable");
    a = one_order(w, "ann", "other", 2);
    assert_string_equal(a->reason, "store-unavailable");
    fault.wal_sync = 0;
    a = until_taken(w, "k");
    assert_string_equal(a->http, "201");
    a = one_order(w, "ann", "k", 2);
    assert_string_equal(a->replayed, "true");
    assert_int_equal(available(w), 97);
}

/* An order that a foreign hand put into the store: refused, read anew, and then respected. */
static void test_conflict(void **state)
{
    struct world *w = *state;
    char sql[4096];
    struct answer *a;
    sqlite3 *db;

    snprintf(sql, sizeof sql,
             "INSERT INTO orders VALUES(1,1,1,1,2,'eve','x',%llu,%llu,zeroblob(16));"
             "INSERT INTO units VALUES((1<<32)|0,1)",
             (unsigned long long)clock_real_ns(), (unsigned long long)clock_real_ns() + 1000);
    assert_int_equal(sqlite3_open(w->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    a = one_order(w, "ann", "k", 2);
    assert_string_equal(a->reason, "store-unavailable");
    a = until_taken(w, "k");
    assert_string_equal(a->http, "201");
    assert_int_equal(available(w), 97);
}

/* What is absent differs from what is empty or 0, and a 404 says what there is not. */
static void test_absent_and_unknown(void **state)
{
    static const struct {
        struct slice payload;
        const char *http, *problem;
    } cases[] = {
        {SLICE_LIT("\x0a\x03gig\x12\x01\x61"), "201", ""},
        {SLICE_LIT("\x0a\x03gig\x12\x01\x61\x18\0"), "400",
         "{\"errors\":[{\"path\":\"quantity\",\"message\":\"must be 1 to 100\"}]}"},
        {SLICE_LIT("\x0a\x03gig"), "400",
         "{\"errors\":[{\"path\":\"item\",\"message\":\"is required\"}]}"},
        {SLICE_LIT("\x0a\x03gig\x12\x01\x62"), "404", ""},
        {SLICE_LIT("\x0a\x03gag\x12\x01\x61"), "404", ""},
    };
    struct world *w = *state;

    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        add_order(w, "ann", "k", 1);
        w->requests[0].payload = cases[i].payload;
        struct answer *a = go(w);
        assert_string_equal(a->http, cases[i].http);
        assert_string_equal(a->problem, cases[i].problem);
        if (i >= 3)
            assert_string_equal(a->message, i == 3 ? "no such item" : "no such event");
    }
    assert_int_equal(available(w), 99);
}

/* Nothing is acknowledged into a file that nobody will find again. */
static void test_store_is_deleted(void **state)
{
    struct world *w = *state;
    struct buf err = {0};
    struct store *other;

    one_order(w, "ann", "before", 1);
    unlink(w->path);
    struct answer *a = one_order(w, "ann", "after", 1);
    assert_string_equal(a->reason, "store-unavailable");
    assert_string_equal(a->retry, "1");
    /* Another store in its place is none of ours. */
    other = store_sqlite_open(w->path, 0, &err);
    assert_null(other); /* the lock is still ours */
    buf_free(&err);
    assert_string_equal(one_order(w, "ann", "after", 1)->reason, "store-unavailable");
    assert_true(w->service.gone);
    w->lost = true;
}

/* The same when nobody orders: the sweep sees it. */
static void test_lock_is_replaced(void **state)
{
    struct world *w = *state;
    char lock[8192];

    snprintf(lock, sizeof lock, "%s.lock", w->path);
    unlink(lock);
    while (!w->service.gone)
        loop_turn(&w->loop);
    assert_string_equal(one_order(w, "ann", "k", 1)->reason, "store-unavailable");
}

/* A text ends at its NUL in memory; what stood behind it must not vanish. */
static void test_nul_in_a_text(void **state)
{
    static const struct {
        struct slice path, payload;
        const char *field;
    } bad[] = {
        {SLICE_LIT(BOX "CreateEvent"), SLICE_LIT("\x0a\x08nul\0junk"), "slug"},
        {SLICE_LIT(BOX "CreateEvent"),
         SLICE_LIT("\x0a\x01n\x42\x05\x12\x03"
                   "a\0b"),
         "items.name"},
        {SLICE_LIT(BOX "CreateOrder"),
         SLICE_LIT("\x0a\x03gig\x12\x02"
                   "a\0"),
         "item"},
    };
    struct world *w = *state;
    char want[128];

    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        add_order(w, "ann", "k", 1);
        w->requests[0].path = bad[i].path;
        w->requests[0].payload = bad[i].payload;
        struct answer *a = go(w);
        assert_string_equal(a->http, "400");
        assert_string_equal(a->reason, "invalid-request");
        snprintf(want, sizeof want,
                 "{\"errors\":[{\"path\":\"%s\",\"message\":\"must not contain a NUL\"}]}",
                 bad[i].field);
        assert_string_equal(a->problem, want);
    }
    /* A NUL elsewhere is a number's: of `quantity`, and of a field that is not known. */
    add_order(w, "ann", "k", 1);
    w->requests[0].payload = SLICE_LIT("\x0a\x03gig\x12\x01\x61\x18\x81\0\xfa\x01\x02\0\0");
    assert_string_equal(go(w)->http, "201");
}

/* What the plain reader takes, protobuf-c reads just so. */
static void test_plain_reader(void **state)
{
    static const char plain[] = "\x0a\x03gig\x12\x01\x61\x18\x02";
    struct arena_pool pool;
    struct arena arena;
    uint64_t rng = 11;
    unsigned taken = 0;

    (void)state;
    arena_pool_init(&pool, 4);
    arena_init(&arena, &pool);
    for (unsigned i = 0; i < 200000; i++) {
        char bytes[sizeof plain + 8];
        size_t n = sizeof plain - 1;
        const Rushgate__Boxoffice__V1__CreateOrderRequest *m;
        Rushgate__Boxoffice__V1__CreateOrderRequest *other;
        char field[TEXT_FIELD_MAX];

        memcpy(bytes, plain, n);
        for (unsigned k = i == 0 ? 0 : 1 + i % 3; k-- > 0;)
            bytes[random_next(&rng) % n] = (char)(random_next(&rng) >> (8 * (i % 5)));
        n -= i % 7 == 0 && i > 0 ? random_next(&rng) % n : 0;
        m = read_create_order(&arena, slice_of(bytes, n));
        if (m != NULL) {
            const ProtobufCMessageDescriptor *d = m->base.descriptor;
            other =
                rushgate__boxoffice__v1__create_order_request__unpack(NULL, n, (uint8_t *)bytes);
            assert_non_null(other);
            assert_false(text_has_nul(d, slice_of(bytes, n), field));
            assert_string_equal(m->event, other->event);
            assert_string_equal(m->item, other->item);
            assert_int_equal(m->quantity_given_case, other->quantity_given_case);
            if (m->quantity_given_case != 0)
                assert_int_equal(m->quantity, other->quantity);
            rushgate__boxoffice__v1__create_order_request__free_unpacked(other, NULL);
            taken++;
        } else {
            assert_int_not_equal(i, 0);
        }
        arena_reset(&arena);
    }
    assert_true(taken > 1000);
    arena_pool_fini(&pool);
}

static void add_list(struct world *w, const char *buyer, int32_t page_size)
{
    Rushgate__Boxoffice__V1__ListOrdersRequest m =
        RUSHGATE__BOXOFFICE__V1__LIST_ORDERS_REQUEST__INIT;

    m.event = (char *)"gig";
    m.page_size = page_size;
    add(w, BOX "ListOrders", &m.base, buyer, NULL);
}

static void add_confirm(struct world *w, const char *buyer, char *code)
{
    Rushgate__Boxoffice__V1__OrderActionRequest m =
        RUSHGATE__BOXOFFICE__V1__ORDER_ACTION_REQUEST__INIT;

    m.event = (char *)"gig";
    m.code = code;
    add(w, BOX "ConfirmOrder", &m.base, buyer, NULL);
}

/* Orders are written without a message object: the bytes must be those of protobuf-c, and say what
 * there is. */
static void same_bytes(const struct answer *a, const ProtobufCMessage *m)
{
    uint8_t bytes[sizeof a->payload];

    assert_non_null(m);
    assert_int_equal(protobuf_c_message_get_packed_size(m), a->payload_n);
    assert_int_equal(protobuf_c_message_pack(m, bytes), a->payload_n);
    assert_memory_equal(bytes, a->payload, a->payload_n);
}

static void test_order_bytes(void **state)
{
    struct world *w = *state;
    Rushgate__Boxoffice__V1__Order *o;
    Rushgate__Boxoffice__V1__ListOrdersResponse *r;
    char code[CODE_LEN + 1];
    struct answer *a;

    one_order(w, "bob", "k", 2);
    a = one_order(w, "ann", "a", 3);
    o = rushgate__boxoffice__v1__order__unpack(NULL, a->payload_n, a->payload);
    same_bytes(a, &o->base);
    code_write(&w->service.sale->code, 2, code);
    assert_string_equal(o->code, code);
    assert_string_equal(o->event, "gig");
    assert_string_equal(o->item, "a");
    assert_int_equal(o->quantity, 3);
    assert_int_equal(o->status, RUSHGATE__BOXOFFICE__V1__ORDER_STATUS__pending);
    assert_int_equal(o->n_units, 3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(o->units[i], 2 + i);
    assert_int_equal(strlen(o->secret), 32);
    assert_string_equal(o->buyer, "ann");
    assert_int_equal(o->expires->seconds - o->created->seconds, 600);
    assert_int_equal(o->expires->nanos, o->created->nanos);
    rushgate__boxoffice__v1__order__free_unpacked(o, NULL);

    one_order(w, "ann", "b", 40);
    add_confirm(w, "ann", code);
    a = go(w);
    o = rushgate__boxoffice__v1__order__unpack(NULL, a->payload_n, a->payload);
    same_bytes(a, &o->base);
    assert_int_equal(o->status, RUSHGATE__BOXOFFICE__V1__ORDER_STATUS__paid);
    assert_null(o->expires);
    assert_int_equal(o->n_units, 3);
    rushgate__boxoffice__v1__order__free_unpacked(o, NULL);

    add_list(w, "ann", 1);
    a = go(w);
    r = rushgate__boxoffice__v1__list_orders_response__unpack(NULL, a->payload_n, a->payload);
    same_bytes(a, &r->base);
    assert_int_equal(r->n_results, 1);
    assert_int_equal(r->results[0]->n_units, 40);
    assert_string_equal(r->next_page_token, code);
    rushgate__boxoffice__v1__list_orders_response__free_unpacked(r, NULL);
}

/* A page reads past the orders that are too new for it; what it finds behind them must be durable,
 * too. */
static void test_list_shows_what_is_durable(void **state)
{
    struct world *w = *state;
    char code[CODE_LEN + 1];
    struct answer *a = one_order(w, "ann", "a", 1);

    code_write(&w->service.sale->code, 1, code);
    rpc_client_free(&w->rpc);
    dial(w, 1); /* the calls arrive in their order */
    one_order(w, "bob", "a", 1);
    fault.wal_write = SQLITE_FULL;
    add_confirm(w, "ann", code);
    add_order(w, "ann", "b", 1);
    add_list(w, "ann", 1);
    a = go(w);
    assert_string_equal(a[0].reason, "store-unavailable");
    assert_string_equal(a[1].reason, "store-unavailable");
    /* Refused like the confirmation that it waited for. */
    assert_string_equal(a[2].reason, "store-unavailable");
    fault.wal_write = 0;
    until_taken(w, "c");
    add_list(w, "ann", 50);
    a = go(w);
    Rushgate__Boxoffice__V1__ListOrdersResponse *r =
        rushgate__boxoffice__v1__list_orders_response__unpack(NULL, a->payload_n, a->payload);
    assert_non_null(r);
    assert_int_equal(r->n_results, 2);
    assert_int_equal(r->results[1]->status, RUSHGATE__BOXOFFICE__V1__ORDER_STATUS__pending);
    rushgate__boxoffice__v1__list_orders_response__free_unpacked(r, NULL);
}

/* A thousand events of 64 items would be some 20 MB. */
static void test_page_of_events_is_bounded(void **state)
{
    struct world *w = *state;
    char names[80][16], long_name[EVENT_NAME_MAX + 1], items[EVENT_ITEMS_MAX][8];
    unsigned found = 0, pages = 0;
    char token[16] = "";

    memset(long_name, 'n', EVENT_NAME_MAX);
    long_name[EVENT_NAME_MAX] = '\0';
    for (unsigned i = 0; i < 80; i++) {
        snprintf(names[i], sizeof names[i], "event-%u", i);
        struct event_spec spec = spec_make(names[i], 0, 1, 10);
        spec.items_n = EVENT_ITEMS_MAX;
        for (unsigned k = 0; k < EVENT_ITEMS_MAX; k++) {
            snprintf(items[k], sizeof items[k], "item-%u", k);
            spec.items[k] = spec.items[0];
            spec.items[k].slug = slice_str(items[k]);
            spec.items[k].name = slice_str(long_name);
        }
        create_event(w->service.sale, &spec);
    }
    one_order(w, "ann", "k", 1); /* makes them durable with it */
    do {
        Rushgate__Boxoffice__V1__ListEventsRequest m =
            RUSHGATE__BOXOFFICE__V1__LIST_EVENTS_REQUEST__INIT;
        m.page_size = 1000;
        m.page_token = token;
        add(w, BOX "ListEvents", &m.base, NULL, NULL);
        struct answer *a = go(w);
        assert_in_range(a->large_n, 8192, (1 << 20) + 65536);
        Rushgate__Boxoffice__V1__ListEventsResponse *r =
            rushgate__boxoffice__v1__list_events_response__unpack(NULL, a->large_n, a->large);
        assert_non_null(r);
        found += (unsigned)r->n_results;
        snprintf(token, sizeof token, "%s", r->next_page_token);
        rushgate__boxoffice__v1__list_events_response__free_unpacked(r, NULL);
        free(a->large);
    } while (++pages < 5 && token[0] != '\0');
    assert_int_equal(found, 81);
    assert_int_equal(pages, 2);
}

static void test_unknown_method_and_garbage(void **state)
{
    struct world *w = *state;
    struct answer *a;

    add_order(w, "ann", "k", 1);
    w->requests[0].path = SLICE_LIT(BOX "Nothing");
    assert_int_equal(go(w)->status, RPC_UNIMPLEMENTED);
    add_order(w, "ann", "k", 1);
    w->requests[0].payload = SLICE_LIT("\xff\xff\xff");
    a = go(w);
    assert_int_equal(a->status, RPC_INVALID_ARGUMENT);
    assert_string_equal(a->reason, "invalid-request");
}

static void test_stats(void **state)
{
    struct world *w = *state;
    Rushgate__Boxoffice__V1__StatsRequest m = RUSHGATE__BOXOFFICE__V1__STATS_REQUEST__INIT;
    Rushgate__Boxoffice__V1__StatsResponse *r;

    one_order(w, "ann", "k", 2);
    add(w, ADMIN "Stats", &m.base, NULL, NULL);
    struct answer *a = go(w);
    r = rushgate__boxoffice__v1__stats_response__unpack(NULL, a->payload_n, a->payload);
    assert_non_null(r);
    assert_int_equal(r->n_events, 1);
    assert_int_equal(r->events[0]->held, 2);
    assert_int_equal(r->events[0]->free, 98);
    assert_int_equal(r->batch_orders, 1);
    assert_true(r->store_available && r->store_bytes > 0);
    rushgate__boxoffice__v1__stats_response__free_unpacked(r, NULL);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_answers),
        TEST(test_double_click),
        TEST(test_many_at_once),
        TEST(test_last_units_while_failing),
        TEST(test_disk_full),
        TEST(test_unknown_outcome),
        TEST(test_conflict),
        TEST(test_absent_and_unknown),
        TEST(test_store_is_deleted),
        TEST(test_lock_is_replaced),
        TEST(test_nul_in_a_text),
        TEST(test_plain_reader),
        TEST(test_order_bytes),
        TEST(test_list_shows_what_is_durable),
        TEST(test_page_of_events_is_bounded),
        TEST(test_unknown_method_and_garbage),
        TEST(test_stats),
    };
    log_open("/dev/null");
    fault_vfs_install();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
