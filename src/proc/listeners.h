/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The listening sockets. For each listen address the master binds one SO_REUSEPORT socket per
 * worker slot and holds them all for as long as it lives: the kernel spreads connections over them,
 * and what has been queued for a worker that dies is accepted by its successor, which inherits the
 * same socket. A new binary inherits them all (proc/upgrade.c).
 */
#ifndef PROC_LISTENERS_H
#define PROC_LISTENERS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "conf/conf.h"

#define LISTENER_TEXT 80  /* bytes of "[v6]:port" with its NUL */
#define LISTENER_MAX  304 /* of an address as it is configured */

/* A socket that the master before this one has bound (proc/handover.h). */
struct inherited_socket {
    unsigned slot;
    int fd;                        /* -1: taken */
    char address[LISTENER_TEXT];   /* bound */
    char configured[LISTENER_MAX]; /* as the configuration has it: port 0 finds its port again */
};

struct listeners {
    unsigned addresses;
    unsigned slots;               /* sockets of an address: at least one for each worker */
    unsigned workers;             /* who share them: slot s is served by worker s % workers */
    bool *inherited;              /* [address]: with the sockets of the master before; owned */
    int *fds;                     /* [slot * addresses + address]; owned; -1: there is none */
    char (*bound)[LISTENER_TEXT]; /* [address]: "127.0.0.1:8080", the real port; owned */
};

/*
 * Binds everything or nothing. `probe` first makes sure that nobody else has the address:
 * SO_REUSEPORT would share it without a word. False with a message in err.
 *
 * Sockets in `old` (may be NULL) whose address is still wanted are taken instead, with what waits
 * in their queues. With fewer workers than before some are left over: a worker serves those too,
 * and the kernel is told to send new connections to the others only.
 */
bool listeners_open(struct listeners *l, const struct conf_listener *from, unsigned n,
                    unsigned workers, bool probe, struct inherited_socket *old, unsigned old_n,
                    struct buf *err);
/* The sockets of a worker, at most slots * addresses; how many. */
unsigned listeners_of(const struct listeners *l, unsigned worker, int *out);
/* What a socket of l is for, by the address it is bound to. `from`: as given to listeners_open. */
enum conf_listener_kind listeners_kind(const struct listeners *l, const struct conf_listener *from,
                                       int fd);
void listeners_close(struct listeners *l);
/* Whether a socket bound there is what the configuration wants; port 0 wants any. */
bool listener_is(const struct conf_listener *from, const char bound[LISTENER_TEXT]);
/* Where a socket listens, "127.0.0.1:8080". */
bool listener_address(int fd, char out[LISTENER_TEXT]);

/* One TCP socket that is not shared, for the admin address; -1 with a message in err. */
int listener_tcp(const struct conf_listener *from, char bound[LISTENER_TEXT], struct buf *err);

#endif
