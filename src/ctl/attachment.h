/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A file that goes along with a request of rushctl: read whole by rushctl, with the rights of who
 * typed the command, into a memfd that is sealed against any change, whose descriptor is sent with
 * the first byte of the line (SCM_RIGHTS). So the daemon opens no path that somebody names, never
 * waits for a disk or a pipe of theirs, and a line stays short.
 */
#ifndef CTL_ATTACHMENT_H
#define CTL_ATTACHMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/buf.h"

#define ATTACHMENT_MAX_BYTES (32u << 20)

/* rushctl: the file at path ("-": standard input) as a sealed memfd; -errno, -EFBIG when it is
 * larger. */
int attachment_make(const char *path) __attribute__((warn_unused_result));
/* As send(2), with the descriptor. */
ssize_t attachment_send(int socket, const void *bytes, size_t n, int fd);

/*
 * Whether clients of this listening socket, or this client, may send descriptors at all. Closing
 * one that a stranger has sent may take as long as the stranger likes (a TCP socket with
 * SO_LINGER), and the last close is in whose process the kernel lets go of it, read or not. 0, or
 * -ENOPROTOOPT: the kernel is older than 6.16 and cannot refuse them.
 */
int attachment_allow(int socket, bool allow) __attribute__((warn_unused_result));

/* As recv(2); *fd: what came along, taking the place of one that came before (closed). */
ssize_t attachment_recv(int socket, void *bytes, size_t n, int *fd);
/* What is in it. 0, -EINVAL: no sealed memfd, -EFBIG, -ENOMEM. */
int attachment_read(int fd, struct buf *out) __attribute__((warn_unused_result));

#endif
