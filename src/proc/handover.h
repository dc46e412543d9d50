/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a master hands to the new binary that is to replace it, and how the receiver checks it.
 *
 * The descriptors are inherited over exec. Which is which stands in a description: a sealed memfd
 * whose number is the only thing in the environment (HANDOVER_ENV). It is text, a line a thing,
 * "KIND DESCRIPTOR ARGUMENTS", so that binaries of different versions understand each other: a kind
 * that is unknown is closed and left out.
 *
 *   rushgate-handover 1
 *   master -1 PID VERSION HALF        half of the lease slabs that its workers use
 *   channel FD                        to it (successor.c)
 *   stderr FD                         the real one; 2 is a pipe until the configuration is good
 *   pid_file -1 PATH
 *   control FD PATH
 *   admin FD ADDRESS
 *   listener FD SLOT ADDRESS CONFIGURED
 *   zone FD NAME
 *   bans FD                           the list, as the state file has it
 *   boxoffice PIDFD PID STARTTIME
 *   boxoffice_listen -1 TEXT          what it was started with
 *   boxoffice_store -1 TEXT
 *   end -1
 *
 * Another process wrote all of it: numbers, names, kinds of descriptors and addresses are checked,
 * and what is wrong ends the new binary, not the old one.
 */
#ifndef PROC_HANDOVER_H
#define PROC_HANDOVER_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "proc/listeners.h"

#define HANDOVER_ENV     "RUSHGATE_HANDOVER"
#define HANDOVER_ZONES   16
#define HANDOVER_SOCKETS 4096

struct handover_zone {
    char name[16];
    int fd;
};

struct handover {
    pid_t master;
    char version[32];
    unsigned half; /* 0 or 1 */
    int channel, stderr_fd;
    char pid_file[PATH_MAX];
    int control_fd;
    char control_path[PATH_MAX];
    int admin_fd;
    char admin[LISTENER_TEXT];
    struct inherited_socket *sockets; /* owned */
    unsigned sockets_n;
    struct handover_zone zones[HANDOVER_ZONES];
    unsigned zones_n;
    int bans;      /* -1: none */
    int boxoffice; /* pidfd; -1: there is none to take over */
    pid_t boxoffice_pid;
    uint64_t boxoffice_start;
    char boxoffice_listen[PATH_MAX], boxoffice_store[PATH_MAX];
    bool complete; /* "end" was there */
};

/* Whether this process was started to replace a master. */
bool handover_expected(void);
/*
 * Reads and checks what was handed over; forgets the environment. Its descriptors are then closed
 * by exec and belong to h, until taken (set to -1) or handover_free. NULL with a message in err.
 */
struct handover *handover_receive(struct buf *err);
/* Takes the zone's descriptor out; -1: there is none of that name. */
int handover_take_zone(struct handover *h, const char *name);
void handover_free(struct handover **h);

/* --- the giving side --- */

struct handover_out {
    struct buf text;
    int *fds; /* that have to survive the exec; owned */
    unsigned n;
    int *copies; /* of them those that exist for it; owned, open until handover_out_free */
    unsigned copies_n;
};

void handover_put(struct handover_out *o, const char *kind, int fd, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* The same with a descriptor that is closed afterwards. */
void handover_put_copy(struct handover_out *o, const char *kind, int fd, const char *text);
/* The text as a sealed memfd, or -errno. */
int handover_seal(struct handover_out *o);
void handover_out_free(struct handover_out *o);

#endif
