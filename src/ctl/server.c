/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Clients of the control socket. A client is in one of three states:
 *
 *   reading   a line is not complete yet; reading is on; it has CLIENT_WAIT_NS for it
 *   working   a handler has the request; reading is off, so what a client sends ahead stays in the
 *             kernel; no clock runs, the handler has its own
 *   writing   the answer did not fit into the socket; reading is off; each write that makes
 * progress winds the clock up again
 *
 * So a client holds at most one line, one request and one answer.
 */
#include "config.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "ctl/attachment.h"
#include "ctl/request.h"

#define CLIENTS_MAX    64u
#define LINE_MAX_BYTES (64u << 10)
#define CLIENT_WAIT_NS (15 * NS_PER_S)
#define ACCEPT_REST_NS (200 * NS_PER_MS)
#define CLIENT_MAGIC   UINT32_C(0x6c744363)

struct ctl_client {
    uint32_t magic;
    struct list node; /* on ctl.clients */
    struct ctl *ctl;
    int fd;                            /* owned */
    int attached;                      /* owned: what came with the request; -1 nothing */
    struct event *readable, *writable; /* owned */
    struct loop_timer wait;
    struct peer peer;
    struct buf in;  /* read, not yet handled */
    struct buf out; /* answer, from out_at on not yet written */
    size_t out_at;
    bool working;    /* a request is with a handler */
    bool eof;        /* nothing more will come */
    bool in_handler; /* ctl_handle is on the stack: an answer must not start the next request */
};

static void detach(struct ctl_client *client)
{
    if (client->attached >= 0)
        close(client->attached);
    client->attached = -1;
}

int ctl_client_attached(const struct ctl_client *client)
{
    return client != NULL ? client->attached : -1;
}

static void client_close(struct ctl_client *client)
{
    struct ctl *c = client->ctl;

    LIST_EACH (it, &c->pending) {
        struct ctl_request *r = CONTAINER_OF(it, struct ctl_request, node);
        if (r->client == client)
            r->client = NULL;
    }
    loop_timer_disarm(c->cfg.loop, &client->wait);
    event_free(client->readable);
    event_free(client->writable);
    close(client->fd);
    detach(client);
    buf_free(&client->in);
    buf_free(&client->out);
    list_del(&client->node);
    c->clients_n--;
    client->magic = 0;
    free(client);
}

static void wind_up(struct ctl_client *client)
{
    loop_timer_arm(client->ctl->cfg.loop, &client->wait, CLIENT_WAIT_NS);
}

static void on_wait_over(struct loop_timer *t)
{
    client_close(CONTAINER_OF(t, struct ctl_client, wait));
}

/* Writes what is there. False: the connection is broken. */
static bool flush(struct ctl_client *client)
{
    while (client->out_at < client->out.n) {
        ssize_t n = send(client->fd, client->out.p + client->out_at, client->out.n - client->out_at,
                         MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN)
            return false;
        if (n < 0) {
            event_add(client->writable, NULL);
            wind_up(client);
            return true;
        }
        client->out_at += (size_t)n;
    }
    buf_free(&client->out);
    client->out_at = 0;
    return true;
}

static bool writing(const struct ctl_client *client)
{
    return client->out.n > client->out_at;
}

/* Takes a line out of what was read and gives it to a handler. False: there is no complete one. */
static bool next_request(struct ctl_client *client)
{
    struct slice seen = buf_view(&client->in);
    size_t n = slice_find(seen, '\n');

    if (n == seen.n)
        return false;
    client->working = true;
    loop_timer_disarm(client->ctl->cfg.loop, &client->wait);
    event_del(client->readable);
    client->in_handler = true;
    ctl_handle(client->ctl, client, &client->peer, slice_of(seen.p, n));
    client->in_handler = false;
    detach(client);
    buf_consume(&client->in, n + 1);
    return true;
}

/* After a change: handles what can be handled, writes, reads on, or closes. */
static void proceed(struct ctl_client *client)
{
    for (;;) {
        if (!flush(client)) {
            client_close(client);
            return;
        }
        if (client->working || writing(client))
            return;
        if (!next_request(client))
            break;
    }
    if (client->eof || client->in.n > LINE_MAX_BYTES) {
        client_close(client);
        return;
    }
    event_add(client->readable, NULL);
    wind_up(client);
}

void ctl_client_send(struct ctl_client *client, struct slice bytes)
{
    CHECK_OBJ(client, CLIENT_MAGIC);
    client->working = false;
    buf_slice(&client->out, bytes);
    if (bytes.n == 0 || client->out.failed)
        client->eof = true; /* memory is out: closing says more than half an answer */
    if (!client->in_handler)
        proceed(client);
}

