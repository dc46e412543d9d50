/* SPDX-License-Identifier: BSD-2-Clause */
#include "conf/schema.h"

#define REQUIRED "\1"
#define UNSET    "\2"
#define LIKE(x)  "\3" x
#define RELOAD   false
#define RESTART  true

const struct setting conf_settings[SETTING_COUNT] = {
    [S_ROOT] =
        {.parent = S_ROOT, .key = "", .type = T_MAP, .values = "", .dflt = UNSET, .help = ""},
#define SETTING(id, parent, key, type, values, dflt, min, max, when, help)                         \
    [S_##id] = {S_##parent, key, type, values, dflt, min, max, when, help},
#include "conf/schema.def"
#undef SETTING
};

bool setting_required(enum setting_id id)
{
    return conf_settings[id].dflt[0] == REQUIRED[0];
}

const char *setting_default(enum setting_id id)
{
    const char *d = conf_settings[id].dflt;
    return d[0] >= REQUIRED[0] && d[0] <= '\3' ? NULL : d;
}

const char *setting_like(enum setting_id id)
{
    const char *d = conf_settings[id].dflt;
    return d[0] == '\3' ? d + 1 : NULL;
}

enum setting_id setting_child(enum setting_id parent, struct slice key)
{
    for (int id = S_ROOT + 1; id < SETTING_COUNT; id++)
        if (conf_settings[id].parent == parent && slice_eq(slice_str(conf_settings[id].key), key))
            return (enum setting_id)id;
    return S_ROOT;
}

void setting_path(enum setting_id id, struct buf *out)
{
    enum setting_id parent = conf_settings[id].parent;

    if (id == S_ROOT)
        return;
    if (parent != S_ROOT) {
        setting_path(parent, out);
        if (setting_base(parent) == T_NAMED)
            buf_str(out, "{}");
        else if (setting_base(parent) == T_OBJECTS)
            buf_str(out, "[]");
        buf_char(out, '.');
    }
    buf_str(out, conf_settings[id].key);
}

bool setting_word(const char **rest, struct slice *word)
{
    struct slice all = slice_str(*rest);

    if (all.n == 0)
        return false;
    word->p = all.p;
    word->n = slice_find(all, '|');
    *rest += word->n + (word->n < all.n ? 1 : 0);
    return true;
}

int setting_word_index(const char *values, struct slice word)
{
    struct slice w;

    for (int i = 0; setting_word(&values, &w); i++)
        if (slice_eq(w, word))
            return i;
    return -1;
}
