/* SPDX-License-Identifier: BSD-2-Clause */
/* Loading, merging, compiling, showing and comparing; and that no file, however broken, does harm.
 */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/hash.h"
#include "base/log.h"
#include "conf/compiled.h"
#include "conf/conf.h"
#include "conf/diag.h"
#include "conf/router.h"
#include "conf/split.h"
#include "conf/value.h"
#include "http/method.h"

/* Numbers only: a broken host name must not ask a name server. */
static bool resolve(const char *address, struct sockaddr_storage *sa, socklen_t *n,
                    const char **why)
{
    struct sockaddr_in *in = (void *)sa;
    struct slice host;

    *in = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (!value_host_port(slice_str(address), &host, &in->sin_port)) {
        *why = "no";
        return false;
    }
    in->sin_port = htons(in->sin_port);
    *n = sizeof *in;
    return true;
}

static const struct conf_options options = {.prefix = "/srv/gate", .resolve = resolve};

/* The directory of a test: files are written to it and named by it. */
struct place {
    char dir[64];
    char file[96];
};

static void put_file(const struct place *p, const char *name, const char *text, size_t n)
{
    char path[160];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", p->dir, name);
    f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, n, f), n);
    fclose(f);
}

static void put_text(const struct place *p, const char *name, const char *text)
{
    put_file(p, name, text, strlen(text));
}

static int setup(void **state)
{
    struct place *p = calloc(1, sizeof *p);

    strcpy(p->dir, "/tmp/test_conf.XXXXXX");
    if (mkdtemp(p->dir) == NULL)
        return -1;
    snprintf(p->file, sizeof p->file, "%s/main.yaml", p->dir);
    put_text(p, "shop.pb", "fake");
    put_text(p, "redis.password", "open sesame\n");
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    static const char *const names[] = {"main.yaml", "shop.pb", "redis.password",
                                        "a.yaml",    "b.yaml",  "c.yaml"};
    struct place *p = *state;
    char path[160];

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", p->dir, names[i]);
        unlink(path);
    }
    rmdir(p->dir);
    free(p);
    return 0;
}

static struct conf *load(const struct place *p, const char *text)
{
    struct buf errors = {0};
    struct conf *c;

    put_text(p, "main.yaml", text);
    c = conf_load_with(p->file, &options, &errors);
    if (c == NULL)
        fail_msg("%s", buf_cstr(&errors));
    assert_int_equal(errors.n, 0);
    buf_free(&errors);
    return c;
}

/* The file is refused, and `words` are in what is said. */
static void refused(const struct place *p, const char *text, const char *words)
{
    struct buf errors = {0};
    struct conf *c;

    put_text(p, "main.yaml", text);
    c = conf_load_with(p->file, &options, &errors);
    assert_null(c);
    if (strstr(buf_cstr(&errors), words) == NULL)
        fail_msg("no \"%s\" in:\n%s", words, buf_cstr(&errors));
    buf_free(&errors);
}

static const struct conf_root *compile(const struct conf *c, const struct conf_resolver *r,
                                       struct buf *blob)
{
    struct buf errors = {0};

    assert_true(conf_compile(c, r, 5, blob, &errors));
    buf_free(&errors);
    return (const void *)blob->p;
}

static void assert_str(const struct conf_root *r, struct conf_str s, const char *text)
{
    struct slice got = conf_slice(r, s);

    if (!slice_eq(got, slice_str(text)))
        fail_msg("\"%.*s\" is not \"%s\"", SLICE_ARG(got), text);
}

/* --- files --- */

