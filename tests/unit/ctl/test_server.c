/* SPDX-License-Identifier: BSD-2-Clause */
/* The control socket with a master that is only pretended: requests in, documents out. */
#include "config.h"

#include <errno.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "conf/compiled.h"
#include "ctl/ctl.h"

static struct loop loop;
static struct control *control;
static struct metric_zone *metrics;
static struct bank_zone *banks;
static struct ctl *ctl;
static char dir[] = "/tmp/rushgate-ctl-XXXXXX", path[64];
static int listen_fd;

/* What the pretended master was told. */
static int stops, drains, reopens;
static bool stop_fast;
static ctl_reload_fn *reload_done;
static void *reload_request;
static uint64_t reload_wait, rollback_to;
static uint32_t share;

static void op_reload(void *arg, const struct ctl_order *order, ctl_reload_fn *done, void *request)
{
    (void)arg;
    reload_wait = order->wait_ns;
    rollback_to = order->generation;
    share = order->share;
    reload_done = done;
    reload_request = request;
}

static void op_stop(void *arg, bool fast)
{
    (void)arg;
    stops++;
    stop_fast = fast;
}

static void op_drain(void *arg)
{
    (void)arg;
    drains++;
}

static int op_reopen(void *arg)
{
    (void)arg;
    return ++reopens > 1 ? -ENOSPC : 0;
}

static const struct conf *op_conf(void *arg)
{
    return arg;
}

static const char *op_conf_file(void *arg)
{
    (void)arg;
    return "/etc/\xff\"x.yaml";
}

static unsigned op_listeners(void *arg, struct ctl_listener *out, unsigned max)
{
    (void)arg;
    (void)max;
    out[0] = (struct ctl_listener){"public", "127.0.0.1:8080"};
    return 1;
}

static unsigned op_generations(void *arg, struct ctl_generation *out, unsigned max)
{
    (void)arg;
    (void)max;
    out[0] = (struct ctl_generation){.generation = 7,
                                     .first = 7,
                                     .state = "current",
                                     .origin = "rollback",
                                     .reason = "too slow",
                                     .changes = "a, b"};
    out[1] = (struct ctl_generation){.generation = 6,
                                     .first = 4,
                                     .state = "kept",
                                     .origin = "file",
                                     .reason = "",
                                     .changes = "",
                                     .of_file = true};
    return 2;
}

static struct ctl_rolled_back op_rolled_back(void *arg)
{
    (void)arg;
    return (struct ctl_rolled_back){6, false, 1, 2, "uid 7", "too slow"};
}

static bool op_outdated(void *arg)
{
    (void)arg;
    return false;
}

static const char *op_busy(void *arg)
{
    (void)arg;
    return NULL;
}

static const struct ctl_ops ops = {
    .busy = op_busy,
    .reload = op_reload,
    .rollback = op_reload,
    .canary = op_reload,
    .promote = op_reload,
    .share = op_reload,
    .generations = op_generations,
    .rolled_back = op_rolled_back,
    .stop = op_stop,
    .drain = op_drain,
    .boxoffice_outdated = op_outdated,
    .reopen_logs = op_reopen,
    .conf = op_conf,
    .conf_file = op_conf_file,
    .listeners = op_listeners,
};

static void publish_configuration(void)
{
    static union {
        struct conf_root root;
        char bytes[4096];
    } blob;
    unsigned holder;

    blob.root.magic = CONF_MAGIC;
    blob.root.version = CONF_VERSION;
    blob.root.generation = 7;
    blob.root.size = sizeof blob;
    assert_int_equal(bank_publish(banks, control, &blob, sizeof blob, 7, &holder), 0);
}

