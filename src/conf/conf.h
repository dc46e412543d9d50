/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The configuration: loaded from files, checked, shown, compared, compiled into the blob of
 * conf/compiled.h. In the master and the tools; workers see only the blob.
 *
 *   struct conf *c = conf_load("etc/rushgate.yaml", "/", &errors);
 *   if (c == NULL) ... errors has everything that is wrong, for people
 *   conf_compile(c, &resolver, generation, &blob, &errors);
 *
 * Loading reads files, asks the environment and resolves names: it may block.
 */
#ifndef CONF_CONF_H
#define CONF_CONF_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/slice.h"
#include "conf/overlay.h"
#include "conf/schema.h"

struct conf;

struct conf_options {
    const char *prefix; /* of relative paths of run-time files: see conf_path */
    /*
     * Resolves "host:port"; false with a text in *why (a literal). NULL: getaddrinfo. Tests give
     * their own.
     */
    bool (*resolve)(const char *address, struct sockaddr_storage *sa, socklen_t *n,
                    const char **why);
};

/*
 * Reads file and what it includes. NULL when anything is wrong: errors (appended) then lists all of
 * it, in the form of compilers, the last line "N errors".
 */
struct conf *conf_load(const char *file, const char *prefix, struct buf *errors);
struct conf *conf_load_with(const char *file, const struct conf_options *o, struct buf *errors);
void conf_free(struct conf **c);

/* How many files were read, how many settings they set: for "ok (3 files, 21 settings)". */
unsigned conf_files(const struct conf *c);
unsigned conf_settings_set(const struct conf *c);
/* What is valid and hardly meant, a line each. */
void conf_warnings(const struct conf *c, struct buf *out);

/*
 * The one rule for relative paths of run-time files (sockets, logs, pid file, stores): they are
 * below the prefix. With the prefix "/" their first part chooses the directory of the system's
 * layout:
 *
 *   run/x   /run/rushgate/x        log/x   /var/log/rushgate/x        data/x   /var/lib/rushgate/x
 *
 * Appends the absolute path.
 */
void conf_path(const char *prefix, struct slice path, struct buf *out);

enum conf_listener_kind { CONF_LISTEN_HTTP, CONF_LISTEN_RLS };

struct conf_listener {
    enum conf_listener_kind kind;
    const char *name;
    const char *address;        /* as configured */
    struct sockaddr_storage sa; /* to bind */
    socklen_t sa_n;             /* 0: turned off */
    int backlog;
};

/* canary.*: the rule that ends one. */
struct conf_canary {
    uint32_t share_percent;
    uint64_t min_requests;
    uint32_t max_error_increase_percent;
    uint32_t p99_percent;      /* 0: not looked at */
    uint64_t promote_after_ms; /* 0: never */
};

/* What the master needs beside the blob, most of it restart-only. Borrowed from the conf. */
struct conf_process {
    unsigned workers;         /* `auto` is already a number */
    bool cpu_batch;           /* cpu_scheduling: batch */
    const char *user, *group; /* "" group: the user's primary */
    bool user_set;            /* by a file; false: user is the default */
    const char *pid_file;
    const struct conf_listener *listeners;
    unsigned listeners_n;
    const char *admin_socket;
    unsigned admin_socket_mode;
    const char *admin_socket_group; /* "" leave it */
    struct conf_listener admin;     /* metrics; sa_n 0: off */
    const char *log_error;          /* NULL: stderr */
    int log_level;                  /* enum log_level; reloadable, also in the blob */
    const char *log_access;         /* NULL: off */
    bool log_access_enabled;        /* reloadable, also in the blob */
    const char *log_audit;          /* NULL: off */
    const char *state_file;         /* NULL: off */
    bool boxoffice_embedded;
    const char *boxoffice_listen; /* "unix:/path" or "host:port" */
    uint32_t idempotency_remember_ms;
    const char *bans_state_file; /* NULL: bans are not kept */
    const char *boxoffice_store;
    const char *boxoffice_upstream; /* "" none; reloadable, also in the blob */
    uint64_t limit_table_bytes;
    uint32_t drain_timeout_ms; /* reloadable, also in the blob */
    unsigned generations_keep; /* reloadable */
    struct conf_canary canary; /* reloadable */
};

const struct conf_process *conf_process(const struct conf *c);

/* Indexes that outlive a reload come from who owns them. NULL functions give 0. */
struct conf_resolver {
    uint32_t (*route_stat)(void *arg, const char *name);       /* metric/names.h */
    uint32_t (*endpoint_stat)(void *arg, const char *address); /* health word */
    void *arg;
    uint32_t (*limit_stat)(void *arg, const char *name);       /* the same */
    uint32_t (*concurrency_stat)(void *arg, const char *name); /* the same */
    uint32_t (*arm_stat)(void *arg, const char *name);         /* the same; "split/arm" */
    uint32_t (*redis_stat)(void *arg, const char *address);    /* metric_redis_index */
};

/* Replaces the content of out by the blob (8-byte aligned). False, with errors, when memory is out.
 */
bool conf_compile(const struct conf *c, const struct conf_resolver *r, uint64_t generation,
                  struct buf *out, struct buf *errors);

struct conf_change {
    const char *path; /* "upstreams.boxoffice.max_in_flight"; a whole element "routes[orders]" */
    const char *old_text; /* what was in force; "absent" for an element that was not there */
    const char *new_text; /* "present" for an element that was not there */
    bool restart;         /* only a restart applies it */
};

/* Calls cb for each setting that differs, in the order of the schema. Returns how many. */
unsigned conf_diff(const struct conf *old_conf, const struct conf *new_conf,
                   void (*cb)(void *arg, const struct conf_change *change), void *arg);

/*
 * Every setting in force. Text: "path  value" lines, with origin a third column "file:line" or
 * "default". JSON: an array of {"setting", "value", "origin", "reload"}.
 */
void conf_show(const struct conf *c, bool origin, bool json, struct buf *out);

#endif
