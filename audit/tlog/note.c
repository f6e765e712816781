#include "note.h"

#include "lib/base/codec.h"
#include "lib/tls/digest.h"

static const struct str DASH = STR_INIT("\xe2\x80\x94 "); /* em dash and a blank */

static bool name_is_valid(struct str name)
{
    if (name.n == 0 || !str_is_utf8(name) || str_find_char(name, '+') != STR_NPOS) {
        return false;
    }
    for (size_t i = 0; i < name.n; i++) {
        uint8_t c = (uint8_t)name.p[i], d = i + 1 < name.n ? (uint8_t)name.p[i + 1] : 0,
                e = i + 2 < name.n ? (uint8_t)name.p[i + 2] : 0;
        bool space = c <= 0x20 || c == 0x7f || (c == 0xc2 && (d == 0x85 || d == 0xa0)) ||
                     (c == 0xe1 && d == 0x9a && e == 0x80) || /* U+1680 */
                     (c == 0xe2 && d == 0x80 &&
                      ((e >= 0x80 && e <= 0x8a) || e == 0xa8 || e == 0xa9 || e == 0xaf)) ||
                     (c == 0xe2 && d == 0x81 && e == 0x9f) || (c == 0xe3 && d == 0x80 && e == 0x80);
        if (space) {
            return false;
        }
    }
    return true;
}

static uint32_t key_id(struct str name, uint8_t type, const uint8_t *public_key)
{
    uint8_t sum[SHA256_BYTES];
    struct sha256 h;
    sha256_init(&h);
    sha256_add(&h, name);
    sha256_add(&h, S("\n"));
    sha256_add(&h, str_n(&type, 1));
    sha256_add(&h, str_n(public_key, NOTE_PUBLIC_KEY));
    sha256_end(&h, sum);
    return (uint32_t)sum[0] << 24 | (uint32_t)sum[1] << 16 | (uint32_t)sum[2] << 8 | sum[3];
}

struct err note_key_make(struct str name, uint8_t type, const uint8_t public_key[NOTE_PUBLIC_KEY],
                         struct note_key *out)
{
    ENSURE(name_is_valid(name), ERR_SYNTAX,
           "'%.*s' is not a key name: it must have no blanks and no plus", STR_FMT(name));
    *out = (struct note_key){.name = name, .type = type, .id = key_id(name, type, public_key)};
    memcpy(out->public_key, public_key, NOTE_PUBLIC_KEY);
    return OK;
}

static uint32_t read_be32(struct str s)
{
    const uint8_t *p = (const uint8_t *)s.p;
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

struct err note_key_parse(struct arena *a, struct str vkey, struct note_key *out)
{
    struct str rest = str_trim(vkey), name = str_split(&rest, '+');
    ENSURE(rest.p != NULL, ERR_SYNTAX, "a verifier key reads NAME+KEYID+BASE64");
    struct str id_text = str_split(&rest, '+'), id, material;
    ENSURE(rest.p != NULL && id_text.n == 8, ERR_SYNTAX, "a verifier key reads NAME+KEYID+BASE64");
    TRY(hex_decode(a, id_text, &id));
    TRY(base64_decode(a, rest, BASE64_STD, &material));
    ENSURE(material.n > 0, ERR_SYNTAX, "a verifier key without a key");
    uint8_t type = (uint8_t)material.p[0];
    ENSURE(type == NOTE_ED25519 || type == NOTE_COSIGNATURE, ERR_UNSUPPORTED,
           "verifier key type %u; known are 1 (Ed25519) and 4 (Ed25519 cosignature)", type);
    ENSURE(material.n == 1 + NOTE_PUBLIC_KEY, ERR_SYNTAX, "an Ed25519 key has %d bytes",
           NOTE_PUBLIC_KEY);
    struct note_key key;
    TRY(note_key_make(arena_str(a, name), type, (const uint8_t *)material.p + 1, &key));
    ENSURE(key.id == read_be32(id), ERR_INVALID,
           "the verifier key's id is %08x by its key, not %.*s", key.id, STR_FMT(id_text));
    *out = key;
    return OK;
}

void note_key_put(struct buf *out, const struct note_key *key)
{
    char material[1 + NOTE_PUBLIC_KEY];
    material[0] = (char)key->type;
    memcpy(material + 1, key->public_key, NOTE_PUBLIC_KEY);
    buf_puts(out, key->name);
    buf_printf(out, "+%08x+", key->id);
    base64_put(out, str_n(material, sizeof(material)), BASE64_STD);
}

static struct err parse_sig(struct arena *a, struct str line, struct note_sig *out)
{
    ENSURE(str_starts(line, DASH), ERR_SYNTAX, "a signature line starts with an em dash");
    struct str rest = str_sub(line, DASH.n, line.n), name = str_split(&rest, ' '), bytes;
    ENSURE(name_is_valid(name) && rest.p != NULL, ERR_SYNTAX,
           "a signature line without a key name");
    TRY(base64_decode(a, rest, BASE64_STD, &bytes));
    ENSURE(bytes.n > 4, ERR_SYNTAX, "a signature without a key id");
    *out = (struct note_sig){name, read_be32(bytes), str_sub(bytes, 4, bytes.n)};
    return OK;
}

static bool has_control(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if ((uint8_t)s.p[i] < 0x20 && s.p[i] != '\n') {
            return true;
        }
    }
    return false;
}

