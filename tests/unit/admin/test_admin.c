/* SPDX-License-Identifier: BSD-2-Clause */
/* The keeper's parts that need no peer: what they write, and how they count. */
#include "config.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "admin/parts.h"
#include "base/clock.h"
#include "base/log.h"
#include "http/method.h"

#define ALIGNED(n) (((n) + SHM_LINE - 1) & ~(size_t)(SHM_LINE - 1))

static struct control *control;
static struct metric_zone *metrics;

static int setup(void **state)
{
    (void)state;
    log_set_level(LOG_LEVEL_ERROR);
    control = aligned_alloc(SHM_LINE, ALIGNED(sizeof *control));
    memset(control, 0, sizeof *control);
    control_init(control);
    atomic_store(&control->workers, 2);
    for (unsigned i = 0; i < 2; i++) {
        atomic_store(&control->slots[i].state, SLOT_READY);
        atomic_store(&control->slots[i].starts, 1);
        atomic_store(&control->slots[i].heartbeat_ns, clock_mono_ns());
    }
    /* Memory of a memfd is zero: calloc of this size is, too, without touching it. */
    metrics = calloc(1, ALIGNED(sizeof *metrics) + SHM_LINE);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(control);
    free(metrics);
    return 0;
}

/* --- the access log --- */

static struct access_record hostile(void)
{
    static const char target[] = "/a\"b\\c\x01\n\x7f\xff\xc3\xa9<";

    return (struct access_record){
        .real_ns = UINT64_C(1795374365863000000),
        .duration_ns = 1234567,
        .bytes_in = 1,
        .bytes_out = INT64_MAX,
        .generation = 3,
        .peer = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 7},
        .status = 404,
        .method = METHOD_GET,
        .minor = 1,
        .target = slice_of(target, sizeof target - 1),
        .user_agent = SLICE_LIT("x\xf0\x28\x8c\x28"),
        .request_id = SLICE_LIT("r1"),
        .identity = SLICE_LIT("a\"b"), /* nothing else that needs care */
        .reason = SLICE_LIT("c\\d"),
        .trace_id = SLICE_LIT("\x7f"),
    };
}

static void test_access_format(void **state)
{
    struct access_format f = {0};
    struct access_record rec = hostile();
    struct buf out = {0};
    json_error_t e;
    json_t *doc;

    (void)state;
    access_format(&f, &rec, &out);
    assert_int_equal(out.p[out.n - 1], '\n');
    assert_ptr_equal(memchr(out.p, '\n', out.n), out.p + out.n - 1);
    doc = json_loadb(out.p, out.n, JSON_REJECT_DUPLICATES, &e);
    assert_non_null(doc);
    assert_string_equal(json_string_value(json_object_get(doc, "time")),
                        "2026-11-22T19:06:05.863Z");
    assert_string_equal(json_string_value(json_object_get(doc, "client")), "192.0.2.7");
    assert_string_equal(json_string_value(json_object_get(doc, "target")),
                        "/a\"b\\c\x01\n\x7f\xef\xbf\xbd\xc3\xa9<");
    assert_string_equal(json_string_value(json_object_get(doc, "user")), "a\"b");
    assert_string_equal(json_string_value(json_object_get(doc, "reason")), "c\\d");
    assert_string_equal(json_string_value(json_object_get(doc, "method")), "GET");
    assert_true(json_real_value(json_object_get(doc, "duration_ms")) == 1.234);
    assert_true(json_is_null(json_object_get(doc, "upstream_ms")));
    json_decref(doc);
    /* Another second, an IPv6 client, a method from nowhere. */
    buf_clear(&out);
    rec.real_ns += 60 * NS_PER_S + 5 * NS_PER_MS;
    rec.peer[0] = 0x20;
    rec.peer[10] = 0;
    rec.method = 200;
    rec.upstream_ns = NS_PER_MS;
    rec.bytes_out = 0;
    access_format(&f, &rec, &out);
    doc = json_loadb(out.p, out.n, 0, &e);
    assert_non_null(doc);
    assert_string_equal(json_string_value(json_object_get(doc, "time")),
                        "2026-11-22T19:07:05.868Z");
    assert_string_equal(json_string_value(json_object_get(doc, "method")), "");
    assert_non_null(strchr(json_string_value(json_object_get(doc, "client")), ':'));
    json_decref(doc);
    buf_free(&out);
}

