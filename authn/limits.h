/* limits: every maximum of authn, listed in docs/limits.md. */
#ifndef SEXTANT_AUTHN_LIMITS_H
#define SEXTANT_AUTHN_LIMITS_H

enum {
    PARAMS_MAX = 64,            /* parameters of one request */
    PARAM_VALUE_MAX = 8 * 1024, /* bytes of one value */
    PASSWORD_MAX = 1024,        /* bytes; checked before hashing */
    PASSWORD_MIN = 8,
    USERNAME_MAX = 128,
    USER_ATTRIBUTES_MAX = 16 * 1024, /* bytes of a user's attributes as JSON */
    CLIENT_ID_MAX = 128,
    CLIENT_METADATA_MAX = 64 * 1024,
    CLIENT_LIST_MAX = 64, /* entries of any list in a client's metadata */
    CLIENTS_MAX = 10000,
    INTERACTIONS_MAX = 4000, /* logins under way; the oldest gives way */
    INTERACTION_S = 600,
    ASSERTION_LIFE_MAX_S = 600,
    ASSERTION_AHEAD_S = 60, /* how far iat and nbf may lie ahead */
    BEARER_MAX = 8 * 1024,
    THROTTLE_ENTRIES_MAX = 20000,
    HASH_QUEUE_MAX = 64, /* password checks waiting; more are told to come back */
    SIGN_QUEUE_MAX = 4096,
    SIGN_BATCH_MAX = 64,
    REVOCATION_PAGE = 1000, /* entries of one answer of /v1/revocations */
    WATCHERS_MAX = 1024,    /* enforcement points waiting for revocations */
    OP_ARENA = 1 << 20,     /* memory of one operation */
    TOKEN_MAX = 4 * 1024,   /* bytes of a token issued here */
};

#endif
