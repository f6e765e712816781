/*
 * note: signed notes and their keys (C2SP signed-note).
 *
 * A note is text that ends in a newline, a blank line, and one line for each signature:
 *     — <key name> <base64 of 4-byte key id and signature>
 * A verifier key is written  name+8 hex digits of key id+base64(type || public key). Known types are
 * Ed25519 over the text (01) and Ed25519 cosignatures with a time (04); signatures of unknown
 * keys are ignored, a bad signature of a known key makes the whole note invalid.
 */
#ifndef SEXTANT_NOTE_H
#define SEXTANT_NOTE_H

#include "lib/base/arena.h"
#include "lib/base/buf.h"

enum {
    NOTE_MAX = 64 * 1024, /* bytes of a whole note */
    NOTE_SIGS_MAX = 32,
    NOTE_ED25519 = 1,
    NOTE_COSIGNATURE = 4,
    NOTE_PUBLIC_KEY = 32,
    NOTE_SIGNATURE = 64,
};

struct note_key {
    struct str name;
    uint32_t id;
    uint8_t type; /* NOTE_ED25519 or NOTE_COSIGNATURE */
    uint8_t public_key[NOTE_PUBLIC_KEY];
};

/* ERR_SYNTAX, or ERR_UNSUPPORTED for another type of key, or ERR_INVALID for a wrong key id. */
struct err note_key_parse(struct arena *a, struct str vkey, struct note_key *out);
/* Fills id; `name` must be valid (non-empty, no space, no plus): ERR_SYNTAX. */
struct err note_key_make(struct str name, uint8_t type, const uint8_t public_key[NOTE_PUBLIC_KEY],
                         struct note_key *out);
void note_key_put(struct buf *out, const struct note_key *key); /* as a vkey */

struct note_sig {
    struct str name;
    uint32_t id;
    struct str bytes; /* without the key id */
};

struct note {
    struct str text; /* signed; ends in a newline */
    struct note_sig sigs[NOTE_SIGS_MAX];
    size_t n_sigs;
};

struct err note_parse(struct arena *a, struct str bytes, struct note *out);

/*
 * At least one of `keys` must have signed, and every signature by one of them must verify:
 * ERR_SIGNATURE. signed_by[i], if asked for, tells which did.
 */
struct err note_verify(const struct note *n, const struct note_key *keys, size_t n_keys,
                       bool *signed_by);

/* One signature line. */
void note_put_sig(struct buf *out, const struct note_key *key, struct str signature);

#endif
