/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A SQLite VFS over the default one that fails on demand: writes or syncs of the log, or of the
 * database, with a code of the test's choice. Becomes the default VFS of the process.
 */
#ifndef TESTS_BOXOFFICE_FAULT_VFS_H
#define TESTS_BOXOFFICE_FAULT_VFS_H

#include <stdatomic.h>

struct fault {
    atomic_int wal_write, wal_sync, db_write; /* the code to fail with; 0: works */
    atomic_int sync_done; /* a failing sync of the log takes place all the same */
    atomic_uint hits;
};

extern struct fault fault;

void fault_vfs_install(void);

#endif
