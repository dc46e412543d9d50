/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The channel between the master and one child: a SOCK_SEQPACKET pair, whose messages are whole or
 * absent. It replaces sleeps (a child is ready when it says so) and signals between the two.
 * Sending never blocks: a message that does not fit is dropped. The buffer holds some hundred, so
 * that happens only to a child that has not turned its loop for long; what follows from it has a
 * limit at the master (reload's wait, the stages of proc/stop.c), and a worker finds a new
 * generation by itself. EOF on the child's side means that the master is gone.
 */
#ifndef PROC_CHANNEL_H
#define PROC_CHANNEL_H

#include <stdbool.h>
#include <stdint.h>

enum channel_type {
    /* master to child */
    CHANNEL_ADOPT = 1, /* a new generation is current: take it now, not at the next request */
    CHANNEL_DRAIN,     /* finish what you have, then exit; who connects waits for your successor */
    CHANNEL_QUIT,      /* the same for good: nobody listens after you */
    CHANNEL_HANDOVER, /* another binary serves the same sockets: finish, and be patient with clients
                         that have a connection and may just be asking. Keeper: nobody asks you
                         any more, but read your rings on */
    CHANNEL_RESUME,   /* no draining after all: accept again */
    CHANNEL_STOP,     /* exit now */
    CHANNEL_REOPEN,   /* open the log files again */
    /* child to master */
    CHANNEL_READY,   /* serving; value: generation */
    CHANNEL_ADOPTED, /* value: generation now in use */
    CHANNEL_REFUSED, /* value: generation that could not be adopted */
};

struct channel_message {
    uint32_t type; /* enum channel_type */
    uint32_t pad;
    uint64_t value;
};

enum channel_result { CHANNEL_GOT, CHANNEL_EMPTY, CHANNEL_EOF };

/* fds[0] for the master, fds[1] for the child; non-blocking, close-on-exec. 0 or -errno. */
int channel_pair(int fds[2]) __attribute__((warn_unused_result));
bool channel_send(int fd, enum channel_type type, uint64_t value);
enum channel_result channel_receive(int fd, struct channel_message *m);

#endif
