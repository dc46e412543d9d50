/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * commands.def as data, and the one check of what was typed. rushctl checks before it sends; the
 * server checks again, since anyone may write to its socket.
 */
#ifndef CTL_COMMANDS_H
#define CTL_COMMANDS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

enum ctl_permission { CTL_VIEW, CTL_OPERATE };
enum ctl_where { CTL_LOCAL, CTL_MASTER, CTL_BOXOFFICE };

enum ctl_command_id {
#define COMMAND(id, words, args, flags, permission, where, visible, help) CMD_##id,
#define FLAG(id, name, metavar, help)
#include "ctl/commands.def"
#undef COMMAND
#undef FLAG
    CMD_COUNT
};

enum ctl_flag_id {
#define COMMAND(id, words, args, flags, permission, where, visible, help)
#define FLAG(id, name, metavar, help) CTL_FLAG_##id,
#include "ctl/commands.def"
#undef COMMAND
#undef FLAG
    CTL_FLAG_COUNT
};

struct ctl_command {
    const char *words, *args, *flags;
    enum ctl_permission permission;
    enum ctl_where where;
    bool visible;
    const char *help;
};

struct ctl_flag {
    const char *name, *metavar, *help;
};

extern const struct ctl_command ctl_commands[CMD_COUNT];
extern const struct ctl_flag ctl_flags[CTL_FLAG_COUNT];

#define CTL_ARGS_MAX 16
#define CTL_MANY_MAX 64

/* A command with what was given to it. The strings are borrowed. */
struct ctl_invocation {
    enum ctl_command_id id;
    const char *args[CTL_ARGS_MAX];
    unsigned args_n;
    const char *flag[CTL_FLAG_COUNT]; /* NULL: not given; "" a switch that was */
    const char *many[CTL_MANY_MAX];   /* values of the flag that may be repeated, in order */
    unsigned many_n;
};

/* What went wrong: a code of errors.def, a text and perhaps advice. */
struct ctl_complaint {
    struct buf message, hint;
};

void ctl_complaint_fini(struct ctl_complaint *c);

/* Index of the flag of that name, or CTL_FLAG_COUNT. */
enum ctl_flag_id ctl_flag_by_name(const char *name);
/* The flag that a single letter stands for, or CTL_FLAG_COUNT. */
enum ctl_flag_id ctl_flag_by_letter(char letter);
/* Whether it may be given more than once. */
bool ctl_flag_repeats(enum ctl_flag_id id);
/* Takes a value of the flag. False: a repeated one has CTL_MANY_MAX already. */
bool ctl_flag_take(struct ctl_invocation *inv, enum ctl_flag_id id, const char *value)
    __attribute__((warn_unused_result));
/* Whether the command takes the flag. */
bool ctl_command_takes(enum ctl_command_id id, enum ctl_flag_id flag);

/*
 * Finds the command whose words argv begins with and takes the rest as its arguments; inv->flag was
 * filled before by the caller. False with a complaint: no such command, too few or many arguments,
 * one that is not of its kind, a flag that does not belong.
 */
bool ctl_parse(unsigned argc, const char *const *argv, struct ctl_invocation *inv,
               struct ctl_complaint *why) __attribute__((warn_unused_result));

/* "30s", "500ms", "2m", "1h", "7d", "0": nanoseconds. False when it is anything else or over 366
 * days. */
bool ctl_duration(const char *text, uint64_t *ns) __attribute__((warn_unused_result));

/* Iterates over the words of a column separated by sep; false at the end. Start with *rest =
 * column. */
bool ctl_word(const char **rest, char sep, struct slice *word);

/* "show workers", "sale open EVENT [--reason TEXT]" */
void ctl_usage(enum ctl_command_id id, struct buf *out);

#endif
