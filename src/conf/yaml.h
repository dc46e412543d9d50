/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One YAML document as a tree of nodes that know their place. Of YAML what a configuration needs:
 * mappings, sequences and scalars; anchors, aliases, tags and a second document are refused by
 * name.
 */
#ifndef CONF_YAML_H
#define CONF_YAML_H

#include "base/arena.h"
#include "conf/diag.h"

enum yaml_kind { YAML_SCALAR, YAML_LIST, YAML_MAP };

struct yaml_node {
    enum yaml_kind kind;
    bool plain; /* scalar without quotes: may mean null */
    struct conf_pos at;
    uint32_t end_line;        /* of a scalar: the line it ends on */
    struct slice text;        /* scalar; NUL behind it, not counted; in the arena */
    struct yaml_node **items; /* list: elements; map: key, value, key, value ... */
    unsigned n, cap;          /* of items */
};

/*
 * Parses a source of d. NULL with an error in d. An empty document is a plain empty scalar. Nodes
 * live in the arena.
 */
struct yaml_node *yaml_load(struct diag *d, uint32_t source, struct arena *arena);

/* A plain scalar that is empty, ~ or null: "nothing here". */
bool yaml_is_null(const struct yaml_node *y);

#endif
