/* SPDX-License-Identifier: BSD-2-Clause */
/* The command line. One table of options gives parsing and help. */
#include "options.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"

const struct behaviour_info behaviour_info[BEHAVIOUR_COUNT] = {
#define INFO(name, weight, traits, help) {#name, weight, traits, help},
    BEHAVIOURS(INFO)
#undef INFO
};

enum kind { KIND_FLAG, KIND_TEXT, KIND_U32, KIND_U64, KIND_REAL, KIND_URL, KIND_MIX, KIND_PID };

struct option_info {
    const char *name, *arg, *help;
    enum kind kind;
    size_t off;     /* of the field in struct options */
    unsigned modes; /* bit set of 1 << enum mode */
};

#define RUN       (1u << MODE_RUN)
#define BENCH     (1u << MODE_BENCH)
#define AUDIT     (1u << MODE_AUDIT)
#define AT(field) offsetof(struct options, field)

static const struct option_info table[] = {
    {"url", "http://HOST:PORT", "the gateway", KIND_URL, AT(host), RUN | BENCH},
    {"event", "SLUG", "the event to buy for", KIND_TEXT, AT(event), RUN | BENCH | AUDIT},
    {"item", "SLUG", "the item to buy", KIND_TEXT, AT(item), RUN | BENCH},
    {"create", NULL, "create the event first", KIND_FLAG, AT(create), RUN | BENCH},
    {"tickets", "N", "its quota", KIND_U32, AT(tickets), RUN | BENCH},
    {"max-per-buyer", "N", "its limit per buyer, 0: none", KIND_U32, AT(max_per_buyer),
     RUN | BENCH},
    {"hold", "SECONDS", "how long its orders stay pending", KIND_U32, AT(hold_s), RUN | BENCH},
    {"max-quantity", "N", "orders ask for 1 to N units", KIND_U32, AT(max_quantity), RUN},
    {"buyers", "N", "buyers who come", KIND_U64, AT(buyers), RUN},
    {"rate", "N", "arrivals a second (bench: open loop)", KIND_REAL, AT(rate), RUN | BENCH},
    {"seconds", "S", "how long they come", KIND_REAL, AT(seconds), RUN | BENCH},
    {"fixed", NULL, "evenly spaced arrivals instead of Poisson", KIND_FLAG, AT(fixed), RUN},
    {"until-sold-out", NULL, "buyers keep coming until nothing is left", KIND_FLAG,
     AT(until_sold_out), RUN},
    {"stop-sold-out", "S", "stop S seconds after the first sold-out", KIND_REAL,
     AT(stop_sold_out_s), RUN},
    {"max-seconds", "S", "with --until-sold-out: but no longer", KIND_REAL, AT(max_seconds), RUN},
    {"settle", "S", "most time to settle unknown outcomes", KIND_REAL, AT(settle_s), RUN},
    {"connections", "N", "most connections at a time", KIND_U32, AT(connections), RUN | BENCH},
    {"fresh", "SHARE", "share of requests on new connections", KIND_REAL, AT(fresh), RUN},
    {"timeout", "S", "wait for an answer", KIND_REAL, AT(timeout_s), RUN | BENCH},
    {"think", "S", "mean time until a buyer pays or cancels", KIND_REAL, AT(think_s), RUN},
    {"seed", "N", "of every random choice", KIND_U64, AT(seed), RUN | BENCH},
    {"mix", "NAME=WEIGHT,...", "weights of the behaviours", KIND_MIX, AT(mix), RUN},
    {"cpu-of", "PID", "measure CPU time of PID and its descendants", KIND_PID, AT(cpu_of), BENCH},
    {"acks", "FILE", "record of acknowledgements (JSON lines)", KIND_TEXT, AT(acks), RUN | AUDIT},
    {"store", "FILE", "SQLite store to audit", KIND_TEXT, AT(store), RUN | AUDIT},
    {"history", NULL, "the record says what was asked and refused, too", KIND_FLAG, AT(history),
     RUN},
    {"ahead", "SECONDS", "how far ahead the box office's clock may have been", KIND_U32,
     AT(ahead_s), RUN | AUDIT},
    {"json", NULL, "last line of stdout is a JSON object", KIND_FLAG, AT(json),
     RUN | BENCH | AUDIT},
    {"quiet", NULL, "no progress on stderr", KIND_FLAG, AT(quiet), RUN | BENCH | AUDIT},
};
#define TABLE_N (sizeof table / sizeof table[0])

