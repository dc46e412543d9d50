/* SPDX-License-Identifier: BSD-2-Clause */
#include "config.h"

#include "ctl/json.h"

#include <string.h>

json_t *ctl_text(struct slice s)
{
    struct buf b = {0};
    json_t *out = json_stringn(s.p != NULL ? s.p : "", s.n);

    if (out != NULL)
        return out;
    buf_utf8(&b, s);
    out = json_stringn(buf_cstr(&b), b.n);
    buf_free(&b);
    return out;
}

/* Takes ":DIGITS" off the end of s; 0 when there is none. */
static uint64_t take_number(struct slice *s)
{
    size_t n = s->n;
    uint64_t number;

    while (n > 0 && s->p[n - 1] >= '0' && s->p[n - 1] <= '9')
        n--;
    if (n == 0 || s->p[n - 1] != ':' || !slice_to_u64(slice_of(s->p + n, s->n - n), &number))
        return 0;
    s->n = n - 1;
    return number;
}

static json_t *number_or_null(uint64_t n)
{
    return n != 0 ? json_integer((json_int_t)n) : json_null();
}

static json_t *error_row(struct slice place, struct slice message)
{
    uint64_t column = take_number(&place), line = take_number(&place);
    json_t *row = json_object();

    json_object_set_new(row, "file", place.n > 0 ? ctl_text(place) : json_null());
    json_object_set_new(row, "line", number_or_null(line));
    json_object_set_new(row, "column", number_or_null(column));
    json_object_set_new(row, "message", ctl_text(message));
    return row;
}

json_t *ctl_error_list(const char *text)
{
    static const char mark[] = "error: ";
    json_t *rows = json_array();

    while (*text != '\0') {
        size_t n = strcspn(text, "\n");
        const char *at = memmem(text, n, mark, sizeof mark - 1);
        bool starts = at == text || (at != NULL && at - text >= 2 && memcmp(at - 2, ": ", 2) == 0);
        /* A line of the file that is quoted begins with its number and a bar. */
        if (starts && text[0] != ' ') {
            const char *end = at + sizeof mark - 1;
            json_array_append_new(
                rows, error_row(slice_of(text, at == text ? 0 : (size_t)(at - 2 - text)),
                                slice_of(end, n - (size_t)(end - text))));
        }
        text += n + (text[n] != '\0');
    }
    return rows;
}

static int append(const char *p, size_t n, void *out)
{
    buf_add(out, p, n);
    return 0;
}

void ctl_document_write(const json_t *document, struct buf *out)
{
    /* Jansson fails only where memory is out; the buffer says so too. */
    if (json_dump_callback(document, append, out, JSON_COMPACT | JSON_REAL_PRECISION(9)) < 0)
        out->failed = true;
    buf_char(out, '\n');
}
