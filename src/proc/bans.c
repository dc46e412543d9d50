/* SPDX-License-Identifier: BSD-2-Clause */
#include "config.h"

#include "proc/bans.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"

#define RETRY_NS       (10 * NS_PER_S)
#define LOOK_NS        (60 * NS_PER_S) /* the clock of expiry may be set, the timer's not */
#define FILE_MAX_BYTES (256u << 20)

/* --- the file --- */

static int replace_file(const char *path, struct slice text)
{
    int rc = file_prepare(path, text);

    return rc < 0 ? rc : file_commit(path);
}

/* The whole file. 0, -ENOENT, another -errno. */
static int read_descriptor(int fd, struct buf *out)
{
    struct stat st;
    ssize_t n = 1;
    int rc = 0;

    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > FILE_MAX_BYTES)
        rc = -EINVAL;
    while (rc == 0 && n > 0) {
        if (!buf_reserve(out, 65536)) {
            rc = -ENOMEM;
            break;
        }
        n = read(fd, out->p + out->n, out->cap - out->n);
        rc = n < 0 && errno != EINTR ? -errno : 0;
        out->n += n > 0 ? (size_t)n : 0;
    }
    return rc;
}

static int read_file(const char *path, struct buf *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK), rc;
    struct stat st;

    if (fd < 0)
        return -errno;
    /* As runtime changes: what others could have written shuts nobody out. */
    if (fstat(fd, &st) < 0 || st.st_uid != geteuid() || st.st_nlink != 1 || (st.st_mode & 022) != 0)
        rc = -EPERM;
    else
        rc = read_descriptor(fd, out);
    close(fd);
    return rc;
}

static void move_aside(const char *path, const char *why)
{
    char aside[PATH_MAX];
    int rc = file_set_aside(path, aside);

    if (rc < 0)
        log_error("bans: %s cannot be used (%s) and not be moved: %s", path, why, strerror(-rc));
    else
        log_warn("bans: %s cannot be used (%s); it is %s now, and nobody is banned", path, why,
                 aside);
}

static void load(struct bans *b)
{
    struct buf text = {0}, why = {0};
    int rc = read_file(b->path, &text);

    if (rc == 0 && ban_book_read(&b->book, buf_view(&text), clock_real_ns(), &why))
        log_notice("bans: %zu from %s", b->book.n, b->path);
    else if (rc != -ENOENT)
        move_aside(b->path, rc == -EPERM ? "others could have written it"
                            : rc < 0     ? strerror(-rc)
                                         : buf_cstr(&why));
    buf_free(&text);
    buf_free(&why);
}

/* What another master had, which is newer than the file if that could not be written. */
static bool load_list(struct bans *b, int fd)
{
    struct buf text = {0}, why = {0};
    bool ok = lseek(fd, 0, SEEK_SET) == 0 && read_descriptor(fd, &text) == 0 &&
              ban_book_read(&b->book, buf_view(&text), clock_real_ns(), &why);

    if (!ok)
        log_warn("bans: the list that was handed over cannot be used: %s", buf_cstr(&why));
    buf_free(&text);
    buf_free(&why);
    return ok;
}

int bans_list(const struct bans *b)
{
    int fd = memfd_create("rushgate-bans", MFD_CLOEXEC), rc;

    if (fd < 0)
        return -errno;
    rc = b->saved.failed ? -ENOMEM : file_write_all(fd, buf_view(&b->saved));
    if (rc == 0)
        return fd;
    close(fd);
    return rc;
}

/* why may be NULL. */
static void save(struct bans *b, struct buf *why)
{
    int rc;

    if (b->path == NULL)
        return;
    rc = b->saved.failed ? -ENOMEM : replace_file(b->path, buf_view(&b->saved));
    if (rc < 0 && why != NULL)
        buf_printf(why, "%s cannot be written: %s", b->path, strerror(-rc));
    if (rc < 0 && !b->dirty)
        log_error("bans: %s cannot be written: %s; they are in force, but would not survive a "
                  "restart",
                  b->path, strerror(-rc));
    if (rc == 0 && b->dirty)
        log_notice("bans: %s is written again", b->path);
    b->dirty = rc < 0;
}

