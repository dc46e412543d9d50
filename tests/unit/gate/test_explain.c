/* SPDX-License-Identifier: BSD-2-Clause */
/* Explanations: what they say of shared words, that they change none, and that no words of a
 * question break them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "conf/conf.h"
#include "gate/explain.h"
#include "gate/limit_bucket.h"
#include "table/ban_book.h"

#define WORKERS 2u

static const char yaml[] =
    "trusted_proxies: [127.0.0.0/8]\n"
    "limits:\n"
    "  few: {key: client_ip, rate: 4/h}\n"
    "  watched: {key: constant, rate: 1/h, mode: shadow}\n"
    "splits:\n"
    "  page: {by: 'cookie:seen', arms: {A: {weight: 50}, B: {weight: 50}}}\n"
    "upstreams:\n"
    "  web: {protocol: http, endpoints: ['127.0.0.1:1'], health: {interval: 0s},\n"
    "        concurrency: {mode: fixed, max: 3}}\n"
    "routes:\n"
    "  - {name: few, match: {path: '/few/{x}'}, limits: [few, watched], respond: {status: 200}}\n"
    "  - {name: page, match: {path: /page, host: '*.example.org'}, split: page, respond: {status: "
    "200}}\n"
    "  - {name: web, match: {path: '/web/**'}, upstream: web}\n";

static struct fixture {
    struct loop loop;
    struct control *control;
    struct zone limit_zone, ban_zone, metric_zone;
    struct buf blob;
    struct explain_context ctx;
    struct explain_sides sides;
} f;

static uint32_t one(void *arg, const char *name)
{
    (void)arg;
    (void)name;
    return 1;
}

static void load(void)
{
    const struct conf_options options = {.prefix = "/"};
    const struct conf_resolver stats = {
        .limit_stat = one, .concurrency_stat = one, .arm_stat = one, .route_stat = one};
    char path[] = "/tmp/test_explain.XXXXXX";
    struct buf errors = {0};
    int fd = mkstemp(path);
    struct conf *c;

    assert_int_equal(write(fd, yaml, sizeof(yaml) - 1), sizeof(yaml) - 1);
    close(fd);
    c = conf_load_with(path, &options, &errors);
    unlink(path);
    if (c == NULL)
        fail_msg("%s", buf_cstr(&errors));
    assert_true(conf_compile(c, &stats, 7, &f.blob, &errors));
    conf_free(&c);
    buf_free(&errors);
    f.sides =
        (struct explain_sides){.current = {.data = f.blob.p, .generation = 7}, .which = "current"};
}

static int setup(void **state)
{
    struct ban_book book;
    struct ban ban = {.until_ns = BAN_NEVER};
    struct buf why = {0};
    size_t added;

    (void)state;
    memset(&f, 0, sizeof(f));
    loop_init(&f.loop);
    f.control = aligned_alloc(SHM_LINE, (sizeof(*f.control) / SHM_LINE + 1) * SHM_LINE);
    memset(f.control, 0, sizeof(*f.control));
    atomic_store(&f.control->workers, WORKERS);
    assert_int_equal(zone_create(&f.limit_zone, "limit", LIMIT_LAYOUT, limit_zone_size(4)), 0);
    limit_zone_init((struct limit_zone *)f.limit_zone.head, 4, 11);
    assert_int_equal(zone_create(&f.ban_zone, "ban", BAN_LAYOUT, ban_zone_size(64)), 0);
    ban_zone_init((struct ban_zone *)f.ban_zone.head, 64, 12);
    assert_int_equal(
        zone_create(&f.metric_zone, "metric", METRIC_LAYOUT, sizeof(struct metric_zone)), 0);
    ban_book_init(&book, 64);
    assert_true(ban_target_parse(SLICE_LIT("192.0.2.0/24"), &ban.what, &why));
    assert_int_equal(ban_book_put(&book, &ban, 1, &added), 0);
    assert_int_equal(ban_book_publish(&book, (struct ban_zone *)f.ban_zone.head), 0);
    ban_book_fini(&book);
    load();
    f.ctx = (struct explain_context){
        .loop = &f.loop,
        .control = f.control,
        .metrics = (const struct metric_zone *)f.metric_zone.head,
        .limits = (struct limit_zone *)f.limit_zone.head,
        .bans = (struct ban_zone *)f.ban_zone.head,
    };
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    loop_fini(&f.loop);
    zone_close(&f.limit_zone);
    zone_close(&f.ban_zone);
    zone_close(&f.metric_zone);
    buf_free(&f.blob);
    free(f.control);
    return 0;
}

/* The explanation, to be given back; NULL where the question is refused, which then says why. */
static json_t *ask(const struct explain_order o)
{
    struct buf out = {0}, why = {0};
    json_t *data = NULL;
    int rc;

    rc = explain(&f.ctx, &f.sides, &o, &out, &why);
    if (rc == 0) {
        data = json_loadb(out.p, out.n, 0, NULL);
        assert_non_null(data);
    } else {
        assert_int_equal(rc, -EINVAL);
        assert_true(why.n > 0);
    }
    buf_free(&out);
    buf_free(&why);
    return data;
}

