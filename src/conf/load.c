/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files to tree. Each file is walked against the schema; what it sets is put into the one tree, so
 * that mappings of several files merge by themselves, lists append, and a value that is there
 * already is seen. After the last file the defaults are filled in.
 */
#include <errno.h>
#include <stdio.h>

#include "base/check.h"
#include "conf/tree.h"
#include "conf/yaml.h"

#define FILES_MAX 1000

/* The files being read, from the innermost out. */
struct chain {
    const struct chain *up;
    const char *name;
    dev_t dev;
    ino_t ino;
};

static void fill(struct conf *c, struct node *n, const struct yaml_node *y);

/* --- values --- */

static void suggest_words(struct suggest *s, const char *words)
{
    struct slice w;

    while (setting_word(&words, &w))
        suggest_try(s, w);
}

static void bad_value(struct conf *c, struct node *n, struct conf_pos at, struct slice text,
                      struct buf *why)
{
    const char *values = setting_base(n->id) == T_BOOL ? "true|false" : conf_settings[n->id].values;
    bool words = setting_base(n->id) != T_ADDRESS && setting_base(n->id) != T_REF;
    struct suggest s;

    suggest_init(&s, text);
    if (words)
        suggest_words(&s, values);
    n->bad = true;
    diag_error(&c->diag, at, suggest_hint(&s), "%s: %s", node_path_text(c, n), buf_cstr(why));
}

/* The text with its variables replaced, in the arena; false after an error. */
static bool expand(struct conf *c, struct node *n, const struct yaml_node *y, struct slice *text)
{
    struct buf out = {0}, why = {0};
    size_t at = 0;
    bool ok = value_expand(y->text, &out, &at, &why);

    if (ok) {
        *text = slice_of(conf_dup(c, buf_view(&out)), out.n);
    } else {
        n->bad = true;
        diag_error(&c->diag, diag_inside(&c->diag, y->at, y->text, at), NULL, "%s: %s",
                   node_path_text(c, n), buf_cstr(&why));
    }
    buf_free(&out);
    buf_free(&why);
    return ok;
}

static void set_scalar(struct conf *c, struct node *n, const struct yaml_node *y)
{
    struct buf why = {0};
    struct slice text;

    n->set = true;
    n->at = y->at;
    if (!expand(c, n, y, &text))
        return;
    if (!value_parse(n->id, text, &n->value, &why)) {
        struct conf_pos at = y->at;
        if (n->value.at > 0)
            at = diag_inside(&c->diag, at, text, n->value.at);
        bad_value(c, n, at, text, &why);
    } else {
        n->text = conf_absolute(c, n->id, text);
    }
    buf_free(&why);
}

static void expected(struct conf *c, struct node *n, const struct yaml_node *y, const char *what)
{
    n->bad = true;
    const char *path = node_path_text(c, n);

    /* The whole file has no path. */
    diag_error(&c->diag, y->at, NULL, "%s%sexpected %s", path, path[0] != '\0' ? ": " : "", what);
}

static void fill_scalar(struct conf *c, struct node *n, const struct yaml_node *y)
{
    struct buf first = {0};

    if (n->set) {
        diag_origin(&c->diag, n->at, &first);
        diag_error(&c->diag, y->at, NULL, "%s is set twice, first at %s", node_path_text(c, n),
                   buf_cstr(&first));
        buf_free(&first);
        return;
    }
    n->set = true;
    n->at = y->at;
    if (y->kind != YAML_SCALAR)
        expected(c, n, y, "one value");
    else if (yaml_is_null(y))
        expected(c, n, y, "a value (\"\" is an empty text)");
    else
        set_scalar(c, n, y);
}

static void fill_list(struct conf *c, struct node *n, const struct yaml_node *y)
{
    if (!n->set)
        n->at = y->at;
    n->set = true;
    if (y->kind == YAML_SCALAR && !yaml_is_null(y)) {
        set_scalar(c, node_add(c, n), y);
        return;
    }
    if (y->kind == YAML_MAP) {
        expected(c, n, y, "a list");
        return;
    }
    for (unsigned i = 0; i < y->n; i++) {
        struct node *e = node_add(c, n);
        if (y->items[i]->kind == YAML_SCALAR && !yaml_is_null(y->items[i]))
            set_scalar(c, e, y->items[i]);
        else
            expected(c, e, y->items[i], "one value");
        n->bad = n->bad || e->bad;
    }
}

/* --- groups --- */

