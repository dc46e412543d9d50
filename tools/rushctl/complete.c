/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shell completion. The scripts know nothing: they hand the line to `rushctl __complete`, which
 * answers from the same tables as everything else and asks the daemon for names of events, limits
 * and settings.
 */
#include "config.h"

#include <string.h>

#include "base/clock.h"
#include "local.h"
#include "output.h"

#define NAMES_WAIT_NS (1 * NS_PER_S)

static const char bash_script[] =
    "# bash completion for rushctl; load with: source <(rushctl completion bash)\n"
    "_rushctl() {\n"
    "    local IFS=$'\\n'\n"
    "    COMPREPLY=($(rushctl __complete -- \"${COMP_WORDS[@]:1:COMP_CWORD}\" 2>/dev/null))\n"
    "    [ ${#COMPREPLY[@]} -gt 0 ] || compopt -o default 2>/dev/null\n"
    "}\n"
    "complete -F _rushctl rushctl\n";

static const char zsh_script[] =
    "#compdef rushctl\n"
    "# zsh completion for rushctl; load with: source <(rushctl completion zsh)\n"
    "_rushctl() {\n"
    "    local -a found\n"
    "    found=(${(f)\"$(rushctl __complete -- \"${(@)words[2,CURRENT]}\" 2>/dev/null)\"})\n"
    "    if (( $#found )); then compadd -a found; else _files; fi\n"
    "}\n"
    "compdef _rushctl rushctl\n";

static const char fish_script[] =
    "# fish completion for rushctl; load with: rushctl completion fish | source\n"
    "function __rushctl_words\n"
    "    set -l words (commandline -opc) (commandline -ct)\n"
    "    rushctl __complete -- $words[2..-1] 2>/dev/null\n"
    "end\n"
    "complete -c rushctl -f -a '(__rushctl_words)'\n"
    "complete -c rushctl -F -n '__fish_seen_subcommand_from check'\n";

int local_COMPLETION(struct options *o)
{
    struct buf out = {0};
    const char *shell = o->inv.args[0];

    buf_str(&out, strcmp(shell, "bash") == 0  ? bash_script
                  : strcmp(shell, "zsh") == 0 ? zsh_script
                                              : fish_script);
    output_write(&out);
    buf_free(&out);
    return 0;
}

static void offer(struct buf *out, struct slice candidate, struct slice begun)
{
    struct buf line = {0};

    if (!slice_starts(candidate, begun))
        return;
    buf_slice(&line, candidate);
    buf_char(&line, '\n');
    /* Several commands share a first word: once is enough. */
    if (out->n == 0 || memmem(out->p, out->n, line.p, line.n) == NULL)
        buf_slice(out, buf_view(&line));
    buf_free(&line);
}

static void offer_dashed(struct buf *out, const char *name, struct slice begun)
{
    struct buf word = {0};

    buf_printf(&word, "--%s", name);
    offer(out, buf_view(&word), begun);
    buf_free(&word);
}

/* Arguments whose values the daemon knows: the table that lists them, and the field. */
static const struct names {
    const char *kind, *table, *field;
} names[] = {
    {"EVENT", "sales", "event"},
    {"LIMIT", "limits", "limit"},
    {"SPLIT", "split", "split"},
    {"SETTING", "config", "setting"},
};

/* Names from the daemon; none when it does not answer soon. */
static void offer_names(struct buf *out, struct options *o, const struct names *of,
                        struct slice begun)
{
    struct options ask = *o;
    struct client_failure failure = {0};
    struct buf path = {0};
    json_t *doc, *row;
    size_t i;

    ask.words[0] = "show";
    ask.words[1] = of->table;
    ask.words_n = 2;
    memset(ask.inv.flag, 0, sizeof ask.inv.flag);
    doc = client_socket_path(o, &path, &failure)
              ? client_ask(buf_cstr(&path), &ask, NAMES_WAIT_NS, &failure)
              : NULL;
    json_array_foreach(json_object_get(doc, "data"), i, row)
    {
        const char *name = json_string_value(json_object_get(row, of->field));
        if (name != NULL)
            offer(out, slice_str(name), begun);
    }
    json_decref(doc);
    client_failure_fini(&failure);
    buf_free(&path);
}

