/* SPDX-License-Identifier: BSD-2-Clause */
#include "config.h"

#include "proc/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "shm/control.h"

#define HEADLINE  "rushgate-handover 1\n"
#define TEXT_MAX  (4u << 20)
#define TEXT_SEAL (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)

/* --- giving --- */

void handover_put(struct handover_out *o, const char *kind, int fd, const char *fmt, ...)
{
    va_list ap;

    if (o->text.n == 0)
        buf_str(&o->text, HEADLINE);
    buf_printf(&o->text, "%s %d ", kind, fd);
    va_start(ap, fmt);
    buf_vprintf(&o->text, fmt, ap);
    va_end(ap);
    buf_char(&o->text, '\n');
    if (fd < 0)
        return;
    o->fds = xrealloc(o->fds, (o->n + 1) * sizeof *o->fds);
    o->fds[o->n++] = fd;
}

void handover_put_copy(struct handover_out *o, const char *kind, int fd, const char *text)
{
    handover_put(o, kind, fd, "%s", text);
    if (fd < 0)
        return;
    o->copies = xrealloc(o->copies, (o->copies_n + 1) * sizeof *o->copies);
    o->copies[o->copies_n++] = fd;
}

int handover_seal(struct handover_out *o)
{
    int fd = memfd_create("rushgate-handover", MFD_CLOEXEC | MFD_ALLOW_SEALING), rc;

    if (fd < 0)
        return -errno;
    if (!o->text.failed && write(fd, o->text.p, o->text.n) == (ssize_t)o->text.n &&
        fcntl(fd, F_ADD_SEALS, TEXT_SEAL) == 0)
        return fd;
    rc = errno != 0 ? -errno : -ENOMEM;
    close(fd);
    return rc;
}

void handover_out_free(struct handover_out *o)
{
    for (unsigned i = 0; i < o->copies_n; i++)
        close(o->copies[i]);
    buf_free(&o->text);
    free(o->fds);
    free(o->copies);
    *o = (struct handover_out){0};
}

/* --- receiving --- */

bool handover_expected(void)
{
    const char *env = getenv(HANDOVER_ENV);

    return env != NULL && env[0] != '\0';
}

static bool number(const char *text, long long max, long long *n)
{
    char *end;

    errno = 0;
    *n = strtoll(text, &end, 10);
    return errno == 0 && end != text && *end == '\0' && *n >= -1 && *n <= max;
}

/* The next word of a line, cut out of it; "" at the end. */
static char *word(char **rest)
{
    char *w = *rest, *blank = strchr(w, ' ');

    *rest = blank != NULL ? blank + 1 : w + strlen(w);
    if (blank != NULL)
        *blank = '\0';
    return w;
}

static bool keep_text(char *out, size_t size, const char *text)
{
    return text[0] != '\0' && (size_t)snprintf(out, size, "%s", text) < size;
}

static bool is_socket(int fd, int type, bool listening)
{
    int is_type = 0, accepts = 0;
    socklen_t n = sizeof is_type, n2 = sizeof accepts;

    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &is_type, &n) == 0 && is_type == type &&
           getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &accepts, &n2) == 0 &&
           (accepts != 0) == listening;
}

/* Whose pidfd that is, in the kernel's words: -1 of one that has ended, 0 when it is none. */
static long pidfd_of(int fd)
{
    char path[64], line[128];
    long pid = 0;
    FILE *f;

    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
    f = fopen(path, "re");
    while (f != NULL && pid == 0 && fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, "Pid:", 4) == 0)
            pid = strtol(line + 4, NULL, 10);
    if (f != NULL)
        fclose(f);
    return pid;
}

typedef bool take_fn(struct handover *h, int fd, char *rest);

static bool take_master(struct handover *h, int fd, char *rest)
{
    long long pid, half;
    const char *pid_text = word(&rest), *version = word(&rest);

    if (fd >= 0 || !number(pid_text, INT_MAX, &pid) || pid < 1 || !number(rest, 1, &half) ||
        half < 0)
        return false;
    h->master = (pid_t)pid;
    h->half = (unsigned)half;
    return keep_text(h->version, sizeof h->version, version);
}

static bool take_channel(struct handover *h, int fd, char *rest)
{
    if (h->channel >= 0 || rest[0] != '\0' || !is_socket(fd, SOCK_SEQPACKET, false))
        return false;
    h->channel = fd;
    return true;
}

