/* Messages: bytes in and out, with limits that protobuf-c itself does not have. */
#include "grpc.h"

enum { DEPTH_MAX = 64 };

/* ---- memory ---- */

/* Refuses instead of aborting: the size of what a message unfolds to is in the sender's hands. */
static void *take(void *arena, size_t n)
{
    struct arena *a = arena;
    if (arena_exhausted(a) || n > a->budget || a->used > a->budget - n) {
        return NULL;
    }
    return arena_alloc_raw(a, n, 16);
}

static void leave(void *arena, void *p)
{
}

ProtobufCAllocator grpc_arena_allocator(struct arena *a)
{
    return (ProtobufCAllocator){.alloc = take, .free = leave, .allocator_data = a};
}

/* ---- depth ---- */

struct wire {
    const uint8_t *p, *end;
};

static bool take_varint(struct wire *w, uint64_t *out)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64 && w->p < w->end; shift += 7) {
        uint8_t b = *w->p++;
        v |= (uint64_t)(b & 0x7f) << shift;
        if (b < 0x80) {
            *out = v;
            return true;
        }
    }
    return false;
}

static bool skip(struct wire *w, uint64_t n)
{
    if (n > (uint64_t)(w->end - w->p)) {
        return false;
    }
    w->p += n;
    return true;
}

struct level {
    struct wire wire;
    const ProtobufCMessageDescriptor *d;
};

static const ProtobufCMessageDescriptor *message_of(const ProtobufCMessageDescriptor *d,
                                                    uint64_t number)
{
    if (number == 0 || number > UINT32_MAX) {
        return NULL;
    }
    const ProtobufCFieldDescriptor *f =
        protobuf_c_message_descriptor_get_field(d, (unsigned)number);
    return f != NULL && f->type == PROTOBUF_C_TYPE_MESSAGE ? f->descriptor : NULL;
}

/* One field of the level on top; a message inside becomes a level of its own. False: malformed. */
static bool step(struct level *stack, size_t *depth)
{
    struct level *top = &stack[*depth - 1];
    uint64_t tag, n;
    if (!take_varint(&top->wire, &tag)) {
        return false;
    }
    switch (tag & 7) {
    case 0:
        return take_varint(&top->wire, &n);
    case 1:
        return skip(&top->wire, 8);
    case 5:
        return skip(&top->wire, 4);
    case 2:
        break;
    default:
        return false;
    }
    if (!take_varint(&top->wire, &n)) {
        return false;
    }
    const uint8_t *start = top->wire.p;
    if (!skip(&top->wire, n)) {
        return false;
    }
    const ProtobufCMessageDescriptor *inner = message_of(top->d, tag >> 3);
    if (inner != NULL) {
        stack[(*depth)++] = (struct level){{start, start + n}, inner};
    }
    return true;
}

/* protobuf-c descends by recursion: what it is given must not be deep. */
static struct err check_depth(const ProtobufCMessageDescriptor *d, struct str bytes)
{
    struct level stack[DEPTH_MAX + 1];
    size_t depth = 1;
    const uint8_t *p = (const uint8_t *)bytes.p;
    stack[0] = (struct level){{p, p != NULL ? p + bytes.n : p}, d};
    while (depth > 0) {
        ENSURE(depth <= DEPTH_MAX, ERR_LIMIT, "a message nested more than %d deep", DEPTH_MAX);
        if (stack[depth - 1].wire.p == stack[depth - 1].wire.end) {
            depth--;
        } else {
            ENSURE(step(stack, &depth), ERR_SYNTAX, "not a well-formed protobuf message");
        }
    }
    return OK;
}

struct err grpc_unpack(struct arena *a, const ProtobufCMessageDescriptor *d, struct str bytes,
                       ProtobufCMessage **out)
{
    ENSURE(bytes.n <= GRPC_MESSAGE_MAX, ERR_LIMIT, "a message of more than %d bytes",
           GRPC_MESSAGE_MAX);
    TRY(check_depth(d, bytes));
    ProtobufCAllocator alloc = grpc_arena_allocator(a);
    static const uint8_t nothing[1];
    const uint8_t *p = bytes.n > 0 ? (const uint8_t *)bytes.p : nothing;
    ProtobufCMessage *m = protobuf_c_message_unpack(d, &alloc, bytes.n, p);
    ENSURE(m != NULL, ERR_SYNTAX, "not a %s message, or one that unfolds to too much", d->name);
    *out = m;
    return OK;
}

struct str grpc_pack(struct arena *a, const ProtobufCMessage *m)
{
    size_t n = protobuf_c_message_get_packed_size(m);
    uint8_t *p = arena_alloc_raw(a, n + 1, 1);
    protobuf_c_message_pack(m, p);
    return str_n(p, n);
}
