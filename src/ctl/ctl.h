/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The control socket: what rushctl talks to. Runs in the master, in its loop; nothing here blocks.
 *
 * A client sends one JSON line a request and gets one JSON document, ended by a newline, an answer;
 * as many requests on a connection as it likes, one at a time.
 *
 *   {"v":1,"argv":["show","workers"],"flags":{"wait":"30s"}}
 *   {"schema":"rushgate.workers/1","generation":7,"workers":{...},"time":"...","warnings":[],"data":...}
 *   {"schema":"rushgate.error/1","error":{"code":"not_found","message":"...","hint":"..."}}
 *
 * With a command that takes a FILE its content comes along as a descriptor: attachment.h.
 *
 * Which commands there are, who may run them and with which arguments is commands.def. `view`
 * commands are for everyone who can connect. `operate` commands are for root, the master's own user
 * and members of the socket's group, as the kernel (SO_PEERCRED, SO_PEERGROUPS) says. With the
 * default mode 0660 whoever can connect is one of these; a mode like 0666 lets everyone look and
 * these operate.
 */
#ifndef CTL_CTL_H
#define CTL_CTL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/buf.h"
#include "conf/conf.h"
#include "ctl/audit.h"
#include "ctl/change.h"
#include "metric/metric.h"
#include "net/loop.h"
#include "shm/bank.h"
#include "shm/control.h"

struct ctl;
struct ban;
struct ban_book;
struct ban_target;
struct closed_zone;
struct offenders_zone;
struct sent_zone;

/* How a reload ended. Borrowed for the time of the callback. */
struct ctl_reload_result {
    bool ok;            /* the new configuration is in force (perhaps not everywhere yet) */
    bool invalid;       /* not ok, because the files are wrong: `errors` lists why */
    bool incomplete;    /* ok, but some worker did not acknowledge within the wait */
    const char *errors; /* text for people, several lines; "" none */
    const char *hint;   /* not ok, and this is what to do: it was refused; NULL */
    const char *warnings;
    uint64_t old_generation, new_generation;
    unsigned files, settings;          /* conf_files, conf_settings_set of the new one */
    const struct conf_change *changes; /* as conf_diff reports them */
    unsigned changes_n;
    unsigned workers_acked,
        workers_total; /* processes that follow the configuration, the keeper too */
    uint64_t duration_ns;
};

typedef void ctl_reload_fn(void *request, const struct ctl_reload_result *result);

/* What is asked for, when the configuration is to be changed. */
struct ctl_order {
    uint64_t wait_ns; /* longest wait for the processes after the flip */
    uint64_t
        generation; /* rollback: to which; 0: the canary's end, else the one before the current */
    uint32_t share; /* canary: of BANK_SHARE_ALL; 0: as the configuration says */
    bool force;     /* end a canary that runs; take what was rolled back */
    const char *reason; /* NULL: none was given */
    char by[24];        /* who asks, "uid 0"; "": not known */
};

/* A configuration that can come into force again. The strings are the master's. */
struct ctl_generation {
    uint64_t generation, first; /* its number; the one as which it came into force at first */
    uint64_t since_real_ns;
    const char *state, *origin, *reason, *changes;
    bool of_file;     /* it is what the file said when it was last loaded */
    unsigned runtime; /* how many runtime changes lie over it */
    const struct conf *conf;
    bool counted;   /* while a canary runs, it and the current one: since it began */
    uint32_t share; /* of BANK_SHARE_ALL */
    uint64_t requests, errors, p50_ns, p99_ns;
};

#define CTL_GENERATIONS 64

/* What was rolled back while the file says it still. The strings are the master's. */
struct ctl_rolled_back {
    uint64_t generation; /* as which it was tried or in force; 0: there is nothing */
    bool canary;
    uint64_t since_real_ns, at_real_ns; /* when that was, when it was rolled back */
    const char *by, *reason;
};