static json_t *get(const char *url, const char *client)
{
    return ask((struct explain_order){.method = "GET", .url = url, .client = client});
}

static json_t *decision(json_t *data, const char *key)
{
    return json_object_get(json_object_get(data, "decision"), key);
}

static void expect_status(const char *url, const char *client, int status)
{
    json_t *data = get(url, client);

    assert_int_equal(json_integer_value(decision(data, "status")), status);
    json_decref(data);
}

/* The first step of that name. */
static json_t *step(json_t *data, const char *name)
{
    json_t *s;
    size_t i;

    json_array_foreach(json_object_get(data, "steps"), i, s)
    {
        if (strcmp(json_string_value(json_object_get(s, "step")), name) == 0)
            return s;
    }
    fail_msg("no step %s", name);
    return NULL;
}

static long long number(json_t *data, const char *name, const char *key)
{
    return json_integer_value(json_object_get(step(data, name), key));
}

/* The bucket of an address, as the phase has it. */
static struct limit_ask bucket(const char *address)
{
    const struct conf_root *root = f.sides.current.data;
    const struct conf_rate_limit *l = conf_rate_limits(root);
    struct limit_ask a = {.interval = limit_interval(l->tokens, l->period_ns)};
    struct ban_target t;
    struct buf why = {0};
    uint64_t seed = hash_mix(l->id ^ f.ctx.limits->seed);

    assert_true(ban_target_parse(slice_str(address), &t, &why));
    a.fingerprint = limit_fingerprint(limit_hash_address(t.addr, l, seed));
    a.capacity = l->burst * a.interval;
    a.charge = a.interval;
    return a;
}

static void test_limits_are_looked_at(void **state)
{
    struct limit_ask a = bucket("203.0.113.5");

    (void)state;
    for (int left = 4; left >= 0; left--) {
        json_t *data = get("/few/a", "203.0.113.5");
        assert_int_equal(number(data, "limit", "left"), left);
        assert_int_equal(json_integer_value(decision(data, "status")), left > 0 ? 200 : 429);
        json_decref(data);
        assert_int_equal(limit_take(f.ctx.limits, &a, clock_mono_ns()), left > 0);
    }
    expect_status("/few/a", "203.0.113.6", 200);
}

static void test_leases_are_told(void **state)
{
    struct limit_ask a = bucket("203.0.113.5");
    struct limit_lease *l = &f.ctx.limits->slab[1].line[a.fingerprint % LIMIT_LEASES];
    uint64_t now = clock_mono_ns() * LIMIT_TICKS_PER_NS;
    json_t *data;

    (void)state;
    a.charge = a.capacity;
    assert_true(limit_take(f.ctx.limits, &a, clock_mono_ns()));
    atomic_store(&l->fingerprint, a.fingerprint);
    atomic_store(&l->interval, a.interval);
    atomic_store(&l->spent, now + a.interval);
    atomic_store(&l->end, now + 3 * a.interval);
    data = get("/few/a", "203.0.113.5");
    assert_int_equal(number(data, "limit", "leased"), 2);
    assert_int_equal(json_integer_value(decision(data, "status")), 429);
    assert_true(json_is_false(decision(data, "certain")));
    json_decref(data);
    /* What is no lease of a bucket of this size is not believed. */
    atomic_store(&l->end, now + 300 * a.interval);
    data = get("/few/a", "203.0.113.5");
    assert_int_equal(number(data, "limit", "leased"), 0);
    json_decref(data);
}

static void set_places(unsigned worker, uint64_t limit, uint64_t in_flight)
{
    struct metric_zone *z = (struct metric_zone *)f.metric_zone.head;

    atomic_store(&z->blocks[worker].concurrency[1].limit_milli, limit * 1000);
    atomic_store(&z->blocks[worker].concurrency[1].in_flight, in_flight);
}

static void test_places_of_all_workers(void **state)
{
    json_t *data;

    (void)state;
    expect_status("/web/x", NULL, 0); /* never used */
    set_places(0, 3, 2);
    set_places(1, 3, 1);
    data = get("/web/x", NULL);
    assert_int_equal(number(data, "concurrency", "in_flight"), 3);
    assert_int_equal(number(data, "concurrency", "at_most"), 6);
    assert_true(json_is_true(decision(data, "certain")));
    json_decref(data);
    set_places(0, 3, 3);
    data = get("/web/x", NULL);
    assert_string_equal(json_string_value(decision(data, "outcome")), "upstream");
    assert_true(json_is_false(decision(data, "certain")));
    json_decref(data);
    set_places(1, 3, 4);
    expect_status("/web/x", NULL, 503);
}

