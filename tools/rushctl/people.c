/* SPDX-License-Identifier: BSD-2-Clause */
#include "config.h"

#include "people.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "output.h"
#include "table.h"

static bool want_colour(void)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

    return isatty(STDOUT_FILENO) && (no == NULL || *no == '\0') &&
           (term == NULL || strcmp(term, "dumb") != 0);
}

static void footer(struct buf *out, const json_t *doc)
{
    const json_t *w = json_object_get(doc, "workers");

    buf_printf(out, "%lld/%lld workers \xc2\xb7 generation %lld \xc2\xb7 ",
               (long long)json_integer_value(json_object_get(w, "reporting")),
               (long long)json_integer_value(json_object_get(w, "total")),
               (long long)json_integer_value(json_object_get(doc, "generation")));
    text_clean(out, slice_str(document_text(doc, "time")));
    buf_char(out, '\n');
}

static void status_line(struct buf *out, const char *name, struct slice text)
{
    buf_printf(out, "%-9s ", name);
    text_clean(out, text);
    buf_char(out, '\n');
}

static long long int_of(const json_t *object, const char *key)
{
    return (long long)json_integer_value(json_object_get(object, key));
}

/* "when more than 1% more of its requests fail than of the others'" */
static void rule_line(const json_t *rule, struct buf *line)
{
    const json_t *errors = json_object_get(rule, "max_error_rate_increase");
    const json_t *p99 = json_object_get(rule, "p99_factor");

    if (!json_is_number(errors) && !json_is_number(p99)) {
        buf_str(line, "never rolled back by itself");
        return;
    }
    buf_printf(line, "after %lld requests rolled back when ", int_of(rule, "min_requests"));
    if (json_is_number(errors))
        buf_printf(line, "over %g%% more of its requests fail than of the others'",
                   json_number_value(errors) * 100);
    if (json_is_number(p99))
        buf_printf(line, "%sits p99 is over %g times theirs", json_is_number(errors) ? " or " : "",
                   json_number_value(p99));
}

/* What it serves, what ends it by itself, what to do. */
static void canary_lines(const json_t *canary, struct buf *out)
{
    const json_t *rule = json_object_get(canary, "rule"), *promote;
    struct buf line = {0};

    if (!json_is_object(canary))
        return;
    buf_printf(
        &line, "generation %lld serves %g%% of the buyers since %s", int_of(canary, "generation"),
        json_number_value(json_object_get(canary, "share")) * 100, document_text(canary, "since"));
    status_line(out, "canary", buf_view(&line));
    buf_clear(&line);
    rule_line(rule, &line);
    promote = json_object_get(rule, "promote_after_s");
    buf_str(&line, "; ");
    if (json_is_number(promote)) {
        buf_str(&line, "promoted after ");
        text_seconds(&line, json_number_value(promote));
    } else {
        buf_str(&line, "promoted only by hand");
    }
    status_line(out, "rule", buf_view(&line));
    status_line(out, "watch", SLICE_LIT("rushctl --watch 2 show generations"));
    status_line(out, "end", SLICE_LIT("rushctl config promote | rushctl config rollback"));
    buf_free(&line);
}

/* After a rollback, until the file is mended. */
static void differs_lines(const json_t *differs, struct buf *out)
{
    bool canary = strcmp(document_text(differs, "origin"), "canary_rollback") == 0;
    struct buf line = {0};

    if (!json_is_object(differs))
        return;
    buf_printf(&line, "differs from the file, which holds %sgeneration %lld, rolled back %s by %s",
               canary ? "canary " : "", int_of(differs, "file_generation"),
               document_text(differs, "since"), document_text(differs, "by"));
    if (document_text(differs, "reason")[0] != '\0')
        buf_printf(&line, ": %s", document_text(differs, "reason"));
    status_line(out, "", buf_view(&line));
    status_line(out, "",
                SLICE_LIT("mend the file (rushctl diff), then reload; until then a reload is "
                          "refused without --force"));
    buf_free(&line);
}

