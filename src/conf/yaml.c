/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Built on libyaml's events and not on its documents: events have the marks of both ends, and depth
 * and aliases are ours to refuse (an alias bomb is a few hundred bytes).
 */
#include "conf/yaml.h"

#include <stdio.h>
#include <yaml.h>

#include "base/check.h"

#define DEPTH_MAX 32

struct loader {
    struct diag *diag;
    uint32_t source;
    struct arena *arena;
    yaml_parser_t parser;
    yaml_event_t event; /* the current one */
};

static struct conf_pos mark_pos(const struct loader *l, const yaml_mark_t *from,
                                const yaml_mark_t *to)
{
    struct conf_pos at = {l->source, (uint32_t)from->line + 1, (uint32_t)from->column + 1, 1};

    if (to != NULL && to->line == from->line && to->column > from->column)
        at.width = (uint32_t)(to->column - from->column);
    return at;
}

/* The reader names a byte, not a mark, when the text is not UTF-8. */
static struct conf_pos byte_pos(const struct loader *l, size_t offset)
{
    const struct diag_source *s = &l->diag->sources[l->source];
    struct conf_pos at = {l->source, 1, 1, 1};

    for (size_t i = 0; i < offset && i < s->n; i++) {
        if (s->text[i] == '\n') {
            at.line++;
            at.column = 1;
        } else if (((unsigned char)s->text[i] & 0xc0) != 0x80) {
            at.column++;
        }
    }
    return at;
}

/* In the white space that a line begins with, where YAML knows only blanks. */
static bool tab_indents(const struct loader *l, struct conf_pos at)
{
    const struct diag_source *s = &l->diag->sources[l->source];
    struct slice line = diag_line(s, at.line);
    size_t n = 0;

    while (n < line.n && (line.p[n] == ' ' || line.p[n] == '\t'))
        n++;
    return memchr(line.p, '\t', n) != NULL && at.column <= n + 1;
}

static void syntax_error(struct loader *l)
{
    const yaml_parser_t *p = &l->parser;
    struct conf_pos at = mark_pos(l, &p->problem_mark, NULL);

    if (p->error == YAML_READER_ERROR)
        diag_error(l->diag, byte_pos(l, p->problem_offset), NULL, "not valid YAML text: %s",
                   p->problem ? p->problem : "unreadable");
    else if (tab_indents(l, at))
        diag_error(l->diag, at, "indent with blanks",
                   "a tab indents this line, which YAML does not allow");
    else if (p->context != NULL)
        diag_error(l->diag, at, NULL, "%s, %s that begins at line %zu",
                   p->problem ? p->problem : "bad YAML", p->context, p->context_mark.line + 1);
    else
        diag_error(l->diag, at, NULL, "%s", p->problem ? p->problem : "bad YAML");
}

static bool next(struct loader *l)
{
    yaml_event_delete(&l->event);
    if (yaml_parser_parse(&l->parser, &l->event))
        return true;
    syntax_error(l);
    return false;
}

static struct conf_pos here(const struct loader *l)
{
    return mark_pos(l, &l->event.start_mark, &l->event.end_mark);
}

static bool refuse(struct loader *l, const char *what)
{
    diag_error(l->diag, here(l), NULL, "%s", what);
    return false;
}

static bool plain_event(struct loader *l)
{
    const yaml_event_t *e = &l->event;
    const unsigned char *anchor = NULL, *tag = NULL;

    if (e->type == YAML_SCALAR_EVENT) {
        anchor = e->data.scalar.anchor;
        tag = e->data.scalar.tag;
    } else if (e->type == YAML_SEQUENCE_START_EVENT) {
        anchor = e->data.sequence_start.anchor;
        tag = e->data.sequence_start.tag;
    } else if (e->type == YAML_MAPPING_START_EVENT) {
        anchor = e->data.mapping_start.anchor;
        tag = e->data.mapping_start.tag;
    } else {
        return refuse(l, "aliases (*name) are not supported: write the value again");
    }
    if (anchor != NULL)
        return refuse(l, "anchors (&name) are not supported: write the value where it is needed");
    if (tag != NULL)
        return refuse(l,
                      "tags (!name) are not supported: a setting has the type of its description");
    return true;
}