/* --- time --- */

static void arm(struct bans *b)
{
    uint64_t next, now, wait = LOOK_NS;

    if (b->loop == NULL)
        return;
    next = ban_book_next_expiry(&b->book);
    now = clock_real_ns();
    if (next != BAN_NEVER && next < now + wait)
        wait = next > now ? next - now : 0;
    wait += NS_PER_MS; /* not a moment too early, nor in a circle */
    if (b->dirty && wait > RETRY_NS)
        wait = RETRY_NS;
    loop_timer_arm(b->loop, &b->timer, wait);
}

/* Publishes the list and notes its text. False: it does not fit; the list is what it was. */
static bool commit(struct bans *b)
{
    struct buf why = {0};

    if (ban_book_publish(&b->book, b->zone) < 0) {
        ban_book_clear(&b->book);
        if (!ban_book_read(&b->book, buf_view(&b->saved), 0, &why))
            log_error("bans: the list before is lost: %s", buf_cstr(&why));
        buf_free(&why);
        return false;
    }
    buf_clear(&b->saved);
    ban_book_write(&b->book, &b->saved);
    return true;
}

static void on_timer(struct loop_timer *t)
{
    struct bans *b = CONTAINER_OF(t, struct bans, timer);
    size_t gone = ban_book_expire(&b->book, clock_real_ns());

    if (gone > 0) {
        log_info("bans: %zu expired", gone);
        commit(b);
    }
    if (gone > 0 || b->dirty)
        save(b, NULL);
    arm(b);
}

/* --- for the master --- */

int bans_open(struct bans *b, const char *path, int list)
{
    uint64_t seed;
    bool taken;
    int rc;

    *b = (struct bans){.handle.fd = -1, .path = path};
    rc = zone_create(&b->handle, "ban", BAN_LAYOUT, ban_zone_size(BANS_MAX));
    if (rc < 0) {
        if (list >= 0)
            close(list);
        return rc;
    }
    random_bytes(&seed, sizeof seed);
    b->zone = (struct ban_zone *)b->handle.head;
    ban_zone_init(b->zone, BANS_MAX, seed);
    ban_book_init(&b->book, BANS_MAX);
    ban_book_write(&b->book, &b->saved);
    loop_timer_init(&b->timer, on_timer);
    taken = list >= 0 && load_list(b, list);
    if (list >= 0)
        close(list);
    if (!taken && path != NULL)
        load(b);
    b->dirty = taken; /* perhaps; written again it is right */
    if (b->book.n > 0 && !commit(b))
        log_error("bans: those of %s do not fit into the zone", path);
    return 0;
}

void bans_start(struct bans *b, struct loop *loop)
{
    b->loop = loop;
    arm(b);
}

void bans_rest(struct bans *b)
{
    if (b->loop != NULL)
        loop_timer_disarm(b->loop, &b->timer);
    b->loop = NULL;
}

void bans_close(struct bans *b)
{
    if (b->zone != NULL) {
        if (b->loop != NULL)
            loop_timer_disarm(b->loop, &b->timer);
        ban_book_fini(&b->book);
        buf_free(&b->saved);
    }
    zone_close(&b->handle);
    *b = (struct bans){.handle.fd = -1};
}

int bans_put(struct bans *b, struct ban *list, size_t n, size_t *added, struct buf *why)
{
    int rc = ban_book_put(&b->book, list, n, added);

    if (rc < 0)
        return rc;
    if (!commit(b))
        return -ENOSPC;
    save(b, why);
    arm(b);
    return 0;
}

size_t bans_remove(struct bans *b, const struct ban_target *what, size_t n, struct buf *why)
{
    size_t removed = 0;

    if (what == NULL) {
        removed = b->book.n;
        ban_book_clear(&b->book);
    }
    for (size_t i = 0; what != NULL && i < n; i++)
        removed += ban_book_remove(&b->book, &what[i]);
    if (removed == 0)
        return 0;
    commit(b);
    save(b, why);
    arm(b);
    return removed;
}