static void print_status(const struct options *o, const json_t *doc, struct buf *out)
{
    const json_t *d = json_object_get(doc, "data"), *l;
    struct table_style style = {!option_given(o, OPT_NO_HEADER), want_colour()};
    struct buf line = {0};
    size_t i;

    buf_printf(&line, "%s, version %s, pid %lld, up ", document_text(d, "state"),
               document_text(d, "version"),
               (long long)json_integer_value(json_object_get(d, "pid")));
    text_seconds(&line, json_number_value(json_object_get(d, "uptime_s")));
    status_line(out, "rushgate", buf_view(&line));
    buf_clear(&line);
    buf_printf(&line, "%s, generation %lld, loaded %s", document_text(d, "config"),
               (long long)json_integer_value(json_object_get(doc, "generation")),
               document_text(d, "config_loaded"));
    status_line(out, "config", buf_view(&line));
    canary_lines(json_object_get(d, "canary"), out);
    differs_lines(json_object_get(d, "config_differs_from_file"), out);
    json_array_foreach(json_object_get(d, "listeners"), i, l)
    {
        buf_clear(&line);
        buf_printf(&line, "%s %s", document_text(l, "name"), document_text(l, "address"));
        status_line(out, "listen", buf_view(&line));
    }
    buf_char(out, '\n');
    table_write(out, "workers", json_object_get(d, "processes"), NULL, &style);
    buf_free(&line);
}

void people_counts(struct buf *out, long long files, long long settings)
{
    buf_printf(out, ": ok (%lld file%s, %lld setting%s)\n", files, files == 1 ? "" : "s", settings,
               settings == 1 ? "" : "s");
}

static void in_use(const json_t *data, struct buf *out)
{
    buf_printf(out, "in use   by %lld of %lld processes\n", int_of(data, "processes_on_it"),
               int_of(data, "processes_total"));
}

/* What comes into force now; `what` is a reload, which has checked the file, or a rollback. */
static void print_taken(const json_t *doc, const char *what, bool checked, struct buf *out)
{
    const json_t *d = json_object_get(doc, "data"), *ch;
    struct buf took = {0};
    size_t i;

    if (checked) {
        buf_str(out, "check    ");
        text_clean(out, slice_str(document_text(d, "file")));
        people_counts(out, json_integer_value(json_object_get(d, "files")),
                      json_integer_value(json_object_get(d, "settings")));
    }
    json_array_foreach(json_object_get(d, "changes"), i, ch)
    {
        bool applied = json_is_true(json_object_get(ch, "applied"));
        buf_str(out, applied ? "change   " : "restart  ");
        text_clean(out, slice_str(document_text(ch, "setting")));
        buf_char(out, ' ');
        text_clean(out, slice_str(document_text(ch, "old")));
        buf_str(out, " -> ");
        text_clean(out, slice_str(document_text(ch, "new")));
        buf_str(out, applied ? "  applied\n" : "  NOT applied, needs restart\n");
    }
    in_use(d, out);
    text_seconds(&took, json_number_value(json_object_get(d, "duration_s")));
    buf_printf(out, "%-8s ok: generation %lld -> %lld in %s\n", what,
               (long long)json_integer_value(json_object_get(d, "old_generation")),
               (long long)json_integer_value(json_object_get(d, "generation")), buf_cstr(&took));
    buf_free(&took);
}

static void add_value(struct buf *out, const json_t *row, const char *key)
{
    const char *text = json_string_value(json_object_get(row, key));

    text_clean(out, slice_str(text != NULL ? text : "-"));
}

static void print_change(const json_t *doc, struct buf *out)
{
    const json_t *d = json_object_get(doc, "data"), *ch;
    size_t i;

    if (json_array_size(json_object_get(d, "changes")) == 0)
        buf_str(out, "no runtime changes\n");
    json_array_foreach(json_object_get(d, "changes"), i, ch)
    {
        buf_printf(out, "change %-3lld ", (long long)json_integer_value(json_object_get(ch, "id")));
        add_value(out, ch, "setting");
        buf_char(out, ' ');
        add_value(out, ch, "old");
        buf_str(out, " -> ");
        add_value(out, ch, "new");
        if (json_is_string(json_object_get(ch, "until")))
            buf_printf(out, ", until %s", document_text(ch, "until"));
        if (json_is_string(json_object_get(ch, "saved"))) {
            buf_str(out, ", in ");
            text_clean(out, slice_str(document_text(ch, "saved")));
        }
        buf_char(out, '\n');
    }
    if (json_integer_value(json_object_get(d, "processes_total")) == 0)
        return; /* nothing was published */
    if (json_is_number(json_object_get(d, "moved_share")))
        buf_printf(out, "moves      %.1f %% of those who are dealt to its arms\n",
                   json_number_value(json_object_get(d, "moved_share")) * 100);
    buf_printf(out, "in use     by %lld of %lld processes\n",
               (long long)json_integer_value(json_object_get(d, "processes_on_it")),
               (long long)json_integer_value(json_object_get(d, "processes_total")));
}

static void line_of(struct buf *out, const char *lead, const char *text)
{
    buf_printf(out, "%-10s", lead);
    text_clean(out, slice_str(text));
}

