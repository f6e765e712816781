/*
 * tls: TLS 1.3 (and 1.2 with AEAD suites) without input or output of its own.
 *
 * A session is fed ciphertext and gives ciphertext; lib/loop moves the bytes:
 *
 *     TRY(tls_feed(s, from_socket));          handshake advances, plaintext becomes readable
 *     TRY(tls_read(s, &plaintext));
 *     TRY(tls_send(s, S("hello")));
 *     tls_pending_out(s, &to_socket);         call after every one of the above, failed or not
 *
 * An identity is a chain with its key; a trust says whom to believe. Both are counted and immutable,
 * and can be replaced in a running server or client: new sessions use the new ones, old sessions go
 * on until someone asks tls_recheck(). Replacing drops the cache of sessions, so nobody resumes under
 * a trust that is gone.
 *
 * With client certificates the server keeps sessions in its own memory and hands out no tickets
 * that would hold state: resumption then neither decodes certificates again nor outlives a ban.
 */
#ifndef SEXTANT_TLS_H
#define SEXTANT_TLS_H

#include "lib/x509/verify.h"

enum {
    TLS_NAMES_MAX = 16,             /* protocols of one ALPN list */
    TLS_OUT_MAX = 8 * 1024 * 1024,  /* ciphertext not yet taken by tls_pending_out */
    TLS_IN_MAX = 4 * 1024 * 1024,   /* ciphertext fed and not yet taken by tls_read */
    TLS_HANDSHAKE_MAX = 256 * 1024, /* bytes a peer may send before the handshake is over */
    TLS_SESSION_CACHE = 4096,       /* sessions a server remembers */
    TLS_SESSION_S = 600,            /* for how long */
};

/* ---- who we are ---- */
struct tls_identity;
struct err tls_identity_new(const struct x509_chain *chain, struct key *key,
                            struct tls_identity **out);
struct err tls_identity_from_pem(struct str chain_pem, struct str key_pem,
                                 struct tls_identity **out);
struct err tls_identity_from_files(const char *chain_path, const char *key_path,
                                   struct tls_identity **out);
struct tls_identity *tls_identity_ref(struct tls_identity *i);
void tls_identity_unref(struct tls_identity *i);
const struct x509_chain *tls_identity_chain(const struct tls_identity *i);
struct key *tls_identity_key(const struct tls_identity *i);

/*
 * For servers that browsers visit: reads `dir`/server.crt and server.key, or makes them, signed by a
 * local CA whose certificate is `dir`/ca.crt (for the client's trust store; its key is discarded).
 * Made anew when less than a third of its life is left or when `names` (DNS names or addresses)
 * have changed. The key file is readable by its owner alone.
 */
struct err tls_identity_local(const char *dir, const struct str *names, size_t n, int64_t now_s,
                              struct tls_identity **out);

/* ---- whom we believe ---- */
struct tls_trust;
/* Names under public or private anchors: the peer must be called server_name. Takes a reference. */
struct err tls_trust_names(struct x509_anchors *anchors, struct tls_trust **out);
/* SPIFFE: the chain must lead to the bundle of the leaf's own trust domain. Takes a reference. */
struct err tls_trust_spiffe(struct x509_bundles *bundles, struct tls_trust **out);
struct err tls_trust_system(struct tls_trust **out); /* the machine's own CA file */
/*
 * Believes anyone: the stream is hidden from listeners, and nobody knows who is at its other end. Only
 * for those who were told so in so many words (tls_insecure_skip_verify of http.send).
 */
struct err tls_trust_unchecked(struct tls_trust **out);
struct tls_trust *tls_trust_ref(struct tls_trust *t);
void tls_trust_unref(struct tls_trust *t);

/*
 * A list of the SPIFFE ids that may be at the other end. An entry is an id, or an id followed by
 * "/" and "*" for everything below it. An empty list admits every id that verifies.
 */
