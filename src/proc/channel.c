/* SPDX-License-Identifier: BSD-2-Clause */
#include "config.h"

#include "proc/channel.h"

#include <errno.h>
#include <sys/socket.h>

int channel_pair(int fds[2])
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
        return -errno;
    return 0;
}

bool channel_send(int fd, enum channel_type type, uint64_t value)
{
    struct channel_message m = {.type = type, .value = value};

    return send(fd, &m, sizeof m, MSG_NOSIGNAL) == (ssize_t)sizeof m;
}

enum channel_result channel_receive(int fd, struct channel_message *m)
{
    for (;;) {
        ssize_t n = recv(fd, m, sizeof *m, 0);
        if (n == (ssize_t)sizeof *m)
            return CHANNEL_GOT;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return CHANNEL_EMPTY;
        if (n > 0)
            continue; /* a shorter message: not ours */
        return CHANNEL_EOF;
    }
}
