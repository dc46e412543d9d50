/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory for nghttp2: free lists by size class. The library allocates and frees about a dozen small
 * objects per call (stream, outbound items, name/value arrays), always of the same few sizes;
 * taking them from a list of our own costs a quarter of malloc. Blocks larger than the largest
 * class go to malloc. What a burst left is kept, at most MEM_KEEP blocks a class.
 *
 * One thread: a client or a server owns one, and all its sessions live shorter than it.
 */
#ifndef RPC_MEM_H
#define RPC_MEM_H

#include <stddef.h>

#include <nghttp2/nghttp2.h>

#define MEM_CLASSES 5u /* 64, 128, 256, 512, 1024 bytes with the block's head */
#define MEM_KEEP    4096u

struct mem_block;

struct mem {
    nghttp2_mem ops; /* what nghttp2 gets */
    struct mem_block *free[MEM_CLASSES];
    unsigned free_n[MEM_CLASSES];
};

void mem_init(struct mem *m);
void mem_fini(struct mem *m);

#endif
