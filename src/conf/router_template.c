/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Path templates, by the grammar of google.api.http:
 *
 *   Template = "/" Segment { "/" Segment } [ ":" verb ]
 *   Segment  = "*" | "**" | literal | "{" name [ "=" Segment { "/" Segment } ] "}"
 *
 * Beyond it a literal may be empty at the very end ("/", "/shop/"), which plain HTTP needs.
 */
#include "conf/router_index.h"

struct parser {
    struct slice s; /* without the verb */
    size_t i;
    size_t from; /* where the current segment begins */
    struct template *t;
    struct buf *err;
    bool in_var;
};

static bool fail(struct parser *p, const char *what)
{
    buf_str(p->err, what);
    return false;
}

static bool end(const struct parser *p)
{
    return p->i >= p->s.n;
}

static bool at_char(const struct parser *p, char c)
{
    return p->i < p->s.n && p->s.p[p->i] == c;
}

static bool add_segment(struct parser *p, enum segment_kind kind, struct slice text)
{
    struct template *t = p->t;

    if (t->n < ROUTER_SEGMENTS_MAX && (t->n == 0 || t->segments[t->n - 1].kind != SEGMENT_REST)) {
        t->segments[t->n++] = (struct segment){kind, text};
        return true;
    }
    p->i = p->from;
    return fail(p, t->n == ROUTER_SEGMENTS_MAX ? "too many segments" : "nothing can follow **");
}

static bool literal_char(char c)
{
    return c > ' ' && c < 0x7f && strchr("{}*?#/", c) == NULL;
}

/* Requests come here in one spelling (http/lint.h): another one would never match. */
static bool escapes_normal(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        int c = s.p[i] == '%' ? hex_escape(s.p + i, s.n - i) : '/';
        bool letter = ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || (c >= '0' && c <= '9');

        if (c <= 0 || letter || memchr("-._~", c, 4) != NULL)
            return false;
        if (s.p[i] == '%' && (s.p[i + 1] >= 'a' || s.p[i + 2] >= 'a'))
            return false;
    }
    return true;
}

static bool parse_literal(struct parser *p)
{
    size_t from = p->i;
    struct slice text;

    while (!end(p) && literal_char(p->s.p[p->i]))
        p->i++;
    text = slice_of(p->s.p + from, p->i - from);
    if (!end(p) && !at_char(p, '/') && !(p->in_var && at_char(p, '}')))
        return fail(p, at_char(p, '*') || at_char(p, '{') || at_char(p, '}')
                           ? "a segment is either a text, or *, **, {var} as a whole"
                           : "bad character in a path");
    if (text.n == 0 && (!end(p) || p->in_var))
        return fail(p, "empty segment");
    if (!escapes_normal(text)) {
        p->i = from;
        return fail(p, "write letters, digits and - . _ ~ as they are, other escapes like %2F");
    }
    return add_segment(p, SEGMENT_LITERAL, text);
}

static bool parse_star(struct parser *p)
{
    p->i++;
    if (!at_char(p, '*'))
        return add_segment(p, SEGMENT_STAR, SLICE_NONE);
    if (!add_segment(p, SEGMENT_REST, SLICE_NONE))
        return false;
    p->i++;
    return true;
}

/* Dotted identifiers: a path of fields. */
static bool parse_name(struct parser *p, struct slice *name)
{
    size_t from = p->i;
    bool first = true;

    for (; !end(p); p->i++) {
        char c = p->s.p[p->i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        bool more = (c >= '0' && c <= '9') || c == '.';
        if (!letter && (first || !more))
            break;
        first = c == '.';
    }
    *name = slice_of(p->s.p + from, p->i - from);
    if (first || !(at_char(p, '=') || at_char(p, '}')))
        return fail(p, "bad name of a variable; write {name} or {name=pattern}");
    for (unsigned i = 0; i < p->t->vars_n; i++)
        if (slice_eq(p->t->vars[i].name, *name)) {
            p->i = from;
            return fail(p, "two variables of the same name");
        }
    return true;
}

static bool parse_segments(struct parser *p);

static bool parse_var(struct parser *p)
{
    struct template *t = p->t;
    struct template_var v = {0};
    size_t from;
    bool ok;

    if (p->in_var)
        return fail(p, "a variable inside of a variable");
    if (t->vars_n == ROUTER_VARS_MAX)
        return fail(p, "too many variables");
    from = ++p->i;
    if (!parse_name(p, &v.name))
        return false;
    v.text = slice_of(p->s.p + from, 0);
    v.span.first = (uint16_t)t->n;
    if (at_char(p, '=')) {
        p->i++;
        p->in_var = true;
        ok = parse_segments(p);
        p->in_var = false;
    } else {
        ok = add_segment(p, SEGMENT_STAR, SLICE_NONE);
    }
    if (!ok)
        return false;
    if (!at_char(p, '}'))
        return fail(p, "{ without }");
    v.text.n = p->i++ - from;
    v.span.last = t->segments[t->n - 1].kind == SEGMENT_REST ? INDEX_TO_END : (uint16_t)(t->n - 1);
    t->vars[t->vars_n++] = v;
    return true;
}

static bool parse_segments(struct parser *p)
{
    bool ok;

    for (;;) {
        p->from = p->i;
        if (at_char(p, '*'))
            ok = parse_star(p);
        else if (at_char(p, '{'))
            ok = parse_var(p);
        else
            ok = parse_literal(p);
        if (!ok)
            return false;
        if (end(p) || (p->in_var && at_char(p, '}')))
            return true;
        if (!at_char(p, '/'))
            return fail(p, "a segment is either a text, or *, **, {var} as a whole");
        p->i++;
    }
}

/* Byte of the colon of the verb, or the length. */
static size_t verb_colon(struct slice s)
{
    for (size_t i = s.n; i > 0; i--) {
        char c = s.p[i - 1];
        if (c == ':')
            return i - 1;
        if (c == '/' || c == '}')
            break;
    }
    return s.n;
}

bool template_parse(struct slice path, struct template *t, size_t *at, struct buf *err)
{
    size_t colon = verb_colon(path);
    struct parser p = {.s = slice_of(path.p, colon), .t = t, .err = err};
    bool ok;

    *t = (struct template){0};
    if (path.n == 0 || path.p[0] != '/') {
        ok = fail(&p, "a path begins with /");
    } else {
        p.i = 1;
        ok = parse_segments(&p);
    }
    if (ok && colon < path.n) {
        t->verb = slice_of(path.p + colon + 1, path.n - colon - 1);
        p.i = colon;
        for (size_t i = 0; i < t->verb.n; i++)
            ok = ok && literal_char(t->verb.p[i]);
        ok = ok && t->verb.n > 0 && path.p[colon - 1] != '/';
        if (!ok)
            fail(&p, "bad verb; write /path/{var}:verb");
    }
    *at = p.i;
    return ok;
}

bool router_template_check(struct slice path, size_t *at, struct buf *err)
{
    struct template t;
    return template_parse(path, &t, at, err);
}

bool router_template_vars(struct slice path, struct slice *vars, unsigned *n, struct buf *err)
{
    struct template t;
    size_t at;

    if (!template_parse(path, &t, &at, err))
        return false;
    for (unsigned i = 0; i < t.vars_n; i++)
        vars[i] = t.vars[i].text;
    *n = t.vars_n;
    return true;
}
