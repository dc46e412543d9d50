/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The tree of settings knows where each value begins; the text is parsed once more to learn what is
 * around it. Three cases:
 *
 *   rate: 10/s  # comment      the setting is there: its scalar is replaced
 *   burst: 20                  it is not, but its mapping: a line below a neighbour of one line, or
 *                              behind it in {braces}
 *   mode: ...                  nor its mapping: the same, with the keys between, in the next
 * mapping outwards that is there
 */
#include "config.h"

#include "conf/edit.h"

#include <string.h>

#include "conf/yaml.h"

#define KEYS_MAX 8 /* nested mappings that may be missing */

struct editor {
    const struct conf *c;
    const struct diag_source *source;
    struct edit *out;
    struct buf *why;
    const char *keys[KEYS_MAX]; /* to be written, from the innermost out */
    unsigned keys_n;
    const char *value;
};

static size_t offset(const struct editor *e, struct conf_pos at)
{
    return diag_offset(e->source, at);
}

static bool cannot(struct editor *e, const char *why)
{
    buf_str(e->why, why);
    return false;
}

/* --- spelling --- */

/* A text that YAML takes for itself without quotes, in braces too. */
static bool is_plain(const char *text)
{
    static const char first[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ/";
    size_t n = strlen(text);

    if (n == 0 || strchr(first, text[0]) == NULL || text[n - 1] == ':' || strcmp(text, "null") == 0)
        return false;
    for (size_t i = 0; i < n; i++)
        if (strchr(first, text[i]) == NULL && strchr("_-.:%+", text[i]) == NULL)
            return false;
    return true;
}

static void spell(struct buf *out, const char *text, bool quoted)
{
    if (!quoted && is_plain(text))
        buf_str(out, text);
    else
        buf_json(out, slice_str(text));
}

static void line_break(const struct editor *e, struct buf *out)
{
    bool cr = memmem(e->source->text, e->source->n, "\r\n", 2) != NULL;

    buf_str(out, cr ? "\r\n" : "\n");
}

/* "a:\n  b: value", the first line without its indent. */
static void spell_block(const struct editor *e, struct buf *out, unsigned indent, bool quoted)
{
    for (unsigned i = e->keys_n; i-- > 0;) {
        spell(out, e->keys[i], quoted);
        buf_char(out, ':');
        if (i == 0)
            break;
        line_break(e, out);
        indent += 2;
        buf_printf(out, "%*s", (int)indent, "");
    }
    buf_char(out, ' ');
    spell(out, e->value, quoted);
}

/* "a: {b: value}" */
static void spell_flow(const struct editor *e, struct buf *out, bool quoted)
{
    for (unsigned i = e->keys_n; i-- > 0;) {
        spell(out, e->keys[i], quoted);
        buf_str(out, i > 0 ? ": {" : ": ");
    }
    spell(out, e->value, quoted);
    for (unsigned i = 1; i < e->keys_n; i++)
        buf_char(out, '}');
}

/* The text with bytes [at, end) replaced. */
static void splice(const struct editor *e, size_t at, size_t end, const struct buf *with)
{
    struct buf *out = &e->out->out;

    buf_add(out, e->source->text, at);
    buf_slice(out, buf_view(with));
    buf_add(out, e->source->text + end, e->source->n - end);
}

/* --- a value that is there --- */

static bool is_at(const struct yaml_node *y, struct conf_pos at)
{
    return y->at.line == at.line && y->at.column == at.column;
}

static const struct yaml_node *find_scalar(const struct yaml_node *y, struct conf_pos at)
{
    const struct yaml_node *found = NULL;

    if (y->kind == YAML_SCALAR)
        return is_at(y, at) ? y : NULL;
    for (unsigned i = y->kind == YAML_MAP ? 1 : 0; i < y->n && found == NULL;
         i += y->kind == YAML_MAP ? 2 : 1)
        found = find_scalar(y->items[i], at);
    return found;
}

static bool replace(struct editor *e, const struct yaml_node *root, struct conf_pos at)
{
    const struct yaml_node *y = find_scalar(root, at);
    struct buf with = {0};
    struct conf_pos after = at;
    size_t from, to;

    if (y == NULL || y->end_line != y->at.line)
        return cannot(e, "the value spans several lines");
    after.column += at.width;
    from = offset(e, at);
    to = offset(e, after);
    if (memmem(e->source->text + from, to - from, "${", 2) != NULL)
        return cannot(e, "the file takes the value from the environment");
    spell(&with, e->value, !y->plain);
    splice(e, from, to, &with);
    buf_free(&with);
    e->out->line = at.line;
    return true;
}

/* --- a value that is not --- */

/*
 * The mapping that begins at a place; or, named, that belongs to the key there. (A mapping begins
 * where its first key does, so the place alone does not say.)
 */
static const struct yaml_node *find_map(const struct yaml_node *y, struct conf_pos at, bool named)
{
    const struct yaml_node *found = NULL;
    bool map = y->kind == YAML_MAP;

    if (y->kind == YAML_SCALAR)
        return NULL;
    if (map && !named && is_at(y, at))
        return y;
    for (unsigned i = map ? 1 : 0; i < y->n && found == NULL; i += map ? 2 : 1)
        if (map && named && is_at(y->items[i - 1], at))
            return y->items[i]->kind == YAML_MAP ? y->items[i] : NULL;
        else
            found = find_map(y->items[i], at, named);
    return found;
}

/* The last pair whose value is a scalar that ends on its key's line; NULL: there is none. */
static struct yaml_node **neighbour(const struct yaml_node *map)
{
    struct yaml_node **found = NULL;

    for (unsigned i = 0; i + 1 < map->n; i += 2) {
        const struct yaml_node *key = map->items[i], *value = map->items[i + 1];
        if (value->kind == YAML_SCALAR && value->end_line == key->at.line && value->text.n > 0)
            found = &map->items[i];
    }
    return found;
}

static bool quoted_at(const struct editor *e, struct conf_pos at)
{
    return e->source->text[offset(e, at)] == '"';
}

static bool insert_flow(struct editor *e, const struct yaml_node *map, struct yaml_node **pair)
{
    struct buf with = {0};
    bool quoted = map->n > 0 && quoted_at(e, map->items[0]->at);
    size_t at = offset(e, map->at) + 1;

    e->out->line = map->at.line;
    if (pair != NULL) {
        struct conf_pos after = pair[1]->at;
        after.column += after.width;
        at = offset(e, after);
        e->out->line = after.line;
        buf_str(&with, ", ");
    }
    spell_flow(e, &with, quoted);
    if (pair == NULL && map->n > 0)
        buf_str(&with, ", ");
    splice(e, at, at, &with);
    buf_free(&with);
    return true;
}

static void insert_below(struct editor *e, struct yaml_node **pair)
{
    struct slice line = diag_line(e->source, pair[1]->end_line);
    size_t end = (size_t)(line.p + line.n - e->source->text);
    unsigned indent = pair[0]->at.column - 1;
    struct buf with = {0};

    line_break(e, &with);
    buf_printf(&with, "%*s", (int)indent, "");
    spell_block(e, &with, indent, quoted_at(e, pair[0]->at));
    splice(e, end, end, &with);
    e->out->line = pair[0]->at.line + e->keys_n;
    buf_free(&with);
}

static bool insert_above(struct editor *e, const struct yaml_node *key)
{
    struct slice line = diag_line(e->source, key->at.line);
    size_t at = (size_t)(line.p - e->source->text);
    unsigned indent = key->at.column - 1;
    struct buf with = {0};

    if (strspn(line.p, " ") < indent)
        return cannot(e, "there is no line to put it beside");
    buf_printf(&with, "%*s", (int)indent, "");
    spell_block(e, &with, indent, quoted_at(e, key->at));
    line_break(e, &with);
    splice(e, at, at, &with);
    e->out->line = key->at.line + e->keys_n - 1;
    buf_free(&with);
    return true;
}

/* Into a file that has nothing but comments. */
static bool append(struct editor *e)
{
    const struct diag_source *s = e->source;
    struct buf with = {0};

    e->out->line = e->keys_n;
    for (size_t i = 0; i < s->n; i++)
        e->out->line += s->text[i] == '\n';
    if (s->n > 0 && s->text[s->n - 1] != '\n') {
        line_break(e, &with);
        e->out->line++;
    }
    spell_block(e, &with, 0, false);
    line_break(e, &with);
    splice(e, s->n, s->n, &with);
    buf_free(&with);
    return true;
}

static bool insert(struct editor *e, const struct yaml_node *root, const struct node *parent)
{
    bool named = parent->element && setting_base(parent->id) == T_NAMED;
    const struct yaml_node *map = find_map(root, parent->at, named);
    struct yaml_node **pair;

    if (map == NULL)
        return parent->up == NULL && yaml_is_null(root)
                   ? append(e)
                   : cannot(e, "its mapping is not in the file");
    pair = neighbour(map);
    if (e->source->text[offset(e, map->at)] == '{')
        return insert_flow(e, map, pair);
    if (pair == NULL)
        return insert_above(e, map->items[0]);
    insert_below(e, pair);
    return true;
}

/* --- */

static bool in_file(const struct conf *c, const struct node *n)
{
    return n->set && n->at.line > 0 && n->at.file < c->files;
}

/* The nearest mapping outwards that a file has, and the keys that lead from there to n. */
static const struct node *present_parent(struct editor *e, const struct node *n)
{
    while (n->up != NULL && !in_file(e->c, n) && e->keys_n < KEYS_MAX) {
        if (n->element)
            return NULL;
        e->keys[e->keys_n++] = conf_settings[n->id].key;
        n = n->up;
    }
    return n->at.file < e->c->files ? n : NULL;
}

bool edit_make(const struct conf *c, const struct node *n, const char *value, struct edit *out,
               struct buf *why)
{
    struct editor e = {.c = c, .out = out, .why = why, .value = value};
    const struct node *place = n;
    struct diag again = {0};
    const struct yaml_node *root;
    struct arena_pool pool;
    struct arena arena;
    bool ok;

    if (setting_is_list(n->id))
        return cannot(&e, "it is a list");
    if (!in_file(c, n))
        place = present_parent(&e, n);
    if (place == NULL)
        return cannot(&e, "its mapping is not in a file");
    out->file = place->at.file;
    e.source = &c->diag.sources[out->file];
    arena_pool_init(&pool, 0);
    arena_init(&arena, &pool);
    diag_add_source(&again, e.source->name, diag_source_copy(e.source), e.source->n);
    root = yaml_load(&again, 0, &arena);
    ok = root != NULL && (place == n ? replace(&e, root, n->at) : insert(&e, root, place));
    diag_fini(&again);
    arena_reset(&arena);
    arena_pool_fini(&pool);
    return ok;
}