/* Words of an argument column: "EVENT", "bash|zsh|fish", "[FILE]". */
static void offer_argument(struct buf *out, struct options *o, const char *column, unsigned skip,
                           struct slice begun)
{
    struct slice kind;

    for (unsigned i = 0; ctl_word(&column, ' ', &kind); i++) {
        if (i != skip)
            continue;
        for (size_t k = 0; k < sizeof names / sizeof *names; k++)
            if (slice_eq(kind, slice_str(names[k].kind)))
                offer_names(out, o, &names[k], begun);
        for (struct slice rest = kind; memchr(kind.p, '|', kind.n) != NULL && rest.n > 0;) {
            size_t n = slice_find(rest, '|');
            offer(out, slice_of(rest.p, n), begun);
            n = n < rest.n ? n + 1 : n;
            rest = slice_of(rest.p + n, rest.n - n);
        }
    }
}

/* What this command offers after the complete words of the line. */
static void offer_command(struct buf *out, struct options *o, enum ctl_command_id id,
                          struct slice begun)
{
    const char *words = ctl_commands[id].words;
    struct slice w;
    unsigned n = 0;

    for (; n < o->words_n; n++)
        if (!ctl_word(&words, ' ', &w))
            break; /* the rest are arguments */
        else if (!slice_eq(w, slice_str(o->words[n])))
            return;
    if (*words != '\0' && begun.n > 0 && begun.p[0] == '-')
        return;
    if (ctl_word(&words, ' ', &w)) {
        offer(out, w, begun);
    } else if (begun.n > 0 && begun.p[0] == '-') {
        for (unsigned f = 0; f < CTL_FLAG_COUNT; f++)
            if (ctl_command_takes(id, (enum ctl_flag_id)f))
                offer_dashed(out, ctl_flags[f].name, begun);
    } else {
        offer_argument(out, o, ctl_commands[id].args, o->words_n - n, begun);
    }
}

/* True when the last complete word is an option that still wants its value. */
static bool wants_value(const char *word)
{
    enum option_id id = word[0] == '-' ? option_find(word) : OPT_COUNT;

    if (id < OPT_COUNT)
        return option_infos[id].metavar[0] != '\0' && strchr(word, '=') == NULL &&
               (word[1] == '-' || word[2] == '\0');
    if (strncmp(word, "--", 2) == 0 && ctl_flag_by_name(word + 2) < CTL_FLAG_COUNT)
        return ctl_flags[ctl_flag_by_name(word + 2)].metavar[0] != '\0';
    return false;
}

int complete_words(int argc, char **argv)
{
    struct options o = {0};
    struct ctl_complaint why = {0};
    struct buf out = {0};
    struct slice begun;

    if (argc > 1 && strcmp(argv[1], "--") == 0) {
        argv++;
        argc--;
    }
    if (argc < 2)
        return 0;
    begun = slice_str(argv[argc - 1]);
    /* Half a line may be wrong; what could be read of it counts. */
    if (!options_read(&o, argc - 1, argv, &why) || wants_value(argv[argc > 2 ? argc - 2 : 0])) {
        ctl_complaint_fini(&why);
        return 0;
    }
    if (begun.n > 0 && begun.p[0] == '-')
        for (unsigned i = 0; i < OPT_COUNT; i++)
            offer_dashed(&out, option_infos[i].name, begun);
    for (unsigned i = 0; i < CMD_COUNT; i++)
        if (ctl_commands[i].visible)
            offer_command(&out, &o, (enum ctl_command_id)i, begun);
    output_write(&out);
    buf_free(&out);
    return 0;
}

int local_COMPLETE(struct options *o)
{
    (void)o;
    return 0; /* main hands the raw words to complete_words before options are read */
}
