/* SPDX-License-Identifier: BSD-2-Clause */
#include "conf/inputs.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/check.h"

#define FILE_MAX_BYTES (16u << 20)

struct inputs {
    unsigned refs;
    struct input *first; /* owned */
};

struct inputs *inputs_new(void)
{
    struct inputs *in = xcalloc(1, sizeof *in);

    in->refs = 1;
    return in;
}

struct inputs *inputs_get(struct inputs *in)
{
    in->refs++;
    return in;
}

void inputs_put(struct inputs **pin)
{
    struct inputs *in = *pin;

    *pin = NULL;
    if (in == NULL || --in->refs > 0)
        return;
    while (in->first != NULL) {
        struct input *gone = in->first;
        in->first = gone->next;
        free(gone->name);
        free(gone->bytes);
        free(gone);
    }
    free(in);
}

static const struct input *find(const struct inputs *all, const char *name, bool list)
{
    const struct input *in = all->first;

    while (in != NULL && (in->list != list || strcmp(in->name, name) != 0))
        in = in->next;
    return in;
}

static const struct input *add(struct inputs *all, const char *name, struct input what)
{
    struct input *in = xmalloc(sizeof *in);

    *in = what;
    in->name = xstrdup(name);
    in->next = all->first;
    all->first = in;
    return in;
}

struct inputs *inputs_with(const struct inputs *in, const char *path, struct slice content)
{
    struct inputs *copy = inputs_new();

    for (const struct input *i = in->first; i != NULL; i = i->next) {
        bool other = !i->list && strcmp(i->name, path) == 0;
        struct slice bytes = other ? content : slice_of(i->bytes, i->n);
        struct input one = *i;
        one.n = bytes.n;
        one.bytes = xmalloc(bytes.n + 1);
        if (bytes.n > 0)
            memcpy(one.bytes, bytes.p, bytes.n);
        one.bytes[bytes.n] = '\0';
        add(copy, i->name, one);
    }
    return copy;
}

/* All of an open file whose size is n; NULL with errno. It may have become shorter meanwhile. */
static char *read_all(int fd, size_t *n)
{
    char *text = xmalloc(*n + 1);
    size_t have = 0;
    ssize_t got = -1;

    while (have < *n && (got = read(fd, text + have, *n - have)) > 0)
        have += (size_t)got;
    if (have < *n && got < 0) {
        free(text);
        return NULL;
    }
    text[have] = '\0';
    *n = have;
    return text;
}

static bool read_file(const char *path, struct input *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), err;
    struct stat st;

    if (fd < 0)
        return false;
    if (fstat(fd, &st) == 0) {
        errno = S_ISDIR(st.st_mode) ? EISDIR : !S_ISREG(st.st_mode) ? EINVAL : EFBIG;
        if (S_ISREG(st.st_mode) && st.st_size <= (off_t)FILE_MAX_BYTES) {
            *out = (struct input){.n = (size_t)st.st_size, .dev = st.st_dev, .ino = st.st_ino};
            out->bytes = read_all(fd, &out->n);
        }
    }
    err = errno;
    close(fd);
    errno = err;
    return out->bytes != NULL;
}

const struct input *input_file(struct inputs *all, const char *path)
{
    const struct input *known = find(all, path, false);
    struct input read = {0};

    if (known != NULL)
        return known;
    return read_file(path, &read) ? add(all, path, read) : NULL;
}

/* A directory that is not there holds no files; one that cannot be read is worth an error. */
static int on_glob_error(const char *path, int err)
{
    (void)path;
    return err != ENOENT && err != ENOTDIR;
}

const struct input *input_list(struct inputs *all, const char *pattern)
{
    const struct input *known = find(all, pattern, true);
    struct input list = {.list = true};
    struct buf names = {0};
    glob_t found = {0};
    int rc;

    if (known != NULL)
        return known;
    rc = glob(pattern, 0, on_glob_error, &found); /* sorts */
    for (size_t i = 0; rc == 0 && i < found.gl_pathc; i++)
        buf_add(&names, found.gl_pathv[i], strlen(found.gl_pathv[i]) + 1);
    globfree(&found);
    if ((rc != 0 && rc != GLOB_NOMATCH) || names.failed) {
        buf_free(&names);
        return NULL;
    }
    list.n = names.n;
    list.bytes = names.p;
    return add(all, pattern, list);
}

char *input_copy(const struct input *in)
{
    char *copy = xmalloc(in->n + 1);

    memcpy(copy, in->bytes, in->n + 1);
    return copy;
}
