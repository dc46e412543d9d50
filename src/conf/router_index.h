/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The route index as bytes, shared by its writer (router_build.c) and its reader (router.c).
 *
 *   index_head | hosts, sorted by name | nodes, their tables, leaves and variables | texts
 *
 * A node stands for the segments from the root to it. Offsets count from the head; 0 is "none". A
 * table is open addressing with linear probing, at most half full: one hash and mostly one compare
 * per literal segment, however many siblings it has.
 */
#ifndef CONF_ROUTER_INDEX_H
#define CONF_ROUTER_INDEX_H

#include <stdint.h>

#include "base/buf.h"
#include "conf/router.h"

struct index_head {
    uint32_t hosts_off, hosts_n;
    uint32_t any;   /* root node of rules without host */
    uint32_t verbs; /* 1: some rule has a verb */
};

/* "example.org", or ".example.org" for "*.example.org"; lower case. */
struct index_host {
    uint32_t name_off, name_n;
    uint32_t root;
};

struct index_node {
    uint32_t table_off, table_mask; /* literal children; no table: mask 0 */
    uint32_t star;                  /* child for any segment that is not empty */
    uint32_t leaves_off, leaves_n;  /* rules that end here */
    uint32_t rest_off, rest_n;      /* rules that end here with ** */
};

struct index_slot {
    uint32_t hash;
    uint32_t node; /* 0: empty */
    uint32_t label_off, label_n;
};

struct index_leaf {
    uint32_t methods, route;
    uint32_t verb_off, verb_n; /* without its colon */
    uint32_t vars_off, vars_n; /* struct index_var */
};

#define INDEX_TO_END UINT16_MAX

struct index_var {
    uint16_t first, last; /* segments; last INDEX_TO_END: whatever follows */
};

/* --- templates, parsed (router_template.c) --- */

enum segment_kind { SEGMENT_LITERAL, SEGMENT_STAR, SEGMENT_REST };

struct segment {
    enum segment_kind kind;
    struct slice text; /* of a literal, borrowed from the template */
};

struct template_var {
    struct slice name; /* borrowed from the template */
    struct slice text; /* "name" or "name=pattern" */
    struct index_var span;
};

struct template
{
    struct segment segments[ROUTER_SEGMENTS_MAX];
    unsigned n;
    struct template_var vars[ROUTER_VARS_MAX];
    unsigned vars_n;
    struct slice verb;
};

/* False with a message in err and *at = the byte it is about. */
bool template_parse(struct slice path, struct template *t, size_t *at, struct buf *err);

#endif
