/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The rate limit service: rules that make no sense, and rules in the order in which the first that
 * matches is the most specific.
 */
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "conf/tree.h"

static bool is_open(const struct node *entry)
{
    return !node_get(entry, S_RLS_VALUE)->set;
}

static unsigned open_entries(const struct node *rule)
{
    const struct node *list = node_get(rule, S_RLS_DESCRIPTORS);
    unsigned n = 0;

    for (unsigned i = 0; i < list->n; i++)
        n += is_open(list->kids[i]);
    return n;
}

/* Parts of the limit's key that want a value. */
static unsigned parts_of(const struct node *limit)
{
    const struct node *key = node_get(limit, S_LIMIT_KEY);
    unsigned n = 0;

    for (unsigned i = 0; i < key->n; i++)
        n += key->kids[i]->bad || key->kids[i]->value.num != CONF_CONSTANT;
    return n;
}

static void check_limit(struct conf *c, const struct node *rule)
{
    const struct node *limits = node_get(c->root, S_LIMITS), *use = node_get(rule, S_RLS_LIMIT);
    uint32_t i = use->text != NULL && !use->bad ? node_find(limits, use->text) : UINT32_MAX;
    unsigned parts;

    if (i == UINT32_MAX)
        return;
    parts = parts_of(limits->kids[i]);
    if (open_entries(rule) < parts)
        diag_error(&c->diag, use->at, NULL,
                   "%s: the key of limit \"%s\" has %u part%s that take%s a value, and the rule "
                   "leaves %u open: a descriptor without value is open",
                   node_path_text(c, rule), use->text, parts, parts == 1 ? "" : "s",
                   parts == 1 ? "s" : "", open_entries(rule));
}

static bool same_text(const struct node *a, const struct node *b)
{
    return strcmp(a->text ? a->text : "", b->text ? b->text : "") == 0;
}

static bool same_rule(const struct node *a, const struct node *b)
{
    const struct node *x = node_get(a, S_RLS_DESCRIPTORS), *y = node_get(b, S_RLS_DESCRIPTORS);

    if (x->n != y->n || !same_text(node_get(a, S_RLS_DOMAIN), node_get(b, S_RLS_DOMAIN)))
        return false;
    for (unsigned i = 0; i < x->n; i++)
        if (!same_text(node_get(x->kids[i], S_RLS_KEY), node_get(y->kids[i], S_RLS_KEY)) ||
            is_open(x->kids[i]) != is_open(y->kids[i]) ||
            !same_text(node_get(x->kids[i], S_RLS_VALUE), node_get(y->kids[i], S_RLS_VALUE)))
            return false;
    return true;
}

static void check_twice(struct conf *c, const struct node *list, unsigned i)
{
    struct buf origin = {0};

    for (unsigned j = 0; j < i; j++) {
        if (!same_rule(list->kids[i], list->kids[j]))
            continue;
        diag_origin(&c->diag, list->kids[j]->at, &origin);
        diag_error(&c->diag, list->kids[i]->at, NULL,
                   "%s: the same domain and descriptors as the rule at %s",
                   node_path_text(c, list->kids[i]), buf_cstr(&origin));
        break;
    }
    buf_free(&origin);
}

void conf_check_rls(struct conf *c)
{
    const struct node *list = node_get(c->root, S_RLS_RULES);

    if (list->n > CONF_RLS_RULES)
        diag_error(&c->diag, list->at, NULL, "%s: at most %u", node_path_text(c, list),
                   CONF_RLS_RULES);
    for (unsigned i = 0; i < list->n && i < CONF_RLS_RULES; i++) {
        const struct node *rule = list->kids[i], *entries = node_get(rule, S_RLS_DESCRIPTORS);
        if (entries->n == 0)
            diag_error(&c->diag, rule->at, NULL, "%s needs \"descriptors\"",
                       node_path_text(c, rule));
        else if (entries->n > CONF_RLS_ENTRIES)
            diag_error(&c->diag, entries->at.line ? entries->at : rule->at, NULL, "%s: at most %u",
                       node_path_text(c, entries), CONF_RLS_ENTRIES);
        else
            check_limit(c, rule);
        check_twice(c, list, i);
    }
}

static int pos_compare(const struct conf_pos *a, const struct conf_pos *b)
{
    if (a->file != b->file)
        return a->file < b->file ? -1 : 1;
    if (a->line != b->line)
        return a->line < b->line ? -1 : 1;
    return (a->column > b->column) - (a->column < b->column);
}

/* Fewer open entries first, else as they stand in the files. */
static int more_given(const void *pa, const void *pb)
{
    const struct node *a = *(const struct node *const *)pa, *b = *(const struct node *const *)pb;
    unsigned open_a = open_entries(a), open_b = open_entries(b);

    if (open_a != open_b)
        return open_a < open_b ? -1 : 1;
    return pos_compare(&a->at, &b->at);
}

const struct node **conf_rls_order(const struct conf *c, unsigned *n)
{
    const struct node *list = node_get(c->root, S_RLS_RULES);
    const struct node **all = xcalloc(list->n + 1, sizeof *all);

    *n = list->n;
    for (unsigned i = 0; i < list->n; i++)
        all[i] = list->kids[i];
    qsort(all, list->n, sizeof *all, more_given);
    return all;
}

uint64_t conf_rls_keys_hash(const struct node *rule)
{
    const struct node *list = node_get(rule, S_RLS_DESCRIPTORS);
    uint64_t hash = hash64(slice_str(node_text(rule, S_RLS_DOMAIN)), list->n);

    for (unsigned i = 0; i < list->n; i++)
        hash = hash64(slice_str(node_text(list->kids[i], S_RLS_KEY)), hash);
    return hash;
}
