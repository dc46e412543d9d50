/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Routing: host, method and path template to a route. Built by the compiler into one
 * position-independent run of bytes, looked up by workers; the cost grows with the segments of the
 * path, not with the routes.
 *
 * Templates are those of google.api.http: literal segments, `*` (one segment), `**` (the rest, last
 * only), `{var}`, `{var=pattern}`, a trailing `:verb`. A literal beats `*` beats `**`; where
 * branches compete the search backtracks, so that the most specific match from the left wins.
 */
#ifndef CONF_ROUTER_H
#define CONF_ROUTER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

#define ROUTER_VARS_MAX     8
#define ROUTER_SEGMENTS_MAX 32 /* of a template */

struct router_rule {
    struct slice host; /* "" any, "example.org", "*.example.org" (one or more labels) */
    uint32_t methods;  /* bit set of 1 << enum http_method */
    struct slice path; /* template */
    uint32_t route;    /* what a match returns */
};

enum router_outcome { ROUTER_FOUND, ROUTER_NO_PATH, ROUTER_NO_METHOD };

struct router_match {
    uint32_t route;
    uint32_t methods; /* ROUTER_NO_METHOD: the methods that the path does have, for Allow */
    unsigned vars_n;
    struct slice
        vars[ROUTER_VARS_MAX]; /* raw, still percent-encoded, in the order of the template */
};

/*
 * Appends the index for n rules to out. On a bad template or two rules that match the same requests
 * returns false with *bad = the rule's index and a message in err (owned by err); *other is then
 * the rule that matches the same requests, or UINT32_MAX when *bad itself is wrong.
 */
bool router_build(const struct router_rule *rules, uint32_t n, struct buf *out, uint32_t *bad,
                  uint32_t *other, struct buf *err);

/* path: absolute, without query. host: without port, any case. Borrows from path and index. */
enum router_outcome router_match(struct slice index, struct slice host, uint32_t method_bit,
                                 struct slice path, struct router_match *m);

/* A template's variables in order, at most ROUTER_VARS_MAX, as slices into `path`: what stands
 * between the braces, "name" or "name=pattern". False when the template is malformed (err says
 * how).
 */
bool router_template_vars(struct slice path, struct slice *vars, unsigned *n, struct buf *err);

/* Whether a template is well-formed; if not, *at is the byte where it is not. */
bool router_template_check(struct slice path, size_t *at, struct buf *err);

#endif
