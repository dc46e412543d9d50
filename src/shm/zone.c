/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Creates and attaches zones. The seals are what makes a zone safe to read: a mapping of a file
 * that someone shrinks turns a load into SIGBUS, so whoever attaches insists on them.
 */
#include "config.h"

#include "shm/zone.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define ZONE_SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static int map(struct zone *z, int fd, size_t size, bool writable)
{
    int prot = writable ? PROT_READ | PROT_WRITE : PROT_READ;
    void *p = mmap(NULL, size, prot, MAP_SHARED, fd, 0);

    if (p == MAP_FAILED)
        return -errno;
    z->head = p;
    z->fd = fd;
    return 0;
}

static int create_sealed(const char *name, size_t size)
{
    char label[32];
    int fd, err;

    snprintf(label, sizeof label, "rushgate-%s", name);
    fd = memfd_create(label, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -errno;
    if (ftruncate(fd, (off_t)size) == 0 && fcntl(fd, F_ADD_SEALS, ZONE_SEALS) == 0)
        return fd;
    err = -errno;
    close(fd);
    return err;
}

int zone_create(struct zone *z, const char *name, uint32_t layout, size_t size)
{
    int fd, rc;

    *z = (struct zone){.fd = -1};
    if (size < sizeof *z->head || strlen(name) >= sizeof z->head->name)
        return -EINVAL;
    fd = create_sealed(name, size);
    if (fd < 0)
        return fd;
    rc = map(z, fd, size, true);
    if (rc < 0) {
        close(fd);
        return rc;
    }
    *z->head = (struct zone_header){.magic = ZONE_MAGIC, .layout = layout, .size = size};
    strcpy(z->head->name, name);
    return 0;
}

static bool header_fits(const struct zone_header *h, const char *name, uint32_t layout, size_t size)
{
    return h->magic == ZONE_MAGIC && h->layout == layout && h->size == size &&
           strncmp(h->name, name, sizeof h->name) == 0;
}

int zone_attach(struct zone *z, const char *name, uint32_t layout, int fd, bool writable)
{
    struct stat st;
    int seals, rc;

    *z = (struct zone){.fd = -1};
    if (fstat(fd, &st) < 0)
        return -errno;
    seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & ZONE_SEALS) != ZONE_SEALS || st.st_size < (off_t)sizeof *z->head)
        return -EINVAL;
    rc = map(z, fd, (size_t)st.st_size, writable);
    if (rc < 0)
        return rc;
    if (header_fits(z->head, name, layout, (size_t)st.st_size))
        return 0;
    munmap(z->head, (size_t)st.st_size);
    *z = (struct zone){.fd = -1};
    return -EINVAL;
}

void zone_close(struct zone *z)
{
    if (z->head != NULL)
        munmap(z->head, z->head->size);
    if (z->fd >= 0)
        close(z->fd);
    *z = (struct zone){.fd = -1};
}
