/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Inside of src/ctl: a request on its way from a client to a handler and back.
 *
 *   server.c  lines, answers, clients      request.c  parse, permission, dispatch, answer
 *   show.c    what there is                manage.c   reload, stop, drain, reopen
 *   upgrade.c another binary, box office
 *   sales.c   what the box office does     document.c the form of answers (json.h)
 *   change.c  runtime changes              audit.c    the audit log
 *   generations.c  configurations that were in force
 */
#ifndef CTL_REQUEST_H
#define CTL_REQUEST_H

#include <stdbool.h>

#include "base/list.h"
#include "ctl/boxoffice.h"
#include "ctl/commands.h"
#include "ctl/ctl.h"
#include "ctl/errors.h"
#include "ctl/json.h"
#include "ctl/peer.h"

struct ctl_client;

struct ctl {
    struct ctl_config cfg;
    char *prefix, *version;        /* owned */
    struct box *box;               /* owned */
    struct event *accept_ev;       /* owned */
    struct loop_timer accept_rest; /* armed while descriptors are short */
    struct list clients;           /* of ctl_client.node */
    unsigned clients_n;
    struct list pending; /* of ctl_request.node: those a handler still works on */
};

struct ctl_request {
    struct ctl *ctl;
    struct list node;          /* on ctl.pending */
    struct ctl_client *client; /* NULL: it left; the answer goes nowhere */
    json_t *json;              /* owned; inv's strings live in it */
    struct ctl_invocation inv;
    struct peer peer;
    struct box_call box_call; /* sales.c */
    json_t *held;             /* owned: data of an answer that waits for processes */
    struct loop_timer timer;  /* manage.c; armed while held */
    uint64_t until_ns;        /* manage.c; 0: does not wait */
    bool audited;             /* its end goes into the audit log */
    json_t *audit_changes;    /* owned; see ctl_audit_change */
};

/* A complete line. Ends in one ctl_answer or ctl_refuse, now or later. */
void ctl_handle(struct ctl *c, struct ctl_client *client, const struct peer *peer,
                struct slice line);

/* Answers with a document (taken over) and frees the request. */
void ctl_answer(struct ctl_request *r, json_t *document);
/* Answers with an error document and frees the request. */
void ctl_refuse(struct ctl_request *r, enum ctl_error error, const char *hint, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* For the audit log: what the command has changed. Before the answer. */
void ctl_audit_change(struct ctl_request *r, const char *setting, const char *old,
                      const char *new_value);
/* ctl_free: forgets a request whose answer nobody waits for. */
void ctl_request_drop(struct ctl_request *r);

/* server.c: sends a document's bytes to the client that waits for them. */
void ctl_client_send(struct ctl_client *client, struct slice bytes);

/* manage.c */

/* What is asked for, as every change of the configuration is: the wait, the reason, by whom. */
struct ctl_order ctl_order_of(struct ctl_request *r);
/* How long the caller waits for the processes; remembers until when. */
uint64_t ctl_take_wait(struct ctl_request *r);
/* The error of a change that is in force, but not everywhere in the time that was waited. */
json_t *ctl_late_document(const struct ctl *c, uint64_t generation, unsigned on_it, unsigned total);
/* A ctl_reload_fn: answers with the document of the command, "reload" or "rollback". */
void ctl_on_changed(void *request, const struct ctl_reload_result *res);

/* generations.c: reload --canary. */
void ctl_reload_canary(struct ctl_request *r, const struct ctl_order *order);
/* The row of the canary as show generations has it; null: none runs. */
json_t *ctl_canary(const struct ctl *c);
/* Why something else runs than the file said last, and what that was; null: it does not, or a
 * canary runs, which is tried with it. */
json_t *ctl_differs_from_file(const struct ctl *c);

/* server.c: the file that came with the request (attachment.h); -1: none. Valid while its handler
 * runs for the first time. */
int ctl_client_attached(const struct ctl_client *client);

/* document.c */

/* The envelope around data (taken over): schema "rushgate.NAME/1". */
json_t *ctl_document(const struct ctl *c, const char *name, json_t *data);
void ctl_document_warn(json_t *document, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* A warning for each line; text may be NULL. */
void ctl_document_warn_lines(json_t *document, const char *text);
json_t *ctl_error_document(enum ctl_error error, const char *message, const char *hint);
/* "2026-11-03T12:00:31Z" */
json_t *ctl_time(uint64_t real_ns);
json_t *ctl_seconds(uint64_t ns);

/* change.c: adds --for, --reason and who asks, and has it done; the request is the answer's from
 * here on. Texts are copied. Members of r->held join the data of the answer. */
void ctl_order_change(struct ctl_request *r, struct ctl_change_order *o);

/* Processes as `show workers` lists them, `status` too. */
json_t *ctl_process_rows(const struct ctl *c);
/* Workers in use, and how many of them are alive and answer. */
void ctl_count_workers(const struct ctl *c, unsigned *reporting, unsigned *total);

/* Handlers, by the id of their line in commands.def. */
#define HANDLER_LOCAL(id)
#define HANDLER_MASTER(id)                                                void ctl_do_##id(struct ctl_request *r);
#define HANDLER_BOXOFFICE(id)                                             void ctl_do_##id(struct ctl_request *r);
#define COMMAND(id, words, args, flags, permission, where, visible, help) HANDLER_##where(id)
#define FLAG(id, name, metavar, help)
#include "ctl/commands.def"
#undef COMMAND
#undef FLAG
#undef HANDLER_LOCAL
#undef HANDLER_MASTER
#undef HANDLER_BOXOFFICE

#endif
