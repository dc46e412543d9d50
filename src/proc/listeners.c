/* SPDX-License-Identifier: BSD-2-Clause */
#include "config.h"

#include "proc/listeners.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"

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

/* The inherited sockets of the address go to their slots. */
static void take_inherited(struct listeners *l, unsigned a, const struct conf_listener *from,
                           struct inherited_socket *old, unsigned old_n)
{
    struct place want = {.addr = from->sa, .len = from->sa_n};
    bool any_port = *port_of(&want) == 0;
    char text[LISTENER_TEXT];
    bool found = false;

    place_print(&want, text);
    for (unsigned i = 0; i < old_n; i++) {
        struct inherited_socket *s = &old[i];
        bool same =
            any_port ? strcmp(s->configured, from->address) == 0 : strcmp(s->address, text) == 0;
        /* The first one says which port; with several of port 0 the others are another address. */
        if (s->fd < 0 || !same || s->slot >= l->slots || l->fds[s->slot * l->addresses + a] >= 0 ||
            (found && strcmp(s->address, l->bound[a]) != 0))
            continue;
        memcpy(l->bound[a], s->address, sizeof s->address);
        (void)listen(s->fd, from->backlog); /* the queue may have another length now */
        l->fds[s->slot * l->addresses + a] = s->fd;
        s->fd = -1;
        found = true;
    }
}

/*
 * With more sockets than workers: new connections go to the first `workers` ones of the group,
 * whose order is that in which they were bound. Where the kernel refuses, some workers get more of
 * them than others, and nothing is lost.
 */
static void spread(const struct listeners *l, unsigned a)
{
    struct sock_filter code[] = {
        {BPF_LD | BPF_W | BPF_ABS, 0, 0, (uint32_t)(SKF_AD_OFF + SKF_AD_RANDOM)},
        {BPF_ALU | BPF_MOD | BPF_K, 0, 0, l->workers},
        {BPF_RET | BPF_A, 0, 0, 0},
    };
    struct sock_fprog program = {.len = sizeof code / sizeof *code, .filter = code};
    unsigned sockets = 0;
    int on = 1;

    for (unsigned s = 0; s < l->slots; s++)
        sockets += l->fds[s * l->addresses + a] >= 0;
    if (sockets <= l->workers)
        (void)setsockopt(l->fds[a], SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, &on, sizeof on);
    else if (setsockopt(l->fds[a], SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program) <
             0)
        log_warn("%s: connections are not spread evenly over the workers: %s", l->bound[a],
                 strerror(errno));
}

static bool open_address(struct listeners *l, unsigned a, const struct conf_listener *from,
                         bool probe, struct buf *err)
{
    struct place p = {.addr = from->sa, .len = from->sa_n};
    bool inherited = l->bound[a][0] != '\0';
    int rc = 0;

    if (inherited) { /* its real port */
        for (unsigned s = 0; s < l->slots; s++)
            if (l->fds[s * l->addresses + a] >= 0 &&
                getsockname(l->fds[s * l->addresses + a], (struct sockaddr *)&p.addr, &p.len) < 0)
                rc = -errno;
    } else if (probe) {
        rc = probe_free(&p);
    }
    /* Port 0: the first bind chooses, the others follow, as open_socket stores the port in p. */
    for (unsigned s = 0; rc >= 0 && s < l->workers; s++) {
        if (l->fds[s * l->addresses + a] >= 0)
            continue;
        rc = open_socket(&p, true, from->backlog);
        if (rc >= 0)
            l->fds[s * l->addresses + a] = rc;
    }
    if (rc < 0)
        return complain(err, from->address, rc);
    place_print(&p, l->bound[a]);
    if (inherited)
        spread(l, a);
    l->inherited[a] = inherited;
    return true;
}

static unsigned slots_of(unsigned workers, const struct inherited_socket *old, unsigned old_n)
{
    unsigned slots = workers;

    for (unsigned i = 0; i < old_n; i++)
        slots = old[i].slot + 1 > slots ? old[i].slot + 1 : slots;
    return slots;
}

bool listeners_open(struct listeners *l, const struct conf_listener *from, unsigned n,
                    unsigned workers, bool probe, struct inherited_socket *old, unsigned old_n,
                    struct buf *err)
{
    *l = (struct listeners){.addresses = n, .workers = workers};
    l->slots = slots_of(workers, old, old_n);
    l->fds = xcalloc(n * l->slots, sizeof *l->fds);
    l->bound = xcalloc(n, sizeof *l->bound);
    l->inherited = xcalloc(n, sizeof *l->inherited);
    for (unsigned i = 0; i < n * l->slots; i++)
        l->fds[i] = -1;
    for (unsigned a = 0; a < n; a++) {
        take_inherited(l, a, &from[a], old, old_n);
        if (!open_address(l, a, &from[a], probe, err)) {
            listeners_close(l);
            return false;
        }
    }
    return true;
}

unsigned listeners_of(const struct listeners *l, unsigned worker, int *out)
{
    unsigned n = 0;

    for (unsigned s = worker; s < l->slots; s += l->workers)
        for (unsigned a = 0; a < l->addresses; a++)
            if (l->fds[s * l->addresses + a] >= 0)
                out[n++] = l->fds[s * l->addresses + a];
    return n;
}

bool listener_is(const struct conf_listener *from, const char bound[LISTENER_TEXT])
{
    struct place want = {.addr = from->sa, .len = from->sa_n};
    char text[LISTENER_TEXT];

    place_print(&want, text);
    return *port_of(&want) == 0 || strcmp(text, bound) == 0;
}

bool listener_address(int fd, char out[LISTENER_TEXT])
{
    struct place p = {.len = sizeof p.addr};

    if (getsockname(fd, (struct sockaddr *)&p.addr, &p.len) < 0 ||
        (p.addr.ss_family != AF_INET && p.addr.ss_family != AF_INET6))
        return false;
    place_print(&p, out);
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
    free(l->inherited);
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