static void test_defaults(void **state)
{
    struct conf *c = load(*state, "{}");
    const struct conf_process *p = conf_process(c);
    struct buf blob = {0};
    const struct conf_root *r = compile(c, &(struct conf_resolver){0}, &blob);

    assert_true(p->workers >= 1 && p->workers <= 64);
    assert_string_equal(p->user, "rushgate");
    assert_string_equal(p->pid_file, "/srv/gate/run/rushgate.pid");
    assert_int_equal(p->listeners_n, 1);
    assert_string_equal(p->listeners[0].name, "public");
    assert_string_equal(p->listeners[0].address, "0.0.0.0:8080");
    assert_int_equal(p->listeners[0].backlog, 4096);
    assert_int_equal(p->admin_socket_mode, 0660);
    assert_string_equal(p->admin_socket, "/srv/gate/run/rushgate.sock");
    assert_true(p->admin.sa_n > 0);
    assert_string_equal(p->log_error, "/srv/gate/log/error.log");
    assert_string_equal(p->log_access, "/srv/gate/log/access.log");
    assert_int_equal(p->log_level, LOG_LEVEL_NOTICE);
    assert_false(p->boxoffice_embedded);
    assert_string_equal(p->boxoffice_listen, "unix:/srv/gate/run/boxoffice.sock");
    assert_string_equal(p->boxoffice_store, "/srv/gate/data/boxoffice.db");
    assert_int_equal(r->magic, CONF_MAGIC);
    assert_int_equal(r->generation, 5);
    assert_int_equal(r->size, blob.n);
    assert_int_equal(r->limits.max_line, 8192);
    assert_int_equal(r->limits.idle_timeout_ms, 60000);
    assert_int_equal(r->routes.n, 0);
    assert_int_equal(r->log_access, 1);
    assert_str(r, r->server_name, "rushgate");
    assert_str(r, r->problem_base, "urn:rushgate:problem:");
    buf_free(&blob);
    conf_free(&c);
    assert_null(c);
}

static void test_files_merge(void **state)
{
    struct place *p = *state;
    struct buf shown = {0};
    struct conf *c;

    put_text(p, "a.yaml",
             "http: {max_line: 1k}\n"
             "trusted_proxies: [10.0.0.0/8]\n"
             "upstreams: {one: {max_idle: 7}}\n");
    put_text(p, "b.yaml",
             "http: {max_headers: 9}\n"
             "trusted_proxies: [\"::1\"]\n"
             "upstreams: {one: {protocol: http, endpoints: [127.0.0.1:1]}}\n");
    c = load(p, "include: [\"[ab].yaml\", nothing-*.yaml, nowhere/*.yaml]\n"
                "trusted_proxies: 127.0.0.1\n");
    assert_int_equal(conf_files(c), 3);
    conf_show(c, false, false, &shown);
    assert_non_null(strstr(buf_cstr(&shown), "[127.0.0.1, 10.0.0.0/8, ::1]"));
    assert_non_null(strstr(buf_cstr(&shown), "upstreams.one.max_idle"));
    buf_free(&shown);
    conf_free(&c);
    refused(p, "include: [a.yaml, b.yaml]\nhttp: {max_line: 2k}\n", "set twice, first at");
    refused(p, "include: none.yaml\n", "No such file");
    refused(p, "include: [main.yaml]\n", "includes itself");
    put_text(p, "c.yaml", "include: [main.yaml]\n");
    refused(p, "include: c.yaml\n", "includes itself");
}

static void test_not_a_file(void **state)
{
    struct buf errors = {0};

    (void)state;
    assert_null(conf_load("/nonexistent/rushgate.yaml", "/", &errors));
    assert_string_equal(buf_cstr(&errors),
                        "/nonexistent/rushgate.yaml: error: cannot read it: No such "
                        "file or directory\n1 error\n");
    buf_clear(&errors);
    assert_null(conf_load("/tmp", "/", &errors));
    assert_non_null(strstr(buf_cstr(&errors), "Is a directory"));
    buf_free(&errors);
}

/* --- the full example --- */

struct seen {
    unsigned routes, endpoints;
};

static uint32_t route_stat(void *arg, const char *name)
{
    assert_true(strlen(name) > 0);
    return 100 + ((struct seen *)arg)->routes++;
}

static uint32_t endpoint_stat(void *arg, const char *address)
{
    assert_true(strlen(address) > 0);
    return 200 + ((struct seen *)arg)->endpoints++;
}

static uint32_t limit_stat(void *arg, const char *name)
{
    (void)arg;
    return name[0] == 'p' ? 7 : 8;
}

static uint32_t concurrency_stat(void *arg, const char *name)
{
    (void)arg;
    return strcmp(name, "upstream/shop") == 0 ? 3 : 4;
}

