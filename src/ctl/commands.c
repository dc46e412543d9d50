/* SPDX-License-Identifier: BSD-2-Clause */
#include "config.h"

#include "ctl/commands.h"

#include <string.h>

#include "base/clock.h"
#include "conf/diag.h" /* suggest_* */
#include "ctl/errors.h"

#define DURATION_MAX_NS (366 * 24 * 3600 * NS_PER_S)

const struct ctl_command ctl_commands[CMD_COUNT] = {
#define COMMAND(id, words, args, flags, permission, where, visible, help)                          \
    [CMD_##id] = {words, args, flags, CTL_##permission, CTL_##where, visible, help},
#define FLAG(id, name, metavar, help)
#include "ctl/commands.def"
#undef COMMAND
#undef FLAG
};

const struct ctl_flag ctl_flags[CTL_FLAG_COUNT] = {
#define COMMAND(id, words, args, flags, permission, where, visible, help)
#define FLAG(id, name, metavar, help) [CTL_FLAG_##id] = {name, metavar, help},
#include "ctl/commands.def"
#undef COMMAND
#undef FLAG
};

const struct ctl_error_info ctl_errors[CTL_ERROR_COUNT] = {
#define ERROR(id, code, exit_status, meaning) [CTL_##id] = {code, exit_status, meaning},
#include "ctl/errors.def"
#undef ERROR
};

enum ctl_error ctl_error_by_code(const char *code)
{
    for (unsigned i = 0; i < CTL_ERROR_COUNT; i++)
        if (strcmp(ctl_errors[i].code, code) == 0)
            return (enum ctl_error)i;
    return CTL_FAILED;
}

void ctl_complaint_fini(struct ctl_complaint *c)
{
    buf_free(&c->message);
    buf_free(&c->hint);
}

bool ctl_word(const char **rest, char sep, struct slice *word)
{
    const char *start = *rest, *end;

    if (*start == '\0')
        return false;
    end = strchrnul(start, sep);
    *word = slice_of(start, (size_t)(end - start));
    *rest = *end == '\0' ? end : end + 1;
    return true;
}

static bool column_has(const char *column, char sep, struct slice word)
{
    struct slice w;

    while (ctl_word(&column, sep, &w))
        if (slice_eq(w, word))
            return true;
    return false;
}

enum ctl_flag_id ctl_flag_by_name(const char *name)
{
    unsigned i = 0;

    while (i < CTL_FLAG_COUNT && strcmp(ctl_flags[i].name, name) != 0)
        i++;
    return (enum ctl_flag_id)i;
}

enum ctl_flag_id ctl_flag_by_letter(char letter)
{
    return letter == 'H' ? CTL_FLAG_HEADER : CTL_FLAG_COUNT;
}

bool ctl_flag_repeats(enum ctl_flag_id id)
{
    const char *metavar = ctl_flags[id].metavar;
    size_t n = strlen(metavar);

    return n > 3 && strcmp(metavar + n - 3, "...") == 0;
}

bool ctl_flag_take(struct ctl_invocation *inv, enum ctl_flag_id id, const char *value)
{
    inv->flag[id] = value;
    if (!ctl_flag_repeats(id))
        return true;
    if (inv->many_n == CTL_MANY_MAX)
        return false;
    inv->many[inv->many_n++] = value;
    return true;
}

bool ctl_command_takes(enum ctl_command_id id, enum ctl_flag_id flag)
{
    return column_has(ctl_commands[id].flags, ' ', slice_str(ctl_flags[flag].name));
}

bool ctl_duration(const char *text, uint64_t *ns)
{
    static const struct {
        const char *unit;
        uint64_t ns;
    } units[] = {{"ms", NS_PER_MS},
                 {"s", NS_PER_S},
                 {"m", 60 * NS_PER_S},
                 {"h", 3600 * NS_PER_S},
                 {"d", 24 * 3600 * NS_PER_S}};
    size_t digits = strspn(text, "0123456789");
    uint64_t n;

    if (digits == 0 || digits > 9 || !slice_to_u64(slice_of(text, digits), &n))
        return false;
    if (text[digits] == '\0') {
        *ns = 0;
        return n == 0;
    }
    for (unsigned i = 0; i < sizeof units / sizeof *units; i++)
        if (strcmp(text + digits, units[i].unit) == 0) {
            return !__builtin_mul_overflow(n, units[i].ns, ns) && *ns <= DURATION_MAX_NS;
        }
    return false;
}

/* How many of argv are the words of the command; 0: it is another one. */
static unsigned words_match(const char *words, unsigned argc, const char *const *argv)
{
    struct slice w;
    unsigned n = 0;

    while (ctl_word(&words, ' ', &w)) {
        if (n == argc || !slice_eq(w, slice_str(argv[n])))
            return 0;
        n++;
    }
    return n;
}

/* A word that begins some command of several words: say how it goes on. */
static bool hint_next_word(struct ctl_complaint *why, const char *first)
{
    struct slice head = slice_str(first);
    bool any = false;

    for (unsigned i = 0; i < CMD_COUNT; i++) {
        const char *rest = ctl_commands[i].words;
        struct slice w;
        if (!ctl_word(&rest, ' ', &w) || !slice_eq(w, head) || *rest == '\0')
            continue;
        buf_str(&why->hint, any ? ", " : "one of: ");
        buf_str(&why->hint, rest);
        any = true;
    }
    return any;
}

/* "limits" for "show limits": the last word of a command by itself. */
static bool hint_first_word(struct ctl_complaint *why, const char *last)
{
    for (unsigned i = 0; i < CMD_COUNT; i++) {
        const char *blank = strrchr(ctl_commands[i].words, ' ');
        if (!ctl_commands[i].visible || blank == NULL || strcmp(blank + 1, last) != 0)
            continue;
        buf_printf(&why->hint, "did you mean \"%s\"?", ctl_commands[i].words);
        return true;
    }
    return false;
}

static void complain_unknown(unsigned argc, const char *const *argv, struct ctl_complaint *why)
{
    struct suggest s;
    struct buf typed = {0};
    const char *hint;

    if (argc == 0) {
        buf_str(&why->message, "no command");
        buf_str(&why->hint, "rushctl help lists them");
        return;
    }
    if (argc == 1 && hint_next_word(why, argv[0])) {
        buf_printf(&why->message, "\"%s\" wants another word", argv[0]);
        return;
    }
    for (unsigned i = 0; i < argc && i < 2; i++)
        buf_printf(&typed, "%s%s", i > 0 ? " " : "", argv[i]);
    buf_printf(&why->message, "unknown command \"%s\"", buf_cstr(&typed));
    if (argc == 1 && hint_first_word(why, argv[0])) {
        buf_free(&typed);
        return;
    }
    suggest_init(&s, buf_view(&typed));
    for (unsigned i = 0; i < CMD_COUNT; i++)
        if (ctl_commands[i].visible)
            suggest_try(&s, slice_str(ctl_commands[i].words));
    hint = suggest_hint(&s);
    if (hint != NULL)
        buf_str(&why->hint, hint);
    else if (!hint_next_word(why, argv[0]))
        buf_str(&why->hint, "rushctl help lists them");
    buf_free(&typed);
}

static bool is_slug(struct slice s)
{
    if (s.n == 0 || s.n > 63 || s.p[0] == '-')
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (!((s.p[i] >= 'a' && s.p[i] <= 'z') || (s.p[i] >= '0' && s.p[i] <= '9') ||
              s.p[i] == '-'))
            return false;
    return true;
}

static bool is_number(struct slice s)
{
    uint64_t n;

    return slice_to_u64(s, &n) && n > 0;
}

/* One argument against its column word, brackets and dots removed. */
static bool check_argument(struct slice kind, const char *arg, struct ctl_complaint *why)
{
    if (memchr(kind.p, '|', kind.n) != NULL) {
        for (struct slice rest = kind; rest.n > 0;) {
            size_t n = slice_find(rest, '|');
            if (slice_eq(slice_of(rest.p, n), slice_str(arg)))
                return true;
            n = n < rest.n ? n + 1 : n;
            rest = slice_of(rest.p + n, rest.n - n);
        }
        buf_printf(&why->message, "\"%s\" is not one of %.*s", arg, SLICE_ARG(kind));
        return false;
    }
    if (slice_eq(kind, SLICE_LIT("EVENT")) && !is_slug(slice_str(arg))) {
        buf_printf(&why->message, "\"%s\" cannot be an event", arg);
        buf_str(&why->hint, "a slug: small letters, digits and '-', at most 63");
        return false;
    }
    if (slice_eq(kind, SLICE_LIT("GENERATION")) && !is_number(slice_str(arg))) {
        buf_printf(&why->message, "\"%s\" cannot be a generation", arg);
        buf_str(&why->hint, "a number of rushctl show generations");
        return false;
    }
    return true;
}

static void complain_arguments(enum ctl_command_id id, const char *what, struct ctl_complaint *why)
{
    buf_printf(&why->message, "%s", what);
    buf_str(&why->hint, "usage: rushctl ");
    ctl_usage(id, &why->hint);
}

static bool check_arguments(const struct ctl_invocation *inv, struct ctl_complaint *why)
{
    const char *column = ctl_commands[inv->id].args;
    unsigned n = 0;
    struct slice kind;
    bool repeats = false;

    while (ctl_word(&column, ' ', &kind)) {
        bool optional = kind.p[0] == '[';
        if (optional)
            kind = slice_of(kind.p + 1, kind.n - 2);
        repeats = kind.n > 3 && memcmp(kind.p + kind.n - 3, "...", 3) == 0;
        if (n == inv->args_n) {
            if (optional)
                break;
            complain_arguments(inv->id, "an argument is missing", why);
            return false;
        }
        do {
            if (!check_argument(kind, inv->args[n++], why))
                return false;
        } while (repeats && n < inv->args_n);
    }
    if (n < inv->args_n) {
        complain_arguments(inv->id, "too many arguments", why);
        return false;
    }
    return true;
}

static bool check_flags(const struct ctl_invocation *inv, struct ctl_complaint *why)
{
    for (unsigned f = 0; f < CTL_FLAG_COUNT; f++) {
        const struct ctl_flag *flag = &ctl_flags[f];
        uint64_t ns;
        if (inv->flag[f] == NULL)
            continue;
        if (!ctl_command_takes(inv->id, (enum ctl_flag_id)f)) {
            buf_printf(&why->message, "%s takes no --%s", ctl_commands[inv->id].words, flag->name);
            buf_str(&why->hint, "usage: rushctl ");
            ctl_usage(inv->id, &why->hint);
            return false;
        }
        if (strcmp(flag->metavar, "DURATION") == 0 && !ctl_duration(inv->flag[f], &ns)) {
            buf_printf(&why->message, "--%s: \"%s\" is no duration", flag->name, inv->flag[f]);
            buf_str(&why->hint, "like 30s, 500ms, 2m or 7d, at most 366d");
            return false;
        }
    }
    return true;
}

bool ctl_parse(unsigned argc, const char *const *argv, struct ctl_invocation *inv,
               struct ctl_complaint *why)
{
    unsigned words = 0;

    /* The longest: "changes revert" is not "changes" with an argument. */
    for (unsigned i = 0; i < CMD_COUNT; i++) {
        unsigned n = words_match(ctl_commands[i].words, argc, argv);
        if (n > words)
            inv->id = (enum ctl_command_id)i;
        words = n > words ? n : words;
    }
    if (words == 0) {
        complain_unknown(argc, argv, why);
        return false;
    }
    if (argc - words > CTL_ARGS_MAX) {
        complain_arguments(inv->id, "too many arguments", why);
        return false;
    }
    inv->args_n = argc - words;
    for (unsigned i = 0; i < inv->args_n; i++)
        inv->args[i] = argv[words + i];
    return check_arguments(inv, why) && check_flags(inv, why);
}

void ctl_usage(enum ctl_command_id id, struct buf *out)
{
    const struct ctl_command *c = &ctl_commands[id];

    buf_str(out, c->words);
    if (c->args[0] != '\0')
        buf_printf(out, " %s", c->args);
    for (unsigned f = 0; f < CTL_FLAG_COUNT; f++)
        if (ctl_command_takes(id, (enum ctl_flag_id)f))
            buf_printf(out, ctl_flags[f].metavar[0] ? " [--%s %s]" : " [--%s]", ctl_flags[f].name,
                       ctl_flags[f].metavar);
}
