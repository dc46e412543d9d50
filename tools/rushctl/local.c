/* SPDX-License-Identifier: BSD-2-Clause */
#include "config.h"

#include "local.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "conf/conf.h"
#include "ctl/json.h"
#include "ctl/manual.h"
#include "output.h"
#include "people.h"
#include "table.h"

#define STATUS_WAIT_NS (2 * NS_PER_S)
#define DEFAULT_CONFIG RUSHGATE_SYSCONFDIR "/rushgate/rushgate.yaml"

static int print(struct buf *out)
{
    output_write(out);
    buf_free(out);
    return 0;
}

/* --- check --- */

static int check_failed(const struct options *o, const char *file, struct buf *errors)
{
    json_t *e = json_object(), *doc = json_object();
    struct buf message = {0};
    int status;

    json_object_set_new(e, "code", json_string(ctl_errors[CTL_INVALID].code));
    buf_printf(&message, "%s is invalid", file);
    json_object_set_new(e, "message", ctl_text(buf_view(&message)));
    json_object_set_new(e, "hint", json_string(""));
    json_object_set_new(e, "details", ctl_text(buf_view(errors)));
    json_object_set_new(e, "errors", ctl_error_list(buf_cstr(errors)));
    json_object_set_new(e, "file", ctl_text(slice_str(file)));
    json_object_set_new(doc, "schema", json_string("rushgate.error/1"));
    json_object_set_new(doc, "error", e);
    if (option_given(o, OPT_JSON)) {
        status = output_document(o, doc);
    } else {
        /* The lines of the compiler's form say it all; they are ours and keep their layout. */
        fputs(buf_cstr(errors), stderr);
        status = ctl_errors[CTL_INVALID].exit_status;
    }
    json_decref(doc);
    buf_free(&message);
    return status;
}

/* A running daemon's status; NULL: nobody answers. */
static json_t *ask_status(const struct options *o)
{
    struct options ask = *o;
    struct client_failure failure = {0};
    struct buf path = {0};
    json_t *doc = NULL;

    ask.words[0] = "status";
    ask.words_n = 1;
    ask.inv = (struct ctl_invocation){.id = CMD_STATUS};
    if (client_socket_path(o, &path, &failure))
        doc = client_ask(buf_cstr(&path), &ask, STATUS_WAIT_NS, &failure);
    client_failure_fini(&failure);
    buf_free(&path);
    return doc;
}

/* What is to be checked: what was named, else what the daemon runs, else the usual file. */
struct subject {
    const char *file, *prefix;
    json_t *status; /* owned; file and prefix may live in it */
};

static void find_subject(const struct options *o, struct subject *s)
{
    const char *file, *prefix;
    json_t *data;

    *s = (struct subject){.file = DEFAULT_CONFIG, .prefix = "/"};
    if (o->inv.args_n > 0) {
        s->file = o->inv.args[0];
    } else if (option_given(o, OPT_CONFIG)) {
        s->file = o->value[OPT_CONFIG];
    } else if ((s->status = ask_status(o)) != NULL) {
        data = json_object_get(s->status, "data");
        file = json_string_value(json_object_get(data, "config"));
        prefix = json_string_value(json_object_get(data, "prefix"));
        s->file = file != NULL ? file : s->file;
        s->prefix = prefix != NULL ? prefix : s->prefix;
    }
    if (option_given(o, OPT_PREFIX))
        s->prefix = o->value[OPT_PREFIX];
}

static json_t *lines_of(struct buf *text)
{
    json_t *list = json_array();

    for (const char *p = buf_cstr(text); *p != '\0'; p += strcspn(p, "\n") + 1)
        json_array_append_new(list, ctl_text(slice_of(p, strcspn(p, "\n"))));
    return list;
}

static int check_file(const struct options *o, const char *file, const char *prefix)
{
    struct buf out = {0}, warnings = {0};
    struct conf *c = conf_load(file, prefix, &out);
    int status;
    json_t *doc;

    if (c == NULL) {
        status = check_failed(o, file, &out);
        buf_free(&out);
        return status;
    }
    conf_warnings(c, &warnings);
    if (option_given(o, OPT_JSON)) {
        doc = json_pack("{s:s, s:o, s:{s:s, s:b, s:i, s:i}}", "schema", "rushgate.check/1",
                        "warnings", lines_of(&warnings), "data", "file", file, "valid", 1, "files",
                        (int)conf_files(c), "settings", (int)conf_settings_set(c));
        status = output_document(o, doc);
        json_decref(doc);
        conf_free(&c);
        buf_free(&warnings);
        return status;
    }
    for (const char *p = buf_cstr(&warnings); *p != '\0'; p += strcspn(p, "\n") + 1)
        fprintf(stderr, "warning: %.*s\n", (int)strcspn(p, "\n"), p);
    buf_free(&warnings);
    text_clean(&out, slice_str(file));
    people_counts(&out, conf_files(c), conf_settings_set(c));
    conf_free(&c);
    return print(&out);
}