static uint32_t redis_stat(void *arg, const char *address)
{
    (void)arg;
    return strcmp(address, "127.0.0.1:6379") == 0 ? 5 : 6;
}

static void check_redis(const struct conf_root *r)
{
    const struct conf_redis_server *s = conf_at(r, r->redis.servers);

    assert_int_equal(r->redis.servers.n, 2);
    assert_int_equal(s[0].stat, 5);
    assert_true(slice_eq(conf_slice(r, s[1].address), SLICE_LIT("unix:/run/redis.sock")));
    assert_int_equal(conf_slice(r, s[1].sockaddr).n, sizeof(struct sockaddr_un));
    assert_true(slice_eq(conf_slice(r, r->redis.prefix), SLICE_LIT("hall:")));
    assert_true(slice_eq(conf_slice(r, r->redis.username), SLICE_LIT("gate")));
    assert_true(slice_eq(conf_slice(r, r->redis.password), SLICE_LIT("open sesame")));
    assert_int_equal(r->redis.db, 2);
    assert_int_equal(r->redis.budget_ms, 3);
    assert_int_equal(r->redis.connect_timeout_ms, 200);
    assert_int_equal(r->redis.breaker_failures, 4);
    assert_int_equal(r->redis.breaker_open_ms, 2000);
}

static const char *source_dir(void)
{
    const char *dir = getenv("srcdir");
    return dir ? dir : ".";
}

static struct conf *load_full(void)
{
    struct buf errors = {0};
    char path[4096];
    struct conf *c;

    snprintf(path, sizeof path, "%s/tests/conf/full.yaml", source_dir());
    c = conf_load_with(path, &options, &errors);
    if (c == NULL)
        fail_msg("%s", buf_cstr(&errors));
    buf_free(&errors);
    return c;
}

static const struct conf_route *route_named(const struct conf_root *r, const char *name)
{
    for (uint32_t i = 0; i < r->routes.n; i++)
        if (slice_eq(conf_slice(r, conf_routes(r)[i].name), slice_str(name)))
            return &conf_routes(r)[i];
    fail_msg("no route %s", name);
    return NULL;
}

static void check_upstreams(const struct conf_root *r)
{
    const struct conf_upstream *u = conf_upstreams(r);
    const struct conf_endpoint *e = conf_at(r, u->endpoints);
    struct sockaddr_un un;
    struct sockaddr_in in;

    assert_int_equal(r->upstreams.n, 2);
    assert_str(r, u->name, "shop");
    assert_int_equal(u->protocol, CONF_GRPC);
    assert_int_equal(u->balance, CONF_BALANCE_RENDEZVOUS);
    assert_int_equal(u->retry_budget_percent, 25);
    assert_int_equal(u->health_interval_ms, 0);
    assert_int_equal(u->health_rise, 4);
    assert_str(r, u->health_service, "shop");
    assert_str(r, u->health_path, "/healthz");
    assert_int_equal(u->eject_failures, 0);
    assert_int_equal(u->endpoints.n, 2);
    assert_str(r, e[0].address, "unix:/srv/gate/run/shop.sock");
    memcpy(&un, conf_slice(r, e[0].sockaddr).p, sizeof un);
    assert_int_equal(un.sun_family, AF_UNIX);
    assert_string_equal(un.sun_path, "/srv/gate/run/shop.sock");
    assert_str(r, e[1].address, "127.0.0.1:7001");
    memcpy(&in, conf_slice(r, e[1].sockaddr).p, sizeof in);
    assert_int_equal(ntohs(in.sin_port), 7001);
    assert_int_equal(e[1].stat, 201);
    assert_int_equal(u[1].protocol, CONF_HTTP);
    assert_int_equal(u[1].max_idle, 8);
    assert_str(r, u[1].health_path, "/alive");
}

