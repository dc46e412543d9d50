/* SPDX-License-Identifier: BSD-2-Clause */
/* What tests/conf/full.yaml, which sets everything, compiles to. */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/un.h>
#include <cmocka.h>

#include "base/log.h"
#include "conf/router.h"
#include "conf/split.h"
#include "fixture.h"
#include "http/method.h"

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
    struct conf *c = fixture_load(fixture_full_file());
    struct buf blob = {0};
    const struct conf_root *r = fixture_compile(c, &resolver, &blob);
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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_full)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
