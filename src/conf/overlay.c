/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A path leads to a node of the tree; the node forgets what a file said and is filled anew, by the
 * same function that fills it from a file, so types, ranges and messages are the same.
 *
 * Names may have dots ("limits.a.b.rate"), so a path is not split but walked: at a mapping of names
 * every name that could be meant is tried.
 */
#include "conf/overlay.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "conf/tree.h"
#include "conf/yaml.h"

/* --- paths --- */

/* Where the walk got furthest before it failed. */
struct lost {
    const struct node *at;
    struct slice rest;
};

static struct node *walk(struct node *n, struct slice rest, struct lost *lost);

static struct slice behind(struct slice s, size_t n)
{
    return slice_of(s.p + n, s.n - n);
}

static bool is_collection(const struct node *n)
{
    return !n->element && (setting_base(n->id) == T_NAMED || setting_base(n->id) == T_OBJECTS);
}

static struct node *walk_key(struct node *n, struct slice rest, struct lost *lost)
{
    size_t end = 0;
    enum setting_id id;

    if (n->up != NULL && rest.p[0] != '.')
        return NULL;
    rest = behind(rest, n->up != NULL ? 1 : 0);
    while (end < rest.n && rest.p[end] != '.' && rest.p[end] != '[')
        end++;
    id = setting_child(n->id, slice_of(rest.p, end));
    return id != S_ROOT ? walk(node_get(n, id), behind(rest, end), lost) : NULL;
}

static struct node *walk_element(struct node *list, struct slice rest, struct lost *lost)
{
    bool brackets = setting_base(list->id) == T_OBJECTS;
    struct node *found = NULL;

    for (unsigned i = 0; i < list->n && found == NULL; i++) {
        struct slice name = slice_str(list->kids[i]->name);
        char number[24];
        size_t whole;
        if (name.p == NULL)
            name = slice_of(number, fmt_u64(number, i));
        whole = name.n + (brackets ? 2 : 1);
        if (rest.n < whole || rest.p[0] != (brackets ? '[' : '.') ||
            !slice_eq(slice_of(rest.p + 1, name.n), name) || (brackets && rest.p[whole - 1] != ']'))
            continue;
        rest = behind(rest, whole);
        if (rest.n == 0 || rest.p[0] == '.')
            found = walk(list->kids[i], rest, lost);
        rest = slice_of(rest.p - whole, rest.n + whole);
    }
    return found;
}

static struct node *walk(struct node *n, struct slice rest, struct lost *lost)
{
    if (rest.n == 0)
        return n;
    if (lost->at == NULL || rest.n < lost->rest.n)
        *lost = (struct lost){n, rest};
    if (!setting_is_group(n->id))
        return NULL;
    return is_collection(n) ? walk_element(n, rest, lost) : walk_key(n, rest, lost);
}

struct node *conf_node(const struct conf *c, const char *path)
{
    struct lost lost = {0};

    return walk(c->root, slice_str(path), &lost);
}

/* "routes.x" for "routes[x]". */
static bool wants_brackets(const struct node *n, struct slice name, struct buf *hint)
{
    struct buf path = {0};

    if (!is_collection(n) || setting_base(n->id) != T_OBJECTS)
        return false;
    for (unsigned i = 0; i < n->n; i++) {
        if (n->kids[i]->name == NULL || !slice_eq(slice_str(n->kids[i]->name), name))
            continue;
        node_path(n->kids[i], &path);
        buf_printf(hint, "it is written %s: rushctl show config lists the settings",
                   buf_cstr(&path));
        buf_free(&path);
        return true;
    }
    return false;
}

/* What should have stood where the walk failed. */
static void suggest(const struct lost *lost, struct buf *hint)
{
    struct slice word = lost->rest;
    const struct node *n = lost->at;
    struct suggest s;
    size_t end = 0;

    while (word.n > 0 && (word.p[0] == '.' || word.p[0] == '['))
        word = behind(word, 1);
    while (end < word.n && word.p[end] != '.' && word.p[end] != '[' && word.p[end] != ']')
        end++;
    if (lost->at != NULL && wants_brackets(lost->at, slice_of(word.p, end), hint))
        return;
    suggest_init(&s, slice_of(word.p, end));
    for (unsigned i = 0; is_collection(n) && i < n->n; i++)
        suggest_try(&s, slice_str(n->kids[i]->name));
    for (int id = S_ROOT + 1; !is_collection(n) && id < SETTING_COUNT; id++)
        if (conf_settings[id].parent == n->id)
            suggest_try(&s, slice_str(conf_settings[id].key));
    if (suggest_hint(&s) != NULL)
        buf_str(hint, suggest_hint(&s));
}

/* --- what may be changed --- */

