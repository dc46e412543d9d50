/* SPDX-License-Identifier: BSD-2-Clause */
/* The settings in force, and how two configurations differ. */
#include <stdlib.h>

#include "conf/tree.h"

/* Texts that would not show on one line, or not at all, are shown as JSON. */
static void add_text(struct buf *out, const char *text)
{
    bool odd = text[0] == '\0';

    for (const char *p = text; *p; p++)
        odd = odd || (unsigned char)*p < 0x20 || *p == 0x7f;
    if (odd)
        buf_json(out, slice_str(text));
    else
        buf_str(out, text);
}

/* A list as "[a, b]". */
static void add_value(struct buf *out, const struct node *n)
{
    if (!setting_is_list(n->id) || n->element) {
        add_text(out, n->text ? n->text : "");
        return;
    }
    buf_char(out, '[');
    for (unsigned i = 0; i < n->n; i++) {
        if (i > 0)
            buf_str(out, ", ");
        add_text(out, n->kids[i]->text ? n->kids[i]->text : "");
    }
    buf_char(out, ']');
}

void conf_node_value(const struct node *n, struct buf *out)
{
    add_value(out, n);
}

static bool is_leaf(const struct node *n)
{
    return !setting_is_group(n->id);
}

/* Nothing is in force, or it is only an override that overrides nothing. */
static bool silent(const struct node *n)
{
    if (n->set)
        return false;
    if (conf_settings[n->id].parent == S_ROUTE_METHODS ||
        conf_settings[n->id].parent == S_METHOD_CONCURRENCY)
        return true;
    return setting_is_list(n->id) ? n->n == 0 : n->text == NULL;
}

struct show {
    const struct conf *c;
    struct buf *out;
    bool origin, json;
    bool any;
    size_t path_width, value_width; /* widest so far: the first pass only measures */
    bool measure;
};

static void add_origin(const struct show *s, const struct node *n, struct buf *out)
{
    if (n->set)
        diag_origin(&s->c->diag, n->at, out);
    else if (setting_like(n->id) != NULL)
        buf_str(out, setting_like(n->id));
    else
        buf_str(out, "default");
}

static void pad(struct buf *out, size_t have, size_t width)
{
    for (; have < width + 2; have++)
        buf_char(out, ' ');
}

static void show_json(struct show *s, const struct node *n, struct slice path)
{
    struct buf origin = {0};

    add_origin(s, n, &origin);
    buf_str(s->out, s->any ? ",{\"setting\":" : "{\"setting\":");
    buf_json(s->out, path);
    buf_str(s->out, ",\"value\":");
    if (setting_is_list(n->id)) {
        buf_char(s->out, '[');
        for (unsigned i = 0; i < n->n; i++) {
            buf_str(s->out, i > 0 ? "," : "");
            buf_json(s->out, slice_str(n->kids[i]->text));
        }
        buf_char(s->out, ']');
    } else {
        buf_json(s->out, slice_str(n->text ? n->text : ""));
    }
    buf_str(s->out, ",\"origin\":");
    buf_json(s->out, buf_view(&origin));
    buf_printf(s->out, ",\"reload\":%s}", conf_settings[n->id].restart ? "false" : "true");
    s->any = true;
    buf_free(&origin);
}

static void show_text(struct show *s, const struct node *n, struct slice path)
{
    struct buf value = {0};

    add_value(&value, n);
    if (s->measure) {
        s->path_width = path.n > s->path_width ? path.n : s->path_width;
        /* One long value does not push everybody's origin off the screen. */
        if (value.n > s->value_width && value.n <= 48)
            s->value_width = value.n;
    } else {
        buf_slice(s->out, path);
        pad(s->out, path.n, s->path_width);
        buf_slice(s->out, buf_view(&value));
        if (s->origin) {
            pad(s->out, value.n, value.n > s->value_width ? value.n : s->value_width);
            add_origin(s, n, s->out);
        }
        buf_char(s->out, '\n');
    }
    buf_free(&value);
}

static void show_node(struct show *s, const struct node *n)
{
    struct buf path = {0};

    if ((n->id == S_ROUTE_RESPOND || n->id == S_ARM_RESPOND) && !n->set)
        return; /* its defaults mean something only where it is */
    if (!is_leaf(n)) {
        for (unsigned i = 0; i < n->n; i++)
            show_node(s, n->kids[i]);
        return;
    }
    if (silent(n))
        return;
    node_path(n, &path);
    if (s->json)
        show_json(s, n, buf_view(&path));
    else
        show_text(s, n, buf_view(&path));
    buf_free(&path);
}

