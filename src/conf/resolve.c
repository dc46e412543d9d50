/* SPDX-License-Identifier: BSD-2-Clause */
/* Addresses to socket addresses. Here, at load, so that no worker ever waits for a name server. */
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/un.h>

#include "conf/tree.h"

static bool resolve_unix(const char *path, struct address *out, const char **why)
{
    struct sockaddr_un *un = (struct sockaddr_un *)(void *)&out->sa;

    if (strlen(path) >= sizeof un->sun_path) {
        *why = "the path is too long for a socket (107 bytes)";
        return false;
    }
    un->sun_family = AF_UNIX;
    strcpy(un->sun_path, path);
    out->n = sizeof *un;
    return true;
}

/* IPv4 first: services that listen on one family only mostly mean that one when they say localhost.
 */
static bool resolve_name(const char *address, struct sockaddr_storage *sa, socklen_t *n,
                         const char **why)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_UNSPEC}, *list, *pick;
    char host_text[300], port_text[8];
    struct slice host;
    uint16_t port;
    int rc;

    *why = "not an address";
    if (!value_host_port(slice_str(address), &host, &port) || host.n >= sizeof host_text)
        return false;
    snprintf(host_text, sizeof host_text, "%.*s", SLICE_ARG(host));
    snprintf(port_text, sizeof port_text, "%u", port);
    rc = getaddrinfo(host_text, port_text, &hints, &list);
    if (rc != 0) {
        *why = gai_strerror(rc);
        return false;
    }
    for (pick = list; pick != NULL && pick->ai_family != AF_INET; pick = pick->ai_next)
        ;
    pick = pick ? pick : list;
    memcpy(sa, pick->ai_addr, pick->ai_addrlen);
    *n = pick->ai_addrlen;
    freeaddrinfo(list);
    return true;
}

/* What is derived asks nobody: a name server that is down must not keep a change from ending. */
static bool remembered(const struct conf *base, const char *text, struct address *out)
{
    const struct resolved *r = base != NULL ? base->resolved : NULL;

    while (r != NULL && strcmp(r->text, text) != 0)
        r = r->next;
    if (r != NULL)
        *out = r->address;
    return r != NULL;
}

static void remember(struct conf *c, const char *text, const struct address *address)
{
    struct resolved *r = conf_alloc(c, sizeof *r);

    *r = (struct resolved){c->resolved, text, *address};
    c->resolved = r;
}

bool conf_resolve(struct conf *c, struct node *n, struct address *out)
{
    const char *why = "";
    bool ok;

    *out = (struct address){0};
    if (n->bad || n->text == NULL)
        return false;
    if (remembered(c->base, n->text, out))
        ok = true;
    else if (strncmp(n->text, "unix:", 5) == 0)
        ok = resolve_unix(n->text + 5, out, &why);
    else
        ok = (c->options.resolve ? c->options.resolve : resolve_name)(n->text, &out->sa, &out->n,
                                                                      &why);
    if (!ok) {
        n->bad = true;
        diag_error(&c->diag, n->at, NULL, "%s: cannot resolve \"%s\": %s", node_path_text(c, n),
                   n->text, why);
    } else {
        remember(c, n->text, out);
    }
    return ok;
}
