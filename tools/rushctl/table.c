/* SPDX-License-Identifier: BSD-2-Clause */
#include "config.h"

#include "table.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "base/check.h"

enum kind { TEXT, COUNT, SECONDS, RATE, EXTRA };

static const struct column {
    const char *view, *field, *heading;
    enum kind kind;
} columns[] = {
#define COLUMN(view, field, heading, kind, help) {view, field, heading, kind},
#include "ctl/columns.def"
#undef COLUMN
};

#define COLUMNS_N (sizeof columns / sizeof *columns)
#define SHOWN_MAX 32
#define GAP       2

static const struct column *column_find(const char *view, struct slice field)
{
    for (size_t i = 0; i < COLUMNS_N; i++)
        if (strcmp(columns[i].view, view) == 0 && slice_eq(slice_str(columns[i].field), field))
            return &columns[i];
    return NULL;
}

const char *table_first_field(const char *view)
{
    for (size_t i = 0; i < COLUMNS_N; i++)
        if (strcmp(columns[i].view, view) == 0)
            return columns[i].field;
    return NULL;
}

const char *table_rate(const char *view, unsigned n)
{
    for (size_t i = 0; i < COLUMNS_N; i++)
        if (strcmp(columns[i].view, view) == 0 && columns[i].kind == RATE && n-- == 0)
            return columns[i].field;
    return NULL;
}

/* --- text --- */

/* Code point of a sequence that utf8_len found well-formed. */
static wchar_t code_point(const char *p, size_t n)
{
    static const unsigned char lead[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    unsigned c = (unsigned char)p[0] & lead[n];

    for (size_t i = 1; i < n; i++)
        c = c << 6 | ((unsigned char)p[i] & 0x3f);
    return (wchar_t)c;
}

unsigned text_width(struct slice s)
{
    unsigned width = 0;

    while (s.n > 0) {
        size_t n = utf8_len(s);
        int w = n > 0 ? wcwidth(code_point(s.p, n)) : 1;
        width += w < 0 ? 1 : (unsigned)w;
        n = n > 0 ? n : 1;
        s = slice_of(s.p + n, s.n - n);
    }
    return width;
}

void text_clean(struct buf *out, struct slice s)
{
    while (s.n > 0) {
        size_t n = utf8_len(s);
        wchar_t c = n > 0 ? code_point(s.p, n) : 0xfffd;
        if (c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x202a && c <= 0x202e) ||
            (c >= 0x2066 && c <= 0x2069)) {
            buf_char(out, '?');
            s = slice_of(s.p + n, s.n - n);
        } else {
            buf_utf8_next(out, &s);
        }
    }
}

void text_seconds(struct buf *out, double s)
{
    if (s < 0.0009995)
        buf_printf(out, s < 0.0000995 && s > 0 ? "%.1fus" : "%.0fus", s * 1e6);
    else if (s < 0.9995)
        buf_printf(out, s < 0.00995 ? "%.1fms" : "%.0fms", s * 1e3);
    else if (s < 99.95)
        buf_printf(out, s < 9.995 ? "%.2fs" : "%.1fs", s);
    else if (s < 3600)
        buf_printf(out, "%.0fm%02.0fs", floor(s / 60), floor(fmod(s, 60)));
    else
        buf_printf(out, "%.0fh%02.0fm", floor(s / 3600), floor(fmod(s, 3600) / 60));
}

static void list_cell(struct buf *out, const json_t *list)
{
    size_t i;
    json_t *item;

    json_array_foreach(list, i, item)
    {
        buf_str(out, i > 0 ? ", " : "");
        table_cell(out, "", "", item);
    }
}

void table_cell(struct buf *out, const char *view, const char *field, const json_t *value)
{
    const struct column *c = column_find(view, slice_str(field));
    enum kind kind = c != NULL ? c->kind : TEXT;

    if (value == NULL || json_is_null(value))
        buf_char(out, '-');
    else if (json_is_string(value))
        text_clean(out, slice_of(json_string_value(value), json_string_length(value)));
    else if (json_is_boolean(value))
        buf_str(out, json_is_true(value) ? "yes" : "no");
    else if (json_is_array(value))
        list_cell(out, value);
    else if (json_is_number(value) && kind == SECONDS)
        text_seconds(out, json_number_value(value));
    else if (json_is_integer(value))
        buf_i64(out, json_integer_value(value));
    else if (json_is_real(value))
        buf_printf(out, kind == RATE ? "%.1f" : "%.9g", json_real_value(value));
    else
        buf_str(out, "...");
}

/* --- layout --- */

struct shown {
    struct slice field;
    struct buf heading;
    enum kind kind;
    bool numeric; /* to the right */
    unsigned width;
};

struct grid {
    const char *view;
    bool header;
    struct shown column[SHOWN_MAX];
    unsigned columns;
    struct buf *cells; /* rows * columns */
    size_t rows;
};

