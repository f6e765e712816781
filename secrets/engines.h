/* engines: everything that can be mounted, in one table. */
#ifndef SEXTANT_SECRETS_ENGINES_H
#define SEXTANT_SECRETS_ENGINES_H

#include "core.h"

extern const struct engine *const engines[]; /* ends with NULL */

extern const struct engine system_engine, cubbyhole_engine, identity_engine, kv_engine,
    database_engine, transit_engine;
extern const struct engine token_engine, jwt_engine, cert_engine, approle_engine, userpass_engine;

/* Mounted once, at init: system, cubbyhole, identity, token. */
bool engine_is_built_in(const struct engine *e);

#endif
