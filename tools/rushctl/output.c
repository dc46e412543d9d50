/* SPDX-License-Identifier: BSD-2-Clause */
#include "config.h"

#include "output.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "ctl/errors.h"
#include "ctl/json.h"
#include "people.h"
#include "table.h"

void output_write(const struct buf *b)
{
    size_t done = 0;

    while (done < b->n) {
        ssize_t n = write(STDOUT_FILENO, b->p + done, b->n - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EPIPE)
            return;
        if (n < 0)
            die("rushctl: cannot write: %s", strerror(errno));
        done += (size_t)n;
    }
}

static bool json_mode(const struct options *o)
{
    return option_given(o, OPT_JSON);
}

static void print_json(const json_t *doc)
{
    struct buf out = {0};

    ctl_document_write(doc, &out);
    output_write(&out);
    buf_free(&out);
}

const char *document_text(const json_t *object, const char *key)
{
    const char *s = json_string_value(json_object_get(object, key));

    return s != NULL ? s : "";
}

void document_view(const json_t *doc, char out[32])
{
    const char *schema = document_text(doc, "schema"), *dot = strchr(schema, '.');
    size_t n = dot != NULL ? strcspn(dot + 1, "/") : 0;

    n = n < 31 ? n : 31;
    memcpy(out, dot != NULL ? dot + 1 : "", n);
    out[n] = '\0';
}

bool document_is_error(const json_t *doc)
{
    return json_is_object(json_object_get(doc, "error"));
}

/* --- errors --- */

/* "rushctl: TEXT", what came from elsewhere made harmless, line breaks kept. */
static void say(FILE *to, const char *lead, const char *text)
{
    struct buf out = {0};

    for (;;) {
        size_t n = strcspn(text, "\n");
        buf_str(&out, lead);
        text_clean(&out, slice_of(text, n));
        buf_char(&out, '\n');
        if (text[n] == '\0' || text[n + 1] == '\0')
            break;
        text += n + 1;
    }
    fputs(buf_cstr(&out), to);
    buf_free(&out);
}

static void print_error(const json_t *error)
{
    if (document_text(error, "details")[0] != '\0')
        say(stderr, "", document_text(error, "details"));
    say(stderr, "rushctl: ", document_text(error, "message"));
    if (document_text(error, "hint")[0] != '\0')
        say(stderr, "hint: ", document_text(error, "hint"));
}

static int output_error_document(const struct options *o, const json_t *doc)
{
    const json_t *error = json_object_get(doc, "error");

    if (json_mode(o))
        print_json(doc);
    else
        print_error(error);
    return ctl_errors[ctl_error_by_code(document_text(error, "code"))].exit_status;
}

int output_error(const struct options *o, enum ctl_error error, const char *message,
                 const char *hint)
{
    json_t *e = json_object(), *doc = json_object();
    int status;

    json_object_set_new(e, "code", json_string(ctl_errors[error].code));
    json_object_set_new(e, "message", ctl_text(slice_str(message)));
    json_object_set_new(e, "hint", ctl_text(slice_str(hint)));
    json_object_set_new(doc, "schema", json_string("rushgate.error/1"));
    json_object_set_new(doc, "error", e);
    status = output_error_document(o, doc);
    json_decref(doc);
    return status;
}

int output_failure(const struct options *o, const struct client_failure *f)
{
    struct client_failure copy = *f; /* buf_cstr may move the text's end */
    int status = output_error(o, f->error, buf_cstr(&copy.message), buf_cstr(&copy.hint));

    client_failure_fini(&copy);
    return status;
}

int output_complaint(const struct options *o, const struct ctl_complaint *c)
{
    struct ctl_complaint copy = *c;
    int status = output_error(o, CTL_USAGE, buf_cstr(&copy.message), buf_cstr(&copy.hint));

    ctl_complaint_fini(&copy);
    return status;
}

/* --- --fields and --filter --- */

/* The object that says which fields there are: the first row, or the data itself. */
static const json_t *sample_of(const json_t *data)
{
    return json_is_array(data) ? json_array_get(data, 0) : data;
}

