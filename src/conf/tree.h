/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A loaded configuration, inside of conf/: the settings as a tree shaped by schema.def, each with
 * the place it comes from, and what the checks found out on the way (addresses, schemas, routes) so
 * that compiling has nothing left to find wrong.
 *
 *   load.c   files -> tree     check.c, routes.c   tree -> struct plan     compile.c   both -> blob
 */
#ifndef CONF_TREE_H
#define CONF_TREE_H

#include <sys/socket.h>

#include "base/arena.h"
#include "base/buf.h"
#include "conf/compiled.h"
#include "conf/conf.h"
#include "conf/diag.h"
#include "conf/inputs.h"
#include "conf/overlay.h"
#include "conf/router.h"
#include "conf/schema.h"
#include "conf/value.h"

struct node {
    enum setting_id id;
    bool element;       /* of a T_NAMED, T_OBJECTS or T_LIST, whose id it has */
    bool set;           /* by a file */
    bool bad;           /* an error was reported: checks leave it alone */
    struct conf_pos at; /* of the value; of an element of T_NAMED: of its name */
    const char *name;   /* element of T_NAMED: its name; of T_OBJECTS: its "name", if it has one */
    const char *text;   /* scalar: what is in force; paths made absolute. NULL: nothing */
    struct value value; /* scalar */
    struct node *up;
    struct node **kids; /* group element or T_MAP: its settings; else elements */
    unsigned n, cap;
};

struct address {
    struct sockaddr_storage sa;
    socklen_t n; /* 0: not resolved */
};

/* A name that meant something when this was loaded, and means the same for what is derived. */
struct resolved {
    struct resolved *next;
    const char *text;
    struct address address;
};

/* What a compiled route is made from. */
struct route_plan {
    const struct node *route;  /* element of routes */
    const struct node *method; /* element of its methods that overrides, or NULL */
    const char *name;
    const char *host, *path;
    uint32_t methods;
    uint32_t upstream, schema, binding, hash_var; /* indexes or CONF_NONE */
    struct conf_pos at;                           /* where its path is written */
};

struct plan {
    struct buf *schemas; /* one for each element of transcode */
    uint32_t schemas_n;
    struct address **endpoints; /* [upstream][endpoint] */
    struct address *redis;      /* [server] */
    const char *redis_password; /* "" none */
    struct route_plan *routes;
    uint32_t routes_n, routes_cap;
    struct buf route_index;
};

struct conf {
    struct arena_pool pool;
    struct arena arena; /* nodes, texts, plan */
    struct diag diag;
    struct conf_options options;
    struct inputs *inputs;     /* what was read for it; shared with what is derived from it */
    struct resolved *resolved; /* what its names meant */
    const struct conf *base;   /* while it is derived: whose names are believed */
    unsigned files;            /* of its own, overlay aside */
    const char *file;          /* the main one */
    const char *prefix;        /* absolute */
    const char *dir;           /* of the main file, with a slash at its end; or "" */
    struct node *root;
    bool incomplete; /* a file could not be read: what seems to be missing may be in it */
    struct plan plan;
    struct conf_process process;
};

/* Zeroed, in the conf's arena; out of memory is fatal: no request depends on a load. */
void *conf_alloc(struct conf *c, size_t n);
char *conf_dup(struct conf *c, struct slice s);
char *conf_printf(struct conf *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* conf.c: as base was loaded, but with another text of one of its files. */
struct conf *conf_derive_edited(const struct conf *base, const char *file, struct slice text,
                                struct buf *errors);

struct yaml_node;

/* load.c: fills the tree from the main file, what it includes and the overlay (NULL: none); errors
 * go to the diag. */
void conf_load_tree(struct conf *c, const struct conf_overlay *overlay);
/* One setting. */
void conf_fill(struct conf *c, struct node *n, const struct yaml_node *y);
/* overlay.c */
struct node *conf_node(const struct conf *c, const char *path); /* NULL: no such setting */
void conf_apply_overlay(struct conf *c, const struct conf_overlay *overlay);
/* defaults.c: after the last file. */
void conf_fill_defaults(struct conf *c);
const char *conf_file_error(int err);
/* check.c: everything that one value alone does not show. */
void conf_check(struct conf *c);
/* routes.c: the part of it that is about routes. */
void conf_check_routes(struct conf *c);

/* limits.c: rate limits by themselves, and those of a route that is in the plan. */
void conf_check_limits(struct conf *c);
/* closed.c */
/* The fields that refusals of the route depend on, by number; how many. 0: none are set, or its
 * message does not have all of them. */
uint32_t conf_closed_fields(const struct conf *c, const struct route_plan *p,
                            uint32_t out[CONF_CLOSED_BY]);
/* Of the plans from `first` on, which came from the route. */
void conf_check_route_closed(struct conf *c, const struct node *route, uint32_t first);
void conf_check_route_limits(struct conf *c, const struct node *route, uint32_t first);
/* The limits in force for a planned route: its own or those of the method that overrides. */
const struct node *conf_route_limits(const struct route_plan *p);
/* What path:VAR of the key refers to in that route; CONF_NONE: it has no such variable. */
uint32_t conf_path_var(const struct route_plan *p, const struct node *key_part);

/* concurrency.c: what a `concurrency` mapping says, without name and stat; and its checks. */
struct conf_concurrency conf_concurrency_of(const struct node *map);
void conf_check_concurrency(struct conf *c);
/* splits.c: A/B splits by themselves, and what a route can do with the arms of its split. */
void conf_check_splits(struct conf *c);
void conf_check_route_split(struct conf *c, const struct node *route);
/* redis.c: servers, password, and that shared limits have servers. */
void conf_check_redis(struct conf *c);

/* rls.c: checks; rules with the most specific first, to be freed; what a lookup compares first. */
void conf_check_rls(struct conf *c);
const struct node **conf_rls_order(const struct conf *c, unsigned *n);
uint64_t conf_rls_keys_hash(const struct node *rule);

/* resolve.c: false, with an error at the node, when the address means nothing here. */
bool conf_resolve(struct conf *c, struct node *n, struct address *out);

/* show.c: a leaf's value on one line. */
void conf_node_value(const struct node *n, struct buf *out);

/* process.c: what the master wants to know. */
void conf_fill_process(struct conf *c);

/* paths.c: see conf_path. */
const char *conf_absolute(struct conf *c, enum setting_id id, struct slice text);

/* The child; of a path of children the last. Never NULL for a child that the schema has. */
struct node *node_get(const struct node *n, enum setting_id id);
/* Text of a child, "" when there is none. */
const char *node_text(const struct node *n, enum setting_id id);
int64_t node_num(const struct node *n, enum setting_id id);
/* Index of the element of that name, or CONF_NONE. */
uint32_t node_find(const struct node *list, const char *name);
/* A mapping or element with all its settings below, none of them set. */
struct node *node_object(struct conf *c, enum setting_id id, struct node *up);
struct node *node_add(struct conf *c, struct node *list);
/* "routes[orders].match.path" */
void node_path(const struct node *n, struct buf *out);
/* conf_alloc'd. */
const char *node_path_text(struct conf *c, const struct node *n);

#endif