static void check_routes(const struct conf_root *r)
{
    const struct conf_route *item = route_named(r, "shop.GetItem");
    const struct conf_route *item2 = route_named(r, "shop.GetItem.2");
    const struct conf_route *buy = route_named(r, "shop.Buy");
    const struct conf_route *ask = route_named(r, "ask");
    const struct conf_route *hello = route_named(r, "hello");
    const struct conf_route *legacy = route_named(r, "legacy");

    assert_int_equal(r->routes.n, 7);
    assert_int_equal(item->rpc, 0);
    assert_int_equal(item->hash_var, 0);
    assert_int_equal(item->deadline_ms, 2000);
    assert_int_equal(item->max_body, 1 << 20); /* http.max_body */
    assert_int_equal(item->identity, CONF_REQUIRED);
    assert_int_equal(item->idempotency_key, CONF_OPTIONAL);
    assert_int_equal(item->upstream, 0);
    assert_int_equal(item->schema, 0);
    assert_str(r, item->host, "*.example.org");
    assert_int_equal(item2->rpc, 1);
    assert_int_equal(item2->hash_var, CONF_NONE);
    assert_int_equal(buy->rpc, 2);
    assert_int_equal(buy->methods, METHOD_BIT(METHOD_POST));
    assert_int_equal(buy->deadline_ms, 7000);
    assert_int_equal(buy->max_body, 2048);
    assert_int_equal(buy->identity, CONF_REQUIRED); /* the route's */
    assert_int_equal(buy->idempotency_key, CONF_REQUIRED);
    assert_int_equal(buy->retry, 1);
    assert_int_equal(buy->allow.n, 1);
    assert_int_equal(route_named(r, "shop.CancelOrder")->identity, CONF_OPTIONAL);
    assert_int_equal(ask->rpc, 11);
    assert_int_equal(ask->hash_var, 1);
    assert_int_equal(ask->methods, METHOD_BIT(METHOD_POST) | METHOD_BIT(METHOD_PUT));
    assert_int_equal(legacy->schema, CONF_NONE);
    assert_int_equal(legacy->rpc, CONF_NONE);
    assert_int_equal(legacy->methods, METHOD_ANY);
    assert_int_equal(hello->upstream, CONF_NONE);
    assert_int_equal(hello->respond_status, 203);
    assert_str(r, hello->respond_body, "costs $5\n");
    assert_str(r, hello->respond_type, "text/html");
}

static void check_ranges(const struct conf_root *r)
{
    const struct conf_route *legacy = route_named(r, "legacy");
    uint8_t a[16] = {[10] = 0xff, [11] = 0xff, 127, 9, 9, 9};
    uint8_t b[16] = {[10] = 0xff, [11] = 0xff, 192, 0, 2, 1};
    uint8_t six[16] = {0x20, 0x01, 0x0d, 0xb8, 1};

    assert_true(conf_cidr_match(r, r->trusted_proxies, a));
    assert_false(conf_cidr_match(r, r->trusted_proxies, b));
    assert_true(conf_cidr_match(r, r->trusted_proxies, six));
    six[3] = 0xb9;
    assert_false(conf_cidr_match(r, r->trusted_proxies, six));
    assert_true(conf_cidr_match(r, legacy->allow, b));
    b[15] = 2;
    assert_false(conf_cidr_match(r, legacy->allow, b));
}

static void check_index(const struct conf_root *r)
{
    struct router_match m;

    assert_int_equal(router_match(conf_slice(r, r->route_index), SLICE_LIT("a.example.org"),
                                  METHOD_BIT(METHOD_POST), SLICE_LIT("/shop/x/orders"), &m),
                     ROUTER_FOUND);
    assert_ptr_equal(&conf_routes(r)[m.route], route_named(r, "shop.Buy"));
    assert_int_equal(router_match(conf_slice(r, r->route_index), SLICE_LIT("other.org"),
                                  METHOD_BIT(METHOD_POST), SLICE_LIT("/shop/x/orders"), &m),
                     ROUTER_NO_PATH);
}