static const char *why_fixed(const struct node *n)
{
    const struct setting *s = &conf_settings[n->id];

    if (setting_is_group(n->id))
        return "has settings below it: name one of these";
    if (s->restart)
        return "needs a restart to change: change it in the file";
    if (n->id == S_INCLUDE || s->type == T_FILE)
        return "names files, which only a reload reads: change it in the file";
    if (n->id == S_ROUTE_NAME)
        return "is the name by which settings are found: change it in the file";
    return NULL;
}

enum conf_changeable conf_changeable(const struct conf *c, const char *path, struct buf *why,
                                     struct buf *hint)
{
    struct lost lost = {0};
    const struct node *n = walk(c->root, slice_str(path), &lost);
    const char *fixed;

    if (n == NULL || n == c->root) {
        buf_printf(why, "there is no setting \"%s\"", path);
        if (n == NULL)
            suggest(&lost, hint);
        return CONF_NO_SETTING;
    }
    fixed = why_fixed(n);
    if (fixed == NULL)
        return CONF_CHANGEABLE;
    buf_printf(why, "%s %s", path, fixed);
    return CONF_FIXED;
}

bool conf_value(const struct conf *c, const char *path, struct buf *out)
{
    const struct node *n = conf_node(c, path);

    if (n == NULL || setting_is_group(n->id))
        return false;
    conf_node_value(n, out);
    return true;
}

/* --- values --- */

static struct yaml_node *scalar(struct conf *c, struct conf_pos at, struct slice text)
{
    struct yaml_node *y = conf_alloc(c, sizeof *y);

    *y = (struct yaml_node){.kind = YAML_SCALAR, .at = at};
    y->text = slice_of(conf_dup(c, text), text.n);
    return y;
}

/* "a, b", with brackets around it or without. */
static struct yaml_node *list(struct conf *c, struct conf_pos at, struct slice text)
{
    struct yaml_node *y = conf_alloc(c, sizeof *y);
    unsigned cap = 1;

    for (size_t i = 0; i < text.n; i++)
        cap += text.p[i] == ',';
    *y = (struct yaml_node){.kind = YAML_LIST, .at = at};
    y->items = conf_alloc(c, cap * sizeof(struct yaml_node *));
    text = slice_trim(text);
    if (text.n >= 2 && text.p[0] == '[' && text.p[text.n - 1] == ']')
        text = slice_trim(slice_of(text.p + 1, text.n - 2));
    while (text.n > 0) {
        size_t n = slice_find(text, ',');
        y->items[y->n++] = scalar(c, at, slice_trim(slice_of(text.p, n)));
        text = behind(text, n < text.n ? n + 1 : n);
    }
    return y;
}

/* As if no file had said anything about it. */
static void forget(struct node *n)
{
    n->set = n->bad = false;
    n->text = NULL;
    n->n = n->cap = 0;
    n->kids = NULL;
}

/* The mappings around a setting are there, too, as they are when a file has it. */
static void mark_parents(struct node *n)
{
    for (n = n->up; n != NULL && !n->set; n = n->up)
        n->set = true;
}

static void set_value(struct conf *c, struct node *n, struct conf_pos at, const char *value)
{
    struct slice text = slice_str(value);

    forget(n);
    if (strstr(value, "${") != NULL || strstr(value, "$$") != NULL) {
        n->bad = true;
        diag_error(&c->diag, at, NULL, "%s: a runtime change knows no variables",
                   node_path_text(c, n));
        return;
    }
    conf_fill(c, n, setting_is_list(n->id) ? list(c, at, text) : scalar(c, at, text));
    mark_parents(n);
}

/* A source without lines: its name is the place in messages, name and note are the origin. */
static struct conf_pos place(struct conf *c, const struct conf_runtime_value *o)
{
    char name[48], until[CLOCK_ISO_MAX];
    struct conf_pos at = {.width = 1};
    struct buf note = {0};

    snprintf(name, sizeof name, "runtime change %u", (unsigned)o->id);
    at.file = diag_add_source(&c->diag, name, xstrdup(""), 0);
    if (o->until_real_ns != 0) {
        clock_iso8601(o->until_real_ns, 0, until);
        buf_printf(&note, ", until %s", until);
    }
    c->diag.sources[at.file].note = xstrdup(buf_cstr(&note));
    buf_free(&note);
    return at;
}

void conf_apply_overlay(struct conf *c, const struct conf_overlay *overlay)
{
    for (unsigned i = 0; i < overlay->n; i++) {
        const struct conf_runtime_value *o = &overlay->all[i];
        struct conf_pos at = place(c, o);
        struct buf why = {0}, hint = {0};

        if (conf_changeable(c, o->path, &why, &hint) == CONF_CHANGEABLE)
            set_value(c, conf_node(c, o->path), at, o->value);
        else
            diag_error(&c->diag, at, hint.n > 0 ? buf_cstr(&hint) : NULL, "%s", buf_cstr(&why));
        buf_free(&why);
        buf_free(&hint);
    }
}
