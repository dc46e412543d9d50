/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The admin listener, on libevent's HTTP server: three pages that only read. It is for the
 * machine's own network; it changes nothing, so that it needs no credentials.
 */
#include "config.h"

#include <event2/buffer.h>
#include <event2/http.h>
#include <event2/listener.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admin/parts.h"
#include "http/problem.h"

#define TIMEOUT_S     10
#define HEADERS_BYTES 8192
#define METHODS_ANSWERED                                                                           \
    (EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST | EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE |     \
     EVHTTP_REQ_PATCH | EVHTTP_REQ_OPTIONS)

struct admin_http {
    struct evhttp *server;           /* owned */
    struct evconnlistener *listener; /* the server's */
    bool left;                       /* it does not accept: another process does */
    uint32_t connections; /* open, and those that were closed without having asked anything */
    struct admin_http_handler handler;
    void *arg;
};

static void reply(struct evhttp_request *req, int status, const char *type, struct buf *body)
{
    struct evkeyvalq *headers = evhttp_request_get_output_headers(req);
    struct evbuffer *out = evhttp_request_get_output_buffer(req);

    if (body->failed || evbuffer_add(out, body->p, body->n) < 0) {
        evhttp_send_error(req, 503, NULL);
    } else {
        evhttp_add_header(headers, "Content-Type", type);
        evhttp_add_header(headers, "Cache-Control", "no-store");
        evhttp_send_reply(req, status, NULL, NULL);
    }
    buf_free(body);
}

static void page_metrics(struct admin_http *h, struct evhttp_request *req)
{
    struct buf body = {0};

    h->handler.metrics(h->arg, &body);
    reply(req, 200, "text/plain; version=0.0.4; charset=utf-8", &body);
}

static void page_health(struct admin_http *h, struct evhttp_request *req)
{
    struct buf body = {0};

    (void)h;
    buf_str(&body, "{\"healthy\":true}\n");
    reply(req, 200, "application/json", &body);
}

static void page_ready(struct admin_http *h, struct evhttp_request *req)
{
    struct buf body = {0};
    bool ok = true;

    /* Who is still connected here must not conclude that nobody serves. */
    if (h->left)
        buf_str(&body, "{\"ready\":true,\"reason\":\"another process has taken over\"}\n");
    else
        ok = h->handler.ready(h->arg, &body);
    reply(req, ok ? 200 : 503, "application/json", &body);
}

static const struct {
    const char *path;
    void (*show)(struct admin_http *h, struct evhttp_request *req);
} pages[] = {
    {"/metrics", page_metrics},
    {"/healthz", page_health},
    {"/readyz", page_ready},
};

static void refuse(struct evhttp_request *req, unsigned status, const char *reason,
                   const char *detail)
{
    struct buf body = {0};

    http_problem(&body, SLICE_LIT("urn:rushgate:problem:"), slice_str(reason), SLICE_NONE, status,
                 slice_str(detail), SLICE_NONE);
    reply(req, (int)status, HTTP_PROBLEM_TYPE, &body);
}

static void on_closed(struct evhttp_connection *connection, void *arg)
{
    struct admin_http *h = arg;

    (void)connection;
    h->connections--;
}

/* NULL: what libevent makes by itself will do. */
static struct bufferevent *on_connection(struct event_base *base, void *arg)
{
    struct admin_http *h = arg;

    (void)base;
    h->connections++;
    return NULL;
}

static void on_request(struct evhttp_request *req, void *arg)
{
    struct admin_http *h = arg;
    const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(req));
    enum evhttp_cmd_type method = evhttp_request_get_command(req);

    evhttp_connection_set_closecb(evhttp_request_get_connection(req), on_closed, h);
    if (h->left)
        evhttp_add_header(evhttp_request_get_output_headers(req), "Connection", "close");
    for (unsigned i = 0; path != NULL && i < sizeof pages / sizeof *pages; i++) {
        if (strcmp(path, pages[i].path) != 0)
            continue;
        if (method == EVHTTP_REQ_GET || method == EVHTTP_REQ_HEAD) {
            pages[i].show(h, req);
        } else {
            evhttp_add_header(evhttp_request_get_output_headers(req), "Allow", "GET, HEAD");
            refuse(req, 405, "method-not-allowed", "only GET and HEAD");
        }
        return;
    }
    refuse(req, 404, "not-found", "there are /metrics, /healthz and /readyz");
}

struct admin_http *admin_http_new(struct loop *loop, int listen_fd,
                                  const struct admin_http_handler *handler, void *arg)
{
    struct admin_http *h = calloc(1, sizeof *h);
    int fd = fcntl(listen_fd, F_DUPFD_CLOEXEC, 3); /* evhttp closes its own */
    struct evhttp_bound_socket *bound = NULL;

    if (h != NULL)
        h->server = evhttp_new(loop->base);
    if (h != NULL && h->server != NULL && fd >= 0)
        bound = evhttp_accept_socket_with_handle(h->server, fd);
    if (bound == NULL) {
        if (fd >= 0)
            close(fd);
        admin_http_free(&h);
        return NULL;
    }
    h->listener = evhttp_bound_socket_get_listener(bound);
    h->handler = *handler;
    h->arg = arg;
    evhttp_set_timeout(h->server, TIMEOUT_S);
    evhttp_set_max_headers_size(h->server, HEADERS_BYTES);
    evhttp_set_max_body_size(h->server, 0);
    evhttp_set_allowed_methods(h->server, METHODS_ANSWERED);
    evhttp_set_gencb(h->server, on_request, h);
    evhttp_set_bevcb(h->server, on_connection, h);
    return h;
}

void admin_http_listen(struct admin_http *h, bool on)
{
    h->left = !on;
    if (on)
        evconnlistener_enable(h->listener);
    else
        evconnlistener_disable(h->listener);
}

bool admin_http_is_left(const struct admin_http *h)
{
    return !h->left || h->connections == 0;
}

void admin_http_free(struct admin_http **hp)
{
    if (*hp == NULL)
        return;
    if ((*hp)->server != NULL)
        evhttp_free((*hp)->server);
    free(*hp);
    *hp = NULL;
}
