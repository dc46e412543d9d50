/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rushctl: options, then the command: run here, or asked of the daemon and printed. Every wait has
 * an end; the exit status says how it went (ctl/errors.def).
 */
#include "config.h"

#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "client.h"
#include "local.h"
#include "output.h"
#include "proc/orphans.h"
#include "watch.h"

#define ANSWER_NS       (10 * NS_PER_S)
#define WAIT_DEFAULT_NS (30 * NS_PER_S)
#define POLL_MS         100

typedef int local_fn(struct options *o);

#define HANDLER_LOCAL(id)     [CMD_##id] = local_##id,
#define HANDLER_MASTER(id)    [CMD_##id] = NULL,
#define HANDLER_BOXOFFICE(id) [CMD_##id] = NULL,
static local_fn *const local_commands[CMD_COUNT] = {
#define COMMAND(id, words, args, flags, permission, where, visible, help) HANDLER_##where(id)
#define FLAG(id, name, metavar, help)
#include "ctl/commands.def"
#undef COMMAND
#undef FLAG
};

static uint64_t wait_of(const struct options *o)
{
    const char *text = o->inv.flag[CTL_FLAG_WAIT];
    uint64_t ns = WAIT_DEFAULT_NS;

    if (text != NULL && !ctl_duration(text, &ns))
        ns = WAIT_DEFAULT_NS;
    return ns;
}

/* How long the daemon may take: commands that wait there take their wait and a little. */
static uint64_t answer_time(const struct options *o)
{
    if (ctl_command_takes(o->inv.id, CTL_FLAG_WAIT))
        return wait_of(o) + ANSWER_NS;
    return ctl_commands[o->inv.id].permission == CTL_OPERATE ? 2 * ANSWER_NS : ANSWER_NS;
}

/* Nobody answers, but what a killed master has left may still serve: say so. */
static void add_orphans(const struct options *o, const char *path, struct client_failure *f)
{
    struct orphans left;
    struct buf pid_file = {0};
    unsigned workers = 0;

    if (f->error != CTL_NOT_RUNNING)
        return;
    log_set_level(LOG_LEVEL_ERROR); /* a list that is somebody else's is no concern here */
    client_pid_file(o, path, &pid_file);
    orphans_find(&left, buf_cstr(&pid_file));
    for (unsigned i = 0; i < left.n; i++)
        workers += left.all[i].kind == 'w';
    if (left.n > 0) {
        buf_clear(&f->message);
        buf_clear(&f->hint);
        buf_printf(&f->message,
                   "the master is gone (nobody answers on %s), but %u of its processes are there: "
                   "%u worker%s may still serve",
                   path, left.n, workers, workers == 1 ? "" : "s");
        buf_str(&f->hint, "start rushgate again: it takes over from them");
    }
    orphans_free(&left);
    buf_free(&pid_file);
}

static json_t *ask(const struct options *o, const char *path, int *status)
{
    struct client_failure failure = {0};
    json_t *doc = client_ask(path, o, answer_time(o), &failure);

    if (doc == NULL)
        add_orphans(o, path, &failure);
    if (doc == NULL)
        *status = output_failure(o, &failure);
    return doc;
}

/* --- the end of a daemon, of workers --- */

static bool process_gone(pid_t pid, int timeout_ms)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    bool gone;

    if (fd < 0) {
        gone = kill(pid, 0) < 0;
        if (!gone)
            (void)poll(NULL, 0, timeout_ms);
        return gone;
    }
    gone = poll(&p, 1, timeout_ms) > 0;
    close(fd);
    return gone;
}

static int wait_for_end(const struct options *o, json_t *doc)
{
    json_t *data = json_object_get(doc, "data");
    pid_t pid = (pid_t)json_integer_value(json_object_get(data, "pid"));
    uint64_t until = clock_mono_ns() + wait_of(o);

    if (pid <= 0)
        return output_document(o, doc);
    while (!process_gone(pid, POLL_MS))
        if (clock_mono_ns() >= until)
            return output_error(o, CTL_TIMEOUT, "the daemon is still there, finishing requests",
                                "rushctl status; rushctl stop --fast");
    json_object_set_new(data, "state", json_string("stopped"));
    return output_document(o, doc);
}

