/*
 * grpc: unary and server-streaming calls over HTTP/2, both ends, with messages of protobuf-c.
 *
 * Messages are described by lib/grpc/proto/<file>.proto and compiled at build time; include them as
 * "lib/grpc/proto/workload.pb-c.h". A decoded message lives in the call's arena.
 *
 * Server: methods are mounted on a router of lib/http (they are POST routes).
 *
 *     static void fetch(struct grpc_call *call, const ProtobufCMessage *in, void *ctx) {
 *         grpc_send(call, &response.base);           any number of times for streaming methods
 *         grpc_end(call, 0, NULL);                   status 0..16 and message
 *     }
 *     grpc_method(&router, "/SpiffeWorkloadAPI/FetchX509SVID", &x509_svidrequest__descriptor, fetch, ctx);
 *
 * Client: one HTTP/2 connection an address, made on demand and kept.
 *
 *     TRY(grpc_client_new(loop, S("unix:/run/identity/workload.sock"), NULL, &client));
 *     struct grpc_out o = {.path = "/SpiffeWorkloadAPI/FetchX509SVID", .request = &req.base,
 *                          .reply = &x509_svidresponse__descriptor, .on_message = got, .on_end = ended};
 *     grpc_client_call(client, &o);
 */
#ifndef SEXTANT_GRPC_H
#define SEXTANT_GRPC_H

#include "lib/http/http.h"
#include "lib/http/router.h"

#include <protobuf-c/protobuf-c.h>

enum { GRPC_MESSAGE_MAX = 4 << 20 };

enum grpc_status {
    GRPC_OK = 0,
    GRPC_CANCELLED = 1,
    GRPC_UNKNOWN = 2,
    GRPC_INVALID_ARGUMENT = 3,
    GRPC_DEADLINE_EXCEEDED = 4,
    GRPC_NOT_FOUND = 5,
    GRPC_ALREADY_EXISTS = 6,
    GRPC_PERMISSION_DENIED = 7,
    GRPC_RESOURCE_EXHAUSTED = 8,
    GRPC_FAILED_PRECONDITION = 9,
    GRPC_UNIMPLEMENTED = 12,
    GRPC_INTERNAL = 13,
    GRPC_UNAVAILABLE = 14,
    GRPC_UNAUTHENTICATED = 16,
};

/* A protobuf-c allocator that takes from an arena; messages made with it are never freed singly. */
ProtobufCAllocator grpc_arena_allocator(struct arena *a);
/* Decodes with limits. ERR_SYNTAX, ERR_LIMIT. */
struct err grpc_unpack(struct arena *a, const ProtobufCMessageDescriptor *d, struct str bytes,
                       ProtobufCMessage **out);
struct str grpc_pack(struct arena *a, const ProtobufCMessage *m);
static inline ProtobufCBinaryData grpc_bytes(struct str s)
{
    return (ProtobufCBinaryData){s.n, (uint8_t *)(uintptr_t)s.p};
}

/* ---- server ---- */

struct grpc_call; /* one call under way; dead after grpc_end or abort */

typedef void grpc_handler(struct grpc_call *call, const ProtobufCMessage *request, void *ctx);

/* `path` is "/package.Service/Method", a string constant. */
void grpc_method(struct router *r, const char *path, const ProtobufCMessageDescriptor *request,
                 grpc_handler *fn, void *ctx);
/* Answers everything else under "/Service/" with status 12; grpc.health.v1 with SERVING. */
void grpc_unknown(struct router *r, const char *service);
void grpc_health(struct router *r, bool (*serving)(void *ctx), void *ctx);

struct http_req *
grpc_request(const struct grpc_call *call);             /* peer, headers (metadata), trace, arena */
int64_t grpc_deadline_ms(const struct grpc_call *call); /* loop time; 0: none */
void grpc_send(struct grpc_call *call, const ProtobufCMessage *m);
/* For replies that hold private keys: as grpc_send, and its copies are wiped. */
void grpc_send_secret(struct grpc_call *call, const ProtobufCMessage *m);
void grpc_end(struct grpc_call *call, enum grpc_status status, const char *message /* NULL ok */);
void grpc_end_err(struct grpc_call *call, struct err e); /* status and text by ERR_TABLE */
/* fn(ctx) when the client cancelled, left, or its deadline passed; the call is dead then. */
void grpc_on_abort(struct grpc_call *call, void (*fn)(void *ctx), void *ctx);

/* ---- client ---- */

struct grpc_client;
struct grpc_stream;

struct grpc_out {
    const char *path;
    const ProtobufCMessage *request; /* packed before return */
    const ProtobufCMessageDescriptor *reply;
    const struct http_header *metadata; /* e.g. {"workload.spiffe.io", "true"} */
    size_t n_metadata;
    int timeout_ms; /* 0: none; sent as grpc-timeout, too */
    struct trace trace;
    void (*on_message)(void *ctx, const ProtobufCMessage *m); /* lives as long as the callback */
    /* The last call: status 0..16, text for people. A broken connection is GRPC_UNAVAILABLE. */
    void (*on_end)(void *ctx, int status, struct str message);
    void *ctx;
};

struct err grpc_client_new(struct loop *l, struct str address, struct tls_client *tls,
                           struct grpc_client **out);
void grpc_client_free(struct grpc_client *c); /* no callback of a pending call runs afterwards */
/* NULL is never returned: failures come through on_end, never before this returns. */
struct grpc_stream *grpc_client_call(struct grpc_client *c, const struct grpc_out *o);
void grpc_stream_cancel(struct grpc_stream *s); /* on_end does not run; NULL is fine */

#endif
