/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A compiled configuration: one immutable, position-independent run of bytes in a bank of the
 * config zone. The master builds it in private memory (conf/compile.c), copies it into a spare bank
 * and flips; workers and the keeper read it and nobody writes it again until the bank is reused.
 *
 *   struct conf_root | arrays | route index | transcoding schemas | strings
 *
 * References are offsets from the start of the root, never pointers. The reader trusts the bytes:
 * they come from our own compiler in the same binary (magic and version are checked at adoption).
 */
#ifndef CONF_COMPILED_H
#define CONF_COMPILED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

#define CONF_MAGIC   UINT32_C(0x66636752) /* "Rgcf" */
#define CONF_VERSION 7u
#define CONF_NONE    UINT32_C(0xffffffff) /* "no such index" in a reference to an array element */

struct conf_str {
    uint32_t off, n; /* not terminated */
};

/* An array of fixed-size elements; the comment at the field names the type. */
struct conf_arr {
    uint32_t off, n;
};

/* An address range: IPv4 as IPv4-mapped IPv6. */
struct conf_cidr {
    uint8_t addr[16];
    uint32_t bits; /* 0 to 128, of the mapped form */
};

enum conf_protocol { CONF_GRPC, CONF_HTTP };
enum conf_balance { CONF_BALANCE_P2C, CONF_BALANCE_RENDEZVOUS };

enum conf_concurrency_mode {
    CONF_CONCURRENCY_OFF,
    CONF_CONCURRENCY_ADAPTIVE,
    CONF_CONCURRENCY_SHADOW,
    CONF_CONCURRENCY_FIXED
};

/* Calls of one worker at once, of a route or to an upstream. */
struct conf_concurrency {
    uint32_t mode; /* enum conf_concurrency_mode */
    uint32_t min, max, initial;
    uint32_t tolerance_percent;
    uint32_t stat;        /* index of its words in the metric zone; stable over reloads */
    struct conf_str name; /* "upstream/shop", "route/shop.CreateOrder"; "" when off */
};

struct conf_endpoint {
    struct conf_str
        address; /* "unix:/run/x.sock" or "host:port", as the worker hands it to connect */
    struct conf_str
        sockaddr;  /* struct sockaddr_* bytes, resolved by the master: workers do no DNS */
    uint32_t stat; /* index of its health word in the control zone; stable over reloads */
};

struct conf_upstream {
    struct conf_str name;
    uint32_t protocol;         /* enum conf_protocol */
    uint32_t balance;          /* enum conf_balance */
    struct conf_arr endpoints; /* struct conf_endpoint */
    uint32_t connections;      /* grpc: connections a worker keeps to each endpoint */
    uint32_t max_in_flight;    /* calls of one worker in flight to the upstream; above it 503 */
    uint32_t max_idle;         /* http: idle connections a worker keeps to each endpoint */
    uint32_t connect_timeout_ms;
    uint32_t idle_timeout_ms;      /* http: of a pooled connection */
    uint32_t retry_budget_percent; /* retries a worker may add to its requests, in per cent */
    uint32_t health_interval_ms;   /* 0: not checked */
    uint32_t health_timeout_ms;
    uint32_t health_fall, health_rise; /* consecutive results until it counts as down, as up */
    struct conf_str health_service;    /* grpc.health.v1 service name */
    struct conf_str health_path;       /* http */
    uint32_t eject_failures; /* passive ejection: consecutive connection failures; 0: never */
    uint32_t eject_ms;
    struct conf_concurrency concurrency;
};

/* What a limit counts by; the words of limits.key, in order. */
enum conf_key { CONF_CLIENT_IP, CONF_IDENTITY, CONF_ROUTE, CONF_CONSTANT, CONF_HEADER, CONF_PATH };
enum conf_limit_mode { CONF_ENFORCE, CONF_SHADOW };
enum conf_limit_headers { CONF_IETF, CONF_LEGACY, CONF_BOTH, CONF_OFF };

#define CONF_KEY_PARTS    4u /* of one limit's key */
#define CONF_ROUTE_LIMITS 8u
#define CONF_LIMITS       255u

struct conf_key_part {
    uint32_t kind;        /* enum conf_key */
    struct conf_str name; /* CONF_HEADER: of the field; CONF_PATH: of the variable */
};

/* A rate limit, limits.NAME. */
struct conf_rate_limit {
    struct conf_str name;
    uint64_t id;        /* of name and key: buckets are kept over a reload while it stays */
    uint64_t period_ns; /* `tokens` flow back in this time */
    uint64_t tokens, burst;
    uint32_t cost;
    uint32_t mode; /* enum conf_limit_mode */
    uint32_t ipv4_prefix, ipv6_prefix;
    uint32_t stat; /* index of its counters in the metric zone; stable over reloads */
    uint32_t parts_n;
    struct conf_key_part part[CONF_KEY_PARTS];
    uint32_t shared;           /* 1: with the other hosts, through Redis */
    uint32_t lease;            /* tokens a worker takes ahead at most; 0: by demand */
    struct conf_str policy;    /* its item of RateLimit-Policy */
    struct conf_str key, rate; /* as configured, for show limits */
};

struct conf_redis_server {
    struct conf_str address, sockaddr; /* as conf_endpoint */
    uint32_t stat;                     /* index in the metric zone; stable over reloads */
};

/* Where shared limits count. */
struct conf_redis {
    struct conf_arr servers; /* struct conf_redis_server; empty: there is none */
    struct conf_str prefix, username, password;
    uint32_t db;
    uint32_t budget_ms, connect_timeout_ms;
    uint32_t breaker_failures, breaker_open_ms;
};