static unsigned lines_of(const char *path)
{
    FILE *f = fopen(path, "r");
    unsigned n = 0;
    int c;

    assert_non_null(f);
    while ((c = getc(f)) != EOF)
        n += c == '\n';
    fclose(f);
    return n;
}

static void test_access_log(void **state)
{
    static struct loop loop;
    struct ring_zone *rings = aligned_alloc(SHM_LINE, ALIGNED(sizeof *rings));
    char path[] = "/tmp/rushgate-log-XXXXXX", moved[64];
    struct access_record rec = hostile();
    static struct metric_block block;
    struct access_log *l;

    (void)state;
    memset(&block, 0, sizeof block);
    memset(rings->rings, 0, sizeof rings->rings[0] * 3);
    close(mkstemp(path));
    snprintf(moved, sizeof moved, "%s.1", path);
    loop_init(&loop);
    l = access_log_new(&loop, rings, control, &block, path);
    for (int i = 0; i < 1000; i++)
        assert_true(access_ring_put(&rings->rings[i % 2], &rec));
    access_log_drain(l);
    assert_int_equal(lines_of(path), 1000);
    assert_int_equal(block.counter[METRIC_access_log_written], 1000);
    /* logrotate: moved away, opened again. */
    assert_int_equal(rename(path, moved), 0);
    assert_int_equal(access_log_reopen(l), 0);
    assert_true(access_ring_put(&rings->rings[0], &rec));
    access_log_free(&l); /* writes what is left */
    assert_null(l);
    assert_int_equal(lines_of(path), 1);
    assert_int_equal(lines_of(moved), 1000);
    loop_fini(&loop);
    unlink(path);
    unlink(moved);
    free(rings);
}

/* A full disk loses records, counts them, and nothing else. */
static void test_access_log_full(void **state)
{
    static struct loop loop;
    struct ring_zone *rings = aligned_alloc(SHM_LINE, ALIGNED(sizeof *rings));
    struct access_record rec = hostile();
    static struct metric_block block;
    struct access_log *l;

    (void)state;
    if (access("/dev/full", W_OK) < 0)
        skip();
    memset(rings->rings, 0, sizeof rings->rings[0] * 3);
    loop_init(&loop);
    log_open("/dev/null"); /* it says so, once */
    l = access_log_new(&loop, rings, control, &block, "/dev/full");
    for (int i = 0; i < 100; i++)
        assert_true(access_ring_put(&rings->rings[0], &rec));
    access_log_drain(l);
    assert_int_equal(block.counter[METRIC_access_log_lost], 100);
    assert_int_equal(block.counter[METRIC_access_log_written], 0);
    assert_int_equal(atomic_load(&rings->rings[0].head), atomic_load(&rings->rings[0].tail));
    access_log_free(&l);
    log_open(NULL);
    loop_fini(&loop);
    free(rings);
}

/* --- health and readiness --- */

/* A reload that turned the checks off must not leave an endpoint down for good. */
static void test_health_words_do_not_outlive_their_checks(void **state)
{
    static const struct conf_root nothing;
    struct loop loop;
    struct health *h;

    (void)state;
    loop_init(&loop);
    h = health_new(&loop, control);
    atomic_store(&control->endpoint_down[7], 1);
    health_follow(h, &nothing);
    assert_int_equal(control->endpoint_down[7], 0);
    health_free(&h);
    loop_fini(&loop);
}

