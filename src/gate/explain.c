/* SPDX-License-Identifier: BSD-2-Clause */
#include "gate/explain.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/ip.h"
#include "gate/explain_note.h"
#include "http/head.h"
#include "http/problem.h"

#define DEFAULT_HOST   "localhost"
#define DEFAULT_CLIENT "127.0.0.1"

/* --- the question as bytes --- */

/* The bytes must be those of one request: nothing that ends a line may come in. */
static bool check_text(const char *what, const char *text, struct buf *why)
{
    for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++) {
        if ((*p >= ' ' && *p != 0x7f) || *p == '\t')
            continue;
        buf_printf(why, "%s holds a control character", what);
        return false;
    }
    return true;
}

static bool check_header(const char *line, struct buf *why)
{
    const char *colon = strchr(line, ':');

    if (!check_text("a header", line, why))
        return false;
    if (colon != NULL && colon != line)
        return true;
    buf_printf(why, "\"%s\" is no header: NAME: VALUE is wanted", line);
    return false;
}

static bool check_order(const struct explain_order *o, struct buf *why)
{
    if (!check_text("the method", o->method, why) || !check_text("the URL", o->url, why) ||
        (o->identity != NULL && !check_text("the identity", o->identity, why)))
        return false;
    if (o->method[0] == '\0' || strpbrk(o->method, " \t") != NULL) {
        buf_printf(why, "\"%s\" is no method", o->method);
        return false;
    }
    if (o->identity != NULL && o->identity[0] == '\0') {
        buf_str(why, "the identity is empty");
        return false;
    }
    for (unsigned i = 0; i < o->headers_n; i++)
        if (!check_header(o->headers[i], why))
            return false;
    return true;
}

struct url {
    struct slice host, target; /* host "": not in it */
};

/* "/path?query", "*", or with scheme and host before it, which are then as a client would send
 * them.
 */
static bool split_url(const char *text, struct url *out, struct buf *why)
{
    size_t scheme = strncasecmp(text, "http://", 7) == 0    ? 7
                    : strncasecmp(text, "https://", 8) == 0 ? 8
                                                            : 0;
    const char *rest = text + scheme;
    size_t n = scheme > 0 ? strcspn(rest, "/?") : 0;

    *out = (struct url){slice_of(rest, n), slice_str(rest + n)};
    if (scheme > 0 ? n > 0 : (text[0] == '/' || strcmp(text, "*") == 0))
        return true;
    buf_printf(why, "\"%s\" is no URL: /PATH or http://HOST/PATH is wanted", text);
    return false;
}

static bool is_host(const char *line)
{
    return strncasecmp(line, "host:", 5) == 0;
}

static void write_head(const struct explain_order *o, const struct url *url, struct buf *out)
{
    bool host = false;

    buf_printf(out, "%s %s%.*s HTTP/1.1\r\n", o->method,
               url->target.n == 0 || url->target.p[0] == '?' ? "/" : "", SLICE_ARG(url->target));
    for (unsigned i = 0; i < o->headers_n; i++) {
        buf_printf(out, "%s\r\n", o->headers[i]);
        host |= is_host(o->headers[i]);
    }
    if (!host && url->host.n > 0)
        buf_printf(out, "Host: %.*s\r\n", SLICE_ARG(url->host));
    else if (!host)
        buf_str(out, "Host: " DEFAULT_HOST "\r\n");
}

/*
 * The identity comes from a trusted proxy: where the client is none itself, one is put between,
 * which says for whom it speaks.
 */
static bool write_identity(const struct explain_order *o, const struct conf_root *root,
                           uint8_t peer[16], struct buf *out, struct buf *why)
{
    const struct conf_cidr *trusted = conf_at(root, root->trusted_proxies);
    char client[IP_TEXT_MAX];

    if (o->identity == NULL)
        return true;
    if (root->trusted_proxies.n == 0) {
        buf_str(why, "no identity is ever believed: trusted_proxies is empty");
        return false;
    }
    if (!conf_cidr_match(root, root->trusted_proxies, peer)) {
        ip_text(peer, client);
        buf_printf(out, "X-Forwarded-For: %s\r\n", client);
        memcpy(peer, trusted[0].addr, sizeof(trusted[0].addr));
    }
    buf_printf(out, "%.*s: %s\r\n", SLICE_ARG(conf_slice(root, root->identity_header)),
               o->identity);
    return true;
}

