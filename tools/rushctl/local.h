/* SPDX-License-Identifier: BSD-2-Clause */
/* Commands that rushctl runs by itself. Each returns the exit status. */
#ifndef RUSHCTL_LOCAL_H
#define RUSHCTL_LOCAL_H

#include "options.h"

#define HANDLER_LOCAL(id) int local_##id(struct options *o);
#define HANDLER_MASTER(id)
#define HANDLER_BOXOFFICE(id)
#define COMMAND(id, words, args, flags, permission, where, visible, help) HANDLER_##where(id)
#define FLAG(id, name, metavar, help)
#include "ctl/commands.def"
#undef COMMAND
#undef FLAG
#undef HANDLER_LOCAL
#undef HANDLER_MASTER
#undef HANDLER_BOXOFFICE

/* rushctl __complete [--] WORD... : candidates for the last word. Before options_read, since the
 * words are somebody's half-typed line. */
int complete_words(int argc, char **argv);

#endif
