/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The error log: one line a record, "2026-11-03T12:00:31.123Z level process[pid] message", written
 * with one write(2) to a descriptor opened O_APPEND, so that lines of several processes never mix.
 * It is for what operators must know; nothing on the request path logs per request.
 *
 * One of the few mutable globals: every process has exactly one error log.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/slice.h"

enum log_level {
    LOG_LEVEL_ERROR,
    LOG_LEVEL_WARN,
    LOG_LEVEL_NOTICE,
    LOG_LEVEL_INFO,
    LOG_LEVEL_DEBUG
};

/* `process` (borrowed, a literal) names this process in each line: "master", "worker 0", "keeper".
 */
void log_init(const char *process);
void log_set_level(enum log_level level);
enum log_level log_get_level(void);
/* "error" "warn" "notice" "info" "debug". */
const char *log_level_name(enum log_level level);
/* -1 where it is none of them. */
int log_level_by_name(const char *name);

/*
 * Opens (creating, appending) path for the log; NULL means stderr. 0 or -errno, the old one
 * staying. Never waits, and root is not led astray by whoever owns the directory: -ELOOP for a
 * symbolic link, -EPERM for what is neither a plain file with one name nor a character device.
 */
int log_open(const char *path);
/* Opens the same path again, for logrotate. 0 or -errno, the old descriptor staying. */
int log_reopen(void);
/* A file for lines that is opened with the same care: its descriptor or -errno. */
int log_open_append(const char *path);
/* The log's descriptor, which stays the log's. */
int log_descriptor(void);

void log_write(enum log_level level, const char *fmt, ...)
    __attribute__((format(printf, 2, 3), cold));
/* A record for each line of text that is not empty. */
void log_lines(enum log_level level, struct slice text) __attribute__((cold));

#define log_error(...)  log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)   log_write(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_notice(...) log_write(LOG_LEVEL_NOTICE, __VA_ARGS__)
#define log_info(...)   log_write(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)  log_write(LOG_LEVEL_DEBUG, __VA_ARGS__)

#endif