static int complain_field(const struct options *o, const json_t *sample, struct slice field)
{
    struct buf message = {0}, hint = {0};
    const char *key;
    json_t *value;
    int status;

    buf_printf(&message, "there is no field \"%.*s\"", SLICE_ARG(field));
    json_object_foreach((json_t *)(uintptr_t)sample, key, value)
        buf_printf(&hint, "%s%s", hint.n > 0 ? ", " : "", key);
    status = output_error(o, CTL_USAGE, buf_cstr(&message), buf_cstr(&hint));
    buf_free(&message);
    buf_free(&hint);
    return status;
}

static const json_t *field_get(const json_t *object, struct slice field)
{
    char name[128];

    if (field.n >= sizeof name)
        return NULL;
    snprintf(name, sizeof name, "%.*s", SLICE_ARG(field));
    return json_object_get(object, name);
}

/* Next name of a list separated by commas; false at the end. */
static bool next_field(struct slice *rest, struct slice *field)
{
    size_t n;

    if (rest->n == 0)
        return false;
    n = slice_find(*rest, ',');
    *field = slice_of(rest->p, n);
    n = n < rest->n ? n + 1 : n;
    *rest = slice_of(rest->p + n, rest->n - n);
    return true;
}

static json_t *narrowed(const json_t *object, const char *fields)
{
    struct slice rest = slice_str(fields), field;
    json_t *out = json_object();

    while (next_field(&rest, &field)) {
        const json_t *value = field_get(object, field);
        char name[128];
        snprintf(name, sizeof name, "%.*s", SLICE_ARG(field));
        if (value != NULL)
            json_object_set(out, name, (json_t *)(uintptr_t)value);
    }
    return out;
}

static int check_fields(const struct options *o, const json_t *sample)
{
    struct slice rest, field;

    if (sample == NULL)
        return 0;
    rest = slice_str(option_given(o, OPT_FIELDS) ? o->value[OPT_FIELDS] : "");
    while (next_field(&rest, &field))
        if (field_get(sample, field) == NULL)
            return complain_field(o, sample, field);
    for (unsigned i = 0; i < o->filters_n; i++) {
        struct slice f = slice_of(o->filters[i], strcspn(o->filters[i], "="));
        if (field_get(sample, f) == NULL)
            return complain_field(o, sample, f);
    }
    return 0;
}

static bool passes(const struct options *o, const json_t *row)
{
    for (unsigned i = 0; i < o->filters_n; i++) {
        size_t n = strcspn(o->filters[i], "=");
        struct buf text = {0};
        bool same;
        table_cell(&text, "", "", field_get(row, slice_of(o->filters[i], n)));
        same = slice_eq(buf_view(&text), slice_str(o->filters[i] + n + 1));
        buf_free(&text);
        if (!same)
            return false;
    }
    return true;
}

int output_select(const struct options *o, json_t *doc)
{
    json_t *data = json_object_get(doc, "data"), *rows, *row;
    const char *fields = option_given(o, OPT_FIELDS) ? o->value[OPT_FIELDS] : NULL;
    int status = check_fields(o, sample_of(data));
    size_t i;

    if (status != 0 || (fields == NULL && o->filters_n == 0))
        return status;
    if (!json_is_array(data)) {
        if (o->filters_n > 0)
            return output_error(o, CTL_USAGE, "there are no rows to filter", "");
        json_object_set_new(doc, "data", narrowed(data, fields));
        return 0;
    }
    rows = json_array();
    json_array_foreach(data, i, row)
    {
        if (!passes(o, row))
            continue;
        if (fields != NULL)
            json_array_append_new(rows, narrowed(row, fields));
        else
            json_array_append(rows, row);
    }
    json_object_set_new(doc, "data", rows);
    return 0;
}

int output_document(const struct options *o, json_t *doc)
{
    struct buf out = {0};
    json_t *warning;
    size_t i;
    int status;

    if (document_is_error(doc))
        return output_error_document(o, doc);
    status = output_select(o, doc);
    if (status != 0)
        return status;
    if (json_mode(o)) {
        print_json(doc);
        return 0;
    }
    people_print(o, doc, &out);
    output_write(&out);
    buf_free(&out);
    json_array_foreach(json_object_get(doc, "warnings"), i, warning) if (json_is_string(warning))
        say(stderr, "warning: ", json_string_value(warning));
    return 0;
}