/* The same configuration on both sides: whom the canary has is a matter of the share. */
static void test_a_canary_for_some(void **state)
{
    unsigned canary = 0;

    (void)state;
    f.sides.canary = (struct bank_canary){
        .ref = {.data = f.blob.p, .generation = 8}, .share = BANK_SHARE_ALL / 4, .seed = 3};
    for (unsigned i = 0; i < 200; i++) {
        char client[32];
        json_t *data;
        snprintf(client, sizeof(client), "203.0.113.%u", i);
        data = get("/few/a", client);
        canary += json_integer_value(json_object_get(data, "generation")) == 8;
        assert_string_equal(
            json_string_value(json_object_get(step(data, "config"), "which")),
            json_integer_value(json_object_get(data, "generation")) == 8 ? "canary" : "current");
        json_decref(data);
    }
    assert_in_range(canary, 20, 80);
}

static uint64_t hash_zone(const struct zone *z, size_t n)
{
    return hash64(slice_of((const char *)z->head, n), 0);
}

static void test_nothing_is_written(void **state)
{
    static const char *const urls[] = {"/few/a", "/web/x",   "/page", "http://w.example.org/page",
                                       "/none",  "/few/%00", "*"};
    static const char *const clients[] = {NULL, "203.0.113.5", "192.0.2.7", "2001:db8::1"};
    size_t metrics_n = offsetof(struct metric_zone, blocks) + 3 * sizeof(struct metric_block);
    struct limit_ask a = bucket("203.0.113.5");
    uint64_t limits, bans, metrics;

    (void)state;
    /* A debt from before the rate was raised, which one who takes would cut. */
    a.capacity *= 1000;
    a.charge = a.capacity;
    assert_true(limit_take(f.ctx.limits, &a, clock_mono_ns()));
    limits = hash_zone(&f.limit_zone, limit_zone_size(4));
    bans = hash_zone(&f.ban_zone, ban_zone_size(64));
    metrics = hash_zone(&f.metric_zone, metrics_n);
    for (unsigned i = 0; i < 100; i++)
        for (unsigned c = 0; c < 4; c++)
            json_decref(get(urls[i % 7], clients[c]));
    expect_status("/few/a", "192.0.2.7", 403);
    expect_status("/few/a", "203.0.113.5", 429);
    assert_true(limits == hash_zone(&f.limit_zone, limit_zone_size(4)));
    assert_true(bans == hash_zone(&f.ban_zone, ban_zone_size(64)));
    assert_true(metrics == hash_zone(&f.metric_zone, metrics_n));
}

/* A text of words that mean something, and of any bytes but NUL. */
static const char *any_text(uint64_t *rng, char out[256])
{
    static const char *const words[] = {"/",
                                        "few",
                                        "web",
                                        "/few/a",
                                        "/page",
                                        "http://",
                                        "https://",
                                        "w.example.org",
                                        "?",
                                        "#",
                                        "%2e",
                                        "..",
                                        "GET",
                                        "POST",
                                        "*",
                                        "Host: ",
                                        "X-Forwarded-For: ",
                                        "Cookie: seen=",
                                        "\r\n",
                                        ":",
                                        "127.0.0.1",
                                        "::1",
                                        "[",
                                        "]",
                                        "\xc3\x28",
                                        "Content-Length: 1",
                                        "Expect: 100-continue",
                                        "X-User-Id: "};
    unsigned parts = (unsigned)(random_next(rng) % 6);
    size_t n = 0;

    for (unsigned i = 0; i < parts; i++) {
        uint64_t r = random_next(rng);
        if (r % 4 == 0)
            out[n++] = (char)(1 + r / 4 % 255);
        else
            n += (size_t)snprintf(out + n, 40, "%s",
                                  words[r / 4 % (sizeof(words) / sizeof(*words))]);
    }
    out[n] = '\0';
    return out;
}

static void test_any_words(void **state)
{
    static char text[6][256];
    uint64_t rng = 1;
    unsigned explained = 0;

    (void)state;
    for (unsigned i = 0; i < 5000; i++) {
        const char *headers[2] = {any_text(&rng, text[0]), any_text(&rng, text[1])};
        uint64_t r = random_next(&rng);
        json_t *data = ask((struct explain_order){
            .method = r & 1 ? "GET" : any_text(&rng, text[2]),
            .url = r & 2 ? "/few/a" : any_text(&rng, text[3]),
            .headers = headers,
            .headers_n = (unsigned)(r >> 2) % 3,
            .client = r & 16 ? NULL : any_text(&rng, text[4]),
            .identity = r & 32 ? NULL : any_text(&rng, text[5]),
            .body = r & 64 ? "x" : NULL,
        });
        explained += data != NULL;
        json_decref(data);
    }
    assert_true(explained > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_limits_are_looked_at, setup, teardown),
        cmocka_unit_test_setup_teardown(test_leases_are_told, setup, teardown),
        cmocka_unit_test_setup_teardown(test_places_of_all_workers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_canary_for_some, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nothing_is_written, setup, teardown),
        cmocka_unit_test_setup_teardown(test_any_words, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