/* --- a gate for one question --- */

struct asking {
    struct gate gate;
    struct metric_block *metrics; /* of nobody */
    struct arena_pool pool;
    struct http_request http;
    struct http_header *headers;
    struct buf head;
    struct explanation e;
};

static void asking_free(struct asking *a)
{
    LIST_EACH_SAFE (it, &a->gate.generations) {
        generation_free(&a->gate, CONTAINER_OF(it, struct generation, node));
    }
    arena_reset(&a->http.arena);
    arena_pool_fini(&a->pool);
    buf_free(&a->gate.body);
    buf_free(&a->gate.headers);
    buf_free(&a->head);
    buf_free(&a->e.steps);
    buf_free(&a->e.text);
    buf_free(&a->e.refused_by);
    buf_free(&a->e.provided);
    buf_free(&a->e.detail);
    buf_free(&a->e.target);
    buf_free(&a->e.type);
    buf_free(&a->e.headers);
    buf_free(&a->e.body);
    free(a->headers);
    free(a->metrics);
    free(a);
}

static int gate_fill(struct asking *a, const struct explain_context *ctx,
                     const struct explain_sides *sides)
{
    struct gate *g = &a->gate;
    int rc;

    g->explains = true;
    g->ctx = (struct gate_context){
        .loop = ctx->loop,
        .control = ctx->control,
        .metrics = a->metrics,
        .limits = {.zone = ctx->limits,
                   .workers = atomic_load_explicit(&ctx->control->workers, memory_order_relaxed)},
        .bans = ctx->bans,
        .closed = ctx->closed,
        .sent = ctx->sent,
    };
    g->current = generation_new(g, sides->current, false, &rc);
    if (g->current == NULL || sides->canary.ref.data == NULL)
        return rc;
    g->canary = generation_new(g, sides->canary.ref, true, &rc);
    g->canary_share = sides->always ? BANK_SHARE_ALL : sides->canary.share;
    g->canary_seed = sides->canary.seed;
    return rc;
}

static int asking_new(const struct explain_context *ctx, const struct explain_sides *sides,
                      struct asking **out)
{
    const struct conf_root *root = sides->current.data;
    struct asking *a = calloc(1, sizeof(*a));
    int rc = -ENOMEM;

    if (a == NULL)
        return rc;
    arena_pool_init(&a->pool, 0);
    arena_init(&a->http.arena, &a->pool);
    list_init(&a->gate.generations);
    list_init(&a->gate.upstreams);
    list_init(&a->gate.concurrency);
    a->metrics = calloc(1, sizeof(*a->metrics));
    a->headers = calloc(root->limits.max_headers + 1, sizeof(*a->headers));
    a->e.ctx = ctx;
    a->e.sides = sides;
    if (a->metrics != NULL && a->headers != NULL)
        rc = gate_fill(a, ctx, sides);
    if (rc == 0)
        *out = a;
    else
        asking_free(a);
    return rc;
}

/* --- through the HTTP layer --- */

static enum http_fault parse(struct asking *a)
{
    const struct conf_limits *l = &a->gate.current->root->limits;
    struct head_limits limits = {.max_line = l->max_line,
                                 .max_headers = l->max_headers,
                                 .max_header_bytes = l->max_header_bytes};
    struct head h = {.headers = a->headers, .headers_cap = l->max_headers};
    enum http_fault f = FAULT_SYNTAX;
    struct head_scan scan = {0};