struct tls_peer_rule {
    const struct str *ids;
    size_t n;
    struct err (*check)(
        void *ctx, const struct spiffe_id *id,
        const struct x509_cert *leaf); /* may be NULL: further word, e.g. a deny-list */
    void *ctx;
};

/* ---- servers ---- */
struct tls_server_opts {
    struct tls_identity *identity; /* may come later: until then handshakes fail */
    struct tls_trust *trust;       /* NULL: no client certificate is asked for */
    bool client_cert_required;     /* with trust: refuse clients without one */
    struct tls_peer_rule peers;    /* copied */
    const char *const *alpn;       /* NULL-terminated, best first; NULL = none */
};
struct tls_server;
struct err tls_server_new(const struct tls_server_opts *o, struct tls_server **out);
struct tls_server *tls_server_ref(struct tls_server *s);
void tls_server_unref(struct tls_server *s);
struct err tls_server_set_identity(struct tls_server *s, struct tls_identity *i);
struct err tls_server_set_trust(struct tls_server *s, struct tls_trust *t);

/* ---- clients ---- */
struct tls_client_opts {
    struct tls_trust *trust;       /* required, now or by tls_client_set_trust */
    struct tls_identity *identity; /* may be NULL */
    struct tls_peer_rule peers;    /* SPIFFE trust: whom we expect */
    struct str server_name;        /* SNI and name to check; empty: given with each session */
    const char *const *alpn;
};
struct tls_client;
struct err tls_client_new(const struct tls_client_opts *o, struct tls_client **out);
struct tls_client *tls_client_ref(struct tls_client *c);
void tls_client_unref(struct tls_client *c);
struct err tls_client_set_identity(struct tls_client *c, struct tls_identity *i);
struct err tls_client_set_trust(struct tls_client *c, struct tls_trust *t);

/* ---- sessions ---- */
struct tls_session;
struct err tls_session_server(struct tls_server *server, struct tls_session **out);
/* `server_name` empty: that of the client. Under a trust in names one of the two must be given. */
struct err tls_session_client(struct tls_client *client, struct str server_name,
                              struct tls_session **out);
void tls_session_free(struct tls_session *s); /* NULL ok */
/* Before the start, under a SPIFFE trust: the server must be exactly this id, whatever the client's list says. */
struct err tls_session_expect(struct tls_session *s, struct str spiffe_id);

/* Starts a client's handshake (its first bytes become pending); harmless on a server. */
struct err tls_start(struct tls_session *s);
/* Takes all of `ciphertext`. Errors end the session: send what is pending (the alert), then close. */
struct err tls_feed(struct tls_session *s, struct str ciphertext);
/* Appends what is readable, up to the free room of `out`; nothing readable is no error. */
struct err tls_read(struct tls_session *s, struct buf *out);
/* Before the handshake is over: ERR_BUSY. */
struct err tls_send(struct tls_session *s, struct str plaintext);
/* Moves the ciphertext to be written to the end of `out`; false when there was none. */
bool tls_pending_out(struct tls_session *s, struct buf *out);
bool tls_ready(const struct tls_session *s);       /* the handshake is over and the peer accepted */
bool tls_peer_closed(const struct tls_session *s); /* close_notify came */
void tls_close(struct tls_session *s);             /* close_notify becomes pending */

/* Of the peer; empty when it showed no certificate. Slices live as long as the session. */
struct str tls_peer_spiffe_id(const struct tls_session *s);
const struct x509_chain *tls_peer_chain(const struct tls_session *s);
struct err tls_peer_chain_der(const struct tls_session *s, struct buf *out);
struct str tls_alpn(const struct tls_session *s);
struct str tls_sni(const struct tls_session *s);
const char *tls_version(const struct tls_session *s); /* "TLSv1.3" */
bool tls_resumed(const struct tls_session *s);
/* Would the peer be accepted now, under the server's or client's present trust and rules? */
struct err tls_recheck(const struct tls_session *s, int64_t now_s);

#endif