/* A limit of a route. Those that enforce come first, each in the order of the file, which is the
 * same for all routes. */
struct conf_route_limit {
    uint32_t limit;               /* index in conf_root.rate_limits */
    uint32_t var[CONF_KEY_PARTS]; /* CONF_PATH: index of the route's variable */
};

#define CONF_RLS_RULES   1024u
#define CONF_RLS_ENTRIES 16u

/* One entry of a descriptor that a rule knows. */
struct conf_rls_entry {
    struct conf_str key, value;
    uint32_t open; /* 1: any value */
};

struct conf_rls_rule {
    uint64_t
        keys_hash; /* hash64 of the domain, seeded by the number of entries, chained over keys */
    struct conf_str domain;
    struct conf_arr entries; /* struct conf_rls_entry */
    uint32_t limit;          /* index in conf_root.rate_limits */
};

#define CONF_CLOSED_BY 8u /* fields that a refusal depends on */

enum conf_need { CONF_OPTIONAL, CONF_REQUIRED };

/* Methods are a bit set, 1 << enum http_method of http/method.h. */
struct conf_route {
    struct conf_str name; /* unique; label of its metrics */
    uint32_t stat;        /* index of its counters in the metric zone; stable over reloads */
    uint32_t methods;
    uint32_t upstream; /* index in conf_root.upstreams, or CONF_NONE when it answers by itself */
    uint32_t schema;   /* index in conf_root.schemas, or CONF_NONE: no transcoding */
    uint32_t rpc;      /* transcoding: index of the HTTP binding in the schema */
    uint32_t hash_var; /* rendezvous: index of the path variable to hash, or CONF_NONE: identity */
    uint32_t deadline_ms;
    uint32_t max_body;        /* bytes */
    uint32_t identity;        /* enum conf_need */
    uint32_t idempotency_key; /* enum conf_need */
    uint32_t retry;        /* 1: an idempotent request may be tried once more on another endpoint */
    struct conf_arr allow; /* struct conf_cidr; empty: everyone */
    struct conf_arr limits; /* struct conf_route_limit */
    struct conf_concurrency concurrency;
    uint32_t closed_n;                     /* 0: hints of the service do nothing */
    uint32_t closed_field[CONF_CLOSED_BY]; /* numbers of fields, of the request message */
    uint32_t split;                        /* index in conf_root.splits, or CONF_NONE */
    struct conf_str host;                  /* as configured, for show routes; "" is any */
    struct conf_str path;    /* template as configured, for show routes and the access log */
    uint32_t respond_status; /* without upstream: the answer */
    struct conf_str respond_body;
    struct conf_str respond_type;
};

struct conf_limits {
    uint32_t max_line;          /* bytes of the request line */
    uint32_t max_headers;       /* how many */
    uint32_t max_header_bytes;  /* all header lines together */
    uint32_t max_connections;   /* of one worker */
    uint32_t header_timeout_ms; /* from the first byte of a request to the end of its headers */
    uint32_t body_timeout_ms;   /* between two reads of a body */
    uint32_t idle_timeout_ms;   /* kept-alive connection without a request */
    uint32_t write_timeout_ms;  /* between two writes that made progress */
    uint32_t max_requests;      /* on one connection, then it closes; 0: no limit */
};

struct conf_root {
    uint32_t magic, version;
    uint64_t generation;
    uint64_t size; /* bytes of the whole run */
    uint64_t loaded_real_ns;
    struct conf_limits limits;
    uint32_t log_access;             /* 1: an access record per request */
    uint32_t log_level;              /* enum log_level */
    struct conf_str server_name;     /* of the Server header; "" sends none */
    struct conf_str identity_header; /* lower case; believed only from trusted_proxies */
    struct conf_str problem_base;    /* prefix of problem+json "type" */
    struct conf_arr trusted_proxies; /* struct conf_cidr */
    struct conf_arr upstreams;       /* struct conf_upstream */
    struct conf_arr routes;          /* struct conf_route */
    struct conf_arr rate_limits;     /* struct conf_rate_limit */
    uint32_t limit_headers;          /* enum conf_limit_headers */
    struct conf_redis redis;
    struct conf_arr splits;    /* struct conf_split of conf/split.h */
    struct conf_arr rls_rules; /* struct conf_rls_rule, the more specific first */
    struct conf_arr
        schemas; /* struct conf_str: each a schema of transcode/schema.h, 8-byte aligned */
    struct conf_str route_index;        /* conf/router.h, 8-byte aligned */
    struct conf_str boxoffice_upstream; /* name of the upstream that serves
                                           rushgate.boxoffice.v1.Admin; "" none */
    uint32_t drain_timeout_ms;          /* how long a draining worker waits for its requests */
};

static inline struct slice conf_slice(const struct conf_root *r, struct conf_str s)
{
    return slice_of((const char *)r + s.off, s.n);
}

static inline const void *conf_at(const struct conf_root *r, struct conf_arr a)
{
    return (const char *)r + a.off;
}

static inline const struct conf_route *conf_routes(const struct conf_root *r)
{
    return conf_at(r, r->routes);
}

static inline const struct conf_rate_limit *conf_rate_limits(const struct conf_root *r)
{
    return conf_at(r, r->rate_limits);
}

static inline const struct conf_upstream *conf_upstreams(const struct conf_root *r)
{
    return conf_at(r, r->upstreams);
}

/* addr: 16 bytes, IPv4 mapped. True when one of the ranges holds it. */
bool conf_cidr_match(const struct conf_root *r, struct conf_arr ranges, const uint8_t addr[16]);

#endif
