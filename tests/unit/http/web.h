/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A server of src/http on a loop that never sleeps, with clients on socket pairs: the tests decide
 * when a byte moves. The handler answers as `mode` says and counts what it is told.
 */
#ifndef TEST_WEB_H
#define TEST_WEB_H

#include <netinet/in.h>

#include "http/server.h"

struct event;

enum web_mode {
    WEB_ANSWER, /* 200 with the request's body, or "hello" */
    WEB_EARLY,  /* 403 from on_headers */
    WEB_HOLD,   /* keeps the request in `held` */
};

struct web {
    struct loop loop;
    struct event *pulse;
    struct http_limits limits;
    struct http_server *server;
    enum web_mode mode;
    uint64_t max_body;
    bool close; /* answers ask for the end of the connection */
    size_t big; /* answers with so many bytes instead */
    struct http_request *held;
    unsigned heads, requests, aborts, refusals, dones, dones_without;
    unsigned last_status;
    char last_reason[64];
    char seen[512]; /* "METHOD host path?query" of the last request */
};

void web_init(struct web *w);
void web_fini(struct web *w);
/* Two turns of the loop without waiting. */
void web_turn(struct web *w);
/* Turns until ms have passed. */
void web_pass(struct web *w, unsigned ms);
/* The client's end of a new connection, non-blocking. */
int web_connect(struct web *w);
void web_send(struct web *w, int fd, const char *bytes, size_t n);
/* Sends text, turns, and reads what has come back: static memory, "" when nothing. */
const char *web_talk(struct web *w, int fd, const char *text);
/* What can be read now; *eof is set when the server has ended its side. */
const char *web_read(struct web *w, int fd, bool *eof);
void web_answer_held(struct web *w, unsigned status);
/* Of an answer; 0: text begins with none. */
unsigned web_status_of(const char *text);
/* A listening socket on a port of its own, which *sa is set to. */
int web_listen(struct sockaddr_in *sa);

#endif