/* An earlier pair of the mapping with the same key, or NULL. */
static const struct yaml_node *earlier(const struct yaml_node *y, unsigned i)
{
    for (unsigned j = 0; j < i; j += 2)
        if (slice_eq(y->items[j]->text, y->items[i]->text))
            return y->items[j];
    return NULL;
}

static bool duplicate(struct conf *c, const struct yaml_node *y, unsigned i)
{
    const struct yaml_node *first = earlier(y, i);

    if (first == NULL)
        return false;
    diag_error(&c->diag, y->items[i]->at, NULL, "\"%.*s\" is there twice, first at line %u",
               SLICE_ARG(y->items[i]->text), first->at.line);
    return true;
}

static void unknown_key(struct conf *c, struct node *n, const struct yaml_node *key)
{
    const char *where = node_path_text(c, n);
    struct suggest s;

    suggest_init(&s, key->text);
    for (int id = S_ROOT + 1; id < SETTING_COUNT; id++)
        if (conf_settings[id].parent == n->id)
            suggest_try(&s, slice_str(conf_settings[id].key));
    diag_error(&c->diag, key->at, suggest_hint(&s), "unknown setting \"%.*s\"%s%s",
               SLICE_ARG(key->text), where[0] ? " in " : "", where);
}

/* True when y can be walked as a mapping; nothing at all is one, too. */
static bool is_mapping(struct conf *c, struct node *n, const struct yaml_node *y)
{
    if (y->kind == YAML_MAP)
        return true;
    if (yaml_is_null(y))
        return false;
    expected(c, n, y, "a mapping (key: value)");
    return false;
}

/* Its name first: errors in the other settings of a list's element are told by it. */
static void take_name(struct conf *c, struct node *n, const struct yaml_node *y)
{
    for (unsigned i = 0; i + 1 < y->n; i += 2)
        if (slice_eq(y->items[i]->text, SLICE_LIT("name")) &&
            y->items[i + 1]->kind == YAML_SCALAR && y->items[i + 1]->text.n > 0)
            n->name = conf_dup(c, y->items[i + 1]->text);
}

static void fill_map(struct conf *c, struct node *n, const struct yaml_node *y)
{
    if (!n->set)
        n->at = y->at;
    n->set = true;
    if (!is_mapping(c, n, y))
        return;
    if (n->element && setting_base(n->id) == T_OBJECTS)
        take_name(c, n, y);
    for (unsigned i = 0; i + 1 < y->n; i += 2) {
        enum setting_id id = setting_child(n->id, y->items[i]->text);
        if (duplicate(c, y, i))
            continue;
        if (id == S_ROOT)
            unknown_key(c, n, y->items[i]);
        else
            fill(c, node_get(n, id), y->items[i + 1]);
    }
}

static bool good_name(struct conf *c, struct node *n, const struct yaml_node *key)
{
    struct buf why = {0};
    struct value v;
    bool ok = value_parse(S_ROUTE_NAME, key->text, &v, &why);

    if (!ok)
        diag_error(&c->diag, key->at, NULL, "name in %s: %s", node_path_text(c, n), buf_cstr(&why));
    buf_free(&why);
    return ok;
}

static void fill_named(struct conf *c, struct node *n, const struct yaml_node *y)
{
    n->set = true;
    if (!is_mapping(c, n, y))
        return;
    for (unsigned i = 0; i + 1 < y->n; i += 2) {
        const struct yaml_node *key = y->items[i];
        struct node *e;
        uint32_t old;

        if (duplicate(c, y, i) || !good_name(c, n, key))
            continue;
        old = node_find(n, conf_dup(c, key->text));
        e = old != UINT32_MAX ? n->kids[old] : node_add(c, n);
        if (old == UINT32_MAX)
            e->name = conf_dup(c, key->text);
        fill_map(c, e, y->items[i + 1]);
        if (old == UINT32_MAX)
            e->at = key->at;
    }
}

static void fill_objects(struct conf *c, struct node *n, const struct yaml_node *y)
{
    n->set = true;
    if (yaml_is_null(y))
        return;
    if (y->kind != YAML_LIST) {
        expected(c, n, y, "a list (- key: value)");
        return;
    }
    for (unsigned i = 0; i < y->n; i++) {
        struct node *e = node_add(c, n);
        if (yaml_is_null(y->items[i]))
            expected(c, e, y->items[i], "a mapping (key: value)");
        else
            fill_map(c, e, y->items[i]);
        e->at.width = 1;
    }
}