static const char *const mode_name[] = {"run", "bench", "audit"};
static const char *const mode_help[] = {
    "buyers arrive, behave and are recorded; --store audits at the end",
    "unique purchases as cheaply as possible, to measure the server's cost",
    "compares a record of acknowledgements with the store",
};

static void usage_and_exit(void)
{
    printf("usage: stampede [run] OPTIONS | stampede bench OPTIONS | stampede audit OPTIONS\n");
    for (unsigned m = 0; m < 3; m++) {
        printf("\n%s: %s\n", mode_name[m], mode_help[m]);
        for (unsigned i = 0; i < TABLE_N; i++) {
            char left[64];

            if ((table[i].modes & (1u << m)) == 0)
                continue;
            snprintf(left, sizeof left, "--%s %s", table[i].name, table[i].arg ? table[i].arg : "");
            printf("  %-28s %s\n", left, table[i].help);
        }
    }
    printf("\nbehaviours (weight):\n");
    for (unsigned i = 0; i < BEHAVIOUR_COUNT; i++)
        printf("  %-8s %3u  %s\n", behaviour_info[i].name, behaviour_info[i].weight,
               behaviour_info[i].help);
    exit(0);
}

static void bad(const char *what, const char *value)
{
    fprintf(stderr, "stampede: %s: %s\n(stampede --help shows the options)\n", what, value);
    exit(2);
}

static void set_defaults(struct options *o)
{
    *o = (struct options){
        .host = "127.0.0.1",
        .port = "8080",
        .event = "demo",
        .item = "standard",
        .tickets = 500,
        .max_per_buyer = 4,
        .hold_s = 600,
        .max_quantity = 4,
        .seconds = 10,
        .stop_sold_out_s = -1,
        .max_seconds = 120,
        .settle_s = 30,
        .connections = 2048,
        .fresh = 0.2,
        .timeout_s = 5,
        .think_s = 0.3,
        .seed = (uint64_t)time(NULL) * 1000003u + (uint64_t)getpid(),
    };
    for (unsigned i = 0; i < BEHAVIOUR_COUNT; i++)
        o->mix[i] = behaviour_info[i].weight;
}

static bool parse_number(const char *text, double min, double max, double *out)
{
    char *end;

    *out = strtod(text, &end);
    return *text != '\0' && *end == '\0' && *out >= min && *out <= max;
}

static bool behaviour_weight(char *assignment, unsigned mix[BEHAVIOUR_COUNT])
{
    char *eq = strchr(assignment, '=');
    double v;

    if (eq == NULL || !parse_number(eq + 1, 0, 1e6, &v))
        return false;
    *eq = '\0';
    for (unsigned i = 0; i < BEHAVIOUR_COUNT; i++) {
        if (strcmp(behaviour_info[i].name, assignment) == 0) {
            mix[i] = (unsigned)v;
            return true;
        }
    }
    return false;
}

bool options_mix(const char *text, unsigned mix[BEHAVIOUR_COUNT])
{
    char *copy = xstrdup(text), *save = NULL;
    unsigned total = 0;
    bool ok = true;

    memset(mix, 0, sizeof(unsigned) * BEHAVIOUR_COUNT);
    for (char *part = strtok_r(copy, ",", &save); ok && part != NULL;
         part = strtok_r(NULL, ",", &save))
        ok = behaviour_weight(part, mix);
    free(copy);
    for (unsigned i = 0; i < BEHAVIOUR_COUNT; i++)
        total += mix[i];
    return ok && total > 0;
}