int local_CHECK(struct options *o)
{
    struct subject s;
    int status;

    find_subject(o, &s);
    status = check_file(o, s.file, s.prefix);
    json_decref(s.status);
    return status;
}

/* --- help --- */

#define WIDTH_DEFAULT 80
#define WIDTH_LEAST   60
#define WIDTH_MOST    120

/* Of the terminal, as far as lines that long are read with pleasure. */
static size_t terminal_width(void)
{
    struct winsize size;

    if (!isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
        return WIDTH_DEFAULT;
    return size.ws_col < WIDTH_LEAST  ? WIDTH_LEAST
           : size.ws_col > WIDTH_MOST ? WIDTH_MOST
                                      : size.ws_col;
}

/* Words from `column` on, in further lines from `indent` on, and the end of the line. What is in
 * brackets stays together. */
static void wrap(struct buf *out, size_t column, size_t indent, const char *text)
{
    size_t width = terminal_width();
    bool first = true;

    while (*text != '\0') {
        size_t n = *text == '[' ? strcspn(text, "]") : strcspn(text, " ");
        n += strcspn(text + n, " ");
        if (!first && column + 1 + n > width) {
            buf_printf(out, "\n%*s", (int)indent, "");
            column = indent;
        } else if (!first) {
            buf_char(out, ' ');
            column++;
        }
        buf_add(out, text, n);
        column += n;
        first = false;
        text += n;
        text += strspn(text, " ");
    }
    buf_char(out, '\n');
}

static void help_options(struct buf *out)
{
    buf_str(out, "\nOptions:\n");
    for (unsigned i = 0; i < OPT_COUNT; i++) {
        const struct option_info *p = &option_infos[i];
        char name[64], letter[8] = "    ";
        if (p->letter != 0)
            snprintf(letter, sizeof letter, "-%c, ", p->letter);
        snprintf(name, sizeof name, "--%s%s%s", p->name, p->metavar[0] ? " " : "", p->metavar);
        buf_printf(out, "  %s%-22s  ", letter, name);
        wrap(out, 30, 30, p->help);
    }
}

#define LEGEND_INDENT 10

static void legend_line(void *out, const char *heading, const char *field, const char *help,
                        const char *when)
{
    struct buf text = {0};

    buf_printf(&text, "%s%s", help, when);
    buf_printf(out, "      %-13s  %s\n%*s", heading, field, LEGEND_INDENT, "");
    wrap(out, LEGEND_INDENT, LEGEND_INDENT, buf_cstr(&text));
    buf_free(&text);
}

static void help_legend(struct buf *out, enum ctl_command_id id)
{
    const char *view = manual_view(id);

    if (view == NULL)
        return;
    buf_str(out, "    Columns, and their names for --fields, --filter and --json:\n");
    manual_legend(view, legend_line, out);
}

static void help_command(struct buf *out, enum ctl_command_id id)
{
    struct buf usage = {0};

    ctl_usage(id, &usage);
    buf_str(out, "rushctl ");
    wrap(out, 8, 8, buf_cstr(&usage));
    buf_free(&usage);
    buf_str(out, "    ");
    wrap(out, 4, 4, ctl_commands[id].help);
    for (unsigned f = 0; f < CTL_FLAG_COUNT; f++) {
        char name[64];
        if (!ctl_command_takes(id, (enum ctl_flag_id)f))
            continue;
        snprintf(name, sizeof name, "--%s %s", ctl_flags[f].name, ctl_flags[f].metavar);
        buf_printf(out, "    %-20s  ", name);
        wrap(out, strlen(name) > 20 ? 6 + strlen(name) : 26, 26, ctl_flags[f].help);
    }
    help_legend(out, id);
    if (ctl_commands[id].permission == CTL_OPERATE)
        buf_str(out, "    For root, the daemon's user and members of the socket's group.\n");
}

/* --- help as a document --- */

static void legend_row(void *rows, const char *heading, const char *field, const char *help,
                       const char *when)
{
    json_array_append_new(rows, json_pack("{s:s, s:s, s:s+}", "heading", heading, "field", field,
                                          "help", help, when));
}

static json_t *flag_rows(enum ctl_command_id id)
{
    json_t *rows = json_array();

    for (unsigned f = 0; f < CTL_FLAG_COUNT; f++)
        if (ctl_command_takes(id, (enum ctl_flag_id)f))
            json_array_append_new(rows,
                                  json_pack("{s:s, s:s, s:s}", "flag", ctl_flags[f].name, "value",
                                            ctl_flags[f].metavar, "help", ctl_flags[f].help));
    return rows;
}

static json_t *command_row(enum ctl_command_id id)
{
    const struct ctl_command *c = &ctl_commands[id];
    json_t *row, *columns = json_array();
    struct buf usage = {0};

    ctl_usage(id, &usage);
    if (manual_view(id) != NULL)
        manual_legend(manual_view(id), legend_row, columns);
    row = json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:o}", "command", c->words, "arguments",
                    c->args, "usage", buf_cstr(&usage), "help", c->help, "permission",
                    c->permission == CTL_OPERATE ? "operate" : "view", "flags", flag_rows(id),
                    "columns", columns);
    buf_free(&usage);
    return row;
}