static void test_health_counting(void **state)
{
    struct health_count c = {0};

    (void)state;
    assert_false(health_note(&c, false, 3, 2));
    assert_false(health_note(&c, false, 3, 2));
    assert_false(health_note(&c, true, 3, 2)); /* one success and the row begins anew */
    assert_false(health_note(&c, false, 3, 2));
    assert_false(health_note(&c, false, 3, 2));
    assert_true(health_note(&c, false, 3, 2));
    assert_true(c.down);
    assert_false(health_note(&c, false, 3, 2));
    assert_false(health_note(&c, true, 3, 2));
    assert_false(health_note(&c, false, 3, 2));
    assert_false(health_note(&c, true, 3, 2));
    assert_true(health_note(&c, true, 3, 2));
    assert_false(c.down);
    assert_true(health_note(&c, false, 1, 1));
}

static bool ready(uint64_t generation, const char *word)
{
    struct buf out = {0};
    json_error_t e;
    json_t *doc;
    bool ok = ready_write(control, generation, clock_mono_ns(), &out);

    doc = json_loadb(out.p, out.n, 0, &e);
    assert_non_null(doc);
    assert_int_equal(json_is_true(json_object_get(doc, "ready")), ok);
    if (!ok)
        assert_non_null(strstr(json_string_value(json_object_get(doc, "reason")), word));
    json_decref(doc);
    buf_free(&out);
    return ok;
}

static void test_ready(void **state)
{
    (void)state;
    assert_true(ready(1, ""));
    assert_false(ready(0, "configuration"));
    atomic_store(&control->slots[1].state, SLOT_STARTING);
    assert_false(ready(1, "1 of 2"));
    atomic_store(&control->slots[1].state, SLOT_READY);
    atomic_store(&control->slots[1].heartbeat_ns, clock_mono_ns() - 6 * NS_PER_S);
    assert_false(ready(1, "1 of 2"));
    atomic_store(&control->slots[1].heartbeat_ns, clock_mono_ns());
    assert_true(ready(1, ""));
    atomic_store(&control->draining, 1);
    assert_false(ready(1, "draining"));
    atomic_store(&control->draining, 0);
    atomic_store(&control->workers, 0);
    assert_false(ready(1, "0 of 0"));
}

/* --- metrics --- */

static box_stats *sample_sales(void)
{
    static Rushgate__Boxoffice__V1__EventStats event = RUSHGATE__BOXOFFICE__V1__EVENT_STATS__INIT;
    static Rushgate__Boxoffice__V1__OutcomeCount sold =
        RUSHGATE__BOXOFFICE__V1__OUTCOME_COUNT__INIT;
    static Rushgate__Boxoffice__V1__EventStats *events[] = {&event};
    static Rushgate__Boxoffice__V1__OutcomeCount *outcomes[] = {&sold};
    static box_stats s = RUSHGATE__BOXOFFICE__V1__STATS_RESPONSE__INIT;
    static char name[] = "de\"mo\\\n\xff", outcome[] = "created";

    event.event = name;
    event.quota = 10;
    event.sold = 3;
    event.held = 2;
    event.free = 5;
    event.state = RUSHGATE__BOXOFFICE__V1__SALE_STATE__open;
    sold.outcome = outcome;
    sold.count = 7;
    s.n_events = 1;
    s.events = events;
    s.n_purchases = 1;
    s.purchases = outcomes;
    s.commit_ns = 1500000000;
    return &s;
}