static void fill(struct conf *c, struct node *n, const struct yaml_node *y)
{
    if (setting_is_list(n->id))
        fill_list(c, n, y);
    else if (conf_settings[n->id].type == T_MAP)
        fill_map(c, n, y);
    else if (conf_settings[n->id].type == T_NAMED)
        fill_named(c, n, y);
    else if (conf_settings[n->id].type == T_OBJECTS)
        fill_objects(c, n, y);
    else
        fill_scalar(c, n, y);
}

/* --- files --- */

const char *conf_file_error(int err)
{
    return err == EINVAL ? "not a file" : strerror(err);
}

static bool seen_before(struct conf *c, const struct chain *up, const struct input *in,
                        struct conf_pos from, const char *name)
{
    for (; up != NULL; up = up->up)
        if (up->dev == in->dev && up->ino == in->ino) {
            diag_error(&c->diag, from, NULL,
                       "include: %s is being read already (it includes itself)", name);
            return true;
        }
    return false;
}

static void load_file(struct conf *c, const char *name, struct conf_pos from,
                      const struct chain *up);

/* Patterns are relative to the directory of the file that has them. */
static void include_one(struct conf *c, const struct node *e, const struct chain *self)
{
    const char *slash = strrchr(self->name, '/');
    const char *pattern = e->text;
    const struct input *found;

    if (pattern[0] != '/' && slash != NULL)
        pattern = conf_printf(c, "%.*s%s", (int)(slash + 1 - self->name), self->name, pattern);
    if (strpbrk(pattern, "*?[") == NULL) {
        load_file(c, pattern, e->at, self);
        return;
    }
    found = input_list(c->inputs, pattern);
    if (found == NULL)
        diag_error(&c->diag, e->at, NULL, "include: cannot list \"%s\"", pattern);
    for (size_t at = 0; found != NULL && at < found->n; at += strlen(found->bytes + at) + 1)
        load_file(c, found->bytes + at, e->at, self);
}

static void load_file(struct conf *c, const char *name, struct conf_pos from,
                      const struct chain *up)
{
    struct node *include = node_get(c->root, S_INCLUDE);
    unsigned before = include->n;
    struct chain self = {.up = up, .name = name};
    const struct yaml_node *y;
    const struct input *in = input_file(c->inputs, name);

    if (in == NULL) {
        int err = errno;
        c->incomplete = true;
        if (up == NULL)
            from.file = diag_add_source(&c->diag, name, xstrdup(""), 0);
        diag_error(&c->diag, from, NULL, "%s%s%scannot read it: %s", up ? "include: " : "",
                   up ? name : "", up ? ": " : "", conf_file_error(err));
        return;
    }
    if (seen_before(c, up, in, from, name) || c->diag.sources_n == FILES_MAX) {
        if (c->diag.sources_n == FILES_MAX)
            diag_error(&c->diag, from, NULL, "include: more than %d files", FILES_MAX);
        return;
    }
    self.dev = in->dev;
    self.ino = in->ino;
    y = yaml_load(&c->diag, diag_add_source(&c->diag, name, input_copy(in), in->n), &c->arena);
    if (y == NULL) {
        c->incomplete = true;
        return;
    }
    /* A file that a deployment has just truncated, most likely; included ones may be empty. */
    if (up == NULL && yaml_is_null(y)) {
        c->incomplete = true;
        diag_error(&c->diag, y->at, NULL,
                   "the configuration is empty; {} would be the defaults alone");
        return;
    }
    fill_map(c, c->root, y);
    for (unsigned i = before, end = include->n; i < end; i++)
        if (include->kids[i]->text != NULL)
            include_one(c, include->kids[i], &self);
}

void conf_fill(struct conf *c, struct node *n, const struct yaml_node *y)
{
    fill(c, n, y);
}

void conf_load_tree(struct conf *c, const struct conf_overlay *overlay)
{
    struct node *listen;

    c->root = node_object(c, S_ROOT, NULL);
    load_file(c, c->file, (struct conf_pos){.file = DIAG_NO_FILE}, NULL);
    c->files = c->diag.sources_n;
    if (overlay != NULL && !c->incomplete)
        conf_apply_overlay(c, overlay);
    listen = node_get(c->root, S_LISTEN);
    if (listen->n == 0 && !listen->bad)
        node_add(c, listen);
    conf_fill_defaults(c);
}
