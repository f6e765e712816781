/*
 * client_auth: which client sends this request, proven by exactly one method: a secret (in the
 * Authorization header or the form), a signed assertion (private_key_jwt), an SVID (of the mTLS
 * connection or the unix socket), or none with its client_id.
 */
#ifndef SEXTANT_AUTHN_CLIENT_AUTH_H
#define SEXTANT_AUTHN_CLIENT_AUTH_H

#include "op.h"

/* A client assertion whose id must still be spent: in the transaction of what it is for. */
struct assertion {
    struct str jti;
    int64_t expires;
};

/*
 * On success op->client is set. On failure the answer has been prepared (401 invalid_client, 429
 * after too many failures, or 400 for two methods at once); end the operation with err_detail() as reason.
 */
struct err client_authenticate(struct op *op, struct assertion *assertion);
/* In the transaction: ERR_EXISTS when the assertion was used before. */
struct err assertion_take(struct op *op, const struct assertion *assertion);

#endif
