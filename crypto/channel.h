/*
 * channel: the front's end of the socket to the key process. Requests go out in order and are
 * answered in order. To keep either side from blocking the other, at most a few small requests
 * are under way at a time; the rest wait here.
 *
 *     struct buf *m = channel_begin(ch, WIRE_READ, caller, name);
 *     TRY(channel_send(ch, answered, ctx));
 */
#ifndef SEXTANT_CRYPTO_CHANNEL_H
#define SEXTANT_CRYPTO_CHANNEL_H

#include "lib/base/buf.h"
#include "wire.h"

struct channel;
struct loop;

/* `reply` is read past its status; it dies with the callback. An error is the key process's answer,
 * with its text in err_detail(). */
typedef void channel_done(void *ctx, struct err e, struct wire_reader *reply);

/* Takes over `fd`, a connected stream socket. `on_lost` is called when the key process is gone. */
struct err channel_new(struct loop *loop, int fd, void (*on_lost)(void *ctx), void *ctx,
                       struct channel **out);
void channel_free(struct channel *ch); /* waiting requests are failed with ERR_CLOSED; NULL ok */

/* Begins a message; the body is appended to what is returned, then channel_send. One at a time. */
struct buf *channel_begin(struct channel *ch, enum wire_op op, struct str caller, struct str name);
/* `done` runs later, exactly once. ERR_LIMIT when the message grew too large (then it does not). */
struct err channel_send(struct channel *ch, channel_done *done, void *ctx);

#endif