static int setup(void **state)
{
    gid_t gid;
    struct ctl_config cfg;

    (void)state;
    loop_init(&loop);
    strcpy(dir, "/tmp/rushgate-ctl-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/s", dir);
    control = aligned_alloc(SHM_LINE, sizeof *control);
    metrics = aligned_alloc(SHM_LINE, (sizeof *metrics + SHM_LINE - 1) & ~(size_t)(SHM_LINE - 1));
    banks =
        aligned_alloc(SHM_LINE, (bank_zone_size(8192) + SHM_LINE - 1) & ~(size_t)(SHM_LINE - 1));
    memset(control, 0, sizeof *control);
    memset(metrics->route_name, 0, sizeof metrics->route_name);
    memset(&metrics->blocks[0], 0, sizeof metrics->blocks[0] * 2);
    memset(banks, 0, bank_zone_size(8192));
    control_init(control);
    bank_zone_init(banks, 8192);
    publish_configuration();
    atomic_store(&control->workers, 2);
    atomic_store(&control->slots[0].state, SLOT_READY);
    atomic_store(&control->slots[0].heartbeat_ns, clock_mono_ns());
    listen_fd = ctl_listen(path, 0660, "", (gid_t)-1, &gid);
    assert_true(listen_fd >= 0);
    cfg = (struct ctl_config){.loop = &loop,
                              .listen_fd = listen_fd,
                              .group = gid,
                              .control = control,
                              .metrics = metrics,
                              .banks = banks,
                              .prefix = "/",
                              .version = "1.2.3",
                              .ops = &ops};
    ctl = ctl_new(&cfg);
    assert_non_null(ctl);
    stops = drains = reopens = 0;
    reload_done = NULL;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    ctl_free(&ctl);
    assert_null(ctl);
    close(listen_fd);
    unlink(path);
    rmdir(dir);
    free(control);
    free(metrics);
    free(banks);
    loop_fini(&loop);
    return 0;
}

static int dial(void)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    strcpy(sa.sun_path, path);
    assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
    return fd;
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* Turns the loop until a line has come. NULL: the connection ended instead. */
static json_t *hear(int fd)
{
    static char line[1 << 20];
    size_t n = 0;
    json_error_t e;
    json_t *doc;

    for (int turns = 0; turns < 2000; turns++) {
        ssize_t got = recv(fd, line + n, 1, 0);
        if (got == 0)
            return NULL;
        if (got < 0) {
            loop_turn(&loop);
            continue;
        }
        turns = 0;
        if (line[n++] != '\n')
            continue;
        doc = json_loadb(line, n, 0, &e);
        assert_non_null(doc);
        return doc;
    }
    fail();
    return NULL;
}

static json_t *ask(int fd, const char *text)
{
    say(fd, text);
    return hear(fd);
}

static void expect_error(json_t *doc, const char *code)
{
    assert_non_null(doc);
    assert_string_equal(json_string_value(json_object_get(json_object_get(doc, "error"), "code")),
                        code);
    json_decref(doc);
}

static const char *schema(const json_t *doc)
{
    return json_string_value(json_object_get(doc, "schema"));
}

static void test_status(void **state)
{
    int fd = dial();
    json_t *doc, *data;

    (void)state;
    doc = ask(fd, "{\"v\":1,\"argv\":[\"status\"]}\n");
    assert_string_equal(schema(doc), "rushgate.status/1");
    assert_int_equal(json_integer_value(json_object_get(doc, "generation")), 7);
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(doc, "workers"), "reporting")), 1);
    assert_int_equal(json_array_size(json_object_get(doc, "warnings")), 1);
    data = json_object_get(doc, "data");
    assert_string_equal(json_string_value(json_object_get(data, "version")), "1.2.3");
    assert_string_equal(json_string_value(json_object_get(data, "config")),
                        "/etc/\xef\xbf\xbd\"x.yaml");
    assert_int_equal(json_array_size(json_object_get(data, "processes")), 2);
    json_decref(doc);
    /* Several on one connection, sent ahead: answered in order. */
    say(fd,
        "{\"v\":1,\"argv\":[\"show\",\"workers\"]}\n{\"v\":1,\"argv\":[\"show\",\"routes\"]}\n");
    doc = hear(fd);
    assert_string_equal(schema(doc), "rushgate.workers/1");
    json_decref(doc);
    doc = hear(fd);
    assert_string_equal(schema(doc), "rushgate.routes/1");
    json_decref(doc);
    close(fd);
}

