/* role: the token_* fields that roles of every auth method share, and what a login takes from them. */
#ifndef SEXTANT_SECRETS_ROLE_H
#define SEXTANT_SECRETS_ROLE_H

#include "token.h"

/* Puts the token_* fields of the request into `role`; what is not given stays or gets its default. */
struct err role_read_token_fields(struct request *r, struct json *role);
/* Fills ttl, policies, uses and so on of `l` from `role`. */
void role_apply(struct request *r, const struct json *role, struct login *l);

/* Generic records below a folder of the mount. */
struct err role_load(struct request *r, const char *folder, struct str name, struct json **out);
struct err role_save(struct request *r, const char *folder, struct str name, const struct json *v);
struct err role_delete(struct request *r, const char *folder, struct str name);
struct err role_list(struct request *r, const char *folder);
/* Copies named fields of the request into a record. */
struct err role_put_str(struct request *r, struct json *role, const char *name,
                        const char *fallback);
struct err role_put_list(struct request *r, struct json *role, const char *name);
struct err role_put_bool(struct request *r, struct json *role, const char *name, bool fallback);
struct err role_put_seconds(struct request *r, struct json *role, const char *name);
/* `*` at the end of a pattern stands for any rest. */
bool role_glob(struct str pattern, struct str text);

#endif
