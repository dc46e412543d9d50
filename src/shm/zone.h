/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Zones: named shared memory. Each is one sealed memfd (its size can never change), created by the
 * master before it forks, mapped by every process, and handed over by descriptor. It starts with a
 * header that says what it is; whoever attaches checks it.
 */
#ifndef SHM_ZONE_H
#define SHM_ZONE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ZONE_MAGIC UINT32_C(0x6e7a4752) /* "RGzn" */
#define SHM_LINE                                                                                   \
    128 /* words of different writers are this far apart: two cache                                \
           lines, because the prefetcher pulls pairs */

struct zone_header {
    uint32_t magic;
    uint32_t layout; /* version of the content's layout, the owner's _LAYOUT constant */
    uint64_t size;   /* of the whole zone */
    char name[16];
    uint8_t pad[SHM_LINE - 32];
};
_Static_assert(sizeof(struct zone_header) == SHM_LINE, "content starts on a line of its own");

struct zone {
    struct zone_header *head; /* the mapping */
    int fd;                   /* the memfd, kept for handing over */
};

/* Creates, sizes, seals, maps and zeroes. 0 or -errno. */
int zone_create(struct zone *z, const char *name, uint32_t layout, size_t size)
    __attribute__((warn_unused_result));
/* Maps a descriptor that was handed over; takes ownership of fd on success. -EINVAL when it is
 * another zone or layout. */
int zone_attach(struct zone *z, const char *name, uint32_t layout, int fd, bool writable)
    __attribute__((warn_unused_result));
void zone_close(struct zone *z);

#endif
