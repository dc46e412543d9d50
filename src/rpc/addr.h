/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Addresses as command lines and the configuration (which has no abstract ones) write them, and the
 * sockets that listen on them:
 *
 *   unix:/run/x.sock   unix:@name (abstract)   192.0.2.1:8080   [2001:db8::1]:8080   host:port
 * *:port   :port
 *
 * "*" and the empty host mean every address (IPv6 wildcard, which takes IPv4 too).
 */
#ifndef RPC_ADDR_H
#define RPC_ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/slice.h"

struct addr {
    struct sockaddr_storage sa;
    socklen_t len;
};

#define ADDR_TEXT_MAX 128 /* longest text of addr_format, with its NUL */

enum addr_flags {
    ADDR_RESOLVE = 1, /* names too, by getaddrinfo: BLOCKS; the master and tools only */
    ADDR_LISTEN = 2,  /* the port may be 0 (the kernel chooses) */
};

/*
 * Parses text. 0; -EINVAL: not an address (no port, port out of range, a name without
 * ADDR_RESOLVE); -ENAMETOOLONG: a Unix path over 107 bytes; -EHOSTUNREACH: the name does not
 * resolve. *why (may be NULL) is then a static text for people.
 */
int addr_parse(struct slice text, unsigned flags, struct addr *out, const char **why)
    __attribute__((warn_unused_result));

/* The same form back: "unix:/run/x.sock", "192.0.2.1:8080", "[::1]:8080". Returns the length. */
size_t addr_format(const struct sockaddr *sa, socklen_t len, char out[ADDR_TEXT_MAX]);

struct addr_listen {
    int backlog;           /* 0: SOMAXCONN */
    mode_t mode;           /* of a Unix socket's file; 0: what the umask leaves */
    void (*fresh)(int fd); /* called before anybody can connect; may be NULL */
    bool reuse_port;       /* SO_REUSEPORT: several sockets share the address (TCP) */
};

/*
 * A listening socket, non-blocking and close-on-exec, SO_REUSEADDR set for TCP. The file of a Unix
 * socket whose owner is dead (connect says ECONNREFUSED) is removed first; anything else in its
 * place, a live server too, gives -EADDRINUSE. Returns the descriptor or -errno. Blocks no longer
 * than a bind.
 */
int addr_listen(const struct addr *a, const struct addr_listen *opt)
    __attribute__((warn_unused_result));

/* Removes the file of a Unix socket; nothing for others. For the process that closes its listener.
 */
void addr_unlink(const struct addr *a);

/*
 * Starts a non-blocking, close-on-exec connection, TCP_NODELAY set for TCP. Returns the descriptor
 * with *in_progress telling whether to wait until it is writable and then look at SO_ERROR; or
 * -errno.
 */
int addr_connect(const struct sockaddr *sa, socklen_t len, bool *in_progress)
    __attribute__((warn_unused_result));

/* accept4: non-blocking, close-on-exec, TCP_NODELAY for TCP. Descriptor or -errno. */
int addr_accept(int listen_fd, struct addr *peer) __attribute__((warn_unused_result));

#endif
