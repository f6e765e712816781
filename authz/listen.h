/*
 * listen: the REST API on its addresses: TCP, TLS, unix sockets, and the diagnostic address that serves health and
 * metrics alone. Certificate, key and CA files are looked at again from time to time; what has changed serves new
 * connections, and what does not parse is logged and left aside.
 */
#ifndef SEXTANT_AUTHZ_LISTEN_H
#define SEXTANT_AUTHZ_LISTEN_H

#include "authz.h"

struct loop;

struct authz_listen_opts {
    const struct str *addresses; /* "127.0.0.1:8181", "unix:/run/x.sock" */
    size_t n_addresses;
    const struct str *diagnostic;
    size_t n_diagnostic;
    unsigned unix_mode; /* permission bits of unix sockets; 0: 0755 */
    bool no_h2c;        /* HTTP/2 over TLS alone */
};

struct authz_listener;

/* TLS comes from z->config (tls_cert, tls_key, tls_ca). ERR with detail; *out is to be freed all the same. */
struct err authz_listen(struct authz *z, struct loop *loop, const struct authz_listen_opts *o,
                        struct authz_listener **out);
const char *authz_listener_address(const struct authz_listener *l);
/* Stops listening; done(ctx) when the last request is answered. */
void authz_listener_drain(struct authz_listener *l, void (*done)(void *ctx), void *ctx);
void authz_listener_free(struct authz_listener *l); /* NULL is fine */

#endif
