/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Answers every request with a bare 404 on a port of the loopback, for comparing the cost of this
 * layer alone with another server's: bench_answer PORT [delay]. With "delay" answers are given at
 * the end of the turn, as if an upstream had been asked. Not a test; nothing runs it by itself.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/check.h"
#include "http/problem.h"
#include "http/server.h"

struct bench {
    struct loop loop;
    struct loop_hook later;
    bool delay;
    unsigned n;
    struct http_request *waiting[1024];
};

static const struct http_answer answer = {
    .status = 404, .content_type = {"text/html", 9}, .body = {"not found\n", 10}};

static uint64_t on_headers(void *arg, struct http_request *r)
{
    (void)arg;
    (void)r;
    return 65536;
}

static void on_request(void *arg, struct http_request *r)
{
    struct bench *b = arg;

    if (!b->delay || b->n == sizeof b->waiting / sizeof b->waiting[0]) {
        http_reply(r, &answer);
        return;
    }
    b->waiting[b->n++] = r;
    loop_defer(&b->loop, &b->later);
}

static void on_later(struct loop_hook *h)
{
    struct bench *b = CONTAINER_OF(h, struct bench, later);

    while (b->n > 0)
        http_reply(b->waiting[--b->n], &answer);
}

static void on_abort(void *arg, struct http_request *r)
{
    struct bench *b = arg;

    for (unsigned i = 0; i < b->n; i++) {
        if (b->waiting[i] == r)
            b->waiting[i] = b->waiting[--b->n];
    }
}

static void on_refuse(void *arg, unsigned status, const char *reason, const char *detail,
                      struct buf *out)
{
    (void)arg;
    http_problem(out, SLICE_LIT("urn:rushgate:problem:"), slice_str(reason), SLICE_NONE, status,
                 slice_str(detail), SLICE_NONE);
}

static void on_done(void *arg, struct http_request *r, unsigned status, uint64_t bytes_out)
{
    (void)arg;
    (void)r;
    (void)status;
    (void)bytes_out;
}

static int listen_on(uint16_t port)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof sa) < 0 || listen(fd, 511) < 0)
        die("port %u: %s", port, strerror(errno));
    return fd;
}

int main(int argc, char **argv)
{
    static const struct http_handler handler = {on_headers, on_request, on_abort, on_refuse,
                                                on_done};
    static const struct http_limits limits = {.max_line = 8192,
                                              .max_headers = 64,
                                              .max_header_bytes = 16384,
                                              .max_connections = 16384,
                                              .header_timeout_ms = 10000,
                                              .body_timeout_ms = 10000,
                                              .idle_timeout_ms = 60000,
                                              .write_timeout_ms = 30000};
    static struct bench b;
    struct http_server *s;

    if (argc < 2)
        die("usage: bench_answer PORT [delay]");
    loop_init(&b.loop);
    loop_hook_init(&b.later, on_later);
    b.delay = argc > 2 && strcmp(argv[2], "delay") == 0;
    s = http_server_new(&b.loop, &limits, &handler, &b);
    if (http_server_listen(s, listen_on((uint16_t)atoi(argv[1]))) != 0)
        die("cannot listen");
    while (loop_turn(&b.loop))
        ;
    http_server_free(&s);
    return 0;
}
