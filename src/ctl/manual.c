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
    buf_str(out, ".SH EXIT STATUS\n.TP\n.B 0\nDone.\n");
    for (unsigned e = 0; e < CTL_ERROR_COUNT; e++) {
        buf_printf(out, ".TP\n.BR %d \" (", ctl_errors[e].exit_status);
        roff_text(out, ctl_errors[e].code);
        buf_str(out, ")\"\n");
        roff_text(out, ctl_errors[e].meaning);
        buf_str(out, "\n");
    }
}
