/* SPDX-License-Identifier: BSD-2-Clause */
/* Rules to a trie per host, in private memory, then written out: see router_index.h. */
#include <stdlib.h>

#include "base/check.h"
#include "base/hash.h"
#include "conf/router_index.h"
#include "http/method.h"

#define NONE UINT32_MAX

/* Siblings and leaves are chains of indexes. */
struct trie_node {
    struct slice label;
    uint32_t next;         /* sibling */
    uint32_t kids, kids_n; /* literal children */
    uint32_t star;
    uint32_t leaves, rest; /* ending here; ending here with ** */
};

struct trie_leaf {
    uint32_t rule, next;
};

struct trie_host {
    struct slice name; /* lower case, owned: free p */
    uint32_t root;
};

struct builder {
    const struct router_rule *rules;
    struct template *templates; /* of the rules */
    struct trie_node *nodes;
    uint32_t nodes_n, nodes_cap;
    struct trie_leaf *leaves; /* one a rule */
    uint32_t leaves_n;
    struct trie_host *hosts;
    uint32_t hosts_n;
    struct buf *out;
    size_t base;
};

static uint32_t node_new(struct builder *b, struct slice label)
{
    if (b->nodes_n == b->nodes_cap) {
        b->nodes_cap = b->nodes_cap ? b->nodes_cap * 2 : 64;
        b->nodes = xrealloc(b->nodes, b->nodes_cap * sizeof *b->nodes);
    }
    b->nodes[b->nodes_n] = (struct trie_node){label, NONE, NONE, 0, NONE, NONE, NONE};
    return b->nodes_n++;
}

static uint32_t literal_kid(struct builder *b, uint32_t node, struct slice label)
{
    uint32_t kid;

    for (kid = b->nodes[node].kids; kid != NONE; kid = b->nodes[kid].next)
        if (slice_eq(b->nodes[kid].label, label))
            return kid;
    kid = node_new(b, label);
    b->nodes[kid].next = b->nodes[node].kids;
    b->nodes[node].kids = kid;
    b->nodes[node].kids_n++;
    return kid;
}

static uint32_t star_kid(struct builder *b, uint32_t node)
{
    uint32_t kid = b->nodes[node].star;

    if (kid == NONE) {
        kid = node_new(b, SLICE_NONE);
        b->nodes[node].star = kid;
    }
    return kid;
}

/* "*.example.org" is kept as ".example.org": no exact name begins with a dot. */
static uint32_t host_root(struct builder *b, struct slice host)
{
    struct trie_host *h;
    char *name;

    if (slice_starts(host, SLICE_LIT("*.")))
        host = slice_of(host.p + 1, host.n - 1);
    for (uint32_t i = 0; i < b->hosts_n; i++)
        if (slice_eq_nocase(b->hosts[i].name, host))
            return b->hosts[i].root;
    name = xmalloc(host.n + 1);
    for (size_t i = 0; i < host.n; i++)
        name[i] =
            (char)(host.p[i] >= 'A' && host.p[i] <= 'Z' ? host.p[i] + ('a' - 'A') : host.p[i]);
    h = &b->hosts[b->hosts_n++];
    *h = (struct trie_host){slice_of(name, host.n), node_new(b, SLICE_NONE)};
    return h->root;
}

/* A rule in the chain for the same requests, or NONE. */
static uint32_t clash(const struct builder *b, uint32_t chain, uint32_t rule)
{
    for (; chain != NONE; chain = b->leaves[chain].next) {
        uint32_t other = b->leaves[chain].rule;
        if ((b->rules[other].methods & b->rules[rule].methods) != 0 &&
            slice_eq(b->templates[other].verb, b->templates[rule].verb))
            return other;
    }
    return NONE;
}

static bool add_rule(struct builder *b, uint32_t rule, uint32_t *bad, uint32_t *other,
                     struct buf *err)
{
    struct template *t = &b->templates[rule];
    uint32_t node, *chain;
    size_t at;

    *bad = rule;
    *other = NONE;
    if (!template_parse(b->rules[rule].path, t, &at, err))
        return false;
    node = host_root(b, b->rules[rule].host);
    for (unsigned i = 0; i < t->n && t->segments[i].kind != SEGMENT_REST; i++)
        node = t->segments[i].kind == SEGMENT_STAR ? star_kid(b, node)
                                                   : literal_kid(b, node, t->segments[i].text);
    chain =
        t->segments[t->n - 1].kind == SEGMENT_REST ? &b->nodes[node].rest : &b->nodes[node].leaves;
    *other = clash(b, *chain, rule);
    if (*other != NONE) {
        buf_printf(err, "\"%.*s\" and \"%.*s\" match the same requests",
                   SLICE_ARG(b->rules[*other].path), SLICE_ARG(b->rules[rule].path));
        return false;
    }
    b->leaves[b->leaves_n] = (struct trie_leaf){rule, *chain};
    *chain = b->leaves_n++;
    return true;
}

/* --- writing --- */

static uint32_t put(struct builder *b, const void *p, size_t n)
{
    static const char zeros[4];
    uint32_t off;

    buf_add(b->out, zeros, (b->base - b->out->n) & 3);
    off = (uint32_t)(b->out->n - b->base);
    buf_add(b->out, p, n);
    return off;
}