static struct yaml_node *node_new(struct loader *l)
{
    struct yaml_node *y = arena_zalloc(l->arena, sizeof *y);

    CHECK(y != NULL);
    y->at = here(l);
    return y;
}

static void add_item(struct loader *l, struct yaml_node *y, struct yaml_node *item)
{
    if (y->n == y->cap) {
        unsigned cap = y->cap ? y->cap * 2 : 8;
        struct yaml_node **items = arena_alloc(l->arena, cap * sizeof(struct yaml_node *));
        CHECK(items != NULL);
        if (y->n > 0)
            memcpy(items, y->items, y->n * sizeof *items);
        y->items = items;
        y->cap = cap;
    }
    y->items[y->n++] = item;
}

static struct yaml_node *read_node(struct loader *l, unsigned depth);

/* The current event opened it; ends on the event that closes it. */
static struct yaml_node *read_items(struct loader *l, enum yaml_kind kind, yaml_event_type_t end,
                                    unsigned depth)
{
    struct yaml_node *y = node_new(l), *item;

    y->kind = kind;
    if (depth == DEPTH_MAX) {
        refuse(l, "nested too deep");
        return NULL;
    }
    while (next(l)) {
        if (l->event.type == end)
            return y;
        item = read_node(l, depth + 1);
        if (item == NULL)
            return NULL;
        if (kind == YAML_MAP && y->n % 2 == 0 && item->kind != YAML_SCALAR) {
            diag_error(l->diag, item->at, NULL, "the name of a setting must be a plain word");
            return NULL;
        }
        add_item(l, y, item);
    }
    return NULL;
}

static struct yaml_node *read_node(struct loader *l, unsigned depth)
{
    struct yaml_node *y;

    if (!plain_event(l))
        return NULL;
    if (l->event.type == YAML_SEQUENCE_START_EVENT)
        return read_items(l, YAML_LIST, YAML_SEQUENCE_END_EVENT, depth);
    if (l->event.type == YAML_MAPPING_START_EVENT)
        return read_items(l, YAML_MAP, YAML_MAPPING_END_EVENT, depth);
    y = node_new(l);
    y->end_line = (uint32_t)l->event.end_mark.line + 1;
    y->plain = l->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    y->text = arena_dup(
        l->arena, slice_of((const char *)l->event.data.scalar.value, l->event.data.scalar.length));
    CHECK(y->text.p != NULL);
    return y;
}

static struct yaml_node *read_document(struct loader *l)
{
    struct yaml_node *y;

    if (!next(l) || !next(l)) /* stream start; document start or stream end */
        return NULL;
    if (l->event.type == YAML_STREAM_END_EVENT) {
        y = node_new(l);
        y->plain = true;
        y->text = SLICE_LIT("");
        return y;
    }
    if (!next(l) || (y = read_node(l, 0)) == NULL || !next(l) || !next(l))
        return NULL;
    if (l->event.type != YAML_STREAM_END_EVENT) {
        refuse(l, "a second document: one file is one document");
        return NULL;
    }
    return y;
}

struct yaml_node *yaml_load(struct diag *d, uint32_t source, struct arena *arena)
{
    struct loader l = {.diag = d, .source = source, .arena = arena};
    const struct diag_source *s = &d->sources[source];
    struct yaml_node *y;

    if (!yaml_parser_initialize(&l.parser)) {
        diag_error(d, (struct conf_pos){.file = source}, NULL, "out of memory");
        return NULL;
    }
    yaml_parser_set_encoding(&l.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&l.parser, (const unsigned char *)s->text, s->n);
    y = read_document(&l);
    yaml_event_delete(&l.event);
    yaml_parser_delete(&l.parser);
    return y;
}

bool yaml_is_null(const struct yaml_node *y)
{
    return y->kind == YAML_SCALAR && y->plain &&
           (y->text.n == 0 || slice_eq(y->text, SLICE_LIT("~")) ||
            slice_eq(y->text, SLICE_LIT("null")));
}
