/* SPDX-License-Identifier: BSD-2-Clause */
#include "http/head.h"

#include <http_parser.h>

/* One line at p + s->line, n bytes without CR LF. *done is set by the empty line. */
static enum http_fault take_line(struct head_scan *s, const char *p, uint32_t n,
                                 const struct head_limits *limits, bool *done)
{
    struct slice line = slice_of(p + s->line, n);

    if (n == 0) {
        if (s->lines > 0) {
            *done = true;
            return FAULT_NONE;
        }
        s->start = s->line + 2;
        return !limits->response && s->start <= 2 * HEAD_BLANK_MAX ? FAULT_NONE : FAULT_LINE_BAD;
    }
    if (s->lines++ == 0) {
        if (n > limits->max_line)
            return FAULT_LINE_LONG;
        s->first = s->line + n + 2;
        return limits->response ? lint_status_line(line) : lint_request_line(line);
    }
    if (s->lines - 1 > limits->max_headers)
        return FAULT_HEADERS_MANY;
    if (s->line + n - s->first > limits->max_header_bytes)
        return FAULT_HEADERS_BIG;
    return lint_field(line);
}

/* An unfinished line may already be too long. */
static enum http_fault check_rest(const struct head_scan *s, uint32_t n,
                                  const struct head_limits *limits)
{
    if (s->lines == 0)
        return n - s->line > limits->max_line + 1 ? FAULT_LINE_LONG : FAULT_NONE;
    return n - s->first > limits->max_header_bytes + 2 ? FAULT_HEADERS_BIG : FAULT_NONE;
}

enum head_state head_scan(struct head_scan *s, const char *p, uint32_t n,
                          const struct head_limits *limits, enum http_fault *fault)
{
    const char *lf;
    bool done = false;

    while ((lf = memchr(p + s->seen, '\n', n - s->seen)) != NULL) {
        uint32_t end = (uint32_t)(lf - p);
        if (end == s->line || p[end - 1] != '\r')
            *fault = FAULT_LINE_END;
        else
            *fault = take_line(s, p, end - 1 - s->line, limits, &done);
        if (*fault != FAULT_NONE)
            return HEAD_FAULT;
        s->line = s->seen = end + 1;
        if (done)
            return HEAD_COMPLETE;
    }
    s->seen = n;
    *fault = check_rest(s, n, limits);
    return *fault == FAULT_NONE ? HEAD_MORE : HEAD_FAULT;
}

static int on_url(http_parser *p, const char *at, size_t n)
{
    struct head *h = p->data;
    h->target = slice_of(at, n);
    return 0;
}

/* 1 tells the parser that no body follows: bodies are not its business here. */
static int on_complete(http_parser *p)
{
    struct head *h = p->data;

    h->minor = (uint8_t)p->http_minor;
    if (p->http_minor == 0)
        h->keep_alive =
            (p->flags & (F_CONNECTION_KEEP_ALIVE | F_CONNECTION_CLOSE)) == F_CONNECTION_KEEP_ALIVE;
    else
        h->keep_alive = (p->flags & F_CONNECTION_CLOSE) == 0;
    h->status = p->status_code;
    return 1;
}

static const http_parser_settings settings = {
    .on_url = on_url,
    .on_headers_complete = on_complete,
};

/*
 * Does the parser have to see a field with such a long name? It looks at five: upgrade, connection,
 * content-length, proxy-connection, transfer-encoding. To all others it would do what lint_field
 * has done, byte by byte, at a third of what a request costs here.
 */
static bool frames(size_t name_n)
{
    return name_n == 7 || name_n == 10 || name_n == 14 || name_n == 16 || name_n == 17;
}

/* Lines were checked one by one: each has a colon, and one value in one piece. False: too many. */
static bool add_field(struct head *h, const char *p, size_t name_n, size_t line_n)
{
    if (h->headers_n == h->headers_cap)
        return false;
    h->headers[h->headers_n++] = (struct http_header){
        .name = {p, name_n}, .value = slice_trim(slice_of(p + name_n + 1, line_n - name_n - 1))};
    return true;
}

