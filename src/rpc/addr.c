/* SPDX-License-Identifier: BSD-2-Clause */
#include "config.h" /* _GNU_SOURCE: accept4 */

#include "rpc/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/check.h"

#define HOST_MAX 255

static int fail(int err, const char **why, const char *text)
{
    if (why != NULL)
        *why = text;
    return err;
}

static int parse_unix(struct slice path, struct addr *out, const char **why)
{
    struct sockaddr_un *un = (void *)&out->sa;
    bool abstract = path.n > 0 && path.p[0] == '@';

    if (path.n == 0 || (abstract && path.n == 1))
        return fail(-EINVAL, why, "the path of the Unix socket is missing");
    if (path.n >= sizeof un->sun_path)
        return fail(-ENAMETOOLONG, why, "the path of a Unix socket has at most 107 bytes");
    if (memchr(path.p, '\0', path.n) != NULL)
        return fail(-EINVAL, why, "the path of the Unix socket contains a NUL");
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path.p, path.n);
    if (abstract)
        un->sun_path[0] = '\0';
    out->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + path.n + !abstract);
    return 0;
}

/* Splits "host:port"; the brackets of an IPv6 address go. */
static int split_port(struct slice text, unsigned flags, struct slice *host, uint16_t *port,
                      const char **why)
{
    size_t colon = text.n;
    uint64_t number;

    while (colon > 0 && text.p[colon - 1] != ':')
        colon--;
    if (colon == 0)
        return fail(-EINVAL, why, "expected host:port or unix:/path");
    *host = slice_of(text.p, colon - 1);
    if (!slice_to_u64(slice_of(text.p + colon, text.n - colon), &number) || number > UINT16_MAX ||
        (number == 0 && !(flags & ADDR_LISTEN)))
        return fail(-EINVAL, why, "the port is not a number from 1 to 65535");
    *port = (uint16_t)number;
    if (host->n >= 2 && host->p[0] == '[' && host->p[host->n - 1] == ']')
        *host = slice_of(host->p + 1, host->n - 2);
    else if (slice_find(*host, ':') < host->n)
        return fail(-EINVAL, why, "an IPv6 address is written in brackets: [::1]:80");
    return 0;
}

static bool parse_numeric(const char *host, uint16_t port, struct addr *out)
{
    struct sockaddr_in *in4 = (void *)&out->sa;
    struct sockaddr_in6 *in6 = (void *)&out->sa;

    if (inet_pton(AF_INET, host, &in4->sin_addr) == 1) {
        in4->sin_family = AF_INET;
        in4->sin_port = htons(port);
        out->len = sizeof *in4;
        return true;
    }
    if (host[0] == '\0' || strcmp(host, "*") == 0)
        in6->sin6_addr = in6addr_any;
    else if (inet_pton(AF_INET6, host, &in6->sin6_addr) != 1)
        return false;
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(port);
    out->len = sizeof *in6;
    return true;
}

static int resolve(const char *host, uint16_t port, struct addr *out, const char **why)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *list;

    if (getaddrinfo(host, NULL, &hints, &list) != 0)
        return fail(-EHOSTUNREACH, why, "the name does not resolve");
    memcpy(&out->sa, list->ai_addr, list->ai_addrlen);
    out->len = list->ai_addrlen;
    freeaddrinfo(list);
    if (out->sa.ss_family == AF_INET)
        ((struct sockaddr_in *)(void *)&out->sa)->sin_port = htons(port);
    else
        ((struct sockaddr_in6 *)(void *)&out->sa)->sin6_port = htons(port);
    return 0;
}

int addr_parse(struct slice text, unsigned flags, struct addr *out, const char **why)
{
    static const struct slice unix_prefix = {"unix:", 5};
    struct slice host;
    uint16_t port;
    char name[HOST_MAX + 1];
    int rc;

    memset(out, 0, sizeof *out);
    if (slice_starts(text, unix_prefix))
        return parse_unix(slice_of(text.p + 5, text.n - 5), out, why);
    rc = split_port(text, flags, &host, &port, why);
    if (rc < 0)
        return rc;
    if (host.n > HOST_MAX || memchr(host.p, '\0', host.n) != NULL)
        return fail(-EINVAL, why, "the host name is too long or has a NUL in it");
    memcpy(name, host.p, host.n);
    name[host.n] = '\0';
    if (parse_numeric(name, port, out))
        return 0;
    if (!(flags & ADDR_RESOLVE))
        return fail(-EINVAL, why, "not a numeric address");
    return resolve(name, port, out, why);
}

static size_t format_unix(const struct sockaddr_un *un, socklen_t len, char *out)
{
    size_t n = len - offsetof(struct sockaddr_un, sun_path);
    bool abstract = n > 0 && un->sun_path[0] == '\0';

    if (len <= offsetof(struct sockaddr_un, sun_path))
        return (size_t)snprintf(out, ADDR_TEXT_MAX, "unix:");
    if (!abstract)
        n = strnlen(un->sun_path, n);
    return (size_t)snprintf(out, ADDR_TEXT_MAX, "unix:%s%.*s", abstract ? "@" : "",
                            (int)(n - abstract), un->sun_path + abstract);
}

