/* SPDX-License-Identifier: BSD-2-Clause */
#include "config.h"

#include "client.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "conf/conf.h"
#include "ctl/attachment.h"

#define ANSWER_MAX_BYTES (64u << 20)
#define TRIES            5u
#define TRY_AGAIN_MS     100
#define LOOK_AGAIN_MS    5
#define ATTACH_WAIT_NS   (2 * NS_PER_S)

void client_failure_fini(struct client_failure *f)
{
    buf_free(&f->message);
    buf_free(&f->hint);
}

enum which_path { PATH_SOCKET, PATH_PID_FILE };

static const char *prefix_of(const struct options *o)
{
    return option_given(o, OPT_PREFIX) ? o->value[OPT_PREFIX] : "/";
}

static bool path_from_config(const struct options *o, enum which_path which, struct buf *out)
{
    struct buf errors = {0};
    struct conf *c = conf_load(o->value[OPT_CONFIG], prefix_of(o), &errors);
    bool ok = c != NULL;

    if (ok)
        buf_str(out,
                which == PATH_SOCKET ? conf_process(c)->admin_socket : conf_process(c)->pid_file);
    if (c != NULL)
        conf_free(&c);
    buf_free(&errors);
    return ok;
}

static void fail(struct client_failure *f, enum ctl_error error, const char *hint, const char *fmt,
                 ...) __attribute__((format(printf, 4, 5)));

static void fail(struct client_failure *f, enum ctl_error error, const char *hint, const char *fmt,
                 ...)
{
    va_list ap;

    f->error = error;
    va_start(ap, fmt);
    buf_vprintf(&f->message, fmt, ap);
    va_end(ap);
    buf_str(&f->hint, hint);
}

bool client_socket_path(const struct options *o, struct buf *out, struct client_failure *f)
{
    const char *env = getenv("RUSHGATE_SOCKET");

    if (option_given(o, OPT_CONFIG) && access(o->value[OPT_CONFIG], R_OK) < 0) {
        fail(f, CTL_USAGE, "without -c the usual place is tried", "%s: %s", o->value[OPT_CONFIG],
             strerror(errno));
        return false;
    }
    if (option_given(o, OPT_SOCKET))
        buf_str(out, o->value[OPT_SOCKET]);
    /* A file that does not load now may still be the one of a running daemon: the usual place then.
     */
    else if (option_given(o, OPT_CONFIG) && path_from_config(o, PATH_SOCKET, out))
        return true;
    else if (!option_given(o, OPT_CONFIG) && !option_given(o, OPT_PREFIX) && env != NULL &&
             *env != '\0')
        buf_str(out, env);
    else
        conf_path(prefix_of(o), SLICE_LIT("run/rushgate.sock"), out);
    return true;
}

void client_pid_file(const struct options *o, const char *socket, struct buf *out)
{
    const char *slash = strrchr(socket, '/');

    if (option_given(o, OPT_CONFIG) && path_from_config(o, PATH_PID_FILE, out))
        return;
    if (slash != NULL)
        buf_add(out, socket, (size_t)(slash + 1 - socket));
    buf_str(out, "rushgate.pid");
}

static void fail_connect(struct client_failure *f, int error, const char *path)
{
    switch (error) {
    case ENOENT:
    case ECONNREFUSED:
    case ENOTDIR:
        fail(f, CTL_NOT_RUNNING, "another socket: -s PATH, -p DIR or -c FILE",
             "rushgate is not running (nobody answers on %s)", path);
        break;
    case EACCES:
    case EPERM:
        fail(f, CTL_PERMISSION, "be root, the daemon's user or in the socket's group",
             "no permission to use %s", path);
        break;
    case EAGAIN:
        fail(f, CTL_BUSY, "try again", "the daemon does not accept connections on %s", path);
        break;
    default:
        fail(f, CTL_FAILED, "", "%s: %s", path, strerror(error));
    }
}

static int connect_to(const char *path, struct client_failure *f)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int fd;

    if (strlen(path) >= sizeof sa.sun_path) {
        fail(f, CTL_USAGE, "", "the socket's path is longer than 107 bytes: %s", path);
        return -1;
    }
    memcpy(sa.sun_path, path, strlen(path));
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&sa, sizeof sa) == 0)
        return fd;
    fail_connect(f, errno, path);
    if (fd >= 0)
        close(fd);
    return -1;
}

/* False: the time is over. */
static bool wait_for(int fd, short what, uint64_t until_ns)
{
    struct pollfd p = {.fd = fd, .events = what};

    for (;;) {
        uint64_t now = clock_mono_ns();
        int rc;
        if (now >= until_ns)
            return false;
        rc = poll(&p, 1, (int)((until_ns - now) / NS_PER_MS + 1));
        if (rc > 0 || (rc < 0 && errno != EINTR))
            return true;
    }
}

/* attached: sent with the first bytes; -1: nothing. */
static bool send_all(int fd, struct slice s, int attached, uint64_t until_ns)
{
    uint64_t give_up_ns = clock_mono_ns() + ATTACH_WAIT_NS;

    while (s.n > 0) {
        ssize_t n = attached >= 0 ? attachment_send(fd, s.p, s.n, attached)
                                  : send(fd, s.p, s.n, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN && wait_for(fd, POLLOUT, until_ns))
            continue;
        /* The daemon has not looked yet at who connects; from whom it takes nothing the request
         * goes without, and is refused. */
        if (n < 0 && errno == EPERM && attached >= 0) {
            (void)poll(NULL, 0, LOOK_AGAIN_MS);
            attached = clock_mono_ns() < give_up_ns ? attached : -1;
            continue;
        }
        /* Whoever turned us away may have said why before it closed: read on. */
        if (n < 0)
            return errno == EPIPE;
        s = slice_of(s.p + n, s.n - (size_t)n);
        attached = -1;
    }
    return true;
}