    if (head_scan(&scan, a->head.p, (uint32_t)a->head.n, &limits, &f) != HEAD_COMPLETE)
        return f;
    f = head_parse_request(&h, a->head.p + scan.start, scan.line - scan.start);
    if (f != FAULT_NONE)
        return f;
    a->http.method = h.method;
    a->http.minor = h.minor;
    a->http.keep_alive = h.keep_alive;
    a->http.target = h.target;
    a->http.path = h.path;
    a->http.query = h.query;
    a->http.host = h.host;
    a->http.headers = h.headers;
    a->http.headers_n = h.headers_n;
    a->e.body_n = a->e.body_given ? a->http.body.n : h.length;
    a->http.start_ns = loop_now(a->gate.ctx.loop);
    return FAULT_NONE;
}

/* What the HTTP layer refuses comes to no route. */
static void refuse_fault(struct asking *a, enum http_fault f)
{
    const struct http_fault_info *info = http_fault_info(f);
    struct explanation *e = &a->e;

    buf_str(&e->detail, info->detail);
    explain_config(e, a->gate.current);
    explain_open(e, "http", "refused: %s", info->reason);
    explain_member(e, "reason", slice_str(info->reason));
    explain_close(e);
    e->by = "http";
    e->answered = true;
    e->status = info->status;
    e->reason = info->reason;
    buf_str(&e->type, HTTP_PROBLEM_TYPE);
    buf_printf(&e->headers, "X-Rushgate-Reason: %s\r\n", info->reason);
    gate_http_handler.on_refuse(&a->gate, info->status, info->reason, info->detail, &e->body);
}

static bool fill_request(struct asking *a, const struct explain_order *o, struct buf *why)
{
    const char *client = o->client != NULL ? o->client : DEFAULT_CLIENT;
    struct url url;

    if (!address_parse(slice_str(client), a->http.peer)) {
        buf_printf(why, "\"%s\" is no address", client);
        return false;
    }
    if (!check_order(o, why) || !split_url(o->url, &url, why))
        return false;
    write_head(o, &url, &a->head);
    if (!write_identity(o, a->gate.current->root, a->http.peer, &a->head, why))
        return false;
    buf_str(&a->head, "\r\n");
    a->http.body = slice_str(o->body != NULL ? o->body : "");
    a->e.body_given = o->body != NULL;
    return true;
}

/* --- the explanation as JSON --- */

/* The value of one of the answer's own header lines; "" none. */
static struct slice line_value(const struct buf *lines, struct slice name)
{
    struct slice rest = buf_view(lines);

    while (rest.n > 0) {
        size_t n = slice_find(rest, '\n'), colon = slice_find(rest, ':');
        struct slice line = slice_of(rest.p, n);
        if (colon < n && slice_eq_nocase(slice_of(rest.p, colon), name))
            return slice_trim(slice_of(line.p + colon + 1,
                                       line.n - colon - 1 - (n > 0 && line.p[n - 1] == '\r')));
        rest = n < rest.n ? slice_of(rest.p + n + 1, rest.n - n - 1) : SLICE_NONE;
    }
    return SLICE_NONE;
}

/* A sentence that goes on. */
static struct slice without_stop(struct slice s)
{
    return s.n > 0 && s.p[s.n - 1] == '.' ? slice_of(s.p, s.n - 1) : s;
}

static void decision_text(const struct explanation *e, struct slice wait, struct buf *out)
{
    struct slice allow = line_value(&e->headers, SLICE_LIT("Allow"));

    if (e->called) {
        buf_printf(out, "goes to upstream %.*s", SLICE_ARG(buf_view(&e->target)));
    } else if (e->reason == NULL) {
        buf_printf(out, "%u, answered here", e->status);
    } else {
        buf_printf(out, "%u %s", e->status, e->reason);
        if (e->refused_by.n > 0)
            buf_printf(out, " by %.*s", SLICE_ARG(buf_view(&e->refused_by)));
        else if (allow.n == 0 && e->detail.n > 0)
            buf_printf(out, ": %.*s", SLICE_ARG(without_stop(buf_view(&e->detail))));
        if (allow.n > 0)
            buf_printf(out, ", this path takes %.*s", SLICE_ARG(allow));
        if (wait.n > 0)
            buf_printf(out, ", again in %.*s s", SLICE_ARG(wait));
    }
    if (e->provided.n > 0)
        buf_printf(out, ", provided that %.*s", SLICE_ARG(buf_view(&e->provided)));
}

