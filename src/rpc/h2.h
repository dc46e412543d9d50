/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One HTTP/2 connection: a socket, an nghttp2 session and two libevent events. Client and server
 * connections embed it and add what streams mean.
 *
 *   readable -> recv 64 KB -> nghttp2 -> the owner's callbacks -> (answers, new requests are
 * submitted) end of the turn -> owner's fill -> nghttp2 serializes -> one send
 *
 * All connections of one client or server share the read buffer and the write buffer (struct
 * h2_io), since neither holds anything between two turns: what the kernel does not take is moved to
 * the connection's `out`, and until `out` is gone nothing more is serialized. So a peer that does
 * not read costs at most H2_OUT_MAX bytes and a frame; what waits behind is bounded by the number
 * of streams.
 *
 * A connection that fails is torn down when the last function working on it has returned (`busy`);
 * `closed` is then the last thing that happens to it, and may free it.
 */
#ifndef RPC_H2_H
#define RPC_H2_H

#include <stdbool.h>
#include <stdint.h>

#include <event2/event.h>
#include <event2/event_struct.h>
#include <nghttp2/nghttp2.h>

#include "base/buf.h"
#include "base/clock.h"
#include "net/loop.h"
#include "rpc/mem.h"

#define H2_READ_BYTES    65536u
#define H2_READS_MAX     4u                 /* buffers taken from one connection in one turn */
#define H2_OUT_MAX       (256u * 1024)      /* serialized and not taken by the kernel */
#define H2_WINDOW        (16 * 1024 * 1024) /* of a connection; half of it is a WINDOW_UPDATE apart */
#define H2_STREAM_WINDOW (1024 * 1024)
#define H2_LINGER_NS     NS_PER_S /* how long a peer may take to close after us */
#define H2_HEADER_LIST   16384u   /* announced; meta_set enforces it */

struct h2_conn;

struct h2_io {
    char *read; /* H2_READ_BYTES */
    struct buf write;
    struct buf block; /* a header block on its way into write */
    struct mem mem;
};

struct h2_ops {
    bool server;
    void (*callbacks)(
        nghttp2_session_callbacks *cb);   /* sets the owner's; user_data is the h2_conn */
    void (*connected)(struct h2_conn *c); /* client: the socket is connected */
    void (*fill)(struct h2_conn *c);      /* submits what waits; NULL: nothing ever waits */
    /* Appends the fields of a stream's next HEADERS, which are submitted without any (hpack.h).
     * False: it cannot. */
    bool (*headers)(struct h2_conn *c, int32_t stream, struct buf *block);
    void (*closed)(struct h2_conn *c); /* see above; c->reason says why */
};

struct h2_conn {
    struct loop *loop;
    struct h2_io *io;
    const struct h2_ops *ops;
    nghttp2_session *session;
    struct event read, write;
    struct loop_hook flush;
    int fd;
    unsigned busy;   /* functions of this connection that are on the stack */
    bool connecting; /* connect has not finished */
    bool dead;       /* to be torn down when busy is 0 */
    bool write_armed;
    bool lingering; /* server: all is said, the write side is shut, waiting for the peer's end */
    struct loop_timer linger;
    const char *reason; /* why it is dead; static text */
    struct buf out;
    size_t out_off;       /* bytes of out that were sent */
    uint64_t received_ns; /* when bytes last came in */
};

/* The largest number of concurrent streams is announced by servers only. */
struct h2_config {
    uint32_t max_streams;
    bool connecting; /* fd is still connecting */
};

bool h2_io_init(struct h2_io *io) __attribute__((warn_unused_result));
void h2_io_fini(struct h2_io *io);

/* *c is zeroed. Takes fd. 0 or -ENOMEM, fd then being closed. The settings leave at the end of the
 * turn. */
int h2_open(struct h2_conn *c, struct loop *loop, struct h2_io *io, const struct h2_ops *ops,
            int fd, const struct h2_config *cfg) __attribute__((warn_unused_result));

/* Something was submitted: serialize at the end of the turn. */
void h2_wants_write(struct h2_conn *c);

/* Ends the connection; `closed` runs now, or when the functions on the stack have returned.
 * `reason` is a static text. */
void h2_kill(struct h2_conn *c, const char *reason);

/* Brackets work on a connection that may kill it. h2_leave: the connection may be gone afterwards.
 */
void h2_enter(struct h2_conn *c);
void h2_leave(struct h2_conn *c);

/* For nghttp2's NO_COPY: appends a DATA frame's head and its bytes to the write buffer. What the
 * callback returns: NGHTTP2_ERR_PAUSE when the buffer has H2_OUT_MAX bytes. */
int h2_write_data(struct h2_conn *c, const uint8_t *frame_head, const char *p, size_t n);

#endif
