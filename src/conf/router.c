/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The lookup, on every request: no allocation, no copy of the path. The trie of a host is searched
 * depth first, literal before `*` before `**`, so the first rule that fits is the most specific
 * from the left. Each node is visited at most once, because the way to it fixes how many segments
 * it has used up.
 */
#include "conf/router.h"

#include "base/hash.h"
#include "conf/router_index.h"
#include "http/method.h"

#define HOST_MAX 255 /* longer ones are no names of ours */

struct search {
    const char *base;  /* of the index */
    struct slice path; /* without the verb, when one is looked for */
    struct slice verb;
    uint32_t method_bit;
    uint32_t methods; /* seen at rules that fit but for the method */
    const struct index_leaf *found;
    uint32_t starts[ROUTER_SEGMENTS_MAX + 1]; /* of the segments on the way here */
};

static const void *at(const struct search *s, uint32_t off)
{
    return s->base + off;
}

/* A GET rule takes HEAD, unless there is a rule for HEAD itself. */
static bool take_leaf(struct search *s, uint32_t off, uint32_t n)
{
    const struct index_leaf *l = at(s, off), *head = NULL;

    for (uint32_t i = 0; i < n; i++, l++) {
        if (l->verb_n != s->verb.n ||
            (l->verb_n > 0 && memcmp(at(s, l->verb_off), s->verb.p, l->verb_n) != 0))
            continue;
        if (l->methods & s->method_bit) {
            s->found = l;
            return true;
        }
        s->methods |= l->methods;
        if (s->method_bit == METHOD_BIT(METHOD_HEAD) && (l->methods & METHOD_BIT(METHOD_GET)))
            head = l;
    }
    s->found = head;
    return head != NULL;
}

static uint32_t literal_kid(const struct search *s, const struct index_node *node, struct slice seg)
{
    const struct index_slot *slots = at(s, node->table_off);
    uint32_t hash = (uint32_t)hash64(seg, 0), i = hash & node->table_mask;

    for (; slots[i].node != 0; i = (i + 1) & node->table_mask)
        if (slots[i].hash == hash && slots[i].label_n == seg.n &&
            (seg.n == 0 || memcmp(at(s, slots[i].label_off), seg.p, seg.n) == 0))
            return slots[i].node;
    return 0;
}

/* pos: where the next segment begins; behind the end of the path, when all are used up. */
static bool search_node(struct search *s, uint32_t off, unsigned depth, uint32_t pos)
{
    const struct index_node *node = at(s, off);
    struct slice seg;
    uint32_t kid;

    s->starts[depth] = pos;
    if (pos > s->path.n)
        return (node->leaves_n > 0 && take_leaf(s, node->leaves_off, node->leaves_n)) ||
               (node->rest_n > 0 && take_leaf(s, node->rest_off, node->rest_n));
    seg = slice_of(s->path.p + pos, s->path.n - pos);
    seg.n = slice_find(seg, '/');
    if (node->table_mask > 0 && (kid = literal_kid(s, node, seg)) != 0 &&
        search_node(s, kid, depth + 1, pos + (uint32_t)seg.n + 1))
        return true;
    if (node->star != 0 && seg.n > 0 &&
        search_node(s, node->star, depth + 1, pos + (uint32_t)seg.n + 1))
        return true;
    return node->rest_n > 0 && take_leaf(s, node->rest_off, node->rest_n);
}

/* The colon of the last segment, or the length. */
static size_t last_colon(struct slice path)
{
    for (size_t i = path.n; i > 0 && path.p[i - 1] != '/'; i--)
        if (path.p[i - 1] == ':')
            return i - 1;
    return path.n;
}

/* With a verb first: it is the more specific reading of the last segment. */
static bool search_root(struct search *s, uint32_t root, struct slice path, size_t colon)
{
    if (root == 0)
        return false;
    if (colon < path.n) {
        s->path = slice_of(path.p, colon);
        s->verb = slice_of(path.p + colon + 1, path.n - colon - 1);
        if (s->verb.n > 0 && search_node(s, root, 0, 1))
            return true;
    }
    s->path = path;
    s->verb = SLICE_NONE;
    return search_node(s, root, 0, 1);
}

static uint32_t find_host(const struct search *s, const struct index_head *head, struct slice name)
{
    const struct index_host *hosts = at(s, head->hosts_off);
    uint32_t lo = 0, hi = head->hosts_n;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        struct slice other = slice_of(at(s, hosts[mid].name_off), hosts[mid].name_n);
        int order = memcmp(name.p, other.p, name.n < other.n ? name.n : other.n);

        if (order == 0 && name.n == other.n)
            return hosts[mid].root;
        if (order < 0 || (order == 0 && name.n < other.n))
            hi = mid;
        else
            lo = mid + 1;
    }
    return 0;
}

/* Exact name, then its suffixes from the longest, then the rules without host. */
static bool search_hosts(struct search *s, const struct index_head *head, struct slice host,
                         struct slice path, size_t colon)
{
    char name[HOST_MAX];
    size_t n = host.n > 0 && host.p[host.n - 1] == '.' ? host.n - 1 : host.n;

    if (head->hosts_n > 0 && n > 0 && n <= sizeof name) {
        for (size_t i = 0; i < n; i++)
            name[i] = (char)(host.p[i] >= 'A' && host.p[i] <= 'Z' ? host.p[i] + 32 : host.p[i]);
        if (name[0] != '.' && search_root(s, find_host(s, head, slice_of(name, n)), path, colon))
            return true;
        for (size_t i = 1; i < n; i++)
            if (name[i] == '.' &&
                search_root(s, find_host(s, head, slice_of(name + i, n - i)), path, colon))
                return true;
    }
    return search_root(s, head->any, path, colon);
}

static void take_vars(const struct search *s, struct router_match *m)
{
    const struct index_var *v = at(s, s->found->vars_off);

    m->vars_n = s->found->vars_n;
    for (unsigned i = 0; i < m->vars_n; i++) {
        size_t from = s->starts[v[i].first], to = s->path.n;
        if (v[i].last != INDEX_TO_END)
            to = s->starts[v[i].last + 1] - 1;
        from = from < to ? from : to;
        m->vars[i] = slice_of(s->path.p + from, to - from);
    }
}

enum router_outcome router_match(struct slice index, struct slice host, uint32_t method_bit,
                                 struct slice path, struct router_match *m)
{
    const struct index_head *head = (const void *)index.p;
    struct search s;

    m->vars_n = 0;
    m->methods = 0;
    if (path.n == 0 || path.p[0] != '/' || path.n >= UINT32_MAX)
        return ROUTER_NO_PATH;
    s.base = index.p;
    s.method_bit = method_bit;
    s.methods = 0;
    if (search_hosts(&s, head, host, path, head->verbs ? last_colon(path) : path.n)) {
        m->route = s.found->route;
        take_vars(&s, m);
        return ROUTER_FOUND;
    }
    if (s.methods == 0)
        return ROUTER_NO_PATH;
    m->methods = s.methods;
    if (s.methods & METHOD_BIT(METHOD_GET))
        m->methods |= METHOD_BIT(METHOD_HEAD);
    return ROUTER_NO_METHOD;
}
