/* SPDX-License-Identifier: BSD-2-Clause */
#include "config.h"

#include "options.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/diag.h" /* suggest_* */

const struct option_info option_infos[OPT_COUNT] = {
#define OPTION(id, letter, name, metavar, help) [OPT_##id] = {letter, name, metavar, help},
#include "options.def"
#undef OPTION
};

/* Length of NAME in --NAME or --NAME=VALUE. */
static struct slice long_name(const char *word)
{
    const char *name = word + 2;

    return slice_of(name, (size_t)(strchrnul(name, '=') - name));
}

enum option_id option_find(const char *word)
{
    unsigned i = 0;

    for (; i < OPT_COUNT; i++) {
        const struct option_info *o = &option_infos[i];
        if (word[0] == '-' && word[1] == '-' && slice_eq(long_name(word), slice_str(o->name)))
            break;
        if (word[0] == '-' && word[1] != '-' && word[1] == o->letter && o->letter != 0)
            break;
    }
    return (enum option_id)i;
}

static enum ctl_flag_id flag_find(const char *word)
{
    if (word[1] != '-')
        return ctl_flag_by_letter(word[1]);
    for (unsigned f = 0; f < CTL_FLAG_COUNT; f++)
        if (strncmp(word, "--", 2) == 0 && slice_eq(long_name(word), slice_str(ctl_flags[f].name)))
            return (enum ctl_flag_id)f;
    return CTL_FLAG_COUNT;
}

static bool complain_unknown(const char *word, struct ctl_complaint *why)
{
    struct suggest s;
    struct slice name = word[1] == '-' ? slice_of(word, long_name(word).n + 2) : slice_str(word);
    char candidates[OPT_COUNT + CTL_FLAG_COUNT][32];
    const char *hint;

    buf_printf(&why->message, "unknown option \"%s\"", word);
    suggest_init(&s, name);
    for (unsigned i = 0; i < OPT_COUNT + CTL_FLAG_COUNT; i++) {
        snprintf(candidates[i], sizeof candidates[i], "--%s",
                 i < OPT_COUNT ? option_infos[i].name : ctl_flags[i - OPT_COUNT].name);
        suggest_try(&s, slice_str(candidates[i]));
    }
    hint = suggest_hint(&s);
    buf_str(&why->hint, hint != NULL ? hint : "rushctl help lists them");
    return false;
}

/* The value of an option at argv[*i]: behind '=', behind its letter, or the next word. NULL: none.
 */
static const char *value_of(const char *metavar, int argc, char **argv, int *i,
                            struct ctl_complaint *why)
{
    const char *word = argv[*i], *eq = strchr(word, '=');
    bool is_long = word[1] == '-';

    if (metavar[0] == '\0') {
        if (is_long ? eq != NULL : word[2] != '\0') {
            buf_printf(&why->message, "\"%s\" takes no value", word);
            return NULL;
        }
        return "";
    }
    if (is_long && eq != NULL)
        return eq + 1;
    if (!is_long && word[2] != '\0')
        return word + 2;
    if (*i + 1 < argc)
        return argv[++*i];
    buf_printf(&why->message, "%s needs a value: %s", word, metavar);
    return NULL;
}

static bool take_option(struct options *o, enum option_id id, const char *value,
                        struct ctl_complaint *why)
{
    char *end;

    o->value[id] = value;
    if (id == OPT_FILTER) {
        if (strchr(value, '=') == NULL || o->filters_n == FILTERS_MAX) {
            buf_printf(&why->message, "--filter %s: FIELD=VALUE is wanted", value);
            return false;
        }
        o->filters[o->filters_n++] = value;
    }
    if (id == OPT_WATCH) {
        o->watch_s = strtod(value, &end);
        if (end == value || *end != '\0' || !isfinite(o->watch_s) || o->watch_s < 0.1 ||
            o->watch_s > 86400) {
            buf_printf(&why->message, "--watch %s: seconds, 0.1 to 86400", value);
            return false;
        }
    }
    return true;
}

static bool take_word(struct options *o, const char *word, struct ctl_complaint *why)
{
    if (o->words_n == WORDS_MAX) {
        buf_str(&why->message, "too many arguments");
        return false;
    }
    o->words[o->words_n++] = word;
    return true;
}

static bool take_dashed(struct options *o, int argc, char **argv, int *i, struct ctl_complaint *why)
{
    const char *word = argv[*i], *value;
    enum option_id id = option_find(word);
    enum ctl_flag_id flag = flag_find(word);

    if (id == OPT_COUNT && flag == CTL_FLAG_COUNT)
        return complain_unknown(word, why);
    value = value_of(id < OPT_COUNT ? option_infos[id].metavar : ctl_flags[flag].metavar, argc,
                     argv, i, why);
    if (value == NULL)
        return false;
    if (id < OPT_COUNT)
        return take_option(o, id, value, why);
    if (ctl_flag_take(&o->inv, flag, value))
        return true;
    buf_printf(&why->message, "--%s may be given %d times", ctl_flags[flag].name, CTL_MANY_MAX);
    return false;
}

bool options_read(struct options *o, int argc, char **argv, struct ctl_complaint *why)
{
    bool dashes = true, ok = true;

    for (int i = 1; i < argc && ok; i++) {
        if (dashes && strcmp(argv[i], "--") == 0)
            dashes = false;
        else if (dashes && argv[i][0] == '-' && argv[i][1] != '\0')
            ok = take_dashed(o, argc, argv, &i, why);
        else
            ok = take_word(o, argv[i], why);
    }
    /* The form of the complaint must not depend on where the mistake stands. */
    for (int i = 1; i < argc && !ok; i++)
        if (strcmp(argv[i], "--json") == 0)
            o->value[OPT_JSON] = "";
    return ok;
}