/* Workers that are still at work; -1: nobody answers. */
static int workers_left(const struct options *o, const char *path)
{
    struct options show = *o;
    struct client_failure failure = {0};
    json_t *doc, *row;
    int left = 0;
    size_t i;

    show.words[0] = "show";
    show.words[1] = "workers";
    show.words_n = 2;
    memset(show.inv.flag, 0, sizeof show.inv.flag);
    doc = client_ask(path, &show, ANSWER_NS, &failure);
    client_failure_fini(&failure);
    if (doc == NULL || document_is_error(doc)) {
        json_decref(doc);
        return -1;
    }
    json_array_foreach(json_object_get(doc, "data"), i, row)
    {
        const char *name = json_string_value(json_object_get(row, "process"));
        const char *state = json_string_value(json_object_get(row, "state"));
        left += name != NULL && state != NULL && strncmp(name, "worker", 6) == 0 &&
                strcmp(state, "empty") != 0;
    }
    json_decref(doc);
    return left;
}

static int wait_for_workers(const struct options *o, const char *path, json_t *doc)
{
    uint64_t until = clock_mono_ns() + wait_of(o);
    int left;

    while ((left = workers_left(o, path)) > 0) {
        if (clock_mono_ns() >= until)
            return output_error(o, CTL_TIMEOUT, "workers are still finishing requests",
                                "rushctl show workers");
        (void)poll(NULL, 0, POLL_MS);
    }
    json_object_set_new(json_object_get(doc, "data"), "state",
                        json_string(left == 0 ? "drained" : "gone"));
    return output_document(o, doc);
}

/* --strict: a change that waits for a restart is a failure. */
static bool restart_pending(const json_t *doc)
{
    const json_t *change;
    size_t i;

    json_array_foreach(json_object_get(json_object_get(doc, "data"), "changes"), i,
                       change) if (json_is_false(json_object_get(change, "applied"))) return true;
    return false;
}

static int finish(const struct options *o, const char *path, json_t *doc)
{
    bool pending;
    size_t differences;
    int status;

    if (document_is_error(doc))
        return output_document(o, doc);
    if (o->inv.id == CMD_STOP && wait_of(o) > 0)
        return wait_for_end(o, doc);
    if (o->inv.id == CMD_DRAIN && wait_of(o) > 0)
        return wait_for_workers(o, path, doc);
    pending = o->inv.flag[CTL_FLAG_STRICT] != NULL && restart_pending(doc);
    differences = json_array_size(json_object_get(doc, "data")); /* before --filter */
    status = output_document(o, doc);
    pending = pending || (o->inv.id == CMD_DIFF && differences > 0);
    return status == 0 && pending ? ctl_errors[CTL_REFUSED].exit_status : status;
}

static int run_remote(const struct options *o)
{
    struct client_failure failure = {0};
    struct buf path = {0};
    json_t *doc;
    int status = 0;

    if (!client_socket_path(o, &path, &failure)) {
        status = output_failure(o, &failure);
    } else if (o->watch_s > 0) {
        status = watch_run(o, buf_cstr(&path));
    } else {
        doc = ask(o, buf_cstr(&path), &status);
        if (doc != NULL)
            status = finish(o, buf_cstr(&path), doc);
        json_decref(doc);
    }
    buf_free(&path);
    return status;
}

static int run(struct options *o)
{
    struct ctl_complaint why = {0};

    if (option_given(o, OPT_VERSION))
        return local_PRINT_VERSION(o);
    if (option_given(o, OPT_HELP)) {
        o->inv.args_n = o->words_n < CTL_ARGS_MAX ? o->words_n : CTL_ARGS_MAX;
        memcpy(o->inv.args, o->words, o->inv.args_n * sizeof *o->inv.args);
        return local_HELP(o);
    }
    if (!ctl_parse(o->words_n, o->words, &o->inv, &why))
        return output_complaint(o, &why);
    if (o->watch_s > 0 &&
        (local_commands[o->inv.id] != NULL || ctl_commands[o->inv.id].permission != CTL_VIEW))
        return output_error(o, CTL_USAGE, "--watch is for commands that show something",
                            "rushctl --watch 1 show routes");
    return local_commands[o->inv.id] != NULL ? local_commands[o->inv.id](o) : run_remote(o);
}

int main(int argc, char **argv)
{
    struct options o = {0};
    struct ctl_complaint why = {0};

    signal(SIGPIPE, SIG_IGN); /* a reader that leaves early is no failure: output_write */
    /* Widths of characters; texts are UTF-8 whatever the terminal says. */
    if (setlocale(LC_CTYPE, "C.UTF-8") == NULL)
        setlocale(LC_CTYPE, "");
    if (argc > 1 && strcmp(argv[1], "__complete") == 0)
        return complete_words(argc - 1, argv + 1);
    if (!options_read(&o, argc, argv, &why))
        return output_complaint(&o, &why);
    return run(&o);
}