static void add_column(struct grid *g, struct slice field)
{
    const struct column *c = column_find(g->view, field);
    struct shown *s;

    if (g->columns == SHOWN_MAX)
        return;
    s = &g->column[g->columns++];
    *s = (struct shown){.field = field, .kind = c != NULL ? c->kind : TEXT};
    if (c != NULL)
        buf_str(&s->heading, c->heading);
    for (size_t i = 0; c == NULL && i < field.n; i++)
        buf_char(&s->heading, (char)toupper((unsigned char)field.p[i]));
    s->numeric = s->kind != TEXT;
    s->width = g->header ? text_width(buf_view(&s->heading)) : 0;
}

static bool any_row_has(const json_t *rows, const char *field)
{
    size_t i;
    json_t *row;

    json_array_foreach(rows, i, row) if (json_object_get(row, field) != NULL) return true;
    return json_array_size(rows) == 0;
}

static void choose_columns(struct grid *g, const json_t *rows, const char *fields)
{
    if (fields != NULL) {
        for (struct slice rest = slice_str(fields); rest.n > 0;) {
            size_t n = slice_find(rest, ',');
            if (n > 0)
                add_column(g, slice_of(rest.p, n));
            n = n < rest.n ? n + 1 : n;
            rest = slice_of(rest.p + n, rest.n - n);
        }
        return;
    }
    for (size_t i = 0; i < COLUMNS_N; i++)
        if (strcmp(columns[i].view, g->view) == 0 && columns[i].kind != EXTRA &&
            (columns[i].kind != RATE || json_array_size(rows) > 0) &&
            any_row_has(rows, columns[i].field))
            add_column(g, slice_str(columns[i].field));
}

static void fill(struct grid *g, const json_t *rows)
{
    size_t r;
    json_t *row;

    g->rows = json_array_size(rows);
    g->cells = xcalloc(g->rows * g->columns + 1, sizeof *g->cells);
    json_array_foreach(rows, r, row)
    {
        for (unsigned c = 0; c < g->columns; c++) {
            struct buf *cell = &g->cells[r * g->columns + c];
            struct shown *s = &g->column[c];
            char field[128];
            const json_t *value;
            unsigned width;
            snprintf(field, sizeof field, "%.*s", SLICE_ARG(s->field));
            value = json_object_get(row, field);
            table_cell(cell, g->view, field, value);
            if (json_is_number(value))
                s->numeric = true;
            width = text_width(buf_view(cell));
            s->width = width > s->width ? width : s->width;
        }
    }
}

/* Words of a state that an eye should find. */
static const char *colour_of(struct slice text)
{
    static const struct {
        const char *word, *code;
    } colours[] = {
        {"down", "31"},     {"backoff", "31"},  {"closed", "31"}, {"empty", "31"},
        {"draining", "33"}, {"starting", "33"}, {"paused", "33"}, {"unchecked", "33"},
        {"ready", "32"},    {"up", "32"},       {"open", "32"},   {"running", "32"},
    };

    for (size_t i = 0; i < sizeof colours / sizeof *colours; i++)
        if (slice_eq(text, slice_str(colours[i].word)))
            return colours[i].code;
    return NULL;
}

static void pad(struct buf *out, unsigned n)
{
    while (n-- > 0)
        buf_char(out, ' ');
}

static void put(struct buf *out, const struct grid *g, unsigned c, struct slice text,
                const char *colour)
{
    const struct shown *s = &g->column[c];
    unsigned fill_n = s->width - text_width(text);

    if (s->numeric)
        pad(out, fill_n);
    if (colour != NULL)
        buf_printf(out, "\033[%sm", colour);
    buf_slice(out, text);
    if (colour != NULL)
        buf_str(out, "\033[0m");
    if (c + 1 == g->columns)
        return;
    if (!s->numeric)
        pad(out, fill_n);
    pad(out, GAP);
}

void table_write(struct buf *out, const char *view, const json_t *rows, const char *fields,
                 const struct table_style *style)
{
    struct grid g = {.view = view, .header = style->header};

    choose_columns(&g, rows, fields);
    fill(&g, rows);
    for (unsigned c = 0; style->header && c < g.columns; c++)
        put(out, &g, c, buf_view(&g.column[c].heading), style->colour ? "1" : NULL);
    if (style->header && g.columns > 0)
        buf_char(out, '\n');
    for (size_t r = 0; r < g.rows; r++) {
        for (unsigned c = 0; c < g.columns; c++) {
            struct slice text = buf_view(&g.cells[r * g.columns + c]);
            bool state = slice_eq(g.column[c].field, SLICE_LIT("state"));
            put(out, &g, c, text, style->colour && state ? colour_of(text) : NULL);
        }
        buf_char(out, '\n');
    }
    for (size_t i = 0; i < g.rows * g.columns; i++)
        buf_free(&g.cells[i]);
    for (unsigned c = 0; c < g.columns; c++)
        buf_free(&g.column[c].heading);
    free(g.cells);
}
