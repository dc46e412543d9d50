/* SPDX-License-Identifier: BSD-2-Clause */
#include "config.h"

#include "ctl/manual.h"

#include <string.h>

#include "ctl/commands.h"
#include "ctl/errors.h"

/* roff takes a leading dot or quote for a request, and '-' for a hyphen. */
static void roff_text(struct buf *out, const char *text)
{
    if (*text == '.' || *text == '\'')
        buf_str(out, "\\&");
    for (; *text != '\0'; text++) {
        if (*text == '-')
            buf_str(out, "\\-");
        else if (*text == '\\')
            buf_str(out, "\\e");
        else
            buf_char(out, *text);
    }
}

static const struct column {
    const char *view, *field, *heading, *kind, *help;
} columns[] = {
#define COLUMN(view, field, heading, kind, help) {view, field, heading, #kind, help},
#include "ctl/columns.def"
#undef COLUMN
};

#define COLUMNS_N (sizeof columns / sizeof *columns)

/* When a column is there, for those that not always are. */
static const char *condition(const struct column *c)
{
    return strcmp(c->kind, "RATE") == 0    ? " (with --watch)"
           : strcmp(c->kind, "EXTRA") == 0 ? " (with --json or --fields)"
                                           : "";
}

const char *manual_view(enum ctl_command_id id)
{
    const char *words = ctl_commands[id].words;

    if (id == CMD_STATUS)
        return "workers";
    if (id == CMD_CHANGES || id == CMD_DIFF)
        return words;
    return strncmp(words, "show ", 5) == 0 ? words + 5 : NULL;
}

void manual_legend(const char *view, manual_column_fn *each, void *arg)
{
    for (size_t i = 0; i < COLUMNS_N; i++)
        if (strcmp(columns[i].view, view) == 0)
            each(arg, columns[i].heading, columns[i].field, columns[i].help,
                 condition(&columns[i]));
}

static void legend_entry(struct buf *out, const struct column *c)
{
    buf_str(out, ".TP\n.B ");
    roff_text(out, c->heading);
    buf_str(out, "\n");
    roff_text(out, c->help);
    roff_text(out, condition(c));
    buf_printf(out, ".\nField ");
    roff_text(out, c->field);
    buf_str(out, ".\n");
}

static void legends(struct buf *out)
{
    buf_str(out, ".SH COLUMNS\n"
                 "What the tables show, and the name of each field for\n"
                 ".BR \\-\\-fields ,\n.B \\-\\-filter\nand\n.BR \\-\\-json .\n"
                 "The processes of\n.B status\nare those of\n.BR \"show workers\" .\n");
    for (unsigned i = 0; i < CMD_COUNT; i++) {
        const char *view = manual_view((enum ctl_command_id)i);
        if (view == NULL || i == CMD_STATUS)
            continue;
        buf_printf(out, ".SS %s\n", ctl_commands[i].words);
        for (size_t k = 0; k < COLUMNS_N; k++)
            if (strcmp(columns[k].view, view) == 0)
                legend_entry(out, &columns[k]);
    }
}

static void command_entry(struct buf *out, enum ctl_command_id id)
{
    const struct ctl_command *c = &ctl_commands[id];
    struct buf usage = {0};

    ctl_usage(id, &usage);
    buf_str(out, ".TP\n.B ");
    roff_text(out, buf_cstr(&usage));
    buf_str(out, "\n");
    roff_text(out, c->help);
    if (c->permission == CTL_OPERATE)
        buf_str(out, "\nNeeds permission to operate.");
    buf_str(out, "\n");
    buf_free(&usage);
}

void manual_commands(struct buf *out)
{
    buf_str(out, ".SH COMMANDS\n");
    for (unsigned i = 0; i < CMD_COUNT; i++)
        if (ctl_commands[i].visible)
            command_entry(out, (enum ctl_command_id)i);
    buf_str(out, ".SS Flags of commands\n");
    for (unsigned f = 0; f < CTL_FLAG_COUNT; f++) {
        buf_str(out, ".TP\n.B \\-\\-");
        roff_text(out, ctl_flags[f].name);
        if (ctl_flags[f].metavar[0] != '\0')
            buf_printf(out, " %s", ctl_flags[f].metavar);
        buf_str(out, "\n");
        roff_text(out, ctl_flags[f].help);
        buf_str(out, "\n");
    }
    legends(out);
    buf_str(out, ".SH EXIT STATUS\n.TP\n.B 0\nDone.\n");
    for (unsigned e = 0; e < CTL_ERROR_COUNT; e++) {
        buf_printf(out, ".TP\n.BR %d \" (", ctl_errors[e].exit_status);
        roff_text(out, ctl_errors[e].code);
        buf_str(out, ")\"\n");
        roff_text(out, ctl_errors[e].meaning);
        buf_str(out, "\n");
    }
}
