/* SPDX-License-Identifier: BSD-2-Clause */
/* What the table says, for people (Markdown), editors (JSON Schema) and shells (paths). */
#include <inttypes.h>

#include "conf/conf.h"
#include "conf/schema.h"
#include "conf/value.h"

static const char *const type_names[] = {
    [T_MAP] = "mapping",       [T_NAMED] = "mapping of names",
    [T_OBJECTS] = "list",      [T_BOOL] = "bool",
    [T_INT] = "int",           [T_SIZE] = "size",
    [T_DURATION] = "duration", [T_PERCENT] = "percent",
    [T_STRING] = "text",       [T_TEXT] = "text",
    [T_NAME] = "name",         [T_REF] = "name",
    [T_ENUM] = "word",         [T_METHOD] = "word",
    [T_ADDRESS] = "address",   [T_CIDR] = "range",
    [T_PATH] = "path",         [T_FILE] = "file",
    [T_TEMPLATE] = "template", [T_URLPATH] = "path of a URL",
    [T_HOST] = "host",         [T_HEADER] = "header",
    [T_MODE] = "mode",         [T_RATE] = "rate",
    [T_KEY] = "key",
};

static bool is_number(enum setting_id id)
{
    int t = setting_base(id);
    return t == T_INT || t == T_SIZE || t == T_DURATION || t == T_PERCENT || t == T_MODE;
}

/* --- Markdown --- */

static void print_path(FILE *out, enum setting_id id)
{
    struct buf path = {0};

    setting_path(id, &path);
    fputs(buf_cstr(&path), out);
    buf_free(&path);
}

static void print_type(FILE *out, enum setting_id id)
{
    const struct setting *s = &conf_settings[id];
    const char *rest = s->values;
    struct slice word;
    bool first = true;

    if (setting_is_list(id))
        fputs("list of ", out);
    if (setting_base(id) == T_ENUM || setting_base(id) == T_METHOD || setting_base(id) == T_KEY) {
        while (setting_word(&rest, &word)) {
            fprintf(out, "%s`%.*s`", first ? "" : ", ", SLICE_ARG(word));
            first = false;
        }
        return;
    }
    fputs(type_names[setting_base(id)], out);
    if (setting_base(id) == T_REF)
        fprintf(out, " of one of `%s`", s->values);
    else if (s->values[0] != '\0' && setting_base(id) != T_ADDRESS)
        fprintf(out, " or `%s`", s->values);
    if (is_number(id)) {
        struct buf range = {0};
        value_format_range(id, &range);
        fprintf(out, ", %s", buf_cstr(&range));
        buf_free(&range);
    }
}

static void print_default(FILE *out, enum setting_id id)
{
    const char *d = setting_default(id);

    if (setting_required(id))
        fputs("required", out);
    else if (setting_like(id) != NULL)
        fprintf(out, "that of `%s`", setting_like(id));
    else if (d == NULL)
        fputs(setting_is_list(id) ? "empty" : "none", out);
    else
        fprintf(out, "`%s`", d[0] ? d : "\"\"");
}

static void print_table(FILE *out, enum setting_id group)
{
    fputs("| setting | type | default | changed by | |\n|---|---|---|---|---|\n", out);
    for (int i = S_ROOT + 1; i < SETTING_COUNT; i++) {
        enum setting_id id = (enum setting_id)i;
        if (conf_settings[id].parent != group || setting_is_group(id))
            continue;
        fprintf(out, "| `%s` | ", conf_settings[id].key);
        print_type(out, id);
        fputs(" | ", out);
        print_default(out, id);
        fprintf(out, " | %s | %s |\n", conf_settings[id].restart ? "restart" : "reload",
                conf_settings[id].help);
    }
    fputc('\n', out);
}

static void print_group(FILE *out, enum setting_id group)
{
    if (group != S_ROOT) {
        fputs("## `", out);
        print_path(out, group);
        fputs(setting_base(group) == T_NAMED     ? "{}"
              : setting_base(group) == T_OBJECTS ? "[]"
                                                 : "",
              out);
        fprintf(out, "`\n\n%s\n\n", conf_settings[group].help);
    }
    print_table(out, group);
    for (int i = S_ROOT + 1; i < SETTING_COUNT; i++)
        if (conf_settings[i].parent == group && setting_is_group((enum setting_id)i))
            print_group(out, (enum setting_id)i);
}

static const char intro[] =
    "# Configuration\n\n"
    "<!-- Generated from src/conf/schema.def: `make reference`. -->\n\n"
    "One YAML file, by default `rushgate.yaml` in the configuration directory; `rushgate -t -c "
    "FILE`\n"
    "checks it, `rushctl show config --origin` shows what is in force and which line it comes "
    "from.\n"
    "Any error refuses the whole file, and the configuration that runs stays.\n\n"
    "- **Variables.** `${NAME}` and `${NAME:-default}` in a value are replaced from the "
    "environment of\n"
    "  the master; `$$` is a dollar sign.\n"
    "- **Several files.** `include: [conf.d/*.yaml]`. Mappings merge, lists append, a value that "
    "is set\n"
    "  twice is an error that names both places. Anchors, aliases and tags are refused.\n"
    "- **Units.** Durations: `500ms`, `10s`, `5m`, `7h`, `1d`, `1h30m`. Sizes: `512`, `8k`, `64m`, "
    "`1g`\n"
    "  (powers of 1024). Percentages: `10%`.\n"
    "- **Paths** of run-time files that are not absolute are below the prefix (`rushgate -p DIR`). "
    "With\n"
    "  the prefix `/` their first part chooses the directory: `run/x` is `/run/rushgate/x`, "
    "`log/x` is\n"
    "  `/var/log/rushgate/x`, `data/x` is `/var/lib/rushgate/x`.\n"
    "- **Changed by.** *reload*: `rushctl reload` or SIGHUP applies it, without a restart of "
    "anything.\n"
    "  *restart*: a reload reports it as pending.\n"
    "- `{}` stands for a name of your choice, `[]` for an element of a list.\n\n";

