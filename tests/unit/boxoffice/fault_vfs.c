/* SPDX-License-Identifier: BSD-2-Clause */
#include "fault_vfs.h"

#include <sqlite3.h>
#include <string.h>

struct fault fault;

struct faulty {
    sqlite3_file base;
    int is_wal, is_db;
    sqlite3_io_methods methods;
    /* the real file lies behind */
};

static sqlite3_vfs *real, vfs;

static sqlite3_file *inner(sqlite3_file *f)
{
    return (sqlite3_file *)((struct faulty *)f + 1);
}

static int hit(int rc)
{
    fault.hits++;
    return rc;
}

static int x_close(sqlite3_file *f)
{
    return inner(f)->pMethods->xClose(inner(f));
}

static int x_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
    return inner(f)->pMethods->xRead(inner(f), p, n, at);
}

static int x_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
    struct faulty *y = (struct faulty *)f;

    if (y->is_wal && fault.wal_write)
        return hit(fault.wal_write);
    if (y->is_db && fault.db_write)
        return hit(fault.db_write);
    return inner(f)->pMethods->xWrite(inner(f), p, n, at);
}

static int x_truncate(sqlite3_file *f, sqlite3_int64 n)
{
    return inner(f)->pMethods->xTruncate(inner(f), n);
}

static int x_sync(sqlite3_file *f, int flags)
{
    struct faulty *y = (struct faulty *)f;

    if (y->is_wal && fault.wal_sync) {
        if (fault.sync_done)
            inner(f)->pMethods->xSync(inner(f), flags);
        return hit(fault.wal_sync);
    }
    return inner(f)->pMethods->xSync(inner(f), flags);
}

static int x_size(sqlite3_file *f, sqlite3_int64 *n)
{
    return inner(f)->pMethods->xFileSize(inner(f), n);
}

static int x_lock(sqlite3_file *f, int k)
{
    return inner(f)->pMethods->xLock(inner(f), k);
}

static int x_unlock(sqlite3_file *f, int k)
{
    return inner(f)->pMethods->xUnlock(inner(f), k);
}

static int x_reserved(sqlite3_file *f, int *out)
{
    return inner(f)->pMethods->xCheckReservedLock(inner(f), out);
}

static int x_control(sqlite3_file *f, int op, void *arg)
{
    return inner(f)->pMethods->xFileControl(inner(f), op, arg);
}

static int x_sector(sqlite3_file *f)
{
    return inner(f)->pMethods->xSectorSize(inner(f));
}

static int x_characteristics(sqlite3_file *f)
{
    return inner(f)->pMethods->xDeviceCharacteristics(inner(f));
}

static int x_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **out)
{
    return inner(f)->pMethods->xShmMap(inner(f), page, size, extend, out);
}

static int x_shm_lock(sqlite3_file *f, int at, int n, int flags)
{
    return inner(f)->pMethods->xShmLock(inner(f), at, n, flags);
}

static void x_shm_barrier(sqlite3_file *f)
{
    inner(f)->pMethods->xShmBarrier(inner(f));
}

static int x_shm_unmap(sqlite3_file *f, int del)
{
    return inner(f)->pMethods->xShmUnmap(inner(f), del);
}

static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = x_close,
    .xRead = x_read,
    .xWrite = x_write,
    .xTruncate = x_truncate,
    .xSync = x_sync,
    .xFileSize = x_size,
    .xLock = x_lock,
    .xUnlock = x_unlock,
    .xCheckReservedLock = x_reserved,
    .xFileControl = x_control,
    .xSectorSize = x_sector,
    .xDeviceCharacteristics = x_characteristics,
    .xShmMap = x_shm_map,
    .xShmLock = x_shm_lock,
    .xShmBarrier = x_shm_barrier,
    .xShmUnmap = x_shm_unmap,
};

static int x_open(sqlite3_vfs *v, const char *name, sqlite3_file *f, int flags, int *out)
{
    struct faulty *y = (struct faulty *)f;
    int rc;

    (void)v;
    memset(y, 0, sizeof *y);
    rc = real->xOpen(real, name, inner(f), flags, out);
    y->is_wal = (flags & SQLITE_OPEN_WAL) != 0;
    y->is_db = (flags & SQLITE_OPEN_MAIN_DB) != 0;
    if (inner(f)->pMethods != NULL)
        f->pMethods = &methods;
    return rc;
}

void fault_vfs_install(void)
{
    real = sqlite3_vfs_find(NULL);
    vfs = *real;
    vfs.zName = "faulty";
    vfs.szOsFile = (int)sizeof(struct faulty) + real->szOsFile;
    vfs.xOpen = x_open;
    sqlite3_vfs_register(&vfs, 1);
}
