/* SPDX-License-Identifier: BSD-2-Clause */
/* The table of schema.def as data: what a setting is called, what it may be, what it is without a
 * file. */
#ifndef CONF_SCHEMA_H
#define CONF_SCHEMA_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/slice.h"

enum conf_type {
    T_MAP,     /* mapping with fixed keys */
    T_NAMED,   /* mapping from a name to an object with fixed keys */
    T_OBJECTS, /* list of such objects */
    T_BOOL,
    T_INT,
    T_SIZE,     /* bytes */
    T_DURATION, /* milliseconds */
    T_PERCENT,
    T_STRING, /* any text */
    T_TEXT,   /* printable ASCII: it goes into header lines */
    T_NAME,   /* letters, digits, - _ . */
    T_REF,    /* name of an element of a T_NAMED */
    T_ENUM,
    T_METHOD,
    T_ADDRESS, /* host:port, [v6]:port, unix:PATH */
    T_CIDR,
    T_PATH,     /* file made at run time, below the prefix */
    T_FILE,     /* file read at load, beside the configuration */
    T_TEMPLATE, /* path template of a route */
    T_URLPATH,
    T_HOST,
    T_HEADER,
    T_MODE,         /* octal permissions */
    T_RATE,         /* tokens per time */
    T_KEY,          /* what a limit counts by: one of the words, NAME and VAR replaced */
    T_LIST = 0x100, /* flag: a list of the scalar type */
};

enum setting_id {
    S_ROOT,
#define SETTING(id, parent, key, type, values, dflt, min, max, when, help) S_##id,
#include "conf/schema.def"
#undef SETTING
    SETTING_COUNT
};

struct setting {
    enum setting_id parent;
    const char *key;
    int type;           /* enum conf_type, perhaps with T_LIST */
    const char *values; /* words separated by '|' */
    const char *dflt;   /* see setting_default */
    int64_t min, max;
    bool restart; /* a reload does not apply it */
    const char *help;
};

extern const struct setting conf_settings[SETTING_COUNT];

static inline int setting_base(enum setting_id id)
{
    return conf_settings[id].type & ~T_LIST;
}

static inline bool setting_is_list(enum setting_id id)
{
    return (conf_settings[id].type & T_LIST) != 0;
}

/* Has keys of its own, or elements that have. */
static inline bool setting_is_group(enum setting_id id)
{
    return setting_base(id) <= T_OBJECTS;
}

bool setting_required(enum setting_id id);
/* Text as in a file, or NULL when there is none. */
const char *setting_default(enum setting_id id);
/* Path of the setting whose value stands in, or NULL. */
const char *setting_like(enum setting_id id);

/* The child of that name, or S_ROOT. */
enum setting_id setting_child(enum setting_id parent, struct slice key);

/* "upstreams{}.health.interval": [] stands for an element of a list, {} for one of a mapping. */
void setting_path(enum setting_id id, struct buf *out);

/* Iterates over the words of a `values` column; false at the end. Start with *rest = values. */
bool setting_word(const char **rest, struct slice *word);
/* Index of the word, or -1. */
int setting_word_index(const char *values, struct slice word);

/* docs/configuration.md. */
void conf_print_reference(FILE *out);
/* JSON Schema (2020-12) for editors. */
void conf_print_json_schema(FILE *out);
/* Paths of all settings, one a line, for completion. */
void conf_print_paths(FILE *out);

#endif