static void test_bad_input(void **state)
{
    static const char *const bad[] = {
        "\n",
        "hello\n",
        "[]\n",
        "{}\n",
        "{\"v\":2,\"argv\":[\"status\"]}\n",
        "{\"v\":1}\n",
        "{\"v\":1,\"argv\":[]}\n",
        "{\"v\":1,\"argv\":[1]}\n",
        "{\"v\":1,\"argv\":\"status\"}\n",
        "{\"v\":1,\"argv\":[\"status\"],\"flags\":[]}\n",
        "{\"v\":1,\"argv\":[\"status\"],\"flags\":{\"nope\":true}}\n",
        "{\"v\":1,\"argv\":[\"reload\"],\"flags\":{\"wait\":true}}\n",
        "{\"v\":1,\"argv\":[\"reload\"],\"flags\":{\"strict\":\"x\"}}\n",
        "{\"v\":1,\"argv\":[\"check\"]}\n",
        "{\"v\":1,\"argv\":[\"\xff\"]}\n",
        "{\"v\":1,\"v\":1,\"argv\":[\"status\"]}\n",
        ("{\"v\":1,\"argv\":[\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\",\"a\","
         "\"a\",\"a\",\"a\",\"a\",\"a\",\"a\"]}\n"),
    };
    int fd = dial();

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect_error(ask(fd, bad[i]), "usage");
    assert_null(reload_done);
    /* The connection still works. */
    json_decref(ask(fd, "{\"v\":1,\"argv\":[\"status\"]}\n"));
    close(fd);
}

/* A line without an end: an error and the end of the connection. */
static void test_endless_line(void **state)
{
    static char junk[16384];
    int fd = dial();
    size_t sent = 0;

    (void)state;
    memset(junk, 'x', sizeof junk);
    for (int i = 0; i < 100 && sent <= 64 << 10; i++) {
        ssize_t n = send(fd, junk, sizeof junk, MSG_NOSIGNAL);
        sent += n > 0 ? (size_t)n : 0;
        loop_turn(&loop);
    }
    expect_error(hear(fd), "usage");
    assert_null(hear(fd));
    close(fd);
}

static struct ctl_reload_result result(bool ok)
{
    static const struct conf_change changes[] = {
        {"drain_timeout", "30s", "10s", false},
        {"workers", "2", "4", true},
    };

    return (struct ctl_reload_result){.ok = ok,
                                      .invalid = !ok,
                                      .errors = "a.yaml:1:1: error: no\n",
                                      .old_generation = 7,
                                      .new_generation = 8,
                                      .changes = changes,
                                      .changes_n = 2,
                                      .workers_acked = 2,
                                      .workers_total = 2};
}

static void start_reload(int fd, const char *text)
{
    reload_done = NULL;
    say(fd, text);
    for (int i = 0; i < 100 && reload_done == NULL; i++)
        loop_turn(&loop);
    assert_non_null(reload_done);
}

static void test_reload(void **state)
{
    int fd = dial();
    struct ctl_reload_result res = result(true);
    json_t *doc, *changes;

    (void)state;
    start_reload(fd, "{\"v\":1,\"argv\":[\"reload\"],\"flags\":{\"wait\":\"5s\"}}\n");
    assert_true(reload_wait == 5 * NS_PER_S);
    reload_done(reload_request, &res);
    doc = hear(fd);
    assert_string_equal(schema(doc), "rushgate.reload/1");
    changes = json_object_get(json_object_get(doc, "data"), "changes");
    assert_int_equal(json_array_size(changes), 2);
    assert_true(json_is_true(json_object_get(json_array_get(changes, 0), "applied")));
    assert_true(json_is_false(json_object_get(json_array_get(changes, 1), "applied")));
    json_decref(doc);

    start_reload(fd, "{\"v\":1,\"argv\":[\"reload\"]}\n");
    assert_true(reload_wait == 30 * NS_PER_S);
    res = result(false);
    reload_done(reload_request, &res);
    expect_error(hear(fd), "config_invalid");

    start_reload(fd, "{\"v\":1,\"argv\":[\"reload\"]}\n");
    res = result(true);
    res.incomplete = true;
    reload_done(reload_request, &res);
    expect_error(hear(fd), "timed_out");
    close(fd);
}