static json_t *option_rows(void)
{
    json_t *rows = json_array();

    for (unsigned i = 0; i < OPT_COUNT; i++) {
        const struct option_info *p = &option_infos[i];
        json_array_append_new(rows, json_pack("{s:s, s:s, s:s}", "option", p->name, "value",
                                              p->metavar, "help", p->help));
    }
    return rows;
}

static json_t *exit_rows(void)
{
    json_t *rows = json_array();

    for (unsigned e = 0; e < CTL_ERROR_COUNT; e++)
        json_array_append_new(rows, json_pack("{s:s, s:i, s:s}", "code", ctl_errors[e].code,
                                              "status", ctl_errors[e].exit_status, "meaning",
                                              ctl_errors[e].meaning));
    return rows;
}

static int help_json(struct options *o, json_t *commands)
{
    json_t *doc =
        json_pack("{s:s, s:[], s:{s:o, s:o, s:o}}", "schema", "rushgate.help/1", "warnings", "data",
                  "commands", commands, "options", option_rows(), "errors", exit_rows());
    int status = output_document(o, doc);

    json_decref(doc);
    return status;
}

static int help_all(void)
{
    struct buf out = {0}, codes = {0};

    buf_str(&out, "rushctl controls a running rushgate.\n\n"
                  "Usage: rushctl [OPTION...] COMMAND [ARGUMENT...]\n\nCommands:\n");
    for (unsigned i = 0; i < CMD_COUNT; i++) {
        struct buf usage = {0};
        if (!ctl_commands[i].visible)
            continue;
        ctl_usage((enum ctl_command_id)i, &usage);
        buf_str(&out, "  ");
        wrap(&out, 2, 6, buf_cstr(&usage));
        buf_str(&out, "          ");
        wrap(&out, 10, 10, ctl_commands[i].help);
        buf_free(&usage);
    }
    help_options(&out);
    buf_str(&codes, "Exit status: 0 done");
    for (unsigned e = 0; e < CTL_ERROR_COUNT; e++)
        buf_printf(&codes, ", %d %s", ctl_errors[e].exit_status, ctl_errors[e].code);
    buf_char(&out, '\n');
    wrap(&out, 0, 4, buf_cstr(&codes));
    buf_free(&codes);
    return print(&out);
}

/* Whether the command begins with the words asked about. */
static bool help_covers(const char *words, const struct ctl_invocation *inv)
{
    struct slice w;

    for (unsigned i = 0; i < inv->args_n; i++)
        if (!ctl_word(&words, ' ', &w) || !slice_eq(w, slice_str(inv->args[i])))
            return false;
    return true;
}

int local_HELP(struct options *o)
{
    bool json = option_given(o, OPT_JSON);
    json_t *rows = json_array();
    struct buf out = {0};

    for (unsigned i = 0; i < CMD_COUNT; i++) {
        if (!ctl_commands[i].visible || !help_covers(ctl_commands[i].words, &o->inv))
            continue;
        json_array_append_new(rows, command_row((enum ctl_command_id)i));
        help_command(&out, (enum ctl_command_id)i);
    }
    if (out.n > 0 && json) {
        buf_free(&out);
        return help_json(o, rows);
    }
    json_decref(rows);
    if (out.n == 0)
        return output_error(o, CTL_USAGE, "there is no such command", "rushctl help lists them");
    if (o->inv.args_n > 0)
        return print(&out);
    buf_free(&out);
    return help_all();
}

int local_PRINT_VERSION(struct options *o)
{
    struct buf out = {0};

    if (option_given(o, OPT_JSON))
        buf_str(&out, "{\"schema\":\"rushgate.version/1\",\"warnings\":[],\"data\":{\"version\":"
                      "\"" PACKAGE_VERSION "\"}}\n");
    else
        buf_str(&out, "rushctl " PACKAGE_VERSION "\n");
    return print(&out);
}

int local_MANUAL(struct options *o)
{
    struct buf out = {0};

    (void)o;
    manual_commands(&out);
    return print(&out);
}
