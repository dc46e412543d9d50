/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rushgate: options, the configuration, then over to the master (proc/master.c).
 *
 * Exit status: 0 it ran and was stopped (or: what was asked is done, the configuration is valid);
 * 1 it could not start, or the configuration has errors; 2 the options are wrong.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "conf/conf.h"
#include "proc/master.h"
#include "proc/title.h"

#define EXIT_USAGE   2
#define DEFAULT_FILE RUSHGATE_SYSCONFDIR "/rushgate/rushgate.yaml"

enum mode { MODE_RUN, MODE_CHECK, MODE_DUMP };

enum { OPT_REFERENCE = 256, OPT_JSON_SCHEMA };

struct arguments {
    enum mode mode;
    const char *file;
    char *prefix; /* owned, absolute */
    const char *program;
    bool daemon;
};

static const struct option options[] = {
    {"config", required_argument, NULL, 'c'},
    {"prefix", required_argument, NULL, 'p'},
    {"test", no_argument, NULL, 't'},
    {"dump", no_argument, NULL, 'T'},
    {"daemon", no_argument, NULL, 'd'},
    {"foreground", no_argument, NULL, 'f'},
    {"version", no_argument, NULL, 'v'},
    {"help", no_argument, NULL, 'h'},
    {"print-reference", no_argument, NULL, OPT_REFERENCE},
    {"print-json-schema", no_argument, NULL, OPT_JSON_SCHEMA},
    {NULL, 0, NULL, 0},
};

static const char usage_text[] =
    "usage: rushgate [-c FILE] [-p DIR] [-d | -t | -T]\n"
    "\n"
    "  -c, --config FILE      configuration (default " DEFAULT_FILE ")\n"
    "  -p, --prefix DIR       run-time files go below DIR (default: the system's directories)\n"
    "  -d, --daemon           detach; returns when the gateway is ready\n"
    "  -f, --foreground       stay in the foreground (default)\n"
    "  -t, --test             check the configuration and exit\n"
    "  -T, --dump             check the configuration, print every setting in force and exit\n"
    "      --print-reference    print the reference of all settings (Markdown)\n"
    "      --print-json-schema  print a JSON Schema of the configuration\n"
    "  -v, --version          print the version\n"
    "  -h, --help             print this\n"
    "\n"
    "Signals:\n";

static const struct {
    const char *name, *help;
} signals[] = {
#define MASTER_SIGNAL(signo, name, help) {#signo, help},
#include "proc/signals.def"
#undef MASTER_SIGNAL
};

static void print_help(void)
{
    fputs(usage_text, stdout);
    for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++)
        if (strcmp(signals[i].name, "SIGCHLD") != 0)
            printf("  %-22s %s\n", signals[i].name + 3, signals[i].help);
}

/* Below the working directory of now, without following links: one may lead elsewhere at the next
 * reload. */
static char *from_here(const char *path)
{
    struct buf out = {0};
    char *here = path[0] == '/' ? NULL : getcwd(NULL, 0);

    if (here != NULL)
        buf_printf(&out, "%s/", here);
    buf_str(&out, path);
    free(here);
    here = xstrdup(buf_cstr(&out));
    buf_free(&out);
    return here;
}

/* As it was typed where that is a path, so that a link which leads to another version tomorrow is
 * followed by an upgrade; else what the kernel says. */
static char *program_path(const char *name)
{
    return strchr(name, '/') != NULL ? from_here(name) : realpath("/proc/self/exe", NULL);
}

static char *absolute(const char *path)
{
    char *real = realpath(path, NULL);

    if (real == NULL) {
        fprintf(stderr, "rushgate: %s: %s\n", path, strerror(errno));
        exit(EXIT_USAGE);
    }
    return real;
}

/* Options that print something and end the program. */
static void act_at_once(int opt)
{
    switch (opt) {
    case 'v':
        printf("rushgate %s\n", PACKAGE_VERSION);
        exit(0);
    case 'h':
        print_help();
        exit(0);
    case OPT_REFERENCE:
        conf_print_reference(stdout);
        exit(0);
    case OPT_JSON_SCHEMA:
        conf_print_json_schema(stdout);
        exit(0);
    default:
        fputs("try \"rushgate --help\"\n", stderr);
        exit(EXIT_USAGE);
    }
}

