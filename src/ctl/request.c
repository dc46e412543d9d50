/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From a line to a handler. Everything in the line is a stranger's: jansson checks that it is JSON
 * and UTF-8, ctl_parse that it is a command, and here, in one place, whether the caller may run it.
 */
#include "config.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/request.h"

typedef void handler_fn(struct ctl_request *r);

#define HANDLER_LOCAL(id)     [CMD_##id] = NULL,
#define HANDLER_MASTER(id)    [CMD_##id] = ctl_do_##id,
#define HANDLER_BOXOFFICE(id) [CMD_##id] = ctl_do_##id,
static handler_fn *const handlers[CMD_COUNT] = {
#define COMMAND(id, words, args, flags, permission, where, visible, help) HANDLER_##where(id)
#define FLAG(id, name, metavar, help)
#include "ctl/commands.def"
#undef COMMAND
#undef FLAG
};

void ctl_audit_change(struct ctl_request *r, const char *setting, const char *old,
                      const char *new_value)
{
    audit_change(&r->audit_changes, setting, old, new_value);
}

static void add_flags(const struct ctl_request *r, json_t *record)
{
    json_t *switches = json_array();

    for (unsigned f = 0; f < CTL_FLAG_COUNT; f++) {
        const char *value = r->inv.flag[f];
        if (value == NULL)
            continue;
        if (ctl_flags[f].metavar[0] == '\0')
            json_array_append_new(switches, json_string(ctl_flags[f].name));
        else
            json_object_set_new(record, ctl_flags[f].name, ctl_text(slice_str(value)));
    }
    if (json_array_size(switches) > 0)
        json_object_set(record, "flags", switches);
    json_decref(switches);
}

/* What was asked, by whom, and how it ended: an error's code and message, or "ok". */
static void audit(struct ctl_request *r, const char *result)
{
    json_t *record = json_object(), *args = json_array();

    for (unsigned i = 0; i < r->inv.args_n; i++)
        json_array_append_new(args, ctl_text(slice_str(r->inv.args[i])));
    json_object_set_new(record, "uid", json_integer(r->peer.uid));
    json_object_set_new(record, "pid", json_integer(r->peer.pid));
    json_object_set_new(record, "command", json_string(ctl_commands[r->inv.id].words));
    json_object_set_new(record, "args", args);
    add_flags(r, record);
    if (r->audit_changes != NULL)
        json_object_set(record, "changes", r->audit_changes);
    json_object_set_new(record, "result", ctl_text(slice_str(result)));
    audit_write(r->ctl->cfg.audit, record);
    r->audited = false;
}

static void audit_answer(struct ctl_request *r, const json_t *document)
{
    const json_t *error = json_object_get(document, "error");
    const char *message = json_string_value(json_object_get(error, "message"));
    struct buf result = {0};

    if (error == NULL)
        buf_str(&result, "ok");
    else
        buf_printf(&result, "%s: %s", json_string_value(json_object_get(error, "code")),
                   message != NULL ? message : "");
    audit(r, buf_cstr(&result));
    buf_free(&result);
}

static void request_free(struct ctl_request *r)
{
    list_del(&r->node);
    loop_timer_disarm(r->ctl->cfg.loop, &r->timer);
    json_decref(r->held);
    json_decref(r->audit_changes);
    json_decref(r->json);
    free(r);
}

void ctl_request_drop(struct ctl_request *r)
{
    if (r->audited)
        audit(r, "unknown: the daemon ended first");
    box_call_cancel(&r->box_call);
    request_free(r);
}

void ctl_answer(struct ctl_request *r, json_t *document)
{
    struct ctl_client *client = r->client;
    struct buf out = {0};

    if (r->audited)
        audit_answer(r, document);
    ctl_document_write(document, &out);
    json_decref(document);
    request_free(r);
    if (client != NULL)
        ctl_client_send(client, out.failed ? SLICE_NONE : buf_view(&out));
    buf_free(&out);
}

void ctl_refuse(struct ctl_request *r, enum ctl_error error, const char *hint, const char *fmt, ...)
{
    struct buf text = {0};
    json_t *document;
    va_list ap;

    va_start(ap, fmt);
    buf_vprintf(&text, fmt, ap);
    va_end(ap);
    document = ctl_error_document(error, buf_cstr(&text), hint);
    buf_free(&text);
    ctl_answer(r, document);
}

/* argv of the request; false when it is not an array of at most max strings. */
static bool read_argv(json_t *request, const char **argv, unsigned max, unsigned *argc)
{
    const json_t *list = json_object_get(request, "argv");
    json_t *word;
    size_t i;

    if (!json_is_array(list) || json_array_size(list) > max)
        return false;
    json_array_foreach(list, i, word)
    {
        argv[i] = json_string_value(word);
        if (argv[i] == NULL)
            return false;
    }
    *argc = (unsigned)json_array_size(list);
    return true;
}

