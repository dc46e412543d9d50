/* SPDX-License-Identifier: BSD-2-Clause */
/* A list of runtime changes, and the state file that keeps it over a restart of the master. */
#ifndef PROC_CHANGE_SET_H
#define PROC_CHANGE_SET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "conf/overlay.h"

#define CHANGES_MAX 256

struct change {
    uint32_t id;
    char *path, *value, *reason; /* owned */
    uint64_t since_real_ns;
    uint64_t until_real_ns; /* 0: until reverted */
    uid_t uid;
};

/* In the order in which they were made; no two of one path. Initialise with {0}. */
struct change_set {
    struct change *all; /* owned */
    unsigned n;
    uint32_t last_id; /* given away so far */
};

void change_set_fini(struct change_set *s);
void change_set_copy(struct change_set *to, const struct change_set *from);
/* Copies c's texts, in place of what there is for the path; c->id 0: takes the next one, which it
 * returns. */
uint32_t change_set_put(struct change_set *s, const struct change *c);
void change_set_remove(struct change_set *s, unsigned index);
/* NULL: there is none of that id, of that path. */
const struct change *change_set_find(const struct change_set *s, uint32_t id);
const struct change *change_set_of_path(const struct change_set *s, const char *path);
/* Removes what is over at `now`; how many. */
unsigned change_set_expire(struct change_set *s, uint64_t now_real_ns);
/* When the next one ends; 0: none does. */
uint64_t change_set_next_end(const struct change_set *s);

/* As conf_derive wants it: borrowed from s; out has room for CHANGES_MAX. */
struct conf_overlay change_set_overlay(const struct change_set *s, struct conf_runtime_value *out);

/* --- the state file: {"version":1,"last_id":N,"changes":[{...}]} --- */

/*
 * As file_prepare: what it writes waits for file_commit or file_abort.
 */
int change_file_prepare(const char *path, const struct change_set *s)
    __attribute__((warn_unused_result));

/* False with a message in why: there is a file, but it cannot be used. No file is an empty set. */
bool change_file_read(const char *path, struct change_set *out, struct buf *why)
    __attribute__((warn_unused_result));

#endif
