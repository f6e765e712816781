#ifndef SEXTANT_GRPC_PRIV_H
#define SEXTANT_GRPC_PRIV_H

#include "lib/grpc/grpc.h"

enum { GRPC_PREFIX = 5 /* compressed flag and length */ };

/* Prefix and message, to be wiped by the caller when secret. */
void grpc_frame(struct buf *out, const ProtobufCMessage *m);

#endif
