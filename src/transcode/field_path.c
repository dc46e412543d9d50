/* SPDX-License-Identifier: BSD-2-Clause */
/* Following dotted names from message to message. */
#include "transcode/field_path.h"

const char *field_path_resolve(const struct schema_root *root, const struct schema_msg *m,
                               struct slice name, struct field_path *out, struct slice *of)
{
    out->n = 0;
    for (;;) {
        size_t dot = slice_find(name, '.');
        const struct schema_field *f = schema_field_by_name(root, m, slice_of(name.p, dot));

        *of = schema_slice(root, m->name);
        if (f == NULL)
            return "is not a field of";
        if (out->n == FIELD_PATH_MAX)
            return "is nested too deep in";
        out->at[out->n++] = (uint16_t)(f - schema_fields(root, m));
        out->leaf = f;
        if (dot == name.n)
            return NULL;
        if (f->type != TYPE_MESSAGE || (f->flags & FIELD_REPEATED) ||
            schema_msg_of(root, f)->known != KNOWN_NONE)
            return "goes through a field that is not a single message of";
        m = schema_msg_of(root, f);
        name = slice_of(name.p + dot + 1, name.n - dot - 1);
    }
}

const char *field_path_text(const struct schema_root *root, const struct schema_field *f)
{
    if (f->flags & FIELD_MAP)
        return "is a map: only the body can carry it";
    if (f->type != TYPE_MESSAGE)
        return NULL;
    switch ((enum schema_known)schema_msg_of(root, f)->known) {
    case KNOWN_TIMESTAMP:
    case KNOWN_DURATION:
    case KNOWN_FIELD_MASK:
    case KNOWN_WRAPPER:
        return NULL;
    case KNOWN_NONE:
    case KNOWN_STRUCT:
    case KNOWN_VALUE:
    case KNOWN_LIST:
    case KNOWN_ANY:
        break;
    }
    return "is a message: name one of its fields";
}