static bool take_stderr(struct handover *h, int fd, char *rest)
{
    if (h->stderr_fd >= 0 || fd < 0 || rest[0] != '\0')
        return false;
    h->stderr_fd = fd;
    return true;
}

static bool take_pid_file(struct handover *h, int fd, char *rest)
{
    return fd < 0 && keep_text(h->pid_file, sizeof h->pid_file, rest);
}

static bool take_control(struct handover *h, int fd, char *rest)
{
    if (h->control_fd >= 0 || !is_socket(fd, SOCK_STREAM, true))
        return false;
    h->control_fd = fd;
    return keep_text(h->control_path, sizeof h->control_path, rest);
}

/* The socket listens where the description says that it does. */
static bool listens_at(int fd, const char *address)
{
    char bound[LISTENER_TEXT];

    return is_socket(fd, SOCK_STREAM, true) && listener_address(fd, bound) &&
           strcmp(bound, address) == 0;
}

static bool take_admin(struct handover *h, int fd, char *rest)
{
    if (h->admin_fd >= 0 || !listens_at(fd, rest))
        return false;
    h->admin_fd = fd;
    return keep_text(h->admin, sizeof h->admin, rest);
}

static bool take_listener(struct handover *h, int fd, char *rest)
{
    struct inherited_socket s = {.fd = fd};
    const char *slot_text = word(&rest), *address = word(&rest);
    long long slot;

    if (h->sockets_n == HANDOVER_SOCKETS || !number(slot_text, CONTROL_WORKERS - 1, &slot) ||
        slot < 0 || !listens_at(fd, address) || !keep_text(s.address, sizeof s.address, address) ||
        !keep_text(s.configured, sizeof s.configured, rest))
        return false;
    s.slot = (unsigned)slot;
    for (unsigned i = 0; i < h->sockets_n; i++)
        if (h->sockets[i].fd == fd ||
            (h->sockets[i].slot == s.slot && strcmp(h->sockets[i].address, s.address) == 0))
            return false;
    h->sockets = xrealloc(h->sockets, (h->sockets_n + 1) * sizeof *h->sockets);
    h->sockets[h->sockets_n++] = s;
    return true;
}

/* What the zone holds is checked by whoever attaches it. */
static bool take_zone(struct handover *h, int fd, char *rest)
{
    struct handover_zone z = {.fd = fd};

    if (fd < 0 || h->zones_n == HANDOVER_ZONES || !keep_text(z.name, sizeof z.name, rest))
        return false;
    for (unsigned i = 0; i < h->zones_n; i++)
        if (strcmp(h->zones[i].name, z.name) == 0)
            return false;
    h->zones[h->zones_n++] = z;
    return true;
}

static bool take_bans(struct handover *h, int fd, char *rest)
{
    if (h->bans >= 0 || fd < 0 || rest[0] != '\0')
        return false;
    h->bans = fd;
    return true;
}

static bool take_boxoffice(struct handover *h, int fd, char *rest)
{
    const char *pid_text = word(&rest);
    long long pid, start;
    long is = pidfd_of(fd);

    if (h->boxoffice >= 0 || !number(pid_text, INT_MAX, &pid) || pid < 1 ||
        !number(rest, LLONG_MAX, &start) || start < 1 || (is != pid && is != -1))
        return false;
    if (is == -1) { /* it died on the way: there is none to take over */
        close(fd);
        return true;
    }
    h->boxoffice = fd;
    h->boxoffice_pid = (pid_t)pid;
    h->boxoffice_start = (uint64_t)start;
    return true;
}

static bool take_boxoffice_listen(struct handover *h, int fd, char *rest)
{
    return fd < 0 && keep_text(h->boxoffice_listen, sizeof h->boxoffice_listen, rest);
}

static bool take_boxoffice_store(struct handover *h, int fd, char *rest)
{
    return fd < 0 && keep_text(h->boxoffice_store, sizeof h->boxoffice_store, rest);
}

static bool take_end(struct handover *h, int fd, char *rest)
{
    h->complete = fd < 0 && rest[0] == '\0' && h->master > 0 && h->channel >= 0 &&
                  h->stderr_fd >= 0 && h->pid_file[0] != '\0' && h->control_fd >= 0;
    return h->complete;
}