static void write_sample(struct buf *out, bool box_configured, const box_stats *box)
{
    static struct conf_root root = {.generation = 9};
    struct exposition x = {.control = control,
                           .metrics = metrics,
                           .root = &root,
                           .version = "1",
                           .box_configured = box_configured,
                           .box = box,
                           .now_ns = clock_mono_ns()};

    strcpy(metrics->route_name[1], "orders");
    atomic_store(&control->slots[CONTROL_BOXOFFICE].state, SLOT_READY);
    atomic_store(&control->slots[CONTROL_BOXOFFICE].starts, 1);
    metric_add(&metrics->blocks[0].routes[1].status[2], 3);
    metric_add(&metrics->blocks[1].routes[1].status[5], 1);
    histogram_record(&metrics->blocks[0].routes[1].latency, 2 * NS_PER_MS);
    histogram_record(&metrics->blocks[1].routes[1].latency, 100 * NS_PER_S);
    metric_add(&metrics->blocks[0].counter[METRIC_bytes_in], 11);
    metric_add(&metrics->blocks[1].counter[METRIC_bytes_in], 12);
    exposition_write(&x, out);
}

static void expect_line(const struct buf *b, const char *line)
{
    char want[256];
    size_t n = (size_t)snprintf(want, sizeof want, "\n%s\n", line);

    if (memmem(b->p, b->n, want, n) == NULL)
        fail_msg("no line %s", line);
}

static void test_exposition(void **state)
{
    struct buf out = {0};

    (void)state;
    write_sample(&out, true, sample_sales());
    expect_line(&out, "rushgate_http_request_bytes_total 23");
    expect_line(&out, "rushgate_http_requests_total{route=\"orders\",code=\"2xx\"} 3");
    expect_line(&out, "rushgate_http_requests_total{route=\"orders\",code=\"5xx\"} 1");
    expect_line(
        &out, "rushgate_http_request_duration_seconds_bucket{route=\"orders\",le=\"0.001024\"} 0");
    expect_line(
        &out, "rushgate_http_request_duration_seconds_bucket{route=\"orders\",le=\"0.002048\"} 1");
    expect_line(&out,
                "rushgate_http_request_duration_seconds_bucket{route=\"orders\",le=\"+Inf\"} 2");
    expect_line(&out, "rushgate_http_request_duration_seconds_sum{route=\"orders\"} 100.002000000");
    expect_line(&out, "rushgate_http_request_duration_seconds_count{route=\"orders\"} 2");
    expect_line(&out, "rushgate_worker_up{worker=\"1\"} 1");
    expect_line(&out, "rushgate_config_generation 9");
    expect_line(&out, "rushgate_boxoffice_up 1");
    expect_line(&out,
                "rushgate_event_units{event=\"de\\\"mo\\\\\\n\xef\xbf\xbd\",state=\"held\"} 2");
    expect_line(&out, "rushgate_purchases_total{outcome=\"created\"} 7");
    expect_line(&out, "rushgate_boxoffice_commit_seconds_total 1.500000000");
    buf_clear(&out);
    write_sample(&out, true, NULL);
    expect_line(&out, "rushgate_boxoffice_up 0");
    assert_null(memmem(out.p, out.n, "rushgate_event_", 15));
    /* It does not beat: an age of its heartbeat would be that of the machine. */
    assert_null(memmem(out.p, out.n, "heartbeat_age_seconds{worker=\"boxoffice\"", 39));
    expect_line(&out, "rushgate_worker_up{worker=\"boxoffice\"} 1");
    buf_clear(&out);
    write_sample(&out, false, NULL);
    assert_null(memmem(out.p, out.n, "rushgate_boxoffice_up", 21));
    buf_free(&out);
}

/* Prometheus' own opinion, where its tool is installed. */
static void test_promtool(void **state)
{
    struct buf out = {0};
    FILE *p;
    int status;

    (void)state;
    if (access("/usr/bin/promtool", X_OK) < 0)
        skip();
    write_sample(&out, true, sample_sales());
    p = popen("/usr/bin/promtool check metrics", "w");
    assert_non_null(p);
    assert_int_equal(fwrite(out.p, 1, out.n, p), out.n);
    status = pclose(p);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    buf_free(&out);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_access_format),
        TEST(test_access_log),
        TEST(test_access_log_full),
        TEST(test_ready),
        TEST(test_health_counting),
        TEST(test_exposition),
        TEST(test_health_words_do_not_outlive_their_checks),
        TEST(test_promtool),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
