/*
 * der: reading and writing the few ASN.1 shapes that certificates and keys are made of (X.690).
 *
 * The reader is a bounded cursor over definite-length DER with minimal lengths; tags of one byte.
 * The writer builds from the inside out: der_open remembers where an element began, der_close puts
 * its length in.
 *
 *     size_t seq = der_open(&b, DER_SEQUENCE);
 *     der_put_uint(&b, serial);
 *     der_close(&b, seq);
 */
#ifndef SEXTANT_X509_DER_H
#define SEXTANT_X509_DER_H

#include "lib/base/buf.h"

enum {
    DER_BOOLEAN = 0x01,
    DER_INTEGER = 0x02,
    DER_BIT_STRING = 0x03,
    DER_OCTET_STRING = 0x04,
    DER_NULL = 0x05,
    DER_OID = 0x06,
    DER_UTF8 = 0x0c,
    DER_PRINTABLE = 0x13,
    DER_IA5 = 0x16,
    DER_UTC_TIME = 0x17,
    DER_GENERALIZED_TIME = 0x18,
    DER_SEQUENCE = 0x30,
    DER_SET = 0x31
};
#define DER_CONTEXT(n) (0x80 | (n))      /* primitive */
#define DER_CONTEXT_CONS(n) (0xa0 | (n)) /* constructed */

struct der {
    struct str rest;
};

/* The next element: its tag, its content, and the whole of it with header. ERR_SYNTAX. */
struct err der_any(struct der *d, unsigned *tag, struct str *content, struct str *whole);
/* The next element must have this tag. */
struct err der_take(struct der *d, unsigned tag, struct str *content);
struct err der_take_whole(struct der *d, unsigned tag, struct str *whole);
bool der_peek(const struct der *d, unsigned tag);
struct err der_end(const struct der *d, const char *what); /* nothing may follow */
/* A BIT STRING with no unused bits. */
struct err der_take_bits(struct der *d, struct str *bits);
/* A positive INTEGER as big endian bytes without a leading zero; zero is one 0x00 byte. */
struct err der_take_uint(struct der *d, struct str *bytes);

size_t der_open(struct buf *b, unsigned tag);
void der_close(struct buf *b, size_t at);
void der_put(struct buf *b, unsigned tag, struct str content);
void der_put_uint(struct buf *b, struct str bytes); /* minimal, positive */
void der_put_bits(struct buf *b, struct str bits);  /* BIT STRING, no unused bits */
/* UTCTime until 2049, GeneralizedTime after (RFC 5280 section 4.1.2.5). */
void der_put_time(struct buf *b, int64_t seconds);

#endif