static uint32_t put_slice(struct builder *b, struct slice s)
{
    return put(b, s.p, s.n);
}

static struct index_leaf leaf(struct builder *b, uint32_t rule)
{
    const struct template *t = &b->templates[rule];
    struct index_var vars[ROUTER_VARS_MAX];
    struct index_leaf l = {b->rules[rule].methods, b->rules[rule].route, 0, 0, 0, t->vars_n};

    for (unsigned i = 0; i < t->vars_n; i++)
        vars[i] = t->vars[i].span;
    l.vars_off = put(b, vars, t->vars_n * sizeof *vars);
    l.verb_off = put_slice(b, t->verb);
    l.verb_n = (uint32_t)t->verb.n;
    return l;
}

static uint32_t put_leaves(struct builder *b, uint32_t chain, uint32_t *n)
{
    struct index_leaf *all;
    uint32_t off, i = 0;

    *n = 0;
    for (uint32_t c = chain; c != NONE; c = b->leaves[c].next)
        ++*n;
    all = xcalloc(*n + 1, sizeof *all);
    for (uint32_t c = chain; c != NONE; c = b->leaves[c].next)
        all[i++] = leaf(b, b->leaves[c].rule);
    off = put(b, all, *n * sizeof *all);
    free(all);
    return off;
}

static uint32_t put_node(struct builder *b, uint32_t node);

static uint32_t put_table(struct builder *b, uint32_t node, uint32_t *mask)
{
    uint32_t size = 2, off;
    struct index_slot *slots;

    *mask = 0;
    if (b->nodes[node].kids_n == 0)
        return 0;
    while (size < 2 * b->nodes[node].kids_n)
        size *= 2;
    slots = xcalloc(size, sizeof *slots);
    for (uint32_t kid = b->nodes[node].kids; kid != NONE; kid = b->nodes[kid].next) {
        struct slice label = b->nodes[kid].label;
        uint32_t hash = (uint32_t)hash64(label, 0), i = hash & (size - 1);

        while (slots[i].node != 0)
            i = (i + 1) & (size - 1);
        slots[i] =
            (struct index_slot){hash, put_node(b, kid), put_slice(b, label), (uint32_t)label.n};
    }
    off = put(b, slots, size * sizeof *slots);
    free(slots);
    *mask = size - 1;
    return off;
}

/* As deep as the longest template. */
static uint32_t put_node(struct builder *b, uint32_t node)
{
    struct index_node n = {0};

    n.table_off = put_table(b, node, &n.table_mask);
    n.star = b->nodes[node].star == NONE ? 0 : put_node(b, b->nodes[node].star);
    n.leaves_off = put_leaves(b, b->nodes[node].leaves, &n.leaves_n);
    n.rest_off = put_leaves(b, b->nodes[node].rest, &n.rest_n);
    return put(b, &n, sizeof n);
}

static int by_name(const void *pa, const void *pb)
{
    const struct trie_host *a = pa, *b = pb;
    size_t n = a->name.n < b->name.n ? a->name.n : b->name.n;
    int order = memcmp(a->name.p, b->name.p, n);

    return order != 0 ? order : a->name.n < b->name.n ? -1 : a->name.n > b->name.n;
}

static void put_hosts(struct builder *b, struct index_head *head)
{
    struct index_host *all = xcalloc(b->hosts_n + 1, sizeof *all);

    qsort(b->hosts, b->hosts_n, sizeof *b->hosts, by_name);
    for (uint32_t i = 0; i < b->hosts_n; i++) {
        uint32_t root = put_node(b, b->hosts[i].root);
        if (b->hosts[i].name.n == 0)
            head->any = root;
        else
            all[head->hosts_n++] = (struct index_host){put_slice(b, b->hosts[i].name),
                                                       (uint32_t)b->hosts[i].name.n, root};
    }
    head->hosts_off = put(b, all, head->hosts_n * sizeof *all);
    free(all);
}

static void put_index(struct builder *b, uint32_t n)
{
    struct index_head head = {0};

    put(b, &head, sizeof head);
    put_hosts(b, &head);
    for (uint32_t i = 0; i < n; i++)
        head.verbs |= b->templates[i].verb.n > 0;
    if (!b->out->failed)
        memcpy(b->out->p + b->base, &head, sizeof head);
}

bool router_build(const struct router_rule *rules, uint32_t n, struct buf *out, uint32_t *bad,
                  uint32_t *other, struct buf *err)
{
    struct builder b = {.rules = rules, .out = out, .base = out->n};
    bool ok = true;

    b.templates = xcalloc(n + 1, sizeof *b.templates);
    b.leaves = xcalloc(n + 1, sizeof *b.leaves);
    b.hosts = xcalloc(n + 1, sizeof *b.hosts);
    for (uint32_t i = 0; i < n && ok; i++)
        ok = add_rule(&b, i, bad, other, err);
    if (ok)
        put_index(&b, n);
    for (uint32_t i = 0; i < b.hosts_n; i++)
        free((char *)(uintptr_t)b.hosts[i].name.p);
    free(b.hosts);
    free(b.leaves);
    free(b.nodes);
    free(b.templates);
    return ok;
}