/* What became of a thing that an upgrade handed over: "zone limit kept". Borrowed. */
struct ctl_upgrade_note {
    const char *kind, *name, *outcome, *why;
};

enum ctl_upgrade_outcome {
    CTL_UPGRADED,
    CTL_UPGRADE_FAILED,
    CTL_UPGRADE_REFUSED,
    CTL_UPGRADE_LATE
};

/* How an upgrade ended. Borrowed for the time of the callback. */
struct ctl_upgrade_result {
    enum ctl_upgrade_outcome outcome;
    const char *error; /* why it is not CTL_UPGRADED */
    const char *binary, *old_version, *version;
    pid_t old_pid, pid;
    unsigned workers; /* of the new one, ready */
    bool drained;     /* the old workers have ended; else: */
    unsigned old_workers, old_connections;
    const struct ctl_upgrade_note *notes;
    unsigned notes_n;
    uint64_t ready_ns, duration_ns; /* from the start */
};

typedef void ctl_upgrade_fn(void *request, const struct ctl_upgrade_result *result);

/* An address that is listened on: "public" "0.0.0.0:8080", with the port the kernel chose. */
struct ctl_listener {
    char name[64];
    char address[128];
};

/* A request that is asked about (explain). Strings are borrowed; NULL: not given. */
struct ctl_question {
    const char *method, *url;
    const char *const *headers; /* "NAME: VALUE" */
    unsigned headers_n;
    const char *client, *identity, *body;
    const char *generation; /* a number, "stable", "canary"; NULL: as a request now would meet */
};

/* What the master implements. All functions are there; none blocks longer than reading files. */
struct ctl_ops {
    /*
     * Loads, checks, compiles, publishes; calls done exactly once, now or later: when every worker
     * uses the new generation, when wait_ns after the flip is over (0: right after it), or when it
     * failed. Two reloads at once: the master queues or joins them, or ends the second with
     * ok = false and a text. No call of done after ctl_free.
     */
    void (*reload)(void *arg, const struct ctl_order *order, ctl_reload_fn *done, void *request);
    /* Publishes a kept generation again; answers as reload does. */
    void (*rollback)(void *arg, const struct ctl_order *order, ctl_reload_fn *done, void *request);
    /* As reload, but for a share of the buyers; the canary comes into force; has another share. */
    void (*canary)(void *arg, const struct ctl_order *order, ctl_reload_fn *done, void *request);
    void (*promote)(void *arg, const struct ctl_order *order, ctl_reload_fn *done, void *request);
    void (*share)(void *arg, const struct ctl_order *order, ctl_reload_fn *done, void *request);
    /* The canary, the current generation and those that are kept, newest first. Returns how many.
     */
    unsigned (*generations)(void *arg, struct ctl_generation *out, unsigned max);
    struct ctl_rolled_back (*rolled_back)(void *arg);
    /* As QUIT (graceful) or TERM (fast). Returns at once; the answer leaves if the loop turns a few
     * more times. */
    void (*stop)(void *arg, bool fast);
    /* As WINCH: workers finish what they have and end; master, keeper and box office stay. */
    void (*drain)(void *arg);
    /*
     * Another binary takes over; NULL: the one that is installed now. Calls done exactly once, now
     * or later: when it failed, when the old workers have ended, or when wait_ns is over. 0 waits
     * until the new one is in force. No call of done after ctl_free.
     */
    void (*upgrade)(void *arg, const char *binary, uint64_t wait_ns, ctl_upgrade_fn *done,
                    void *request);
    /* NULL, or why nothing may be changed now: another binary is taking over. */
    const char *(*busy)(void *arg);
    /* The embedded box office ends after what it has accepted, and starts again. NULL or why not.
     */
    const char *(*restart_boxoffice)(void *arg);
    /* Whether the box office runs another program than would be started now. */
    bool (*boxoffice_outdated)(void *arg);
    /* As USR1. 0 or -errno. */
    int (*reopen_logs)(void *arg);
    /* Configuration in force, and the file it came from. */
    const struct conf *(*conf)(void *arg);
    const char *(*conf_file)(void *arg);
    /* Real addresses, the admin listener ("admin") too. Fills at most max, returns how many. */
    unsigned (*listeners)(void *arg, struct ctl_listener *out, unsigned max);
    /* Makes, ends or saves runtime changes; calls done exactly once, as reload does. The order is
     * borrowed for the time of the call. */
    void (*change)(void *arg, const struct ctl_change_order *order, ctl_change_fn *done,
                   void *request);
    /* Calls each for every runtime change there is, oldest first. */
    void (*changes)(void *arg, void (*each)(void *out, const struct ctl_change_row *row),
                    void *out);
    /* The list of bans. Put: 0, or -ENOSPC and nothing changed. Remove (what NULL: all): how many.
     * In force everywhere when they return; why: filled when it could not be made durable. Hits of
     * one, and when the last was (0: none). */
    const struct ban_book *(*bans)(void *arg);
    int (*ban_put)(void *arg, struct ban *list, size_t n, size_t *added, struct buf *why);
    size_t (*ban_remove)(void *arg, const struct ban_target *what, size_t n, struct buf *why);
    uint64_t (*ban_hits)(void *arg, const struct ban *ban, uint64_t *last_ns);
    /* Loads the files, without publishing anything, and calls done before it returns. */
    void (*diff)(void *arg, ctl_diff_fn *done, void *request);
    /* Appends what the request would meet to out, a JSON object. -EINVAL: it is no request,
     * -ENOENT: there is no such generation (both with a text), -ENOMEM. */
    int (*explain)(void *arg, const struct ctl_question *q, struct buf *out, struct buf *why);
};

