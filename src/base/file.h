/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files that are replaced as a whole, so that a crash of the process or of the machine leaves the
 * old or the new one. All of this blocks on the disk: for the master, never for a worker.
 */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include "base/slice.h"

/* All of text, from the descriptor's position. 0 or -errno. */
int file_write_all(int fd, struct slice text) __attribute__((warn_unused_result));

/* Makes renames in path's directory outlive a crash of the machine. 0 or -errno. */
int file_sync_directory(const char *path) __attribute__((warn_unused_result));

/*
 * Writes PATH.new (mode 0600, fsynced); file_commit puts it in the place of path, file_abort
 * removes it. Others may write in the directory: what lies under that name is removed, never
 * followed or kept open. 0 or -errno, nothing being left behind.
 */
int file_prepare(const char *path, struct slice text) __attribute__((warn_unused_result));
int file_commit(const char *path) __attribute__((warn_unused_result));
void file_abort(const char *path);

/* Renames a file that makes no sense to PATH.bad-SECONDS, for whoever looks into it; an earlier one
 * stays. 0 with its new name (PATH_MAX bytes), or -errno. */
int file_set_aside(const char *path, char *aside) __attribute__((warn_unused_result));

#endif