/* p[0..n) is whole lines, CR LF at their ends, of which the last is empty. */
static enum http_fault run_parser(struct head *h, enum http_parser_type type, const char *p,
                                  size_t n)
{
    const char *end = p + n;
    http_parser parser;

    h->headers_n = 0;
    h->minor = UINT8_MAX;
    http_parser_init(&parser, type);
    parser.data = h;
    for (const char *next; p < end; p = next) {
        const char *lf = memchr(p, '\n', (size_t)(end - p));
        size_t line_n = (size_t)(lf - p) - 1, name_n = 0;
        next = lf + 1;
        if (line_n > 0 && n != (size_t)(end - p)) {
            name_n = slice_find(slice_of(p, line_n), ':');
            if (!add_field(h, p, name_n, line_n))
                return FAULT_HEADERS_MANY;
            if (!frames(name_n))
                continue;
        }
        http_parser_execute(&parser, &settings, p, (size_t)(next - p));
    }
    if (h->minor != UINT8_MAX)
        return FAULT_NONE;
    switch (HTTP_PARSER_ERRNO(&parser)) {
    case HPE_INVALID_URL:
        return FAULT_TARGET;
    case HPE_HEADER_OVERFLOW:
        return FAULT_HEADERS_BIG;
    case HPE_INVALID_CONTENT_LENGTH:
        return FAULT_LENGTH;
    case HPE_UNEXPECTED_CONTENT_LENGTH:
        return FAULT_AMBIGUOUS;
    default:
        return FAULT_SYNTAX;
    }
}

/* What is counted over all headers before it is judged. */
struct tally {
    unsigned lengths, codings, hosts, twins, expects;
    struct slice length, coding, host, expect;
};

static bool count(struct slice name, struct slice want, struct slice value, unsigned *n,
                  struct slice *out)
{
    if (!slice_eq_nocase(name, want))
        return false;
    ++*n;
    *out = value;
    return true;
}

static void tally_header(struct tally *t, const struct http_header *h)
{
    struct slice ignored;

    switch (h->name.n) {
    case 4:
        count(h->name, SLICE_LIT("host"), h->value, &t->hosts, &t->host);
        break;
    case 6:
        count(h->name, SLICE_LIT("expect"), h->value, &t->expects, &t->expect);
        break;
    case 14:
        if (!count(h->name, SLICE_LIT("content-length"), h->value, &t->lengths, &t->length))
            count(h->name, SLICE_LIT("content_length"), h->value, &t->twins, &ignored);
        break;
    case 17:
        if (!count(h->name, SLICE_LIT("transfer-encoding"), h->value, &t->codings, &t->coding))
            count(h->name, SLICE_LIT("transfer_encoding"), h->value, &t->twins, &ignored);
        break;
    default:
        break;
    }
}

/* How long the body is may be said in one way only. */
static enum http_fault judge_framing(struct head *h, const struct tally *t)
{
    if (t->twins > 0 || (t->lengths > 0 && t->codings > 0))
        return FAULT_AMBIGUOUS;
    if (t->codings > 0) {
        if (t->codings > 1 || h->minor == 0 || !slice_eq_nocase(t->coding, SLICE_LIT("chunked")))
            return FAULT_CODING;
        h->chunked = true;
    }
    if (t->lengths > 0) {
        if (t->lengths > 1 || t->length.n > 18 || !slice_to_u64(t->length, &h->length))
            return FAULT_LENGTH;
        h->has_length = true;
    }
    return FAULT_NONE;
}

static void split_query(struct head *h, struct slice rest)
{
    size_t n = slice_find(rest, '?');

    h->path = slice_of(rest.p, n);
    h->query = n < rest.n ? slice_of(rest.p + n + 1, rest.n - n - 1) : SLICE_NONE;
}

/*
 * target is all path and query. The path is brought into its normal form where it lies; a query
 * moves up to it, so that the two stay one run.
 */
