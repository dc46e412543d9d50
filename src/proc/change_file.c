/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The state file. It is replaced as a whole, so that a crash leaves the old or the new one. It may
 * lie in a directory of the service's user (with the box office's store): the master believes only
 * a file that it has made itself, and never follows a link.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "proc/change_set.h"

#define STATE_VERSION  1
#define FILE_MAX_BYTES (4 << 20)

/* --- writing --- */

static json_t *to_json(const struct change_set *s)
{
    json_t *rows = json_array();

    for (unsigned i = 0; i < s->n; i++) {
        const struct change *c = &s->all[i];
        json_array_append_new(rows, json_pack("{s:I, s:s, s:s, s:I, s:I, s:I, s:s}", "id",
                                              (json_int_t)c->id, "setting", c->path, "value",
                                              c->value, "since_ns", (json_int_t)c->since_real_ns,
                                              "until_ns", (json_int_t)c->until_real_ns, "uid",
                                              (json_int_t)c->uid, "reason", c->reason));
    }
    return json_pack("{s:i, s:I, s:o}", "version", STATE_VERSION, "last_id", (json_int_t)s->last_id,
                     "changes", rows);
}

int change_file_prepare(const char *path, const struct change_set *s)
{
    json_t *document = to_json(s);
    char *text = document != NULL ? json_dumps(document, JSON_INDENT(1)) : NULL;
    int rc = text != NULL ? file_prepare(path, slice_str(text)) : -ENOMEM;

    free(text);
    json_decref(document);
    return rc;
}

/* --- reading --- */

static bool change_of(const json_t *row, struct change *c)
{
    json_int_t id, since, until, uid;
    const char *path, *value, *reason;

    if (json_unpack((json_t *)(uintptr_t)row, "{s:I, s:s, s:s, s:I, s:I, s:I, s:s}", "id", &id,
                    "setting", &path, "value", &value, "since_ns", &since, "until_ns", &until,
                    "uid", &uid, "reason", &reason) != 0)
        return false;
    if (id < 1 || id > UINT32_MAX || since < 0 || until < 0 || uid < 0 || uid > UINT32_MAX)
        return false;
    /* Borrowed from the document; change_set_put copies them. */
    *c = (struct change){.id = (uint32_t)id,
                         .path = (char *)(uintptr_t)path,
                         .value = (char *)(uintptr_t)value,
                         .reason = (char *)(uintptr_t)reason,
                         .since_real_ns = (uint64_t)since,
                         .until_real_ns = (uint64_t)until,
                         .uid = (uid_t)uid};
    return true;
}

static bool from_json(const json_t *document, struct change_set *out, struct buf *why)
{
    const json_t *rows = json_object_get(document, "changes"), *row;
    json_int_t last = json_integer_value(json_object_get(document, "last_id"));
    struct change c;
    size_t i;

    if (json_integer_value(json_object_get(document, "version")) != STATE_VERSION ||
        !json_is_array(rows) || json_array_size(rows) > CHANGES_MAX || last < 0 ||
        last > INT32_MAX) { /* ids never come round */
        buf_str(why, "it is not a list of runtime changes of this version");
        return false;
    }
    json_array_foreach(rows, i, row)
    {
        if (!change_of(row, &c)) {
            buf_printf(why, "entry %zu makes no sense", i + 1);
            return false;
        }
        change_set_put(out, &c);
    }
    if ((uint32_t)last > out->last_id)
        out->last_id = (uint32_t)last;
    return true;
}

/* Opened, and surely ours; -1 with errno 0 and a message when it is not. */
static int open_own(const char *path, struct buf *why)
{
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat st;

    if (fd < 0) {
        if (errno != ENOENT)
            buf_printf(why, "%s", errno == ELOOP ? "it is a symbolic link" : strerror(errno));
        return -1;
    }
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > FILE_MAX_BYTES)
        buf_str(why, "it is not a plain file of a sensible size");
    else if (st.st_uid != geteuid() || st.st_nlink != 1 || (st.st_mode & 022) != 0)
        buf_str(why, "others could have written it");
    else
        return fd;
    close(fd);
    return -1;
}

bool change_file_read(const char *path, struct change_set *out, struct buf *why)
{
    int fd = open_own(path, why);
    json_error_t error;
    json_t *document;

    *out = (struct change_set){0};
    if (fd < 0)
        return why->n == 0;
    document = json_loadfd(fd, JSON_REJECT_DUPLICATES, &error);
    close(fd);
    if (document == NULL)
        buf_printf(why, "line %d: %s", error.line, error.text);
    else
        from_json(document, out, why);
    json_decref(document);
    if (why->n > 0)
        change_set_fini(out);
    return why->n == 0;
}
