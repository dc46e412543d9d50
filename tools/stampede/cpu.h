/* SPDX-License-Identifier: BSD-2-Clause */
/* CPU time of a process and its descendants, from /proc. */
#ifndef STAMPEDE_CPU_H
#define STAMPEDE_CPU_H

#include <sys/types.h>

/* User and system time in seconds, ended children included. 0 where there is no such process. */
double cpu_seconds(pid_t root);

#endif