size_t addr_format(const struct sockaddr *sa, socklen_t len, char out[ADDR_TEXT_MAX])
{
    char host[INET6_ADDRSTRLEN] = "";

    if (sa->sa_family == AF_UNIX)
        return format_unix((const void *)sa, len, out);
    if (sa->sa_family == AF_INET) {
        const struct sockaddr_in *in4 = (const void *)sa;
        inet_ntop(AF_INET, &in4->sin_addr, host, sizeof host);
        return (size_t)snprintf(out, ADDR_TEXT_MAX, "%s:%u", host, ntohs(in4->sin_port));
    }
    if (sa->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const void *)sa;
        inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host);
        return (size_t)snprintf(out, ADDR_TEXT_MAX, "[%s]:%u", host, ntohs(in6->sin6_port));
    }
    return (size_t)snprintf(out, ADDR_TEXT_MAX, "unknown");
}

static bool is_path(const struct addr *a)
{
    const struct sockaddr_un *un = (const void *)&a->sa;

    return a->sa.ss_family == AF_UNIX && un->sun_path[0] != '\0';
}

void addr_unlink(const struct addr *a)
{
    if (is_path(a))
        unlink(((const struct sockaddr_un *)(const void *)&a->sa)->sun_path);
}

/* Only a socket that nobody listens on is stale; a file that is no socket is somebody's data. */
static int remove_stale(const struct addr *a)
{
    const struct sockaddr_un *un = (const void *)&a->sa;
    struct stat st;
    int fd, rc;

    if (lstat(un->sun_path, &st) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISSOCK(st.st_mode))
        return -EADDRINUSE;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    rc = connect(fd, (const struct sockaddr *)&a->sa, a->len) < 0 ? errno : 0;
    close(fd);
    if (rc != ECONNREFUSED)
        return -EADDRINUSE;
    return unlink(un->sun_path) < 0 && errno != ENOENT ? -errno : 0;
}

static int set_option(int fd, int level, int name)
{
    int on = 1;

    return setsockopt(fd, level, name, &on, sizeof on) < 0 ? -errno : 0;
}

static int bind_and_listen(int fd, const struct addr *a, const struct addr_listen *opt)
{
    int rc = 0;

    if (a->sa.ss_family != AF_UNIX)
        rc = set_option(fd, SOL_SOCKET, SO_REUSEADDR);
    if (rc == 0 && opt->reuse_port && a->sa.ss_family != AF_UNIX)
        rc = set_option(fd, SOL_SOCKET, SO_REUSEPORT);
    if (rc < 0)
        return rc;
    if (bind(fd, (const struct sockaddr *)&a->sa, a->len) < 0)
        return -errno;
    /* Before listen: nobody connects while the mode is still the umask's. */
    if (is_path(a) && opt->mode != 0 &&
        chmod(((const struct sockaddr_un *)(const void *)&a->sa)->sun_path, opt->mode) < 0)
        return -errno;
    return listen(fd, opt->backlog > 0 ? opt->backlog : SOMAXCONN) < 0 ? -errno : 0;
}

int addr_listen(const struct addr *a, const struct addr_listen *opt)
{
    int fd, rc;

    if (is_path(a) && (rc = remove_stale(a)) < 0)
        return rc;
    fd = socket(a->sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    if (opt->fresh != NULL)
        opt->fresh(fd);
    rc = bind_and_listen(fd, a, opt);
    if (rc < 0) {
        close(fd);
        return rc;
    }
    return fd;
}

static void no_delay(int fd, int family)
{
    /* Without it a call waits for the acknowledgement of the one before. A failure only costs time.
     */
    if (family != AF_UNIX)
        (void)set_option(fd, IPPROTO_TCP, TCP_NODELAY);
}

int addr_connect(const struct sockaddr *sa, socklen_t len, bool *in_progress)
{
    int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    *in_progress = false;
    if (fd < 0)
        return -errno;
    no_delay(fd, sa->sa_family);
    if (connect(fd, sa, len) < 0) {
        int err = errno;
        /* A Unix socket never connects in progress: its full backlog is EAGAIN, a failure. */
        if (err != EINPROGRESS) {
            close(fd);
            return -err;
        }
        *in_progress = true;
    }
    return fd;
}

int addr_accept(int listen_fd, struct addr *peer)
{
    int fd;

    memset(peer, 0, sizeof *peer);
    peer->len = sizeof peer->sa;
    fd = accept4(listen_fd, (struct sockaddr *)&peer->sa, &peer->len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return -errno;
    no_delay(fd, peer->sa.ss_family);
    return fd;
}