static void write_decision(struct explanation *e, struct buf *out)
{
    struct slice wait = line_value(&e->headers, SLICE_LIT("Retry-After"));

    buf_clear(&e->text);
    decision_text(e, wait, &e->text);
    buf_str(out, ",\"decision\":{\"text\":");
    buf_json(out, buf_view(&e->text));
    buf_printf(out, ",\"outcome\":\"%s\",\"by\":\"%s\",\"certain\":%s",
               e->called           ? "upstream"
               : e->reason != NULL ? "refused"
                                   : "answered",
               e->by, e->provided.n > 0 ? "false" : "true");
    if (e->answered)
        buf_printf(out, ",\"status\":%u", e->status);
    else
        buf_str(out, ",\"status\":null");
    buf_str(out, ",\"reason\":");
    if (e->reason != NULL)
        buf_json(out, slice_str(e->reason));
    else
        buf_str(out, "null");
    buf_str(out, ",\"detail\":");
    buf_json(out, buf_view(&e->detail));
    buf_str(out, ",\"provided\":");
    buf_json(out, buf_view(&e->provided));
    buf_printf(out, ",\"retry_after_s\":%.*s}", SLICE_ARG(wait.n > 0 ? wait : SLICE_LIT("null")));
}

static void write_answer(const struct explanation *e, struct buf *out)
{
    struct slice rest = buf_view(&e->headers);
    const char *sep = "";

    if (!e->answered) {
        buf_str(out, ",\"answer\":null");
        return;
    }
    buf_str(out, ",\"answer\":{\"content_type\":");
    buf_json(out, buf_view(&e->type));
    buf_str(out, ",\"headers\":[");
    while (rest.n > 0) {
        size_t n = slice_find(rest, '\n');
        struct slice line = slice_of(rest.p, n > 0 && rest.p[n - 1] == '\r' ? n - 1 : n);
        rest = n < rest.n ? slice_of(rest.p + n + 1, rest.n - n - 1) : SLICE_NONE;
        if (slice_starts(line, SLICE_LIT("X-Request-Id:")))
            continue; /* every request has another */
        buf_str(out, sep);
        buf_json(out, line);
        sep = ",";
    }
    buf_str(out, "],\"body\":");
    buf_json(out, buf_view(&e->body));
    buf_char(out, '}');
}

static void write_out(struct asking *a, const struct explain_order *o, struct buf *out)
{
    buf_str(out, "{\"method\":");
    buf_json(out, slice_str(o->method));
    buf_str(out, ",\"url\":");
    buf_json(out, slice_str(o->url));
    buf_printf(out, ",\"generation\":%llu,\"steps\":[", (unsigned long long)a->e.generation);
    buf_slice(out, buf_view(&a->e.steps));
    buf_char(out, ']');
    write_decision(&a->e, out);
    write_answer(&a->e, out);
    buf_char(out, '}');
}

int explain(const struct explain_context *ctx, const struct explain_sides *sides,
            const struct explain_order *o, struct buf *out, struct buf *why)
{
    struct asking *a = NULL;
    enum http_fault f;
    int rc = asking_new(ctx, sides, &a);

    if (rc < 0)
        return rc;
    if (!fill_request(a, o, why)) {
        asking_free(a);
        return -EINVAL;
    }
    f = a->head.failed ? FAULT_MEMORY : parse(a);
    if (f == FAULT_NONE)
        request_explain(&a->gate, &a->http, &a->e);
    else if (f != FAULT_MEMORY)
        refuse_fault(a, f);
    if (a->e.by == NULL || a->e.steps.failed)
        rc = -ENOMEM;
    else
        write_out(a, o, out);
    asking_free(a);
    return rc;
}