static void print_upgrade(const json_t *doc, struct buf *out)
{
    const json_t *d = json_object_get(doc, "data"), *n;
    struct buf ready = {0}, took = {0};
    size_t i;

    text_seconds(&ready, json_number_value(json_object_get(d, "ready_s")));
    text_seconds(&took, json_number_value(json_object_get(d, "duration_s")));
    line_of(out, "binary", document_text(d, "binary"));
    buf_char(out, '\n');
    json_array_foreach(json_object_get(d, "handed_over"), i, n)
    {
        line_of(out, document_text(n, "kind"), document_text(n, "name"));
        buf_str(out, document_text(n, "name")[0] != '\0' ? " " : "");
        text_clean(out, slice_str(document_text(n, "outcome")));
        if (document_text(n, "why")[0] != '\0') {
            buf_str(out, ": ");
            text_clean(out, slice_str(document_text(n, "why")));
        }
        buf_char(out, '\n');
    }
    buf_printf(out, "ready     %lld workers in %s\n",
               (long long)json_integer_value(json_object_get(d, "workers_ready")),
               buf_cstr(&ready));
    if (strcmp(document_text(d, "state"), "upgraded") == 0)
        buf_printf(out, "drained   the old workers, after %s\n", buf_cstr(&took));
    line_of(out, "upgrade", "ok: version ");
    text_clean(out, slice_str(document_text(d, "old_version")));
    buf_printf(out, " (pid %lld) -> ",
               (long long)json_integer_value(json_object_get(d, "old_pid")));
    text_clean(out, slice_str(document_text(d, "version")));
    buf_printf(out, " (pid %lld)\n", (long long)json_integer_value(json_object_get(d, "pid")));
    buf_free(&ready);
    buf_free(&took);
}

/* "STEP  what it found", and the decision. */
static void print_explanation(const json_t *doc, struct buf *out)
{
    const json_t *d = json_object_get(doc, "data"), *step;
    size_t i;

    json_array_foreach(json_object_get(d, "steps"), i, step)
    {
        buf_printf(out, "%-12s ", document_text(step, "step"));
        text_clean(out, slice_str(document_text(step, "text")));
        buf_char(out, '\n');
    }
    buf_str(out, "decision     ");
    text_clean(out, slice_str(document_text(json_object_get(d, "decision"), "text")));
    buf_char(out, '\n');
}

/* An object without a form of its own: a line a member. */
static void print_object(const json_t *data, struct buf *out)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)data, key, value)
    {
        buf_printf(out, "%-9s ", key);
        table_cell(out, "", key, value);
        buf_char(out, '\n');
    }
}

void people_print(const struct options *o, const json_t *doc, struct buf *out)
{
    const json_t *data = json_object_get(doc, "data");
    struct table_style style = {!option_given(o, OPT_NO_HEADER), want_colour()};
    char view[32];

    document_view(doc, view);
    if (json_array_size(data) == 0 && strcmp(view, "diff") == 0) {
        buf_str(out, "no differences\n");
    } else if (json_array_size(data) == 0 && strcmp(view, "changes") == 0) {
        buf_str(out, "no runtime changes\n");
    } else if (json_is_array(data)) {
        table_write(out, view, data, o->value[OPT_FIELDS], &style);
        if (style.header)
            footer(out, doc);
    } else if (strcmp(view, "status") == 0 && !option_given(o, OPT_FIELDS)) {
        print_status(o, doc, out);
        if (style.header)
            footer(out, doc);
    } else if (strcmp(view, "reload") == 0 && !option_given(o, OPT_FIELDS)) {
        print_taken(doc, view, true, out);
    } else if (strcmp(view, "rollback") == 0 && !option_given(o, OPT_FIELDS)) {
        print_taken(doc, view, false, out);
    } else if (strcmp(view, "promote") == 0 && !option_given(o, OPT_FIELDS)) {
        print_taken(doc, view, false, out);
    } else if (strcmp(view, "canary") == 0 && !option_given(o, OPT_FIELDS)) {
        /* config canary loads nothing */
        if (int_of(data, "files") > 0)
            print_taken(doc, view, true, out);
        else
            in_use(data, out);
        canary_lines(json_object_get(data, "canary"), out);
    } else if (strcmp(view, "change") == 0 && !option_given(o, OPT_FIELDS)) {
        print_change(doc, out);
    } else if (strcmp(view, "upgrade") == 0 && !option_given(o, OPT_FIELDS)) {
        print_upgrade(doc, out);
    } else if (strcmp(view, "explain") == 0 && !option_given(o, OPT_FIELDS)) {
        print_explanation(doc, out);
    } else if (json_object_size(data) == 0) {
        buf_str(out, "done\n");
    } else {
        print_object(data, out);
    }
}
