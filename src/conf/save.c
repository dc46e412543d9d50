/* SPDX-License-Identifier: BSD-2-Clause */
#include "config.h"

#include "conf/save.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/file.h"
#include "conf/edit.h"
#include "conf/tree.h"

/* --- the file --- */

/* The name of a new file beside path that no `include: ["*.yaml"]` finds; to be freed. */
static char *name_beside(const char *path)
{
    char *copy_dir = xstrdup(path), *copy_name = xstrdup(path);
    struct buf name = {0};
    char *out;

    buf_printf(&name, "%s/.%s.XXXXXX", dirname(copy_dir), basename(copy_name));
    out = xstrdup(buf_cstr(&name));
    free(copy_dir);
    free(copy_name);
    buf_free(&name);
    return out;
}

static int fill_file(int fd, struct slice text, const struct stat *as)
{
    int rc = file_write_all(fd, text);

    if (rc == 0 && (fchown(fd, as->st_uid, as->st_gid) < 0 || fchmod(fd, as->st_mode & 07777) < 0 ||
                    fsync(fd) < 0))
        rc = -errno;
    return rc;
}

/* path is no link. */
static int replace_file(const char *path, struct slice text, const struct stat *as)
{
    char *name = name_beside(path);
    int fd = mkostemp(name, O_CLOEXEC), rc = fd < 0 ? -errno : fill_file(fd, text, as);

    if (rc == 0 && rename(name, path) < 0)
        rc = -errno;
    if (fd >= 0) {
        if (rc < 0)
            unlink(name);
        close(fd);
    }
    free(name);
    return rc < 0 ? rc : file_sync_directory(path);
}

/* Is the file what it was when it was loaded? Its state goes to *st. */
static bool unchanged(const char *path, const struct diag_source *was, struct stat *st)
{
    struct inputs *fresh = inputs_new();
    const struct input *now = input_file(fresh, path);
    bool same = now != NULL && stat(path, st) == 0 && now->ino == st->st_ino &&
                slice_eq(slice_of(now->bytes, now->n), slice_of(was->text, was->n));

    inputs_put(&fresh);
    return same;
}

/* The link stays a link: what it leads to is replaced. */
static bool write_back(const struct diag_source *was, struct slice text, struct buf *why,
                       struct buf *hint)
{
    char *path = realpath(was->name, NULL);
    struct stat st;
    int rc;

    if (path == NULL || !unchanged(path, was, &st)) {
        buf_printf(why, "%s is not what was loaded", was->name);
        buf_str(hint, "rushctl diff shows what is new in it; rushctl reload first");
        free(path);
        return false;
    }
    rc = replace_file(path, text, &st);
    if (rc < 0)
        buf_printf(why, "cannot write %s: %s", path, strerror(-rc));
    free(path);
    return rc == 0;
}

/* --- the proof --- */

static void count(void *arg, const struct conf_change *change)
{
    (void)change;
    ++*(unsigned *)arg;
}

/* What the edited text loads as, if that is base with the value and nothing else. */
static struct conf *proven(const struct conf *base, const struct edit *e, const char *path,
                           const char *value)
{
    const struct conf_runtime_value change = {1, path, value, 0};
    const struct conf_overlay overlay = {&change, 1};
    const char *file = base->diag.sources[e->file].name;
    struct buf errors = {0};
    struct conf *want = conf_derive(base, &overlay, &errors);
    struct conf *next = conf_derive_edited(base, file, buf_view(&e->out), &errors);
    unsigned differences = 0;

    if (want != NULL && next != NULL)
        conf_diff(want, next, count, &differences);
    if (want == NULL || differences > 0)
        conf_free(&next);
    conf_free(&want);
    buf_free(&errors);
    return next;
}

static struct conf *save(const struct conf *base, const struct node *n, const char *path,
                         const char *value, struct edit *e, struct buf *why, struct buf *hint)
{
    struct conf *next;

    if (!edit_make(base, n, value, e, why))
        return NULL;
    next = proven(base, e, path, value);
    if (next == NULL)
        buf_str(why, "the file has no place for it that is surely right");
    else if (!write_back(&base->diag.sources[e->file], buf_view(&e->out), why, hint))
        conf_free(&next);
    return next;
}

/* Where somebody would begin to look. */
static void add_advice(const struct conf *base, const struct node *n, const char *path,
                       const char *value, struct buf *hint)
{
    while (n->up != NULL && (n->at.line == 0 || n->at.file >= base->files))
        n = n->up;
    buf_str(hint, "write it by hand, near ");
    diag_origin(&base->diag, n->at, hint);
    buf_printf(hint, ": %s: %s", path, value);
}

struct conf *conf_save(const struct conf *base, const char *path, const char *value,
                       struct buf *where, struct buf *why, struct buf *hint)
{
    const struct node *n = conf_node(base, path);
    struct edit e = {0};
    struct conf *next;

    if (n == NULL) {
        buf_str(why, "the file no longer has it");
        return NULL;
    }
    next = save(base, n, path, value, &e, why, hint);
    if (next != NULL)
        buf_printf(where, "%s:%u", base->diag.sources[e.file].name, e.line);
    else if (hint->n == 0)
        add_advice(base, n, path, value, hint);
    buf_free(&e.out);
    return next;
}