static enum http_fault take_path(struct head *h, char *p, size_t n)
{
    struct slice path = slice_of(p, slice_find(slice_of(p, n), '?'));
    size_t shorter = path.n;
    enum http_fault f = lint_path(path);

    if (f != FAULT_NONE)
        return f;
    shorter -= lint_path_decode(p, path.n);
    if (shorter > 0) {
        memmove(p + path.n - shorter, p + path.n, n - path.n);
        h->target.n -= shorter;
    }
    split_query(h, slice_of(p, n - shorter));
    return FAULT_NONE;
}

/* http://authority[/path][?query]; the host it names goes before the Host header. */
static enum http_fault absolute_form(struct head *h, char *p, size_t rest_n)
{
    struct slice rest = slice_of(p, rest_n);
    size_t n = 0;
    enum http_fault f;

    while (n < rest.n && rest.p[n] != '/' && rest.p[n] != '?')
        n++;
    f = lint_host(slice_of(rest.p, n), &h->host);
    if (f != FAULT_NONE)
        return FAULT_TARGET;
    if (n == rest.n || p[n] != '/') {
        /* The blank behind the target makes room for the path that it lacks. */
        memmove(p + n + 1, p + n, rest.n - n);
        p[n] = '/';
        h->target.n++;
        rest.n++;
    }
    return take_path(h, p + n, rest.n - n);
}

/* head: the bytes that target is in. */
static enum http_fault judge_target(struct head *h, char *head)
{
    static const struct slice scheme = SLICE_LIT("http://");
    struct slice t = h->target;
    char *p = head + (t.p - head);

    if (t.p[0] == '/')
        return take_path(h, p, t.n);
    if (t.n == 1 && t.p[0] == '*') {
        h->path = t;
        return h->method == METHOD_OPTIONS ? FAULT_NONE : FAULT_TARGET;
    }
    if (t.n > scheme.n && slice_eq_nocase(slice_of(t.p, scheme.n), scheme))
        return absolute_form(h, p + scheme.n, t.n - scheme.n);
    return FAULT_TARGET;
}

static enum http_fault judge_host(struct head *h, const struct tally *t)
{
    enum http_fault f;

    if (t->hosts == 0 && h->minor == 0)
        return FAULT_NONE;
    if (t->hosts != 1)
        return FAULT_HOST;
    f = lint_host(t->host, &h->host);
    return f;
}

static enum http_fault judge_expect(struct head *h, const struct tally *t)
{
    if (t->expects == 0 || h->minor == 0)
        return FAULT_NONE;
    h->expect = true;
    return t->expects == 1 && slice_eq_nocase(t->expect, SLICE_LIT("100-continue")) ? FAULT_NONE
                                                                                    : FAULT_EXPECT;
}

enum http_fault head_parse_request(struct head *h, char *p, size_t n)
{
    enum http_fault f = run_parser(h, HTTP_REQUEST, p, n);
    struct tally t = {0};

    if (f != FAULT_NONE)
        return f;
    h->host = h->query = SLICE_NONE;
    h->chunked = h->has_length = h->expect = false;
    h->length = 0;
    h->method = method_by_name(slice_of(p, slice_find(slice_of(p, n), ' ')));
    for (unsigned i = 0; i < h->headers_n; i++)
        tally_header(&t, &h->headers[i]);
    if ((f = judge_framing(h, &t)) != FAULT_NONE || (f = judge_host(h, &t)) != FAULT_NONE)
        return f;
    if ((f = judge_target(h, p)) != FAULT_NONE)
        return f;
    return judge_expect(h, &t);
}

enum http_fault head_parse_response(struct head *h, const char *p, size_t n)
{
    enum http_fault f = run_parser(h, HTTP_RESPONSE, p, n);
    struct tally t = {0};

    if (f != FAULT_NONE)
        return f;
    h->chunked = h->has_length = false;
    h->length = 0;
    for (unsigned i = 0; i < h->headers_n; i++)
        tally_header(&t, &h->headers[i]);
    return judge_framing(h, &t);
}