/* The end of the text: after the newline that comes before the last blank line. */
static size_t text_end(struct str bytes)
{
    for (size_t i = bytes.n; i-- > 1;) {
        if (bytes.p[i] == '\n' && bytes.p[i - 1] == '\n') {
            return i;
        }
    }
    return STR_NPOS;
}

struct err note_parse(struct arena *a, struct str bytes, struct note *out)
{
    ENSURE(bytes.n <= NOTE_MAX, ERR_LIMIT, "a note of %zu bytes; at most %d are read", bytes.n,
           NOTE_MAX);
    ENSURE(str_is_utf8(bytes) && !has_control(bytes), ERR_SYNTAX,
           "a note is UTF-8 without control characters");
    ENSURE(str_ends(bytes, S("\n")), ERR_SYNTAX, "a note ends in a newline");
    size_t end = text_end(bytes);
    ENSURE(end != STR_NPOS, ERR_SYNTAX, "a note without a blank line before its signatures");
    struct note n = {.text = str_sub(bytes, 0, end)};
    struct str rest = str_sub(bytes, end + 1, bytes.n);
    while (rest.n > 0) {
        ENSURE(n.n_sigs < NOTE_SIGS_MAX, ERR_LIMIT, "a note with more than %d signatures",
               NOTE_SIGS_MAX);
        TRY(parse_sig(a, str_split(&rest, '\n'), &n.sigs[n.n_sigs]));
        n.n_sigs++;
    }
    ENSURE(n.n_sigs > 0, ERR_SYNTAX, "a note without signatures");
    *out = n;
    return OK;
}

/* A cosignature is over a line with its time and the whole text (C2SP tlog-cosignature). */
static bool verify_cosignature(const struct note_key *key, struct str text, struct str sig)
{
    if (sig.n != 8 + NOTE_SIGNATURE) {
        return false;
    }
    uint64_t when = (uint64_t)read_be32(sig) << 32 | read_be32(str_sub(sig, 4, 8));
    struct buf message;
    buf_init(&message, NOTE_MAX + 128);
    buf_printf(&message, "cosignature/v1\ntime %llu\n", (unsigned long long)when);
    buf_puts(&message, text);
    bool good = buf_ok(&message) &&
                ed25519_verify(key->public_key, buf_str(&message), str_sub(sig, 8, sig.n));
    buf_release(&message);
    return good;
}

static bool verify_one(const struct note_key *key, struct str text, struct str sig)
{
    if (key->type == NOTE_COSIGNATURE) {
        return verify_cosignature(key, text, sig);
    }
    return ed25519_verify(key->public_key, text, sig);
}

struct err note_verify(const struct note *n, const struct note_key *keys, size_t n_keys,
                       bool *signed_by)
{
    size_t good = 0;
    for (size_t k = 0; k < n_keys; k++) {
        bool seen = false;
        for (size_t i = 0; i < n->n_sigs && !seen; i++) {
            if (n->sigs[i].id != keys[k].id || !str_eq(n->sigs[i].name, keys[k].name)) {
                continue;
            }
            ENSURE(verify_one(&keys[k], n->text, n->sigs[i].bytes), ERR_SIGNATURE,
                   "the signature of %.*s does not verify", STR_FMT(keys[k].name));
            seen = true;
            good++;
        }
        if (signed_by != NULL) {
            signed_by[k] = seen;
        }
    }
    ENSURE(good > 0, ERR_SIGNATURE, "the note has no signature by a key that was given");
    return OK;
}

void note_put_sig(struct buf *out, const struct note_key *key, struct str signature)
{
    char bytes[4 + NOTE_SIGNATURE + 8];
    BUG_ON(signature.n > sizeof(bytes) - 4);
    for (int i = 0; i < 4; i++) {
        bytes[i] = (char)(key->id >> (24 - 8 * i));
    }
    memcpy(bytes + 4, signature.p, signature.n);
    buf_puts(out, DASH);
    buf_puts(out, key->name);
    buf_putc(out, ' ');
    base64_put(out, str_n(bytes, 4 + signature.n), BASE64_STD);
    buf_putc(out, '\n');
}
