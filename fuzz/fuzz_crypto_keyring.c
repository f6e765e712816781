/* deps: crypto_keys base */
/*
 * Messages from a hostile front to the holder of the keys. The input is a row of messages, each behind a
 * 16-bit length; a key of each kind is there to be used. Every message must get one whole reply.
 */
#include "crypto/keyring.h"

#include "crypto/key.h"
#include "crypto/wire.h"

#include <string.h>

static const struct str admin = STR_INIT("A");
static struct keyring *ring;
static struct buf out;

static void say(struct buf *m)
{
    buf_clear(&out);
    keyring_handle(ring, buf_str(m), &out);
}

static void add_key(enum key_type type, const char *name)
{
    struct buf m, meta;
    buf_init(&m, 1 << 20);
    buf_init(&meta, 1 << 20);
    wire_put_u8(&m, WIRE_CREATE);
    wire_put_str(&m, admin);
    wire_put_str(&m, str_of(name));
    wire_put_u8(&m, type);
    wire_put_u8(&m, 0);
    wire_put_u32(&m, 32);
    buf_put_be(&m, 0, 8);
    wire_put_u32(&m, 1);
    wire_put_str(&m, S("B"));
    wire_put_u32(&m, GRANT_ALL);
    say(&m);
    buf_puts(&meta, buf_str(&out));
    struct wire_reader r = wire_read(buf_str(&meta));
    wire_u8(&r);
    struct str rules = wire_str(&r);
    uint32_t n = wire_u32(&r);
    struct str version = wire_str(&r);
    buf_clear(&m);
    wire_put_u8(&m, WIRE_LOAD_META);
    wire_put_str(&m, STR_EMPTY);
    wire_put_str(&m, str_of(name));
    wire_put_str(&m, rules);
    say(&m);
    buf_clear(&m);
    wire_put_u8(&m, WIRE_LOAD_VERSION);
    wire_put_str(&m, STR_EMPTY);
    wire_put_str(&m, str_of(name));
    wire_put_u32(&m, n);
    wire_put_str(&m, version);
    say(&m);
    buf_release(&m);
    buf_release(&meta);
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct secret seal;
    if (failed(secret_copy(&seal, S("0123456789abcdef0123456789abcdef")))) {
        return 1;
    }
    ring = keyring_new(&seal, &admin, 1);
    buf_init_secret(&out, 1 << 20);
    add_key(KEY_AES256, "a");
    add_key(KEY_P256, "p");
    add_key(KEY_ED25519, "e");
    add_key(KEY_HMAC, "h");
    add_key(KEY_XCHACHA20, "x");
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    while (size >= 2) {
        size_t n = (size_t)data[0] << 8 | data[1];
        n = n < size - 2 ? n : size - 2;
        struct str message = str_n(data + 2, n);
        /* making RSA keys takes seconds and deleting the keys would end the game */
        bool skip = n > 0 && (data[2] == WIRE_CREATE || data[2] == WIRE_DROP);
        if (!skip) {
            buf_clear(&out);
            keyring_handle(ring, message, &out);
            BUG_ON(out.n == 0);
        }
        data += 2 + n;
        size -= 2 + n;
    }
    return 0;
}
