#include "wire.h"

struct wire_reader wire_read(struct str message)
{
    return (struct wire_reader){.p = (const unsigned char *)message.p, .n = message.n};
}

static uint64_t take(struct wire_reader *r, size_t bytes)
{
    uint64_t v = 0;
    if (r->bad || r->n < bytes) {
        r->bad = true;
        return 0;
    }
    for (size_t i = 0; i < bytes; i++) {
        v = v << 8 | r->p[i];
    }
    r->p += bytes;
    r->n -= bytes;
    return v;
}

uint8_t wire_u8(struct wire_reader *r)
{
    return (uint8_t)take(r, 1);
}

uint32_t wire_u32(struct wire_reader *r)
{
    return (uint32_t)take(r, 4);
}

uint64_t wire_u64(struct wire_reader *r)
{
    return take(r, 8);
}

struct str wire_str(struct wire_reader *r)
{
    size_t n = wire_u32(r);
    if (r->bad || n > r->n) {
        r->bad = true;
        return STR_EMPTY;
    }
    struct str s = str_n(r->p, n);
    r->p += n;
    r->n -= n;
    return s;
}

bool wire_end(const struct wire_reader *r)
{
    return !r->bad && r->n == 0;
}

void wire_put_str(struct buf *out, struct str s)
{
    wire_put_u32(out, (uint32_t)s.n);
    buf_puts(out, s);
}

void wire_put_params(struct buf *out, const struct crypt_params *p)
{
    wire_put_u8(out, p->what);
    wire_put_u8(out, p->hash);
    wire_put_u8(out, p->flags);
    wire_put_u32(out, (uint32_t)p->salt_length);
    wire_put_u32(out, p->bits);
}

struct crypt_params wire_params(struct wire_reader *r)
{
    struct crypt_params p = {0};
    p.what = wire_u8(r);
    p.hash = wire_u8(r);
    p.flags = wire_u8(r);
    p.salt_length = (int)wire_u32(r);
    p.bits = wire_u32(r);
    r->bad |= p.what == 0 || p.what >= CRYPT_WHAT_MAX || p.hash >= HASH_MAX ||
              p.salt_length < SALT_HASH || p.salt_length > 512;
    return p;
}

void wire_put_item(struct buf *out, const struct crypt_item *item)
{
    wire_put_u32(out, item->version);
    wire_put_u32(out, item->to_version);
    wire_put_u8(out, item->has_context);
    wire_put_str(out, item->input);
    wire_put_str(out, item->signature);
    wire_put_str(out, item->context);
    wire_put_str(out, item->aad);
}

struct crypt_item wire_item(struct wire_reader *r)
{
    struct crypt_item item = {0};
    item.version = wire_u32(r);
    item.to_version = wire_u32(r);
    item.has_context = wire_u8(r) == 1;
    item.input = wire_str(r);
    item.signature = wire_str(r);
    item.context = wire_str(r);
    item.aad = wire_str(r);
    return item;
}
