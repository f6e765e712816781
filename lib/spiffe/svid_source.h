/*
 * svid_source: keeps this process's X.509-SVID and trust bundles current, from a Workload API.
 *
 * It holds one FetchX509SVID stream open, reconnects with back-off (1 s steps to 30 s), and on
 * every message swaps identity and trust in the servers and clients that were attached to it. While the
 * stream is down the last SVID is used until it expires.
 *
 *     svid_source_start(loop, S("unix:/run/sextant/identity/workload.sock"), on_update, ctx, &source);
 *     svid_source_attach_server(source, tls_server);
 */
#ifndef SEXTANT_SPIFFE_SVID_SOURCE_H
#define SEXTANT_SPIFFE_SVID_SOURCE_H

#include "lib/spiffe/spiffe.h"
#include "lib/tls/tls.h"

struct loop;
struct svid_source;

/* `on_update` is called for the first SVID, for each later one, and with an error when identity is withdrawn. */
struct err svid_source_start(struct loop *loop, struct str address,
                             void (*on_update)(void *ctx, struct svid_source *s, struct err e),
                             void *ctx, struct svid_source **out);
void svid_source_free(struct svid_source *s);

bool svid_source_ready(const struct svid_source *s);
struct str svid_source_id(const struct svid_source *s);                 /* empty before the first */
struct tls_identity *svid_source_identity(const struct svid_source *s); /* borrowed; NULL before */
struct x509_bundles *svid_source_bundles(const struct svid_source *s);  /* borrowed; NULL before */
int64_t svid_source_not_after(const struct svid_source *s);

/* Attached objects get every new identity and trust; they are kept referenced until freed. */
struct err svid_source_attach_server(struct svid_source *s, struct tls_server *server);
struct err svid_source_attach_client(struct svid_source *s, struct tls_client *client);

#endif
