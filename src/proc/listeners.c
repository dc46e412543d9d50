/* SPDX-License-Identifier: BSD-2-Clause */
#include "config.h"

#include "proc/listeners.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"

struct place {
    struct sockaddr_storage addr;
    socklen_t len;
};

static in_port_t *port_of(struct place *p)
{
    if (p->addr.ss_family == AF_INET6)
        return &((struct sockaddr_in6 *)&p->addr)->sin6_port;
    return &((struct sockaddr_in *)&p->addr)->sin_port;
}

static void place_print(const struct place *p, char out[LISTENER_TEXT])
{
    char host[INET6_ADDRSTRLEN], port[8];

    if (getnameinfo((const struct sockaddr *)&p->addr, p->len, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        snprintf(out, LISTENER_TEXT, "?");
    else
        snprintf(out, LISTENER_TEXT, p->addr.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host,
                 port);
}

static int set(int fd, int level, int option)
{
    int on = 1;

    return setsockopt(fd, level, option, &on, sizeof on) < 0 ? -errno : 0;
}

static int socket_options(int fd, const struct place *p, bool share)
{
    int rc = set(fd, SOL_SOCKET, SO_REUSEADDR);

    if (rc == 0 && share)
        rc = set(fd, SOL_SOCKET, SO_REUSEPORT);
    if (rc == 0 && p->addr.ss_family == AF_INET6)
        rc = set(fd, IPPROTO_IPV6, IPV6_V6ONLY);
    /* Accepted sockets inherit it: answers leave at once, without a call per connection. */
    if (rc == 0)
        rc = set(fd, IPPROTO_TCP, TCP_NODELAY);
    return rc;
}

/* A bound and listening socket, or -errno; backlog -1: bound only. *p gets the real port. */
static int open_socket(struct place *p, bool share, int backlog)
{
    int fd = socket(p->addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), rc;

    if (fd < 0)
        return -errno;
    rc = socket_options(fd, p, share);
    if (rc == 0 && bind(fd, (struct sockaddr *)&p->addr, p->len) < 0)
        rc = -errno;
    if (rc == 0 && backlog >= 0 && listen(fd, backlog) < 0)
        rc = -errno;
    if (rc == 0 && getsockname(fd, (struct sockaddr *)&p->addr, &p->len) < 0)
        rc = -errno;
    if (rc == 0)
        return fd;
    close(fd);
    return rc;
}

static bool complain(struct buf *err, const char *address, int rc)
{
    buf_printf(err, "cannot listen on %s: %s", address, strerror(-rc));
    return false;
}

/* Is the address free, also of those who would share it? */
static int probe_free(const struct place *p)
{
    struct place copy = *p;
    int fd;

    if (*port_of(&copy) == 0)
        return 0;
    fd = open_socket(&copy, false, 0);
    if (fd < 0)
        return fd;
    close(fd);
    return 0;
}

static bool open_address(struct listeners *l, unsigned a, const struct conf_listener *from,
                         bool probe, struct buf *err)
{
    struct place p = {.addr = from->sa, .len = from->sa_n};
    int rc = probe ? probe_free(&p) : 0;

    /* Port 0: the first bind chooses, the others follow, as open_socket stores the port in p. */
    for (unsigned s = 0; rc >= 0 && s < l->slots; s++) {
        rc = open_socket(&p, true, from->backlog);
        if (rc >= 0)
            l->fds[s * l->addresses + a] = rc;
    }
    if (rc < 0)
        return complain(err, from->address, rc);
    place_print(&p, l->bound[a]);
    return true;
}

bool listeners_open(struct listeners *l, const struct conf_listener *from, unsigned n,
                    unsigned slots, bool probe, struct buf *err)
{
    *l = (struct listeners){.addresses = n, .slots = slots};
    l->fds = xcalloc(n * slots, sizeof *l->fds);
    l->bound = xcalloc(n, sizeof *l->bound);
    for (unsigned i = 0; i < n * slots; i++)
        l->fds[i] = -1;
    for (unsigned a = 0; a < n; a++)
        if (!open_address(l, a, &from[a], probe, err)) {
            listeners_close(l);
            return false;
        }
    return true;
}

enum conf_listener_kind listeners_kind(const struct listeners *l, const struct conf_listener *from,
                                       int fd)
{
    struct place p = {.len = sizeof p.addr};
    char text[LISTENER_TEXT];

    if (getsockname(fd, (struct sockaddr *)&p.addr, &p.len) < 0)
        return CONF_LISTEN_HTTP;
    place_print(&p, text);
    for (unsigned a = 0; a < l->addresses; a++)
        if (strcmp(l->bound[a], text) == 0)
            return from[a].kind;
    return CONF_LISTEN_HTTP;
}

void listeners_close(struct listeners *l)
{
    for (unsigned i = 0; l->fds != NULL && i < l->addresses * l->slots; i++)
        if (l->fds[i] >= 0)
            close(l->fds[i]);
    free(l->fds);
    free(l->bound);
    *l = (struct listeners){0};
}

int listener_tcp(const struct conf_listener *from, char bound[LISTENER_TEXT], struct buf *err)
{
    struct place p = {.addr = from->sa, .len = from->sa_n};
    int fd = open_socket(&p, false, from->backlog);

    if (fd < 0) {
        complain(err, from->address, fd);
        return -1;
    }
    place_print(&p, bound);
    return fd;
}
