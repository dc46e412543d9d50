/* SPDX-License-Identifier: BSD-2-Clause */
#include "conf/diag.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"

#define SUGGEST_MAX 64 /* longer words are not compared */
#define LINE_SHOWN                                                                                 \
    160 /* bytes of a source line that are printed before the caret's place is cut                 \
         */

void diag_fini(struct diag *d)
{
    for (uint32_t i = 0; i < d->sources_n; i++) {
        free(d->sources[i].name);
        free(d->sources[i].text);
        free(d->sources[i].note);
    }
    free(d->sources);
    for (unsigned i = 0; i < d->kept; i++) {
        free(d->entries[i].message);
        free(d->entries[i].hint);
    }
    d->sources = NULL;
    d->sources_n = d->kept = d->total = 0;
}

uint32_t diag_add_source(struct diag *d, const char *name, char *text, size_t n)
{
    d->sources = xrealloc(d->sources, (d->sources_n + 1) * sizeof *d->sources);
    d->sources[d->sources_n] = (struct diag_source){xstrdup(name), text, n, NULL};
    return d->sources_n++;
}

void diag_error(struct diag *d, struct conf_pos at, const char *hint, const char *fmt, ...)
{
    struct diag_entry *e = &d->entries[d->kept];
    struct buf message = {0};
    va_list ap;

    d->total++;
    if (d->kept == DIAG_KEPT)
        return;
    va_start(ap, fmt);
    buf_vprintf(&message, fmt, ap);
    va_end(ap);
    e->at = at;
    e->order = d->kept++;
    e->message = xstrdup(buf_cstr(&message));
    e->hint = hint ? xstrdup(hint) : NULL;
    buf_free(&message);
}

/* Length of the line break at p: those of YAML 1.1, since libyaml counts lines by them. */
static size_t break_len(const char *p, const char *end)
{
    size_t left = (size_t)(end - p);

    if (left >= 2 && p[0] == '\r' && p[1] == '\n')
        return 2;
    if (left >= 1 && (p[0] == '\n' || p[0] == '\r'))
        return 1;
    if (left >= 2 && memcmp(p, "\xc2\x85", 2) == 0)
        return 2;
    if (left >= 3 && (memcmp(p, "\xe2\x80\xa8", 3) == 0 || memcmp(p, "\xe2\x80\xa9", 3) == 0))
        return 3;
    return 0;
}

struct slice diag_line(const struct diag_source *s, uint32_t line)
{
    const char *p = s->text, *end = s->text + s->n, *start = p;
    uint32_t at = 1;

    while (p < end) {
        size_t len = break_len(p, end);
        if (len == 0) {
            p++;
            continue;
        }
        if (at == line)
            return slice_of(start, (size_t)(p - start));
        at++;
        p += len;
        start = p;
    }
    return at == line ? slice_of(start, (size_t)(end - start)) : SLICE_NONE;
}

/* Bytes of the character at the start of s, counting a broken one as a single byte. */
static size_t char_len(struct slice s)
{
    size_t len = utf8_len(s);
    return len ? len : 1;
}

/* Bytes before column (from 1). */
static size_t column_offset(struct slice line, uint32_t column)
{
    size_t off = 0;

    for (uint32_t c = 1; c < column && off < line.n; c++)
        off += char_len(slice_of(line.p + off, line.n - off));
    return off;
}

size_t diag_offset(const struct diag_source *s, struct conf_pos at)
{
    struct slice line = diag_line(s, at.line);

    return line.p == NULL ? s->n : (size_t)(line.p - s->text) + column_offset(line, at.column);
}

char *diag_source_copy(const struct diag_source *s)
{
    char *copy = xmalloc(s->n + 1);

    memcpy(copy, s->text, s->n);
    copy[s->n] = '\0';
    return copy;
}

struct conf_pos diag_inside(const struct diag *d, struct conf_pos at, struct slice text, size_t off)
{
    struct slice line;
    size_t from;

    if (at.file >= d->sources_n || at.line == 0 || off > text.n)
        return at;
    line = diag_line(&d->sources[at.file], at.line);
    from = column_offset(line, at.column);
    if (from < line.n && (line.p[from] == '"' || line.p[from] == '\'')) {
        from++;
        at.column++;
    }
    if (line.n - from < off || (off > 0 && memcmp(line.p + from, text.p, off) != 0))
        return at;
    for (size_t i = 0; i < off; i += char_len(slice_of(text.p + i, off - i)))
        at.column++;
    at.width = 1;
    return at;
}

/* What comes from a file goes to a terminal: nothing that could steer it. */
static void add_printable(struct buf *out, struct slice s)
{
    for (size_t i = 0; i < s.n;) {
        size_t len = utf8_len(slice_of(s.p + i, s.n - i));
        unsigned char c = (unsigned char)s.p[i];

        if (c == '\t' || (len == 1 && c >= 0x20 && c != 0x7f) || (len > 1 && c != 0xc2))
            buf_add(out, s.p + i, len);
        else if (len == 2 && (unsigned char)s.p[i + 1] >= 0xa0)
            buf_add(out, s.p + i, len);
        else
            buf_char(out, '?');
        i += len ? len : 1;
    }
}