static void read_options(struct arguments *a, int argc, char **argv)
{
    int opt;

    while ((opt = getopt_long(argc, argv, "c:p:tTdfvh", options, NULL)) != -1) {
        if (opt == 'c') {
            a->file = optarg;
        } else if (opt == 'p') {
            free(a->prefix);
            a->prefix = absolute(optarg);
        } else if (opt == 't' || opt == 'T') {
            a->mode = opt == 't' ? MODE_CHECK : MODE_DUMP;
        } else if (opt == 'd' || opt == 'f') {
            a->daemon = opt == 'd';
        } else {
            act_at_once(opt);
        }
    }
    if (optind < argc) {
        fprintf(stderr, "rushgate: unexpected argument \"%s\"\n", argv[optind]);
        act_at_once('?');
    }
}

/* What a start would find out, too: that there is such a user, when it matters. */
static bool has_user(const struct conf *c)
{
    const struct conf_process *p = conf_process(c);
    struct identity id;
    struct buf err = {0};
    bool ok = identity_find(&id, p->user, p->user_set, p->group, &err);

    if (err.n > 0)
        fprintf(stderr, "rushgate: %s%s\n", ok ? "warning: " : "", buf_cstr(&err));
    buf_free(&err);
    return ok;
}

/* And that it compiles. */
static bool compiles(const struct conf *c, struct buf *errors)
{
    const struct conf_resolver none = {0};
    struct buf blob = {0};
    bool ok = conf_compile(c, &none, 1, &blob, errors);

    buf_free(&blob);
    return ok;
}

static int check(const struct arguments *a, const struct conf *c)
{
    struct buf out = {0};

    if (!has_user(c))
        return 1;
    if (!compiles(c, &out)) {
        fputs(buf_cstr(&out), stderr);
        buf_free(&out);
        return 1;
    }
    if (a->mode == MODE_DUMP) {
        conf_show(c, true, false, &out);
        fwrite(out.p, 1, out.n, stdout);
    } else {
        printf("%s: ok (%u file%s, %u setting%s)\n", a->file, conf_files(c),
               conf_files(c) == 1 ? "" : "s", conf_settings_set(c),
               conf_settings_set(c) == 1 ? "" : "s");
        buf_clear(&out);
        conf_warnings(c, &out);
        for (const char *p = buf_cstr(&out); *p != '\0'; p += strcspn(p, "\n") + 1)
            fprintf(stderr, "warning: %.*s\n", (int)strcspn(p, "\n"), p);
    }
    buf_free(&out);
    return 0;
}

/* The parent of -d: waits until the daemon says that it is ready, or ends. Its own exit status. */
static int await_ready(pid_t pid, int fd)
{
    char byte;
    ssize_t n;
    int status;

    while ((n = read(fd, &byte, 1)) < 0 && errno == EINTR)
        ;
    if (n == 1)
        return 0;
    if (waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) != 0)
        return WEXITSTATUS(status);
    return 1;
}

/* In the daemon returns the descriptor for the byte that says "ready". */
static int detach(void)
{
    int fds[2];
    pid_t pid;

    if (pipe2(fds, O_CLOEXEC) < 0)
        die("rushgate: pipe: %s", strerror(errno));
    pid = fork();
    if (pid < 0)
        die("rushgate: fork: %s", strerror(errno));
    if (pid > 0) {
        close(fds[1]);
        exit(await_ready(pid, fds[0]));
    }
    close(fds[0]);
    setsid();
    if (chdir("/") < 0)
        die("rushgate: chdir: %s", strerror(errno));
    return fds[1];
}

static int run(const struct arguments *a, struct conf *c)
{
    struct master_options o = {
        .ready_fd = -1,
        .file = a->file,
        .prefix = a->prefix,
        .program = a->program,
        .daemon = a->daemon,
    };

    /* The new binary of an upgrade is detached as the old one is. */
    if (a->daemon && !handover_expected())
        o.ready_fd = detach();
    return master_run(&o, c);
}

int main(int argc, char **argv)
{
    struct arguments a = {.file = DEFAULT_FILE};
    struct buf errors = {0};
    struct conf *c;
    char *file = NULL, *program = NULL;
    int rc;

    argv = title_init(argc, argv);
    read_options(&a, argc, argv);
    if (a.prefix == NULL)
        a.prefix = xstrdup("/");
    /* The daemon's working directory is another one at the next reload, which must not make a
     * difference. */
    if (a.mode == MODE_RUN) {
        a.file = file = from_here(a.file);
        a.program = program = program_path(argv[0]);
    }
    c = conf_load(a.file, a.prefix, &errors);
    if (c == NULL) {
        fputs(buf_cstr(&errors), stderr);
        rc = 1;
    } else if (a.mode != MODE_RUN) {
        rc = check(&a, c);
        conf_free(&c);
    } else {
        rc = run(&a, c);
    }
    buf_free(&errors);
    free(a.prefix);
    free(file);
    free(program);
    return rc;
}
