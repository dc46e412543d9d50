/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The two readers of a request's head side by side: what head_plain_request accepts, head_scan and
 * head_parse_request must accept and read in the same way. For the unit test and the fuzz target.
 */
#ifndef TEST_HEAD_BOTH_H
#define TEST_HEAD_BOTH_H

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "http/head.h"

#define BOTH_HEADERS 64u

/* One reader's copy of the bytes, of exactly their size so that reading past the end shows. */
struct both_copy {
    char *p;
    struct head h;
    struct http_header headers[BOTH_HEADERS];
};

static inline void both_copy_init(struct both_copy *c, const char *p, size_t n, unsigned cap)
{
    *c = (struct both_copy){.p = malloc(n > 0 ? n : 1)};
    CHECK(c->p != NULL);
    memcpy(c->p, p, n);
    c->h.headers = c->headers;
    c->h.headers_cap = cap;
}

/* The same bytes at the same place; where a run is empty its place does not matter. */
static inline bool both_slice(const struct both_copy *a, struct slice x, const struct both_copy *b,
                              struct slice y)
{
    if (x.n != y.n || (x.p == NULL) != (y.p == NULL))
        return false;
    return x.n == 0 || (x.p - a->p == y.p - b->p && memcmp(x.p, y.p, x.n) == 0);
}

/* NULL, or what differs. */
static inline const char *both_differ(const struct both_copy *a, const struct both_copy *b)
{
    const struct head *x = &a->h, *y = &b->h;

    if (x->method != y->method || x->minor != y->minor)
        return "method or version";
    if (!both_slice(a, x->target, b, y->target) || !both_slice(a, x->path, b, y->path) ||
        !both_slice(a, x->query, b, y->query))
        return "target";
    if (!both_slice(a, x->host, b, y->host))
        return "host";
    if (x->keep_alive != y->keep_alive)
        return "keep_alive";
    if (x->chunked != y->chunked || x->has_length != y->has_length || x->length != y->length ||
        x->expect != y->expect)
        return "framing";
    if (x->headers_n != y->headers_n)
        return "how many headers";
    for (unsigned i = 0; i < x->headers_n; i++) {
        if (!both_slice(a, x->headers[i].name, b, y->headers[i].name) ||
            !both_slice(a, x->headers[i].value, b, y->headers[i].value))
            return "a header";
    }
    return NULL;
}

/* The long way. NULL, or why it does not accept a head of len bytes. */
static inline const char *both_long_way(struct both_copy *c, size_t n, size_t len,
                                        const struct head_limits *limits)
{
    struct head_scan scan = {0};
    enum http_fault f = FAULT_NONE;

    if (head_scan(&scan, c->p, (uint32_t)n, limits, &f) != HEAD_COMPLETE)
        return f != FAULT_NONE ? http_fault_info(f)->reason : "it is not complete";
    if (scan.start != 0 || scan.line != len)
        return "it ends elsewhere";
    f = head_parse_request(&c->h, c->p, len);
    return f != FAULT_NONE ? http_fault_info(f)->reason : NULL;
}

/* True when the head was plain. Dies where the ways differ. */
static inline bool head_both(const char *p, size_t n, const struct head_limits *limits,
                             unsigned cap)
{
    struct both_copy a, b;
    const char *why = NULL;
    size_t len;

    both_copy_init(&a, p, n, cap);
    both_copy_init(&b, p, n, cap);
    len = head_plain_request(&a.h, a.p, n, limits);
    if (len > 0) {
        why = both_long_way(&b, n, len, limits);
        if (why == NULL)
            why = both_differ(&a, &b);
        if (why == NULL && memcmp(b.p, p, n) != 0)
            why = "the long way rewrites the path";
    }
    if (why != NULL)
        die("the readers differ (%s) about a plain head of %zu bytes:\n%.*s", why, len, (int)n, p);
    free(a.p);
    free(b.p);
    return len > 0;
}

#endif
