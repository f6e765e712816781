/*
 * codec: bytes as text and back. Hexadecimal, base64 and base64url (RFC 4648), percent-encoding
 * (RFC 3986), and random identifiers.
 *
 * Decoders are strict: no blanks, no wrong alphabet, no spare bits, padding exactly where the form
 * asks for it. Their results live in the arena given.
 */
#ifndef SEXTANT_CODEC_H
#define SEXTANT_CODEC_H

#include "arena.h"
#include "buf.h"

enum base64_form {
    BASE64_STD,     /* + and /, padded */
    BASE64_URL,     /* - and _, no padding: the form of JOSE */
    BASE64_URL_PAD, /* - and _, padded */
    BASE64_STD_RAW, /* + and /, no padding */
};

void base64_put(struct buf *out, struct str bytes, enum base64_form form);
struct str base64_encode(struct arena *a, struct str bytes, enum base64_form form);
struct err base64_decode(struct arena *a, struct str text, enum base64_form form, struct str *out);
/* Into the caller's memory, for secrets: writes at most `cap` bytes and their count. */
struct err base64_decode_into(struct str text, enum base64_form form, void *dst, size_t cap,
                              size_t *n);

void hex_put(struct buf *out, struct str bytes); /* lower case */
struct str hex_encode(struct arena *a, struct str bytes);
struct err hex_decode(struct arena *a, struct str text, struct str *out); /* either case */

/* Percent-decoding of one path segment or form value; `plus` turns '+' into a blank (forms). */
struct err percent_decode(struct arena *a, struct str text, bool plus, struct str *out);
/* Everything but unreserved characters (RFC 3986 section 2.3) becomes %XX. */
void percent_put(struct buf *out, struct str bytes);

/* Cryptographic randomness; never fails (aborts if the kernel has none). */
void random_bytes(void *p, size_t n);
struct str random_id(struct arena *a, size_t n, const char *alphabet); /* n letters of alphabet */
extern const char ALPHABET_BASE62[];

/* A random (version 4) UUID as 36 characters and a NUL. */
enum { UUID_TEXT = 37 };
void uuid4(char out[UUID_TEXT]);

#endif