static void print_caret(struct buf *out, struct slice line, const struct diag_entry *e)
{
    size_t off = column_offset(line, e->at.column);

    buf_str(out, "      | ");
    for (size_t i = 0; i < off; i += char_len(slice_of(line.p + i, line.n - i)))
        buf_char(out, line.p[i] == '\t' ? '\t' : ' ');
    buf_char(out, '^');
    for (uint32_t i = 1, at = 0; i < e->at.width && off + at < line.n; i++) {
        at += (uint32_t)char_len(slice_of(line.p + off + at, line.n - off - at));
        if (off + at < line.n)
            buf_char(out, '~');
    }
    if (e->hint != NULL) {
        buf_char(out, ' ');
        buf_str(out, e->hint);
    }
    buf_char(out, '\n');
}

static void print_entry(const struct diag *d, const struct diag_entry *e, struct buf *out)
{
    const struct diag_source *s = e->at.file < d->sources_n ? &d->sources[e->at.file] : NULL;
    struct slice line = s && e->at.line ? diag_line(s, e->at.line) : SLICE_NONE;

    if (s != NULL && e->at.line > 0)
        buf_printf(out, "%s:%u:%u: ", s->name, e->at.line, e->at.column);
    else if (s != NULL)
        buf_printf(out, "%s: ", s->name);
    buf_str(out, "error: ");
    add_printable(out, slice_str(e->message));
    if (line.p == NULL || column_offset(line, e->at.column) > LINE_SHOWN) {
        if (e->hint != NULL)
            buf_printf(out, "; %s", e->hint);
        buf_char(out, '\n');
        return;
    }
    buf_printf(out, "\n%5u | ", e->at.line);
    add_printable(out, slice_of(line.p, line.n > 2 * LINE_SHOWN ? 2 * LINE_SHOWN : line.n));
    buf_char(out, '\n');
    print_caret(out, slice_of(line.p, line.n > 2 * LINE_SHOWN ? 2 * LINE_SHOWN : line.n), e);
}

static int by_place(const void *pa, const void *pb)
{
    const struct diag_entry *a = pa, *b = pb;

    if (a->at.file != b->at.file)
        return a->at.file < b->at.file ? -1 : 1;
    if (a->at.line != b->at.line)
        return a->at.line < b->at.line ? -1 : 1;
    if (a->at.column != b->at.column)
        return a->at.column < b->at.column ? -1 : 1;
    return a->order < b->order ? -1 : 1;
}

void diag_print(struct diag *d, struct buf *out)
{
    unsigned shown = d->kept < DIAG_SHOWN ? d->kept : DIAG_SHOWN;

    if (d->total == 0)
        return;
    qsort(d->entries, d->kept, sizeof *d->entries, by_place);
    for (unsigned i = 0; i < shown; i++)
        print_entry(d, &d->entries[i], out);
    if (d->total > shown)
        buf_printf(out, "(the first %u are shown)\n", shown);
    buf_printf(out, "%u error%s\n", d->total, d->total == 1 ? "" : "s");
}

void diag_origin(const struct diag *d, struct conf_pos at, struct buf *out)
{
    const struct diag_source *s = at.file < d->sources_n ? &d->sources[at.file] : NULL;

    if (s == NULL || (at.line == 0 && s->note == NULL))
        buf_str(out, "default");
    else if (at.line == 0)
        buf_printf(out, "%s%s", s->name, s->note);
    else
        buf_printf(out, "%s:%u", s->name, at.line);
}

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
    unsigned m = a < b ? a : b;
    return m < c ? m : c;
}

/* Optimal string alignment: Levenshtein with swaps of neighbours. Both at most SUGGEST_MAX long. */
static unsigned distance(struct slice a, struct slice b)
{
    unsigned rows[3][SUGGEST_MAX + 1];
    unsigned *before = rows[0], *prev = rows[1], *cur = rows[2];

    for (unsigned j = 0; j <= b.n; j++)
        prev[j] = j;
    for (unsigned i = 1; i <= a.n; i++) {
        unsigned *spare = before;
        cur[0] = i;
        for (unsigned j = 1; j <= b.n; j++) {
            bool same = a.p[i - 1] == b.p[j - 1];
            cur[j] = min3(prev[j] + 1, cur[j - 1] + 1, prev[j - 1] + !same);
            if (i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] && a.p[i - 2] == b.p[j - 1] &&
                before[j - 2] + 1 < cur[j])
                cur[j] = before[j - 2] + 1;
        }
        before = prev;
        prev = cur;
        cur = spare;
    }
    return prev[b.n];
}

void suggest_init(struct suggest *s, struct slice word)
{
    *s = (struct suggest){.word = word};
    s->distance = word.n < 3 ? 2 : (unsigned)(word.n / 3) + 2; /* one more than is accepted */
}

void suggest_try(struct suggest *s, struct slice candidate)
{
    unsigned d;

    if (s->word.n == 0 || s->word.n > SUGGEST_MAX || candidate.n == 0 || candidate.n > SUGGEST_MAX)
        return;
    d = distance(s->word, candidate);
    if (d < s->distance && d < candidate.n) {
        s->distance = d;
        s->best = candidate;
    }
}

const char *suggest_hint(struct suggest *s)
{
    if (s->best.p == NULL)
        return NULL;
    snprintf(s->hint, sizeof s->hint, "did you mean \"%.*s\"?", SLICE_ARG(s->best));
    return s->hint;
}