/* http://host:port, with or without a slash behind. */
static bool parse_url(struct options *o, const char *url)
{
    const char *prefix = "http://";
    size_t skip = strlen(prefix), n = strcspn(url + strnlen(url, skip), "/");
    char *colon;

    if (strncmp(url, prefix, skip) != 0 || n >= sizeof o->url_text)
        return false;
    memcpy(o->url_text, url + skip, n);
    o->url_text[n] = '\0';
    colon = strrchr(o->url_text, ':');
    if (colon == NULL)
        return false;
    *colon = '\0';
    o->host = o->url_text;
    o->port = colon + 1;
    return true;
}

static bool set_option(struct options *o, const struct option_info *info, const char *value)
{
    void *field = (char *)o + info->off;
    double v;

    switch (info->kind) {
    case KIND_FLAG:
        *(bool *)field = true;
        return true;
    case KIND_TEXT:
        *(const char **)field = value;
        return true;
    case KIND_URL:
        return parse_url(o, value);
    case KIND_MIX:
        return options_mix(value, o->mix);
    case KIND_REAL:
        return parse_number(value, 0, 1e9, field);
    case KIND_U32:
        if (!parse_number(value, 0, 4e9, &v))
            return false;
        *(uint32_t *)field = (uint32_t)v;
        return true;
    case KIND_U64:
        if (!parse_number(value, 0, 1e18, &v))
            return false;
        *(uint64_t *)field = (uint64_t)v;
        return true;
    case KIND_PID:
        if (!parse_number(value, 1, 4e6, &v))
            return false;
        *(pid_t *)field = (pid_t)v;
        return true;
    }
    return false;
}

static const struct option_info *find_option(enum mode mode, const char *name)
{
    for (unsigned i = 0; i < TABLE_N; i++) {
        if ((table[i].modes & (1u << mode)) != 0 && strcmp(table[i].name, name) == 0)
            return &table[i];
    }
    return NULL;
}

static enum mode parse_mode(int *argc, char ***argv)
{
    for (unsigned m = 0; *argc > 1 && m < 3; m++) {
        if (strcmp((*argv)[1], mode_name[m]) == 0) {
            (*argc)--;
            (*argv)++;
            return m;
        }
    }
    return MODE_RUN;
}

static void check_options(struct options *o, enum mode mode)
{
    if (mode == MODE_AUDIT && (o->acks == NULL || o->store == NULL))
        bad("audit needs", "--acks FILE and --store FILE");
    if (mode == MODE_RUN && o->store != NULL && o->acks == NULL)
        bad("--store needs", "--acks FILE");
    if (mode == MODE_AUDIT)
        return;
    if (o->connections == 0 || o->connections > 60000)
        bad("connections must be 1 to 60000", "");
    o->open_loop = mode == MODE_BENCH && o->rate > 0;
    if (mode == MODE_RUN && o->rate <= 0)
        o->rate = (double)(o->buyers > 0 ? o->buyers : 1000) / (o->seconds > 0 ? o->seconds : 1);
    if (o->max_quantity == 0)
        o->max_quantity = 1;
}

enum mode options_parse(struct options *o, int argc, char **argv)
{
    enum mode mode = parse_mode(&argc, &argv);

    set_defaults(o);
    if (mode == MODE_BENCH)
        o->connections = 64, o->max_per_buyer = 0, o->tickets = 10000000;
    for (int i = 1; i < argc; i++) {
        const struct option_info *info;

        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            usage_and_exit();
        info = strncmp(argv[i], "--", 2) == 0 ? find_option(mode, argv[i] + 2) : NULL;
        if (info == NULL)
            bad("unknown option", argv[i]);
        if (info->kind != KIND_FLAG && i + 1 == argc)
            bad("a value is missing behind", argv[i]);
        if (!set_option(o, info, info->kind == KIND_FLAG ? NULL : argv[++i]))
            bad("bad value", argv[i]);
    }
    check_options(o, mode);
    return mode;
}
