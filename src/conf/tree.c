/* SPDX-License-Identifier: BSD-2-Clause */
#include "conf/tree.h"

#include <stdarg.h>

#include "base/check.h"

void *conf_alloc(struct conf *c, size_t n)
{
    void *p = arena_zalloc(&c->arena, n);
    CHECK(p != NULL);
    return p;
}

char *conf_dup(struct conf *c, struct slice s)
{
    char *p = conf_alloc(c, s.n + 1);
    if (s.n > 0)
        memcpy(p, s.p, s.n);
    return p;
}

char *conf_printf(struct conf *c, const char *fmt, ...)
{
    struct buf b = {0};
    va_list ap;
    char *p;

    va_start(ap, fmt);
    buf_vprintf(&b, fmt, ap);
    va_end(ap);
    p = conf_dup(c, buf_view(&b));
    buf_free(&b);
    return p;
}

static void add_kid(struct conf *c, struct node *n, struct node *kid)
{
    if (n->n == n->cap) {
        unsigned cap = n->cap ? n->cap * 2 : 8;
        struct node **kids = conf_alloc(c, cap * sizeof(struct node *));
        if (n->n > 0)
            memcpy(kids, n->kids, n->n * sizeof *kids);
        n->kids = kids;
        n->cap = cap;
    }
    n->kids[n->n++] = kid;
}

struct node *node_object(struct conf *c, enum setting_id id, struct node *up)
{
    struct node *n = conf_alloc(c, sizeof *n);

    n->id = id;
    n->up = up;
    n->at.file = DIAG_NO_FILE;
    for (int k = S_ROOT + 1; k < SETTING_COUNT; k++) {
        enum setting_id kid = (enum setting_id)k;
        struct node *k_node;

        if (conf_settings[kid].parent != id)
            continue;
        if (conf_settings[kid].type == T_MAP) {
            k_node = node_object(c, kid, n);
        } else {
            k_node = conf_alloc(c, sizeof *k_node);
            k_node->id = kid;
            k_node->up = n;
            k_node->at.file = DIAG_NO_FILE;
        }
        add_kid(c, n, k_node);
    }
    return n;
}

struct node *node_add(struct conf *c, struct node *list)
{
    struct node *n;

    if (setting_is_group(list->id)) {
        n = node_object(c, list->id, list);
    } else {
        n = conf_alloc(c, sizeof *n);
        n->id = list->id;
        n->up = list;
        n->at.file = DIAG_NO_FILE;
    }
    n->element = true;
    add_kid(c, list, n);
    return n;
}

static struct node *child(const struct node *n, enum setting_id id)
{
    for (unsigned i = 0; i < n->n; i++)
        if (n->kids[i]->id == id && !n->kids[i]->element)
            return n->kids[i];
    return NULL;
}

struct node *node_get(const struct node *n, enum setting_id id)
{
    enum setting_id parent = conf_settings[id].parent;
    struct node *found;

    CHECK(id != S_ROOT);
    if (parent != n->id)
        n = node_get(n, parent);
    found = child(n, id);
    CHECK(found != NULL);
    return found;
}

const char *node_text(const struct node *n, enum setting_id id)
{
    const char *text = node_get(n, id)->text;
    return text ? text : "";
}

int64_t node_num(const struct node *n, enum setting_id id)
{
    return node_get(n, id)->value.num;
}

uint32_t node_find(const struct node *list, const char *name)
{
    for (uint32_t i = 0; i < list->n; i++)
        if (list->kids[i]->name != NULL && strcmp(list->kids[i]->name, name) == 0)
            return i;
    return UINT32_MAX;
}

static unsigned index_of(const struct node *n)
{
    unsigned i = 0;

    while (n->up->kids[i] != n)
        i++;
    return i;
}

void node_path(const struct node *n, struct buf *out)
{
    if (n->up == NULL)
        return;
    node_path(n->up, out);
    if (n->element && setting_base(n->id) == T_NAMED) {
        buf_printf(out, ".%s", n->name);
    } else if (n->element) {
        buf_char(out, '[');
        if (n->name != NULL)
            buf_str(out, n->name);
        else
            buf_u64(out, index_of(n));
        buf_char(out, ']');
    } else {
        if (n->up->up != NULL)
            buf_char(out, '.');
        buf_str(out, conf_settings[n->id].key);
    }
}

const char *node_path_text(struct conf *c, const struct node *n)
{
    struct buf b = {0};
    const char *text;

    node_path(n, &b);
    text = conf_dup(c, buf_view(&b));
    buf_free(&b);
    return text;
}
