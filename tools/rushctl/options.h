/* SPDX-License-Identifier: BSD-2-Clause */
/* What was typed. Strings are borrowed from argv. */
#ifndef RUSHCTL_OPTIONS_H
#define RUSHCTL_OPTIONS_H

#include <stdbool.h>

#include "ctl/commands.h"

enum option_id {
#define OPTION(id, letter, name, metavar, help) OPT_##id,
#include "options.def"
#undef OPTION
    OPT_COUNT
};

struct option_info {
    char letter;
    const char *name, *metavar, *help;
};

extern const struct option_info option_infos[OPT_COUNT];

#define WORDS_MAX   (CTL_ARGS_MAX + 3)
#define FILTERS_MAX 16

struct options {
    const char *value[OPT_COUNT];     /* NULL: not given; "" a switch that was; last one wins */
    const char *filters[FILTERS_MAX]; /* "field=value" */
    unsigned filters_n;
    const char *words[WORDS_MAX]; /* what is no option */
    unsigned words_n;
    struct ctl_invocation inv; /* flags filled by options_read, the rest by ctl_parse */
    double watch_s;            /* 0: once */
};

static inline bool option_given(const struct options *o, enum option_id id)
{
    return o->value[id] != NULL;
}

/*
 * Reads the line: options and flags in any place, "--" ends them. False with a complaint. As far as
 * it got it is filled, --json too, so that the complaint can take the right form.
 */
bool options_read(struct options *o, int argc, char **argv, struct ctl_complaint *why);

/* The option that begins with this word ("-s", "--socket", "--socket=x"), or OPT_COUNT. */
enum option_id option_find(const char *word);

#endif