void conf_print_reference(FILE *out)
{
    fputs(intro, out);
    print_group(out, S_ROOT);
}

/* --- JSON Schema --- */

static void print_json(FILE *out, const char *text)
{
    struct buf b = {0};

    buf_json(&b, slice_str(text));
    fputs(buf_cstr(&b), out);
    buf_free(&b);
}

static void print_words(FILE *out, const char *values)
{
    struct slice word;
    bool first = true;

    fputs("\"enum\":[", out);
    while (setting_word(&values, &word)) {
        fprintf(out, "%s\"%.*s\"", first ? "" : ",", SLICE_ARG(word));
        first = false;
    }
    fputc(']', out);
}

static void print_scalar_type(FILE *out, enum setting_id id)
{
    const struct setting *s = &conf_settings[id];

    switch (setting_base(id)) {
    case T_BOOL:
        fputs("\"type\":\"boolean\"", out);
        break;
    case T_INT:
        fprintf(out,
                "\"anyOf\":[{\"type\":\"integer\",\"minimum\":%" PRId64 ",\"maximum\":%" PRId64 "}",
                s->min, s->max);
        if (s->values[0] != '\0')
            fprintf(out, ",{\"const\":\"%s\"}", s->values);
        fputs(",{\"type\":\"string\",\"pattern\":\"\\\\$\\\\{\"}]", out);
        break;
    case T_ENUM:
    case T_METHOD:
        print_words(out, s->values);
        break;
    case T_SIZE:
        fputs("\"type\":[\"string\",\"integer\"],\"pattern\":\"^[0-9]+[kmg]?$|\\\\$\\\\{\"", out);
        break;
    case T_DURATION:
        fputs("\"type\":\"string\",\"pattern\":\"^([0-9]+(ms|s|m|h|d))+$|\\\\$\\\\{\"", out);
        break;
    case T_PERCENT:
        fputs("\"type\":\"string\",\"pattern\":\"^[0-9]+%$|\\\\$\\\\{\"", out);
        break;
    case T_RATE:
        fputs("\"type\":\"string\",\"pattern\":\"^[0-9]+/([0-9]*(ms|s|m|h|d))+$|\\\\$\\\\{\"", out);
        break;
    case T_KEY:
        fputs("\"type\":\"string\",\"pattern\":"
              "\"^(client_ip|identity|route|constant|(header|path):.+)$|\\\\$\\\\{\"",
              out);
        break;
    default:
        fputs("\"type\":\"string\"", out);
    }
}

static void print_schema(FILE *out, enum setting_id id);

/* The keys of a group: "properties" and so on. */
static void print_object(FILE *out, enum setting_id group)
{
    bool first = true;

    fputs("\"type\":[\"object\",\"null\"],\"additionalProperties\":false,\"properties\":{", out);
    for (int i = S_ROOT + 1; i < SETTING_COUNT; i++) {
        if (conf_settings[i].parent != group)
            continue;
        fprintf(out, "%s\n\"%s\":", first ? "" : ",", conf_settings[i].key);
        print_schema(out, (enum setting_id)i);
        first = false;
    }
    fputc('}', out);
}

static void print_list(FILE *out, enum setting_id id)
{
    fputs("\"anyOf\":[{\"type\":\"array\",\"items\":{", out);
    print_scalar_type(out, id);
    fputs("}},{", out);
    print_scalar_type(out, id);
    fputs("}]", out);
}

static void print_schema(FILE *out, enum setting_id id)
{
    const char *d = setting_default(id);

    fputs("{\"description\":", out);
    print_json(out, conf_settings[id].help);
    if (d != NULL) {
        fputs(",\"default\":", out);
        print_json(out, d);
    }
    fputc(',', out);
    if (setting_is_list(id)) {
        print_list(out, id);
    } else if (conf_settings[id].type == T_MAP) {
        print_object(out, id);
    } else if (setting_is_group(id)) {
        fputs(setting_base(id) == T_NAMED
                  ? "\"type\":[\"object\",\"null\"],\"additionalProperties\":{"
                  : "\"type\":[\"array\",\"null\"],\"items\":{",
              out);
        print_object(out, id);
        fputc('}', out);
    } else {
        print_scalar_type(out, id);
    }
    fputc('}', out);
}

void conf_print_json_schema(FILE *out)
{
    fputs("{\"$schema\":\"https://json-schema.org/draft/2020-12/"
          "schema\",\"title\":\"rushgate.yaml\",",
          out);
    print_object(out, S_ROOT);
    fputs("}\n", out);
}

void conf_print_paths(FILE *out)
{
    for (int i = S_ROOT + 1; i < SETTING_COUNT; i++)
        if (!setting_is_group((enum setting_id)i)) {
            print_path(out, (enum setting_id)i);
            fputc('\n', out);
        }
}