/* A reload that brings workers back waits for them, and says so when the time is over. */
static void test_reload_after_drain(void **state)
{
    int fd = dial();
    struct ctl_reload_result res = result(true);
    json_t *doc, *data;

    (void)state;
    res.workers_acked = res.workers_total = 1;
    atomic_store(&control->slots[CONTROL_KEEPER].state, SLOT_READY);
    atomic_store(&control->slots[1].state, SLOT_STARTING);
    start_reload(fd, "{\"v\":1,\"argv\":[\"reload\"],\"flags\":{\"wait\":\"5s\"}}\n");
    reload_done(reload_request, &res);
    for (int i = 0; i < 3; i++)
        loop_turn(&loop);
    assert_int_equal(recv(fd, &(char){0}, 1, MSG_DONTWAIT), -1);
    atomic_store(&control->slots[1].state, SLOT_READY);
    doc = hear(fd);
    data = json_object_get(doc, "data");
    assert_int_equal(json_integer_value(json_object_get(data, "processes_on_it")), 3);
    assert_int_equal(json_integer_value(json_object_get(data, "processes_total")), 3);
    json_decref(doc);

    atomic_store(&control->slots[1].state, SLOT_STARTING);
    start_reload(fd, "{\"v\":1,\"argv\":[\"reload\"],\"flags\":{\"wait\":\"50ms\"}}\n");
    reload_done(reload_request, &res);
    expect_error(hear(fd), "timed_out");

    /* Who does not wait is told how far it is. */
    start_reload(fd, "{\"v\":1,\"argv\":[\"reload\"],\"flags\":{\"wait\":\"0s\"}}\n");
    reload_done(reload_request, &res);
    doc = hear(fd);
    data = json_object_get(doc, "data");
    assert_int_equal(json_integer_value(json_object_get(data, "processes_on_it")), 1);
    assert_int_equal(json_integer_value(json_object_get(data, "processes_total")), 3);
    json_decref(doc);

    /* The server ends while somebody waits. */
    start_reload(fd, "{\"v\":1,\"argv\":[\"reload\"]}\n");
    reload_done(reload_request, &res);
    close(fd);
}

static void test_rollback(void **state)
{
    int fd = dial();
    struct ctl_reload_result res = result(true);
    json_t *doc;

    (void)state;
    start_reload(fd, "{\"v\":1,\"argv\":[\"config\",\"rollback\",\"4\"]}\n");
    assert_int_equal(rollback_to, 6); /* by the number that it had at first */
    reload_done(reload_request, &res);
    doc = hear(fd);
    assert_string_equal(schema(doc), "rushgate.rollback/1");
    json_decref(doc);
    expect_error(ask(fd, "{\"v\":1,\"argv\":[\"config\",\"rollback\",\"7\"]}\n"), "refused");
    expect_error(ask(fd, "{\"v\":1,\"argv\":[\"config\",\"rollback\",\"5\"]}\n"), "not_found");
    expect_error(ask(fd, "{\"v\":1,\"argv\":[\"config\",\"promote\"]}\n"), "refused");
    expect_error(ask(fd, "{\"v\":1,\"argv\":[\"config\",\"canary\",\"101%\"]}\n"), "usage");
    doc = ask(fd, "{\"v\":1,\"argv\":[\"show\",\"generations\"]}\n");
    assert_int_equal(json_array_size(json_object_get(doc, "data")), 2);
    json_decref(doc);
    start_reload(fd, "{\"v\":1,\"argv\":[\"reload\"],\"flags\":{\"canary\":\"2.5%\"}}\n");
    assert_int_equal(share, 250);
    reload_done(reload_request, &res);
    doc = hear(fd);
    assert_string_equal(schema(doc), "rushgate.canary/1");
    json_decref(doc);
    close(fd);
}

/* A client that leaves, or the server's end, while a request is with the master: nothing is left
 * over (AddressSanitizer looks on). */
static void test_client_leaves_early(void **state)
{
    struct ctl_reload_result res = result(true);
    int fd = dial(), other = dial();

    (void)state;
    start_reload(fd, "{\"v\":1,\"argv\":[\"reload\"]}\n");
    close(fd);
    for (int i = 0; i < 5; i++)
        json_decref(ask(other, "{\"v\":1,\"argv\":[\"status\"]}\n"));
    reload_done(reload_request, &res);
    start_reload(other, "{\"v\":1,\"argv\":[\"reload\"]}\n");
    close(other); /* ctl_free finds it pending */
}