static void check_limits(const struct conf_root *r)
{
    const struct conf_rate_limit *l = conf_rate_limits(r);
    const struct conf_route *item = route_named(r, "shop.GetItem");
    const struct conf_route_limit *used = conf_at(r, item->limits);

    assert_int_equal(r->limit_headers, CONF_BOTH);
    assert_int_equal(r->rate_limits.n, 3);
    assert_int_equal(r->rate_limits.off % 8, 0);
    assert_str(r, l[0].name, "everyone");
    assert_str(r, l[0].policy, "\"everyone\";q=90000;w=90");
    assert_int_equal(l[0].burst, 20);
    assert_int_equal(l[0].mode, CONF_SHADOW);
    assert_int_equal(l[0].part[0].kind, CONF_CONSTANT);
    assert_int_equal(l[0].period_ns, UINT64_C(90000000000));
    assert_str(r, l[1].key, "client_ip, path:event, header:X-Device");
    assert_str(r, l[1].rate, "5/10s");
    assert_int_equal(l[1].tokens, 5);
    assert_int_equal(l[1].burst, 5);
    assert_int_equal(l[1].cost, 2);
    assert_int_equal(l[1].stat, 7);
    assert_int_equal(l[1].parts_n, 3);
    assert_int_equal(l[1].part[1].kind, CONF_PATH);
    assert_int_equal(l[1].part[2].kind, CONF_HEADER);
    assert_str(r, l[1].part[2].name, "X-Device");
    assert_int_equal(l[1].ipv4_prefix, 24);
    assert_int_equal(l[1].ipv6_prefix, 56);
    assert_str(r, l[2].policy, "\"per_route\";q=6;w=1");
    assert_int_not_equal(l[0].id, l[1].id);
    /* Those that enforce first, in the order of limits. */
    assert_int_equal(item->limits.n, 3);
    assert_int_equal(used[0].limit, 1);
    assert_int_equal(used[0].var[1], 0);
    assert_int_equal(used[1].limit, 2);
    assert_int_equal(used[2].limit, 0);
    /* Its second path has no {event}. */
    assert_int_equal(route_named(r, "shop.GetItem.2")->limits.n, 2);
    assert_int_equal(route_named(r, "shop.Buy")->limits.n, 3);
    assert_int_equal(route_named(r, "shop.CancelOrder")->limits.n, 0);
}

