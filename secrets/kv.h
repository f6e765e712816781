/* kv: what the two versions of the key-value engine share. */
#ifndef SEXTANT_SECRETS_KV_H
#define SEXTANT_SECRETS_KV_H

#include "core.h"

enum {
    KV_VERSIONS_DEFAULT = 10,
    KV_VERSIONS_MAX = 1000,
    KV_CUSTOM_KEYS_MAX = 64,
    KV_CUSTOM_KEY_MAX = 128,
    KV_CUSTOM_VALUE_MAX = 512,
};

typedef struct err kv2_handler(struct request *r, struct str key);

/* The first segment below a version 2 mount, and what it does. */
struct kv2_verb {
    const char *name;
    kv2_handler *read, *write, *patch, *del, *list;
    bool whole_mount; /* makes sense without a key */
    bool may_create;  /* writing a key that is not there is `create` */
};

extern const struct kv2_verb kv2_verbs[]; /* ends with a zero entry */

bool kv_is_v2(const struct mount *m);
bool kv2_key_exists(struct request *r, struct str key);

#endif