struct ctl_config {
    struct loop *loop;
    int listen_fd;  /* from ctl_listen; stays the caller's */
    bool strangers; /* the socket's mode lets in others than those who may operate */
    gid_t group;    /* whose members may operate; (gid_t)-1: nobody's. From ctl_listen */
    struct control *control;
    const struct metric_zone *metrics;
    const struct bank_zone *banks;
    const struct offenders_zone *offenders;
    const struct closed_zone *closed;
    const struct sent_zone *sent;
    const char *prefix;        /* as given to -p; copied */
    const char *version;       /* copied */
    const struct ctl_ops *ops; /* borrowed */
    void *arg;                 /* for ops */
    struct audit *audit;       /* borrowed; NULL: none */
};

/*
 * Binds the control socket: mode as configured, group by name. Where `group` is "" the socket gets
 * the group `otherwise`: that of the user whom a master that is root runs its children as, who thus
 * may use rushctl; (gid_t)-1 leaves it. A socket file that nobody listens on any more is replaced.
 * Returns the descriptor (close-on-exec, non-blocking) with *gid the group of the file, or -errno;
 * -EADDRINUSE when another master is there, -ENOENT when the group or the directory does not exist.
 */
int ctl_listen(const char *path, mode_t mode, const char *group, gid_t otherwise, gid_t *gid)
    __attribute__((warn_unused_result));

/*
 * Mode and group, as in ctl_listen, for a socket that another master bound to path and gave to us.
 * 0, or -errno: what could not be changed is as it was. *is: the file as it is now, zeroed
 * when it is not ours.
 */
int ctl_relisten(int fd, const char *path, mode_t mode, const char *group, gid_t otherwise,
                 struct stat *is) __attribute__((warn_unused_result));

/* Starts to accept. NULL when memory is out. */
struct ctl *ctl_new(const struct ctl_config *cfg);
/* Accepts clients, or leaves them to another process that accepts from the same socket. Those that
 * are there stay. */
void ctl_accept(struct ctl *c, bool on);
/* Closes every client; the listening socket and its file stay the caller's. */
void ctl_free(struct ctl **c);

#endif
