/*
 * gzip: whole bodies packed and unpacked (RFC 1952), with a limit on what comes out.
 *
 *     struct buf plain;
 *     buf_init(&plain, max);
 *     TRY(gzip_unpack(req->body, &plain));
 *     …
 *     buf_release(&plain);
 */
#ifndef SEXTANT_HTTP_GZIP_H
#define SEXTANT_HTTP_GZIP_H

#include "lib/base/buf.h"

/*
 * Appends what `packed` holds; several members in a row are read as one. ERR_LIMIT: more than out->max bytes;
 * ERR_SYNTAX with the detail "gzip: invalid header", "gzip: invalid checksum", "unexpected EOF", "EOF" (nothing
 * there) or "flate: corrupt input".
 */
struct err gzip_unpack(struct str packed, struct buf *out);

/* Appends `plain` packed at `level` (0 to 9). ERR_LIMIT: out->max. */
struct err gzip_pack(struct str plain, int level, struct buf *out);

#endif
