/* SPDX-License-Identifier: BSD-2-Clause */
/* A value put into the text of a YAML file; for save.c. */
#ifndef CONF_EDIT_H
#define CONF_EDIT_H

#include "conf/tree.h"

struct edit {
    uint32_t file;  /* source of the configuration */
    struct buf out; /* its text with the value */
    uint32_t line;  /* where that is */
};

/* False with a message in why: there is no place that is surely right. */
bool edit_make(const struct conf *c, const struct node *n, const char *value, struct edit *out,
               struct buf *why);

#endif
