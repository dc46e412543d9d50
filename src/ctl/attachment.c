/* SPDX-License-Identifier: BSD-2-Clause */
#include "config.h"

#include "ctl/attachment.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83 /* <asm-generic/socket.h> of Linux 6.16 */
#endif

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

/* Room for one descriptor, aligned as a header. What is left over by alignment may take a second.
 */
union control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
};

/* --- rushctl --- */

static int copy(int from, int to)
{
    static char bytes[65536];
    size_t total = 0;
    ssize_t n;

    while ((n = read(from, bytes, sizeof bytes)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        total += (size_t)n;
        if (total > ATTACHMENT_MAX_BYTES)
            return -EFBIG;
        if (write(to, bytes, (size_t)n) != n)
            return -EIO;
    }
    return fcntl(to, F_ADD_SEALS, SEALS) < 0 ? -errno : 0;
}

int attachment_make(const char *path)
{
    int from = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC), to, rc;

    if (from < 0)
        return -errno;
    to = memfd_create("rushctl", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    rc = to < 0 ? -errno : copy(from, to);
    if (from != STDIN_FILENO)
        close(from);
    if (rc == 0)
        return to;
    if (to >= 0)
        close(to);
    return rc;
}

ssize_t attachment_send(int socket, const void *bytes, size_t n, int fd)
{
    struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = n};
    union control control = {0};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.bytes,
                         .msg_controllen = CMSG_LEN(sizeof fd)};

    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
    return sendmsg(socket, &msg, MSG_NOSIGNAL);
}

/* --- the daemon --- */

int attachment_allow(int socket, bool allow)
{
    int on = allow;

    return setsockopt(socket, SOL_SOCKET, SO_PASSRIGHTS, &on, sizeof on) < 0 ? -errno : 0;
}

static void take_descriptors(struct msghdr *msg, int *fd)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t at = 0; at + sizeof *fd <= c->cmsg_len - CMSG_LEN(0); at += sizeof *fd) {
            if (*fd >= 0)
                close(*fd);
            memcpy(fd, CMSG_DATA(c) + at, sizeof *fd);
        }
    }
}

ssize_t attachment_recv(int socket, void *bytes, size_t n, int *fd)
{
    struct iovec iov = {.iov_base = bytes, .iov_len = n};
    union control control;
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.bytes,
                         .msg_controllen = sizeof control.bytes};
    ssize_t got = recvmsg(socket, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

    if (got >= 0)
        take_descriptors(&msg, fd);
    return got;
}

int attachment_read(int fd, struct buf *out)
{
    int seals = fcntl(fd, F_GET_SEALS);
    struct stat st;

    if (seals < 0 || (seals & SEALS) != SEALS || fstat(fd, &st) < 0)
        return -EINVAL;
    if (st.st_size > ATTACHMENT_MAX_BYTES)
        return -EFBIG;
    if (!buf_reserve(out, (size_t)st.st_size + 1))
        return -ENOMEM;
    if (pread(fd, out->p, (size_t)st.st_size, 0) != st.st_size)
        return -EINVAL;
    out->n = (size_t)st.st_size;
    return 0;
}
