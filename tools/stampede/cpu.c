/* SPDX-License-Identifier: BSD-2-Clause */
#include "cpu.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROCESSES_MAX 4096

struct proc {
    pid_t pid, parent;
    double seconds;
    bool ours;
};

/* The name in the second field may hold anything: the fields are counted from its closing bracket.
 */
static bool read_stat(const char *pid, struct proc *p)
{
    char path[64], line[1024], *at;
    long long parent;
    unsigned long long t[4];
    FILE *f;
    bool ok;

    snprintf(path, sizeof path, "/proc/%s/stat", pid);
    f = fopen(path, "re");
    if (f == NULL)
        return false;
    at = fgets(line, sizeof line, f) != NULL ? strrchr(line, ')') : NULL;
    fclose(f);
    ok = at != NULL &&
         sscanf(at + 1, " %*c %lld %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu %llu %llu %llu",
                &parent, &t[0], &t[1], &t[2], &t[3]) == 5;
    if (ok)
        *p = (struct proc){.pid = (pid_t)atol(pid),
                           .parent = (pid_t)parent,
                           .seconds =
                               (double)(t[0] + t[1] + t[2] + t[3]) / (double)sysconf(_SC_CLK_TCK)};
    return ok;
}

static bool has_parent_in(const struct proc *list, unsigned n, pid_t parent)
{
    for (unsigned i = 0; i < n; i++) {
        if (list[i].pid == parent && list[i].ours)
            return true;
    }
    return false;
}

static double sum_descendants(struct proc *list, unsigned n, pid_t root)
{
    double sum = 0;
    bool grown = true;

    while (grown) {
        grown = false;
        for (unsigned i = 0; i < n; i++) {
            struct proc *p = &list[i];

            if (p->ours || (p->pid != root && !has_parent_in(list, n, p->parent)))
                continue;
            p->ours = grown = true;
            sum += p->seconds;
        }
    }
    return sum;
}

double cpu_seconds(pid_t root)
{
    struct proc *list = calloc(PROCESSES_MAX, sizeof *list);
    DIR *dir = opendir("/proc");
    struct dirent *e;
    unsigned n = 0;
    double sum;

    while (list != NULL && dir != NULL && n < PROCESSES_MAX && (e = readdir(dir)) != NULL) {
        if (e->d_name[0] >= '1' && e->d_name[0] <= '9' && read_stat(e->d_name, &list[n]))
            n++;
    }
    if (dir != NULL)
        closedir(dir);
    sum = list != NULL ? sum_descendants(list, n, root) : 0;
    free(list);
    return sum;
}
