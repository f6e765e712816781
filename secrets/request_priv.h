/* What request.c, route.c, reply.c and audit_event.c share. */
#ifndef SEXTANT_SECRETS_REQUEST_PRIV_H
#define SEXTANT_SECRETS_REQUEST_PRIV_H

#include "core.h"

void route_find(struct request *r); /* sets r->route and r->params, or leaves NULL */
handler *route_handler(const struct request *r);

/* Writes r->status and r->body from r->reply. */
void reply_build(struct request *r);
void reply_build_error(struct request *r, int status, struct str text);
bool reply_has_content(const struct request *r);

/* One event for the whole request; done(r, e) when it is durable, or is not. */
void request_audit(struct request *r, void (*done)(void *ctx, struct err e));

/* Puts the finished answer of `r` into a one-time token; r->reply becomes wrap_info. */
struct err wrap_reply(struct request *r);

#endif