void conf_show(const struct conf *c, bool origin, bool json, struct buf *out)
{
    struct show s = {.c = c, .out = out, .origin = origin, .json = json};

    if (json) {
        buf_char(out, '[');
        show_node(&s, c->root);
        buf_char(out, ']');
        return;
    }
    s.measure = true;
    show_node(&s, c->root);
    s.measure = false;
    show_node(&s, c->root);
}

/* --- differences --- */

struct diff {
    const struct conf *a, *b;
    void (*cb)(void *arg, const struct conf_change *change);
    void *arg;
    unsigned n;
};

static void change(struct diff *d, const struct node *n, const char *from, const char *to)
{
    struct buf path = {0};
    struct conf_change ch = {.old_text = from, .new_text = to};

    node_path(n, &path);
    ch.path = buf_cstr(&path);
    ch.restart = conf_settings[n->id].restart;
    d->n++;
    d->cb(d->arg, &ch);
    buf_free(&path);
}

/* "64k" and "65536" are the same. */
static bool same_value(const struct node *a, const struct node *b)
{
    switch (conf_settings[a->id].type) {
    case T_RATE:
        return a->value.num == b->value.num && a->value.period_ns == b->value.period_ns;
    case T_BOOL:
    case T_INT:
    case T_SIZE:
    case T_DURATION:
    case T_PERCENT:
    case T_ENUM:
    case T_MODE:
        return a->value.num == b->value.num;
    default:
        return false;
    }
}

static void diff_leaf(struct diff *d, const struct node *a, const struct node *b)
{
    struct buf from = {0}, to = {0};

    if (!a->set && !b->set && setting_like(a->id) != NULL)
        return; /* it follows another setting, which is reported */
    if (!same_value(a, b) && a->id != S_INCLUDE) {
        add_value(&from, a);
        add_value(&to, b);
        if (!slice_eq(buf_view(&from), buf_view(&to)))
            change(d, b, buf_cstr(&from), buf_cstr(&to));
    }
    buf_free(&from);
    buf_free(&to);
}

static void diff_node(struct diff *d, const struct node *a, const struct node *b);

/* A descriptor set may be another under the same name. */
static void diff_schema(struct diff *d, const struct node *a, const struct node *b, uint32_t ia,
                        uint32_t ib)
{
    const struct node *file = node_get(b, S_TRANSCODE_DESCRIPTOR_SET);
    unsigned before = d->n;

    diff_node(d, a, b);
    if (d->n == before &&
        !slice_eq(buf_view(&d->a->plan.schemas[ia]), buf_view(&d->b->plan.schemas[ib])))
        change(d, file, file->text, "the same file with other content");
}

static uint32_t find_same(const struct node *list, const struct node *e, uint32_t index)
{
    if (e->name != NULL)
        return node_find(list, e->name);
    return index < list->n ? index : UINT32_MAX;
}

static void diff_elements(struct diff *d, const struct node *a, const struct node *b)
{
    for (uint32_t i = 0; i < a->n; i++) {
        uint32_t k = find_same(b, a->kids[i], i);
        if (k == UINT32_MAX)
            change(d, a->kids[i], "present", "absent");
        else if (a->id == S_TRANSCODE)
            diff_schema(d, a->kids[i], b->kids[k], i, k);
        else
            diff_node(d, a->kids[i], b->kids[k]);
    }
    for (uint32_t i = 0; i < b->n; i++)
        if (find_same(a, b->kids[i], i) == UINT32_MAX)
            change(d, b->kids[i], "absent", "present");
}

static void diff_node(struct diff *d, const struct node *a, const struct node *b)
{
    if (is_leaf(a)) {
        diff_leaf(d, a, b);
    } else if (conf_settings[a->id].type == T_MAP || a->element) {
        for (unsigned i = 0; i < a->n; i++)
            diff_node(d, a->kids[i], b->kids[i]);
    } else {
        diff_elements(d, a, b);
    }
}

unsigned conf_diff(const struct conf *old_conf, const struct conf *new_conf,
                   void (*cb)(void *arg, const struct conf_change *change), void *arg)
{
    struct diff d = {old_conf, new_conf, cb, arg, 0};

    diff_node(&d, old_conf->root, new_conf->root);
    return d.n;
}
