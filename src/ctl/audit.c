/* SPDX-License-Identifier: BSD-2-Clause */
#include "config.h"

#include "ctl/audit.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "ctl/json.h"

int audit_open(struct audit *a, const char *path)
{
    *a = (struct audit){.path = path, .fd = -1};
    return audit_reopen(a);
}

int audit_reopen(struct audit *a)
{
    int fd = a->path != NULL ? log_open_append(a->path) : -1;

    if (a->path == NULL)
        return 0;
    if (fd < 0)
        return fd;
    audit_close(a);
    a->fd = fd;
    return 0;
}

void audit_close(struct audit *a)
{
    if (a->fd >= 0)
        close(a->fd);
    a->fd = -1;
}

void audit_change(json_t **list, const char *setting, const char *old, const char *new_value)
{
    json_t *row = json_object();

    if (*list == NULL)
        *list = json_array();
    json_object_set_new(row, "setting", ctl_text(slice_str(setting)));
    json_object_set_new(row, "old", ctl_text(slice_str(old)));
    json_object_set_new(row, "new", ctl_text(slice_str(new_value)));
    json_array_append_new(*list, row);
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text != NULL ? text : "";
}

static void add_who(const json_t *record, struct buf *line)
{
    const json_t *uid = json_object_get(record, "uid");

    if (uid != NULL)
        buf_printf(line, " by uid %lld (process %lld)", (long long)json_integer_value(uid),
                   (long long)json_integer_value(json_object_get(record, "pid")));
}

/* "control: limit set per_buyer 8/10s by uid 0 (process 7): limits.per_buyer.rate 10/s -> 8/10s:
 * bots: ok" */
static void log_record(json_t *record)
{
    struct buf line = {0};
    json_t *word;
    size_t i;

    buf_str(&line, text_of(record, "command"));
    json_array_foreach(json_object_get(record, "args"), i, word)
        buf_printf(&line, " %s", json_string_value(word));
    add_who(record, &line);
    json_array_foreach(json_object_get(record, "changes"), i, word)
        buf_printf(&line, "%s %s %s -> %s", i > 0 ? "," : ":", text_of(word, "setting"),
                   text_of(word, "old"), text_of(word, "new"));
    if (text_of(record, "reason")[0] != '\0')
        buf_printf(&line, ": %s", text_of(record, "reason"));
    buf_printf(&line, ": %s", text_of(record, "result"));
    log_notice("control: %s", buf_cstr(&line));
    buf_free(&line);
}

static void write_line(const struct audit *a, const json_t *record)
{
    struct buf line = {0};
    ssize_t n;

    ctl_document_write(record, &line);
    n = line.failed ? -1 : write(a->fd, line.p, line.n);
    if (n < 0 || (size_t)n < line.n)
        log_error("cannot write to the audit log %s: %s", a->path,
                  line.failed ? "no memory"
                  : n < 0     ? strerror(errno)
                              : "no space left");
    buf_free(&line);
}

void audit_write(struct audit *a, json_t *record)
{
    json_t *whole = json_object();
    char when[CLOCK_ISO_MAX];

    clock_iso8601(clock_real_ns(), 1, when);
    json_object_set_new(whole, "time", json_string(when));
    json_object_update(whole, record);
    json_decref(record);
    log_record(whole);
    if (a != NULL && a->fd >= 0)
        write_line(a, whole);
    json_decref(whole);
}

void audit_event(struct audit *a, const char *command, json_t *changes, const char *reason,
                 const char *result)
{
    json_t *record = json_object();

    json_object_set_new(record, "command", ctl_text(slice_str(command)));
    if (changes != NULL)
        json_object_set_new(record, "changes", changes);
    if (reason[0] != '\0')
        json_object_set_new(record, "reason", ctl_text(slice_str(reason)));
    json_object_set_new(record, "result", ctl_text(slice_str(result)));
    audit_write(a, record);
}