/* ["A: 1","B: 2"], of a flag that may be repeated. */
static bool read_many(const json_t *list, struct ctl_invocation *inv, enum ctl_flag_id f)
{
    const json_t *value;
    size_t i;

    json_array_foreach(list, i, value)
    {
        if (!json_is_string(value) || !ctl_flag_take(inv, f, json_string_value(value)))
            return false;
    }
    return json_array_size(list) > 0;
}

/* Flags: {"wait":"30s","strict":true,"header":["A: 1"]}. False with the name of one that is wrong.
 */
static bool read_flags(json_t *request, struct ctl_invocation *inv, const char **wrong)
{
    json_t *flags = json_object_get(request, "flags"), *value;
    const char *name;

    *wrong = "flags";
    if (flags == NULL)
        return true;
    if (!json_is_object(flags))
        return false;
    json_object_foreach(flags, name, value)
    {
        enum ctl_flag_id f = ctl_flag_by_name(name);
        bool is_switch;
        *wrong = name;
        if (f == CTL_FLAG_COUNT)
            return false;
        if (ctl_flag_repeats(f)) {
            if (!read_many(value, inv, f))
                return false;
            continue;
        }
        is_switch = ctl_flags[f].metavar[0] == '\0';
        if (is_switch ? !json_is_boolean(value) : !json_is_string(value))
            return false;
        if (!is_switch)
            inv->flag[f] = json_string_value(value);
        else if (json_is_true(value))
            inv->flag[f] = "";
    }
    return true;
}

/* While another binary takes over, what would be changed here would be lost there. */
static const char *not_now(const struct ctl_request *r)
{
    const struct ctl_command *cmd = &ctl_commands[r->inv.id];

    if (cmd->permission != CTL_OPERATE || cmd->where != CTL_MASTER || r->inv.id == CMD_STOP ||
        r->inv.id == CMD_UPGRADE || r->inv.id == CMD_REOPEN)
        return NULL;
    return r->ctl->cfg.ops->busy(r->ctl->cfg.arg);
}

static void dispatch(struct ctl_request *r)
{
    const struct ctl_command *cmd = &ctl_commands[r->inv.id];
    bool allowed = peer_may(&r->peer, cmd->permission);
    const char *busy;

    if (handlers[r->inv.id] == NULL) {
        ctl_refuse(r, CTL_USAGE, "", "\"%s\" runs in rushctl, not in the daemon", cmd->words);
        return;
    }
    r->audited = cmd->permission == CTL_OPERATE;
    if (!allowed)
        ctl_refuse(r, CTL_PERMISSION,
                   "root, the daemon's user and members of the socket's group may",
                   "uid %u may not run \"%s\"", (unsigned)r->peer.uid, cmd->words);
    else if ((busy = not_now(r)) != NULL)
        ctl_refuse(r, CTL_BUSY, "try again in a moment", "not now: %s", busy);
    else
        handlers[r->inv.id](r);
}

/* What the line says, checked; refuses it and returns false where it is wrong. */
static bool understand(struct ctl_request *r, struct slice line)
{
    struct ctl_complaint why = {0};
    const char *argv[CTL_ARGS_MAX], *wrong;
    unsigned argc;
    json_error_t error;
    bool ok;

    r->json = json_loadb(line.p, line.n, JSON_REJECT_DUPLICATES, &error);
    if (r->json == NULL) {
        ctl_refuse(r, CTL_USAGE, "", "not JSON: %s at byte %d", error.text, error.position);
        return false;
    }
    if (json_integer_value(json_object_get(r->json, "v")) != 1) {
        ctl_refuse(r, CTL_USAGE, "", "\"v\" must be 1");
        return false;
    }
    if (!read_argv(r->json, argv, CTL_ARGS_MAX, &argc)) {
        ctl_refuse(r, CTL_USAGE, "", "\"argv\" must be a list of at most %d strings", CTL_ARGS_MAX);
        return false;
    }
    if (!read_flags(r->json, &r->inv, &wrong)) {
        ctl_refuse(r, CTL_USAGE, "", "flag \"%s\" does not exist or has a wrong value", wrong);
        return false;
    }
    ok = ctl_parse(argc, argv, &r->inv, &why);
    if (!ok)
        ctl_refuse(r, CTL_USAGE, buf_cstr(&why.hint), "%s", buf_cstr(&why.message));
    ctl_complaint_fini(&why);
    return ok;
}

void ctl_handle(struct ctl *c, struct ctl_client *client, const struct peer *peer,
                struct slice line)
{
    struct ctl_request *r = calloc(1, sizeof *r);

    if (r == NULL) {
        ctl_client_send(client, SLICE_NONE);
        return;
    }
    r->ctl = c;
    r->client = client;
    r->peer = *peer;
    box_call_init(&r->box_call);
    loop_timer_init(&r->timer, NULL);
    list_init(&r->node);
    list_add(&c->pending, &r->node);
    if (understand(r, line))
        dispatch(r);
}