/* One line into out. 0, -ETIMEDOUT, -EPIPE when it ends before, -EMSGSIZE. */
static int read_line(int fd, struct buf *out, uint64_t until_ns)
{
    for (;;) {
        ssize_t n;
        if (!buf_reserve(out, 64 << 10) || out->n > ANSWER_MAX_BYTES)
            return -EMSGSIZE;
        n = recv(fd, out->p + out->n, out->cap - out->n, 0);
        if (n < 0 && errno == EAGAIN) {
            if (!wait_for(fd, POLLIN, until_ns))
                return -ETIMEDOUT;
            continue;
        }
        if (n <= 0)
            return -EPIPE;
        out->n += (size_t)n;
        if (memchr(out->p + out->n - n, '\n', (size_t)n) != NULL)
            return 0;
    }
}

static void write_many(const struct options *o, struct buf *out)
{
    for (unsigned i = 0; i < o->inv.many_n; i++) {
        buf_char(out, i > 0 ? ',' : '[');
        buf_json(out, slice_str(o->inv.many[i]));
    }
    buf_char(out, ']');
}

static void write_request(const struct options *o, struct buf *out)
{
    const char *sep = "";

    buf_str(out, "{\"v\":1,\"argv\":[");
    for (unsigned i = 0; i < o->words_n; i++) {
        buf_str(out, i > 0 ? "," : "");
        buf_json(out, slice_str(o->words[i]));
    }
    buf_str(out, "],\"flags\":{");
    for (unsigned f = 0; f < CTL_FLAG_COUNT; f++) {
        if (o->inv.flag[f] == NULL)
            continue;
        buf_printf(out, "%s\"%s\":", sep, ctl_flags[f].name);
        if (ctl_flags[f].metavar[0] == '\0')
            buf_str(out, "true");
        else if (ctl_flag_repeats((enum ctl_flag_id)f))
            write_many(o, out);
        else
            buf_json(out, slice_str(o->inv.flag[f]));
        sep = ",";
    }
    buf_str(out, "}}\n");
}

static json_t *parse_answer(const struct buf *line, struct client_failure *f)
{
    json_error_t error;
    json_t *doc = json_loadb(line->p, line->n, 0, &error);

    if (json_is_object(doc) && json_is_string(json_object_get(doc, "schema")))
        return doc;
    json_decref(doc);
    fail(f, CTL_FAILED, "is it another version?", "the daemon's answer makes no sense");
    return NULL;
}

/* The command's FILE. -1 with a failure: it cannot be read. */
static int attach(const struct options *o, struct client_failure *f)
{
    int fd = attachment_make(o->inv.args[0]);

    if (fd == -EFBIG)
        fail(f, CTL_USAGE, "", "%s is larger than %u MB", o->inv.args[0],
             ATTACHMENT_MAX_BYTES >> 20);
    else if (fd < 0)
        fail(f, CTL_USAGE, "", "%s: %s", o->inv.args[0], strerror(-fd));
    return fd;
}

/* One conversation. *closed: it ended without an answer, which failure does not say yet. */
static json_t *ask_once(const char *path, const struct options *o, uint64_t until,
                        struct client_failure *f, bool *closed)
{
    struct buf out = {0}, in = {0};
    json_t *doc = NULL;
    int fd = connect_to(path, f), attached = -1, rc;

    *closed = false;
    if (fd < 0)
        return NULL;
    if (o->inv.id == CMD_BAN_LOAD && o->inv.args_n > 0 && (attached = attach(o, f)) < 0) {
        close(fd);
        return NULL;
    }
    write_request(o, &out);
    rc = send_all(fd, buf_view(&out), attached, until) ? read_line(fd, &in, until) : -ETIMEDOUT;
    if (rc == 0)
        doc = parse_answer(&in, f);
    else if (rc == -ETIMEDOUT)
        fail(f, CTL_TIMEOUT, "the command may have been carried out",
             "the daemon at %s does not answer in time", path);
    else
        *closed = true;
    if (attached >= 0)
        close(attached);
    close(fd);
    buf_free(&out);
    buf_free(&in);
    return doc;
}

json_t *client_ask(const char *path, const struct options *o, uint64_t timeout_ns,
                   struct client_failure *f)
{
    uint64_t until = clock_mono_ns() + timeout_ns;
    bool looks = ctl_commands[o->inv.id].permission == CTL_VIEW, closed = true;
    json_t *doc = NULL;

    for (unsigned tries = 0; closed && tries < (looks ? TRIES : 1); tries++) {
        if (tries > 0)
            (void)poll(NULL, 0, TRY_AGAIN_MS);
        doc = ask_once(path, o, until, f, &closed);
    }
    if (closed)
        fail(f, CTL_FAILED,
             looks ? "is it stopping? the error log may say"
                   : "is it stopping? the command may have been carried out: rushctl status",
             "the daemon at %s closed the connection without an answer", path);
    return doc;
}
