/* tls_priv: the insides that identity.c, context.c, bio.c and session.c share. */
#ifndef SEXTANT_TLS_PRIV_H
#define SEXTANT_TLS_PRIV_H

#include "lib/x509/ossl.h"
#include "lib/x509/own.h"
#include "tls.h"

#include <openssl/ssl.h>

struct tls_identity {
    unsigned refs;
    struct x509_chain chain;
    struct key *key;
};

struct tls_trust {
    unsigned refs;
    struct x509_anchors *anchors; /* names, or NULL */
    struct x509_bundles *bundles; /* SPIFFE, or NULL */
    bool unchecked;               /* neither: whoever it is */
};

/* A copy of a tls_peer_rule. */
struct peer_rule {
    struct str *ids; /* owned, and their text */
    size_t n;
    struct err (*check)(void *ctx, const struct spiffe_id *id, const struct x509_cert *leaf);
    void *ctx;
};

/* Sessions that a client may resume, by whom it spoke to. */
enum { CLIENT_SLOTS = 16 };
struct client_slot {
    uint64_t whom;
    SSL_SESSION *session;
};

/* What servers and clients have in common; `ctx` is built anew whenever identity or trust change. */
struct endpoint {
    unsigned refs;
    bool is_server;
    SSL_CTX *ctx;
    struct tls_identity *identity;
    struct tls_trust *trust;
    struct peer_rule rule;
    bool cert_required;
    struct str alpn;        /* wire form, owned */
    struct str server_name; /* owned */
    struct client_slot slots[CLIENT_SLOTS];
    size_t next_slot;
};

struct tls_server {
    struct endpoint e;
};
struct tls_client {
    struct endpoint e;
};

struct tls_session {
    SSL *ssl;
    struct endpoint *endpoint; /* counted */
    struct tls_trust *trust;   /* counted: the one of its beginning */
    struct buf in, out;
    size_t taken; /* of `in` */
    size_t handshake_bytes;
    struct str server_name, expect; /* owned */
    struct x509_chain peer;
    struct err refusal; /* why the peer's certificate was refused */
    char refusal_detail[256];
    bool ready, broken;
};

BIO *tls_bio_new(struct tls_session *s);
struct err endpoint_rebuild(struct endpoint *e);
void endpoint_unref(struct endpoint *e);
int session_verify_callback(X509_STORE_CTX *store, void *arg);
int session_remember_callback(SSL *ssl, SSL_SESSION *session);

#endif