static void too_long(struct ctl_client *client)
{
    json_t *d = ctl_error_document(CTL_USAGE, "a request is one line of at most 64 KB", "");

    buf_clear(&client->in);
    client->eof = true;
    ctl_document_write(d, &client->out);
    json_decref(d);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct ctl_client *client = arg;
    ssize_t n;

    (void)what;
    CHECK_OBJ(client, CLIENT_MAGIC);
    if (!buf_reserve(&client->in, 4096)) {
        client_close(client);
        return;
    }
    n = attachment_recv(fd, client->in.p + client->in.n, client->in.cap - client->in.n,
                        &client->attached);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n < 0) {
        client_close(client);
        return;
    }
    if (n == 0) {
        client->eof = true;
        event_del(client->readable);
    }
    client->in.n += (size_t)n;
    if (client->in.n > LINE_MAX_BYTES && memchr(client->in.p, '\n', client->in.n) == NULL)
        too_long(client);
    if (n > 0 && client->in.n <= LINE_MAX_BYTES &&
        memchr(client->in.p, '\n', client->in.n) == NULL && !client->eof)
        return; /* the clock is not wound up: a line has one wait, however it trickles in */
    proceed(client);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct ctl_client *client = arg;

    (void)fd;
    (void)what;
    CHECK_OBJ(client, CLIENT_MAGIC);
    proceed(client);
}

/* Tells why and closes: the client learns more than from a reset. */
static void turn_away(int fd, enum ctl_error error, const char *message)
{
    json_t *d = ctl_error_document(error, message, "try again");
    struct buf out = {0};

    ctl_document_write(d, &out);
    json_decref(d);
    if (send(fd, out.p, out.n, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        log_debug("control: a client that was turned away is gone");
    buf_free(&out);
    close(fd);
}

static void welcome(struct ctl *c, int fd)
{
    struct ctl_client *client;
    struct peer peer;

    if (!peer_identify(fd, c->cfg.group, &peer)) {
        turn_away(fd, CTL_PERMISSION, "the kernel does not say who you are");
        return;
    }
    /* Before it, a client's descriptor is refused by the kernel where strangers may connect, or
     * could when it connected, which may have been to the master before; rushctl tries again. */
    if (peer_may(&peer, CTL_OPERATE) && attachment_allow(fd, true) < 0)
        log_debug("control: descriptors are taken from everybody");
    client = calloc(1, sizeof *client);
    if (client == NULL) {
        close(fd);
        return;
    }
    client->magic = CLIENT_MAGIC;
    client->ctl = c;
    client->fd = fd;
    client->attached = -1;
    client->peer = peer;
    client->readable = event_new(c->cfg.loop->base, fd, EV_READ | EV_PERSIST, on_readable, client);
    client->writable = event_new(c->cfg.loop->base, fd, EV_WRITE, on_writable, client);
    CHECK(client->readable != NULL && client->writable != NULL);
    loop_timer_init(&client->wait, on_wait_over);
    list_init(&client->node);
    list_add(&c->clients, &client->node);
    c->clients_n++;
    event_add(client->readable, NULL);
    wind_up(client);
}

static void on_accept(evutil_socket_t listen_fd, short what, void *arg)
{
    struct ctl *c = arg;
    int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    (void)what;
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
            log_warn("control: cannot accept a client: %s", strerror(errno));
            event_del(c->accept_ev);
            loop_timer_arm(c->cfg.loop, &c->accept_rest, ACCEPT_REST_NS);
        }
        return;
    }
    if (c->clients_n >= CLIENTS_MAX)
        turn_away(fd, CTL_BUSY, "64 clients are connected already");
    else
        welcome(c, fd);
}

static void on_rested(struct loop_timer *t)
{
    event_add(CONTAINER_OF(t, struct ctl, accept_rest)->accept_ev, NULL);
}

/* Only those who may operate can send descriptors. The socket may be another master's, whose mode
 * was another one. */
static void refuse_descriptors(const struct ctl_config *cfg)
{
    int rc = attachment_allow(cfg->listen_fd, !cfg->strangers);

    if (rc < 0 && cfg->strangers)
        log_warn("control: this kernel (before Linux 6.16) cannot refuse descriptors, by which "
                 "whoever may connect could hold the master up: set admin.socket_mode to 0660");
}

struct ctl *ctl_new(const struct ctl_config *cfg)
{
    struct ctl *c = calloc(1, sizeof *c);

    if (c == NULL)
        return NULL;
    c->cfg = *cfg;
    c->prefix = xstrdup(cfg->prefix);
    c->version = xstrdup(cfg->version);
    list_init(&c->clients);
    list_init(&c->pending);
    loop_timer_init(&c->accept_rest, on_rested);
    c->box = box_new(cfg->loop, cfg->banks);
    c->accept_ev = event_new(cfg->loop->base, cfg->listen_fd, EV_READ | EV_PERSIST, on_accept, c);
    if (c->box == NULL || c->accept_ev == NULL) {
        ctl_free(&c);
        return NULL;
    }
    refuse_descriptors(cfg);
    event_add(c->accept_ev, NULL);
    return c;
}

void ctl_accept(struct ctl *c, bool on)
{
    loop_timer_disarm(c->cfg.loop, &c->accept_rest);
    if (on)
        event_add(c->accept_ev, NULL);
    else
        event_del(c->accept_ev);
}

void ctl_free(struct ctl **cp)
{
    struct ctl *c = *cp;
    struct list *it;

    if (c == NULL)
        return;
    while ((it = list_first(&c->clients)) != NULL)
        client_close(CONTAINER_OF(it, struct ctl_client, node));
    while ((it = list_first(&c->pending)) != NULL)
        ctl_request_drop(CONTAINER_OF(it, struct ctl_request, node));
    loop_timer_disarm(c->cfg.loop, &c->accept_rest);
    if (c->accept_ev != NULL)
        event_free(c->accept_ev);
    box_free(&c->box);
    free(c->prefix);
    free(c->version);
    free(c);
    *cp = NULL;
}
