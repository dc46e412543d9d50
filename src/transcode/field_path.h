/* SPDX-License-Identifier: BSD-2-Clause */
/* Dotted paths to a field, "order.item", as path variables and query parameters write them. */
#ifndef TRANSCODE_FIELD_PATH_H
#define TRANSCODE_FIELD_PATH_H

#include "transcode/schema_layout.h"

#define FIELD_PATH_MAX 16

struct field_path {
    uint16_t at[FIELD_PATH_MAX]; /* index of the field in its message, from the outermost */
    unsigned n;
    const struct schema_field *leaf;
};

/*
 * Follows name from message m. NULL when it leads to a field, else why not ("is not a field of
 * pkg.Message" ...), the message's name going to *of for the reader's sake.
 */
const char *field_path_resolve(const struct schema_root *root, const struct schema_msg *m,
                               struct slice name, struct field_path *out, struct slice *of);

/* The name of a path variable, "name" or "name=pattern", and whether it is of several segments. */
static inline struct slice template_var_name(struct slice var, bool *wide)
{
    size_t n = slice_find(var, '=');
    struct slice pattern = slice_of(var.p + n, var.n - n);

    *wide = slice_find(pattern, '/') < pattern.n || slice_eq(pattern, SLICE_LIT("=**"));
    return slice_of(var.p, n);
}

/* NULL when one piece of text can stand for the field, else why not ("is a map"). */
const char *field_path_text(const struct schema_root *root, const struct schema_field *f);

#endif