static void test_rates(void **state)
{
    static const struct {
        const char *text;
        int64_t tokens;
        uint64_t period_ns; /* 0: refused */
    } all[] = {
        {"20/s", 20, 1000000000},
        {"5/10s", 5, 10000000000},
        {"100/m", 100, 60000000000},
        {"1/h", 1, 3600000000000},
        {"1/1h30m", 1, 5400000000000},
        {"1000/ms", 1000, 1000000},
        {"1000000/s", 1000000, 1000000000},
        {"1000001/s", 0, 0},
        {"1001/ms", 0, 0},
        {"1/30d", 1, 2592000000000000},
        {"1/31d", 0, 0},
        {"/s", 0, 0},
        {"1/", 0, 0},
        {"1/10", 0, 0},
        {"-1/s", 0, 0},
        {"1.5/s", 0, 0},
        {"1/0s", 0, 0},
        {"1 / s", 0, 0},
        {"", 0, 0},
        {"99999999999999999999/s", 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        struct buf why = {0};
        struct value v;
        bool ok = value_parse(S_LIMIT_RATE, slice_str(all[i].text), &v, &why);
        if (ok != (all[i].period_ns != 0) ||
            (ok && (v.num != all[i].tokens || v.period_ns != all[i].period_ns)))
            fail_msg("%s: %s", all[i].text, ok ? "ok" : buf_cstr(&why));
        buf_free(&why);
    }
}

static void assert_concurrency(const struct conf_root *r, const struct conf_concurrency *c,
                               const char *name, const uint32_t want[6])
{
    assert_str(r, c->name, name);
    assert_int_equal(c->mode, want[0]);
    assert_int_equal(c->min, want[1]);
    assert_int_equal(c->max, want[2]);
    assert_int_equal(c->initial, want[3]);
    assert_int_equal(c->tolerance_percent, want[4]);
    assert_int_equal(c->stat, want[5]);
}

/* Upstream, route and method; what a method does not say is the route's. */
static void check_concurrency(const struct conf_root *r)
{
    assert_concurrency(r, &conf_upstreams(r)[0].concurrency, "upstream/shop",
                       (uint32_t[]){CONF_CONCURRENCY_ADAPTIVE, 5, 500, 50, 200, 3});
    assert_int_equal(conf_upstreams(r)[1].concurrency.mode, CONF_CONCURRENCY_OFF);
    assert_concurrency(r, &route_named(r, "shop.Buy")->concurrency, "route/shop.Buy",
                       (uint32_t[]){CONF_CONCURRENCY_FIXED, 1, 12, 12, 150, 4});
    assert_concurrency(r, &route_named(r, "shop.CancelOrder")->concurrency,
                       "route/shop.CancelOrder",
                       (uint32_t[]){CONF_CONCURRENCY_SHADOW, 2, 12, 12, 150, 4});
    assert_int_equal(route_named(r, "hello")->concurrency.mode, CONF_CONCURRENCY_OFF);
}

static uint32_t arm_stat(void *arg, const char *name)
{
    (void)arg;
    return strcmp(name, "checkout/new") == 0 ? 5 : 0;
}

static void check_splits(const struct conf_root *r)
{
    const struct conf_split *s = conf_splits(r);
    const struct conf_arm *arm = conf_arms(r, s);

    assert_int_equal(r->splits.n, 2);
    assert_int_equal(r->splits.off % 8, 0);
    assert_int_equal(s->arms.off % 8, 0);
    assert_str(r, s->name, "checkout");
    assert_int_equal(s->by, CONF_BY_COOKIE);
    assert_str(r, s->by_name, "rg_arm");
    assert_str(r, s->by_text, "cookie:rg_arm");
    assert_str(r, s->header, "X-Arm");
    assert_str(r, s->header_lower, "x-arm");
    assert_int_equal(s->override, CONF_OVERRIDE_ANYONE);
    assert_int_equal(s->answer, 1);
    assert_int_equal(s->cookie_max_age_s, 7 * 86400);
    assert_int_equal(s->cookie_secure, 1);
    assert_int_equal(s->arms.n, 3);
    assert_str(r, arm[0].label, "checkout/old");
    assert_int_equal(arm[0].upstream, CONF_NONE);
    assert_int_equal(arm[0].responds, 0);
    assert_int_equal(arm[1].weight, 10);
    assert_int_equal(arm[1].upstream, 0);
    assert_int_equal(arm[1].stat, 5);
    assert_int_equal(arm[2].weight, 0);
    assert_int_equal(arm[2].responds, 1);
    assert_int_equal(arm[2].respond_status, 503);
    assert_str(r, arm[2].respond_body, "later\n");
    assert_int_equal(s[1].by, CONF_BY_CLIENT_IP);
    assert_int_equal(s[1].override, CONF_OVERRIDE_OFF);
    assert_str(r, s[1].header, "X-Test-Group");
    assert_int_equal(s[1].answer, 0);
    assert_int_equal(s[1].cookie_max_age_s, 30 * 86400);
    assert_int_equal(route_named(r, "shop.Buy")->split, 0);
    assert_int_equal(route_named(r, "shop.GetItem.2")->split, 0);
    assert_int_equal(route_named(r, "shop.CancelOrder")->split, CONF_NONE);
    assert_int_equal(route_named(r, "legacy")->split, CONF_NONE);
}

/* What leaves less open comes first. */
static void check_rls(const struct conf_root *r, const struct conf_process *p)
{
    const struct conf_rls_rule *rule = conf_at(r, r->rls_rules);
    const struct conf_rls_entry *e = conf_at(r, rule[2].entries);

    assert_int_equal(r->rls_rules.n, 3);
    assert_str(r, rule[0].domain, "edge");
    assert_int_equal(rule[0].entries.n, 1);
    assert_int_equal(((const struct conf_rls_entry *)conf_at(r, rule[0].entries))->open, 0);
    assert_int_equal(((const struct conf_rls_entry *)conf_at(r, rule[1].entries))->open, 1);
    assert_true(rule[0].keys_hash == rule[1].keys_hash);
    assert_int_equal(rule[2].entries.n, 4);
    assert_str(r, e[0].value, "buy");
    assert_str(r, e[3].key, "device");
    assert_str(r, conf_rate_limits(r)[rule[2].limit].name, "per_event");
    assert_int_equal(p->listeners_n, 4);
    assert_int_equal(p->listeners[1].kind, CONF_LISTEN_HTTP);
    assert_int_equal(p->listeners[3].kind, CONF_LISTEN_RLS);
    assert_string_equal(p->listeners[3].address, "[::1]:7100");
}

static void test_full(void **state)
{
    struct seen seen = {0};
    const struct conf_resolver resolver = {route_stat,       endpoint_stat, &seen,     limit_stat,
                                           concurrency_stat, arm_stat,      redis_stat};
    struct conf *c = load_full();
    struct buf blob = {0};
    const struct conf_root *r = compile(c, &resolver, &blob);
    const struct conf_process *p = conf_process(c);

    (void)state;
    assert_int_equal(p->workers, 3);
    check_rls(r, p);
    assert_null(p->log_error);
    assert_null(p->log_access);
    assert_int_equal(p->admin_socket_mode, 0600);
    assert_int_equal(p->drain_timeout_ms, 90000);
    assert_true(p->boxoffice_embedded);
    assert_string_equal(p->boxoffice_upstream, "shop");
    check_redis(r);
    assert_int_equal(r->log_access, 0);
    assert_int_equal(r->log_level, LOG_LEVEL_DEBUG);
    assert_str(r, r->identity_header, "x-buyer");
    assert_str(r, r->server_name, "");
    assert_int_equal(r->schemas.n, 1);
    assert_int_equal(r->schemas.off % 8, 0);
    assert_str(r, *(const struct conf_str *)conf_at(r, r->schemas),
               "fake descriptor set of tests/unit/conf/fake_schema.c\n7");
    assert_int_equal(seen.routes, 7);
    assert_int_equal(seen.endpoints, 3);
    check_upstreams(r);
    check_concurrency(r);
    check_routes(r);
    check_ranges(r);
    check_index(r);
    check_limits(r);
    check_splits(r);
    buf_free(&blob);
    conf_free(&c);
}

/* --- show, diff --- */

static void test_show(void **state)
{
    struct place *p = *state;
    struct conf *c = load(p, "http:\n  max_line: 4k\nlog: {error: \"log/a\"}\n");
    struct buf out = {0};
    char want[256];

    conf_show(c, true, false, &out);
    snprintf(want, sizeof want, "4k");
    assert_non_null(strstr(buf_cstr(&out), "http.max_line "));
    snprintf(want, sizeof want, "%s:2\n", p->file);
    assert_non_null(strstr(buf_cstr(&out), want));
    assert_non_null(strstr(buf_cstr(&out), "/srv/gate/log/a"));
    assert_non_null(strstr(buf_cstr(&out), "  default\n"));
    buf_clear(&out);
    conf_show(c, true, true, &out);
    snprintf(want, sizeof want,
             "{\"setting\":\"http.max_line\",\"value\":\"4k\",\"origin\":\"%s:2\",\"reload\":true}",
             p->file);
    assert_non_null(strstr(buf_cstr(&out), want));
    assert_non_null(strstr(buf_cstr(&out),
                           "{\"setting\":\"listen[public].backlog\",\"value\":\"4096\","
                           "\"origin\":\"default\",\"reload\":false}"));
    buf_free(&out);
    conf_free(&c);
}

static void note(void *arg, const struct conf_change *ch)
{
    buf_printf(arg, "%s: %s -> %s%s\n", ch->path, ch->old_text, ch->new_text,
               ch->restart ? " restart" : "");
}

static void test_diff(void **state)
{
    struct place *p = *state;
    struct buf out = {0};
    struct conf *a = load(p, "workers: 2\n"
                             "http: {max_line: 4k, max_body: 1k}\n"
                             "transcode: {s: {descriptor_set: shop.pb}}\n"
                             "routes:\n"
                             "- {name: x, match: {path: /x}, respond: {body: a}}\n"
                             "- {name: y, match: {path: /y}, respond: {body: a}}\n");
    struct conf *b;

    put_text(p, "shop.pb", "fake, and not the same");
    b = load(p, "workers: 3\n"
                "http: {max_line: 4096, max_body: 2k}\n"
                "transcode: {s: {descriptor_set: shop.pb}}\n"
                "trusted_proxies: [\"::1\"]\n"
                "routes:\n"
                "- {name: z, match: {path: /z}, respond: {body: a}}\n"
                "- {name: y, match: {path: /y}, respond: {body: b}}\n");
    assert_int_equal(conf_diff(a, a, note, &out), 0);
    assert_int_equal(conf_diff(a, b, note, &out), 7);
    assert_non_null(strstr(buf_cstr(&out), "workers: 2 -> 3 restart\n"));
    assert_non_null(strstr(buf_cstr(&out), "trusted_proxies: [] -> [::1]\n"));
    assert_non_null(strstr(buf_cstr(&out), "http.max_body: 1k -> 2k\n"));
    assert_non_null(strstr(buf_cstr(&out), "transcode.s.descriptor_set: "));
    assert_non_null(strstr(buf_cstr(&out), "routes[x]: present -> absent\n"));
    assert_non_null(strstr(buf_cstr(&out), "routes[z]: absent -> present\n"));
    assert_non_null(strstr(buf_cstr(&out), "routes[y].respond.body: a -> b\n"));
    buf_free(&out);
    conf_free(&a);
    conf_free(&b);
}

/* --- broken files --- */

static void test_many_errors(void **state)
{
    struct buf text = {0};

    for (int i = 0; i < 300; i++)
        buf_printf(&text, "nonsense%d: 1\n", i);
    refused(*state, buf_cstr(&text), "(the first 20 are shown)\n300 errors\n");
    buf_free(&text);
}

static char *slurp(const char *path, size_t *n)
{
    FILE *f = fopen(path, "r");
    char *text = malloc(1 << 16);

    assert_non_null(f);
    *n = fread(text, 1, 1 << 16, f);
    fclose(f);
    return text;
}

/* One to four changes: bytes put, taken, doubled, lines swapped for others. */
static size_t mutate(uint64_t *seed, char *text, size_t n)
{
    static const char spice[] = ":-{}[]\"'#&*!|>%@`\n\t ,$?~\0\x80\xff\xef\xbb\xbf\xe2\x80\xa8";

    for (unsigned changes = 1 + (unsigned)(random_next(seed) % 4); changes > 0 && n > 40;
         changes--) {
        size_t at = random_next(seed) % (n - 32), len = random_next(seed) % 32;
        switch (random_next(seed) % 4) {
        case 0:
            text[at] = spice[random_next(seed) % (sizeof spice - 1)];
            break;
        case 1:
            memmove(text + at, text + at + len, n - at - len);
            n -= len;
            break;
        case 2:
            memmove(text + at + len, text + at, n - at);
            n += len;
            break;
        default:
            memmove(text + at, text + random_next(seed) % (n - 32), len);
        }
    }
    return n;
}

static void test_broken_files(void **state)
{
    struct place *p = *state;
    uint64_t seed = 20;
    unsigned bad = 0;
    size_t n0;
    char path[4096], *original, *text = malloc(1 << 16);

    snprintf(path, sizeof path, "%s/tests/conf/full.yaml", source_dir());
    original = slurp(path, &n0);
    for (int i = 0; i < 1500; i++) {
        struct buf errors = {0};
        struct conf *c;
        size_t n;

        memcpy(text, original, n0);
        n = mutate(&seed, text, n0);
        put_file(p, "main.yaml", text, n);
        c = conf_load_with(p->file, &options, &errors);
        assert_true((c == NULL) == (errors.n > 0));
        if (c != NULL) {
            struct buf out = {0};
            compile(c, &(struct conf_resolver){0}, &out);
            buf_clear(&out);
            conf_show(c, true, true, &out);
            buf_free(&out);
        } else {
            assert_non_null(strstr(buf_cstr(&errors), ": error: "));
            bad++;
        }
        conf_free(&c);
        buf_free(&errors);
    }
    assert_true(bad > 500 && bad < 1500);
    free(original);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rates),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_not_a_file),
        cmocka_unit_test_setup_teardown(test_defaults, setup, teardown),
        cmocka_unit_test_setup_teardown(test_files_merge, setup, teardown),
        cmocka_unit_test_setup_teardown(test_show, setup, teardown),
        cmocka_unit_test_setup_teardown(test_diff, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_errors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_broken_files, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
