/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The listening sockets. For each listen address the master binds one SO_REUSEPORT socket per
 * worker slot and holds them all for as long as it lives: the kernel spreads connections over them,
 * and what has been queued for a worker that dies is accepted by its successor, which inherits the
 * same socket.
 */
#ifndef PROC_LISTENERS_H
#define PROC_LISTENERS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "conf/conf.h"

#define LISTENER_TEXT 80 /* bytes of "[v6]:port" with its NUL */

struct listeners {
    unsigned addresses, slots;
    int *fds;                     /* [slot * addresses + address]; owned, all open */
    char (*bound)[LISTENER_TEXT]; /* [address]: "127.0.0.1:8080", the real port; owned */
};

/*
 * Binds everything or nothing. `probe` first makes sure that nobody else has the address:
 * SO_REUSEPORT would share it without a word. False with a message in err.
 */
bool listeners_open(struct listeners *l, const struct conf_listener *from, unsigned n,
                    unsigned slots, bool probe, struct buf *err);
/* What a socket of l is for, by the address it is bound to. `from`: as given to listeners_open. */
enum conf_listener_kind listeners_kind(const struct listeners *l, const struct conf_listener *from,
                                       int fd);
void listeners_close(struct listeners *l);

/* One TCP socket that is not shared, for the admin address; -1 with a message in err. */
int listener_tcp(const struct conf_listener *from, char bound[LISTENER_TEXT], struct buf *err);

#endif
