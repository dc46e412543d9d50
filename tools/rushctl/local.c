/* SPDX-License-Identifier: BSD-2-Clause */
#include "config.h"

#include "local.h"

#include <stdio.h>
#include <string.h>

#include "conf/conf.h"
#include "ctl/manual.h"
#include "output.h"
#include "table.h"

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
    int status;

    json_object_set_new(e, "code", json_string(ctl_errors[CTL_INVALID].code));
    json_object_set_new(e, "message", json_sprintf("%s is invalid", file));
    json_object_set_new(e, "hint", json_string(""));
    json_object_set_new(e, "details", json_string(buf_cstr(errors)));
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
    return status;
}

int local_CHECK(struct options *o)
{
    const char *file = o->inv.args_n > 0             ? o->inv.args[0]
                       : option_given(o, OPT_CONFIG) ? o->value[OPT_CONFIG]
                                                     : DEFAULT_CONFIG;
    const char *prefix = option_given(o, OPT_PREFIX) ? o->value[OPT_PREFIX] : "/";
    struct buf out = {0};
    struct conf *c = conf_load(file, prefix, &out);
    int status;
    json_t *doc;

    if (c == NULL) {
        status = check_failed(o, file, &out);
        buf_free(&out);
        return status;
    }
    if (option_given(o, OPT_JSON)) {
        doc = json_pack("{s:s, s:[], s:{s:s, s:b, s:i, s:i}}", "schema", "rushgate.check/1",
                        "warnings", "data", "file", file, "valid", 1, "files", (int)conf_files(c),
                        "settings", (int)conf_settings_set(c));
        status = output_document(o, doc);
        json_decref(doc);
        conf_free(&c);
        return status;
    }
    text_clean(&out, slice_str(file));
    buf_printf(&out, ": ok (%u files, %u settings)\n", conf_files(c), conf_settings_set(c));
    conf_free(&c);
    return print(&out);
}

/* --- help --- */

static void help_options(struct buf *out)
{
    buf_str(out, "\nOptions:\n");
    for (unsigned i = 0; i < OPT_COUNT; i++) {
        const struct option_info *p = &option_infos[i];
        char name[64], letter[8] = "    ";
        if (p->letter != 0)
            snprintf(letter, sizeof letter, "-%c, ", p->letter);
        snprintf(name, sizeof name, "--%s%s%s", p->name, p->metavar[0] ? " " : "", p->metavar);
        buf_printf(out, "  %s%-22s  %s\n", letter, name, p->help);
    }
}

static void help_command(struct buf *out, enum ctl_command_id id)
{
    buf_str(out, "rushctl ");
    ctl_usage(id, out);
    buf_printf(out, "\n    %s\n", ctl_commands[id].help);
    for (unsigned f = 0; f < CTL_FLAG_COUNT; f++) {
        char name[64];
        if (!ctl_command_takes(id, (enum ctl_flag_id)f))
            continue;
        snprintf(name, sizeof name, "--%s %s", ctl_flags[f].name, ctl_flags[f].metavar);
        buf_printf(out, "    %-20s  %s\n", name, ctl_flags[f].help);
    }
    if (ctl_commands[id].permission == CTL_OPERATE)
        buf_str(out, "    For root, the daemon's user and members of the socket's group.\n");
}

static int help_all(void)
{
    struct buf out = {0};

    buf_str(&out, "rushctl controls a running rushgate.\n\n"
                  "Usage: rushctl [OPTION...] COMMAND [ARGUMENT...]\n\nCommands:\n");
    for (unsigned i = 0; i < CMD_COUNT; i++) {
        struct buf usage = {0};
        if (!ctl_commands[i].visible)
            continue;
        ctl_usage((enum ctl_command_id)i, &usage);
        buf_printf(&out, "  %-36s  %s\n", buf_cstr(&usage), ctl_commands[i].help);
        buf_free(&usage);
    }
    help_options(&out);
    buf_str(&out, "\nExit status: 0 done");
    for (unsigned e = 0; e < CTL_ERROR_COUNT; e++)
        buf_printf(&out, ", %d %s", ctl_errors[e].exit_status, ctl_errors[e].code);
    buf_str(&out, "\n");
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
    struct buf out = {0};

    if (o->inv.args_n == 0)
        return help_all();
    for (unsigned i = 0; i < CMD_COUNT; i++)
        if (ctl_commands[i].visible && help_covers(ctl_commands[i].words, &o->inv))
            help_command(&out, (enum ctl_command_id)i);
    if (out.n == 0)
        return output_error(o, CTL_USAGE, "there is no such command", "rushctl help lists them");
    return print(&out);
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
