/* SPDX-License-Identifier: BSD-2-Clause */
#include "web.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "http/problem.h"

static void answer(struct web *w, struct http_request *r, unsigned status)
{
    struct http_answer a = {.status = status, .content_type = SLICE_LIT("text/plain")};
    char *big = NULL;

    a.close = w->close;
    a.body = r->body.n > 0 ? r->body : SLICE_LIT("hello");
    if (w->big > 0) {
        big = malloc(w->big);
        CHECK(big != NULL);
        memset(big, 'b', w->big);
        a.body = slice_of(big, w->big);
    }
    http_reply(r, &a);
    free(big);
}

static uint64_t on_headers(void *arg, struct http_request *r)
{
    struct web *w = arg;

    w->heads++;
    if (w->mode == WEB_EARLY)
        answer(w, r, 403);
    return w->max_body;
}

static void on_request(void *arg, struct http_request *r)
{
    struct web *w = arg;
    struct slice m = method_name(r->method);

    w->requests++;
    snprintf(w->seen, sizeof w->seen, "%.*s %.*s %.*s?%.*s", SLICE_ARG(m), SLICE_ARG(r->host),
             SLICE_ARG(r->path), SLICE_ARG(r->query));
    if (w->mode == WEB_HOLD)
        w->held = r;
    else
        answer(w, r, 200);
}

static void on_abort(void *arg, struct http_request *r)
{
    struct web *w = arg;

    w->aborts++;
    if (w->held == r)
        w->held = NULL;
}

static void on_refuse(void *arg, unsigned status, const char *reason, const char *detail,
                      struct buf *out)
{
    struct web *w = arg;

    w->refusals++;
    snprintf(w->last_reason, sizeof w->last_reason, "%s", reason);
    http_problem(out, SLICE_LIT("urn:x:"), slice_str(reason), SLICE_NONE, status, slice_str(detail),
                 SLICE_NONE);
}

static void on_done(void *arg, struct http_request *r, unsigned status, uint64_t bytes_out)
{
    struct web *w = arg;

    (void)bytes_out;
    w->dones++;
    w->dones_without += r == NULL;
    w->last_status = status;
    if (w->held == r)
        w->held = NULL;
}

static void pulse_cb(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
}

void web_init(struct web *w)
{
    static const struct http_handler handler = {on_headers, on_request, on_abort, on_refuse,
                                                on_done};

    *w = (struct web){.max_body = 65536};
    w->limits = (struct http_limits){.max_line = 2048,
                                     .max_headers = 32,
                                     .max_header_bytes = 6000,
                                     .max_connections = 16,
                                     .header_timeout_ms = 10000,
                                     .body_timeout_ms = 10000,
                                     .idle_timeout_ms = 10000,
                                     .write_timeout_ms = 10000};
    loop_init(&w->loop);
    w->pulse = event_new(w->loop.base, -1, 0, pulse_cb, w);
    w->server = http_server_new(&w->loop, &w->limits, &handler, w);
}

void web_fini(struct web *w)
{
    http_server_free(&w->server);
    event_free(w->pulse);
    loop_fini(&w->loop);
}

void web_turn(struct web *w)
{
    for (int i = 0; i < 2; i++) {
        event_active(w->pulse, EV_READ, 1);
        loop_turn(&w->loop);
    }
}

void web_pass(struct web *w, unsigned ms)
{
    uint64_t until = clock_mono_ns() + ms * NS_PER_MS;

    while (clock_mono_ns() < until) {
        web_turn(w);
        usleep(1000);
    }
}

int web_connect(struct web *w)
{
    int fds[2];

    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
    CHECK(http_server_adopt(w->server, fds[1], NULL) == 0);
    return fds[0];
}

void web_send(struct web *w, int fd, const char *bytes, size_t n)
{
    while (n > 0) {
        ssize_t sent = send(fd, bytes, n, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN)
            return; /* the server has closed: the test looks at what it answered */
        if (sent > 0) {
            bytes += sent;
            n -= (size_t)sent;
        }
        web_turn(w);
    }
}

const char *web_read(struct web *w, int fd, bool *eof)
{
    static char text[1 << 20];
    size_t n = 0;
    ssize_t got;

    *eof = false;
    web_turn(w);
    while (n < sizeof text - 1) {
        got = recv(fd, text + n, sizeof text - 1 - n, 0);
        if (got <= 0) {
            *eof = got == 0;
            break;
        }
        n += (size_t)got;
        web_turn(w);
    }
    text[n] = '\0';
    return text;
}

const char *web_talk(struct web *w, int fd, const char *text)
{
    bool eof;

    web_send(w, fd, text, strlen(text));
    return web_read(w, fd, &eof);
}

void web_answer_held(struct web *w, unsigned status)
{
    struct http_request *r = w->held;

    CHECK(r != NULL);
    answer(w, r, status);
}

unsigned web_status_of(const char *text)
{
    return strncmp(text, "HTTP/1.1 ", 9) == 0 ? (unsigned)atoi(text + 9) : 0;
}

int web_listen(struct sockaddr_in *sa)
{
    socklen_t n = sizeof *sa;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    *sa = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    CHECK(bind(fd, (struct sockaddr *)sa, sizeof *sa) == 0);
    CHECK(listen(fd, 64) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)sa, &n) == 0);
    return fd;
}
