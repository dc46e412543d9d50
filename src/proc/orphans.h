/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a master leaves behind when it is killed, and how the next one ends it without ever
 * signalling a foreign process. Beside the pid file the master keeps a list of its children
 * ("PIDFILE.children"): boot id, then a line "kind pid starttime" each. A process is one of ours
 * only if the boot is the same and /proc/PID/stat names the same start time; it is then signalled
 * through a pidfd that was opened before that check, so that the number cannot change its meaning
 * in between. A child does nothing before it is on the list (supervise.c), and ends if its master
 * does before that.
 */
#ifndef PROC_ORPHANS_H
#define PROC_ORPHANS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define ORPHANS_MAX 128

struct orphan {
    pid_t pid;
    uint64_t start; /* process_start_time */
    int pidfd;      /* open */
    char kind;      /* 'w' worker, 'k' keeper, 'b' boxoffice */
};

struct orphans {
    struct orphan all[ORPHANS_MAX];
    unsigned n;
};

/* Start time of a process in clock ticks since boot; 0: there is none. */
uint64_t process_start_time(pid_t pid);

/* Reads the list of an earlier master; those that still run. `list` is its pid file, of which the
 * list has the name with ".children". */
void orphans_find(struct orphans *o, const char *list);
/* The same, in addition to those that are there. */
void orphans_add(struct orphans *o, const char *list);
/* Forgets those that have ended; how many are left. */
unsigned orphans_alive(struct orphans *o);
bool orphans_have(const struct orphans *o, char kind);
void orphans_signal(const struct orphans *o, char kind, int sig);
/* Waits until all of that kind have ended; false after timeout_ms. Blocks: only at start-up. */
bool orphans_wait(const struct orphans *o, char kind, int timeout_ms);
void orphans_free(struct orphans *o);
/* They are on the list of `to` from then on, as far as there is room. */
void orphans_move(struct orphans *from, struct orphans *to);

struct child_line {
    char kind;
    pid_t pid;      /* 0: skipped */
    uint64_t start; /* 0: looked up; for a child that has not been reaped */
};
/* The orphans as lines, at most ORPHANS_MAX; how many. */
unsigned orphans_lines(const struct orphans *o, struct child_line *out);
/* Replaces the list (written beside, renamed). Errors are logged: they only matter after a crash.
 */
void children_record(const char *pid_file, const struct child_line *lines, unsigned n);
void children_forget(const char *pid_file);
/* The list gets another name. */
void children_move(const char *from, const char *to);

#endif
