/* SPDX-License-Identifier: BSD-2-Clause */
/* What no file set: defaults of the schema, values of other settings, or an error. */
#include "base/check.h"
#include "conf/tree.h"

static void default_scalar(struct conf *c, struct node *n)
{
    const char *text = setting_default(n->id);
    struct buf why = {0};

    if (text == NULL)
        return;
    CHECK(value_parse(n->id, slice_str(text), &n->value, &why));
    n->text = conf_absolute(c, n->id, slice_str(text));
    buf_free(&why);
}

/* Where the nearest thing in a file is that the error can be shown at. */
static struct conf_pos nearest_place(const struct node *n)
{
    while (n->at.line == 0 && n->up != NULL)
        n = n->up;
    return n->at;
}

static void defaults(struct conf *c, struct node *n)
{
    bool leaf = !setting_is_group(n->id);

    if (!leaf) {
        for (unsigned i = 0; i < n->n; i++)
            defaults(c, n->kids[i]);
        if (n->element && n->id == S_LISTEN && n->name == NULL)
            n->name = node_get(n, S_LISTEN_NAME)->text;
        return;
    }
    if (setting_required(n->id) && !n->bad && (!n->set || (setting_is_list(n->id) && n->n == 0))) {
        n->bad = true;
        if (!n->up->bad && !c->incomplete)
            diag_error(&c->diag, nearest_place(n), NULL, "%s needs \"%s\"",
                       node_path_text(c, n->up), conf_settings[n->id].key);
    }
    if (!n->set && !setting_is_list(n->id))
        default_scalar(c, n);
}

/* The setting that LIKE names: an absolute path, or a sibling of an element above. */
static const struct node *like_source(const struct node *n)
{
    switch (n->id) {
    case S_ROUTE_MAX_BODY: {
        const struct node *root = n;
        while (root->up != NULL)
            root = root->up;
        return node_get(root, S_HTTP_MAX_BODY);
    }
    case S_METHOD_CONCURRENCY_MODE:
    case S_METHOD_CONCURRENCY_MIN:
    case S_METHOD_CONCURRENCY_MAX:
    case S_METHOD_CONCURRENCY_INITIAL:
    case S_METHOD_CONCURRENCY_TOLERANCE: {
        struct slice key = slice_str(conf_settings[n->id].key);
        const struct node *route = n->up->up->up->up;
        return node_get(route, setting_child(S_ROUTE_CONCURRENCY, key));
    }
    default: {
        struct slice key = slice_str(conf_settings[n->id].key);
        return node_get(n->up->up->up, setting_child(S_ROUTES, key));
    }
    }
}

/* After the defaults, from the outside in: what an outer LIKE took is there for an inner one. */
static void likes(struct node *n)
{
    const struct node *from;

    if (setting_is_group(n->id)) {
        for (unsigned i = 0; i < n->n; i++)
            likes(n->kids[i]);
        return;
    }
    if (n->set || n->element || setting_like(n->id) == NULL)
        return;
    from = like_source(n);
    n->text = from->text;
    n->value = from->value;
    n->bad = from->bad;
    n->kids = from->kids;
    n->n = from->n;
}

void conf_fill_defaults(struct conf *c)
{
    defaults(c, c->root);
    likes(c->root);
}