static const struct {
    const char *kind;
    take_fn *take;
} kinds[] = {
    {"master", take_master},
    {"channel", take_channel},
    {"stderr", take_stderr},
    {"pid_file", take_pid_file},
    {"control", take_control},
    {"admin", take_admin},
    {"listener", take_listener},
    {"zone", take_zone},
    {"bans", take_bans},
    {"boxoffice", take_boxoffice},
    {"boxoffice_listen", take_boxoffice_listen},
    {"boxoffice_store", take_boxoffice_store},
    {"end", take_end},
};

/* A line in words; false: it is wrong. */
static bool take_line(struct handover *h, char *line)
{
    const char *kind = word(&line), *fd_text = word(&line);
    long long fd;

    if (!number(fd_text, INT_MAX, &fd) || (fd >= 0 && fd <= STDERR_FILENO) || h->complete)
        return false;
    if (fd >= 0 && fcntl((int)fd, F_SETFD, FD_CLOEXEC) < 0)
        return false;
    for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(kinds[i].kind, kind) == 0)
            return kinds[i].take(h, (int)fd, line);
    if (fd >= 0)
        close((int)fd); /* of a newer version, for a thing that we do not have */
    return true;
}

static bool take_text(struct handover *h, char *text, struct buf *err)
{
    char *line, *rest = text;
    unsigned n = 1;

    if (strncmp(text, HEADLINE, strlen(HEADLINE)) != 0) {
        buf_str(err, "what the running master hands over is of another kind");
        return false;
    }
    rest += strlen(HEADLINE);
    while ((line = rest)[0] != '\0') {
        char copy[80];
        n++;
        rest += strcspn(rest, "\n");
        if (*rest == '\n')
            *rest++ = '\0';
        snprintf(copy, sizeof copy, "%s", line);
        if (!take_line(h, line)) {
            buf_printf(err, "what the running master hands over is wrong in line %u: %s", n, copy);
            return false;
        }
    }
    if (!h->complete)
        buf_str(err, "what the running master hands over is not complete");
    return h->complete;
}

/* The whole description, NUL-terminated; NULL: the descriptor is none of ours. */
static char *read_text(int fd)
{
    struct stat st;
    int seals = fcntl(fd, F_GET_SEALS);
    char *text;

    if (seals < 0 || (seals & TEXT_SEAL) != TEXT_SEAL || fstat(fd, &st) < 0 || st.st_size <= 0 ||
        st.st_size > TEXT_MAX)
        return NULL;
    text = xcalloc((size_t)st.st_size + 1, 1);
    if (pread(fd, text, (size_t)st.st_size, 0) == st.st_size && strlen(text) == (size_t)st.st_size)
        return text;
    free(text);
    return NULL;
}

struct handover *handover_receive(struct buf *err)
{
    struct handover *h = xcalloc(1, sizeof *h);
    char *env = getenv(HANDOVER_ENV);
    long long fd;
    char *text = NULL;
    bool ok;

    h->channel = h->stderr_fd = h->control_fd = h->admin_fd = h->boxoffice = h->bans = -1;
    if (env != NULL && number(env, INT_MAX, &fd) && fd > STDERR_FILENO)
        text = read_text((int)fd);
    if (text != NULL)
        close((int)fd);
    if (env != NULL)
        env[0] = '\0'; /* in place: the environment is a copy that nobody would free (title.h) */
    ok = text != NULL && take_text(h, text, err);
    if (text == NULL)
        buf_str(err, HANDOVER_ENV " in the environment names nothing that a master hands over");
    free(text);
    if (!ok)
        handover_free(&h);
    return h;
}

int handover_take_zone(struct handover *h, const char *name)
{
    for (unsigned i = 0; i < h->zones_n; i++)
        if (strcmp(h->zones[i].name, name) == 0) {
            int fd = h->zones[i].fd;
            h->zones[i].fd = -1;
            return fd;
        }
    return -1;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void handover_free(struct handover **hp)
{
    struct handover *h = *hp;

    if (h == NULL)
        return;
    close_fd(&h->channel);
    close_fd(&h->stderr_fd);
    close_fd(&h->control_fd);
    close_fd(&h->admin_fd);
    close_fd(&h->boxoffice);
    close_fd(&h->bans);
    for (unsigned i = 0; i < h->sockets_n; i++)
        close_fd(&h->sockets[i].fd);
    for (unsigned i = 0; i < h->zones_n; i++)
        close_fd(&h->zones[i].fd);
    free(h->sockets);
    free(h);
    *hp = NULL;
}