static void test_stop_drain_reopen(void **state)
{
    int fd = dial();

    (void)state;
    json_decref(ask(fd, "{\"v\":1,\"argv\":[\"drain\"]}\n"));
    assert_int_equal(drains, 1);
    json_decref(ask(fd, "{\"v\":1,\"argv\":[\"reopen\"]}\n"));
    expect_error(ask(fd, "{\"v\":1,\"argv\":[\"reopen\"]}\n"), "failed");
    json_decref(ask(fd, "{\"v\":1,\"argv\":[\"stop\"],\"flags\":{\"fast\":false}}\n"));
    assert_int_equal(stops, 1);
    assert_false(stop_fast);
    json_decref(ask(fd, "{\"v\":1,\"argv\":[\"stop\"],\"flags\":{\"fast\":true}}\n"));
    assert_true(stop_fast);
    close(fd);
}

/* Without a box office in the configuration the commands about sales say so. */
static void test_no_box_office(void **state)
{
    int fd = dial();

    (void)state;
    expect_error(ask(fd, "{\"v\":1,\"argv\":[\"show\",\"sales\"]}\n"), "refused");
    expect_error(ask(fd, "{\"v\":1,\"argv\":[\"sale\",\"pause\",\"demo\"]}\n"), "refused");
    close(fd);
}

static void test_too_many_clients(void **state)
{
    int fd[65];

    (void)state;
    for (int i = 0; i < 64; i++) {
        fd[i] = dial();
        json_decref(ask(fd[i], "{\"v\":1,\"argv\":[\"status\"]}\n"));
    }
    fd[64] = dial();
    expect_error(hear(fd[64]), "busy");
    assert_null(hear(fd[64]));
    close(fd[0]);
    close(fd[64]);
    /* The end of a client that left is seen in the same turn as the new one, at the latest. */
    loop_turn(&loop);
    fd[0] = dial();
    json_decref(ask(fd[0], "{\"v\":1,\"argv\":[\"status\"]}\n"));
    for (int i = 0; i < 64; i++)
        close(fd[i]);
}

/* A half-closed connection still gets its answer. */
static void test_half_close(void **state)
{
    int fd = dial();
    json_t *doc;

    (void)state;
    say(fd, "{\"v\":1,\"argv\":[\"status\"]}\n");
    shutdown(fd, SHUT_WR);
    doc = hear(fd);
    assert_string_equal(schema(doc), "rushgate.status/1");
    json_decref(doc);
    assert_null(hear(fd));
    close(fd);
}

static void test_listen(void **state)
{
    struct stat st;
    gid_t gid;

    (void)state;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0660);
    assert_int_equal(ctl_listen(path, 0660, "", (gid_t)-1, &gid), -EADDRINUSE);
    assert_int_equal(ctl_listen("/tmp/x-rushgate", 0660, "no-such-group-here", (gid_t)-1, &gid),
                     -ENOENT);
}

/* The group that the caller wants where the configuration names none. */
static void test_listen_for(void **state)
{
    char other[80];
    struct stat st;
    gid_t gid, want = geteuid() == 0 ? 12 : getegid();
    int fd;

    (void)state;
    snprintf(other, sizeof other, "%s/o", dir);
    fd = ctl_listen(other, 0660, "", want, &gid);
    assert_true(fd >= 0);
    assert_int_equal(stat(other, &st), 0);
    assert_int_equal(st.st_gid, want);
    assert_int_equal(gid, want);
    close(fd);
    unlink(other);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_status),        TEST(test_bad_input),           TEST(test_endless_line),
        TEST(test_reload),        TEST(test_client_leaves_early), TEST(test_stop_drain_reopen),
        TEST(test_no_box_office), TEST(test_too_many_clients),    TEST(test_half_close),
        TEST(test_listen),        TEST(test_reload_after_drain),  TEST(test_listen_for),
        TEST(test_rollback),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
