#include "crypto.h"

const struct config_key crypto_keys[] = {
    {"listen", CONFIG_STR, offsetof(struct crypto_config, listen), .fallback = "127.0.0.1:8210",
     .help = "address of the Transit API over mTLS; empty for the unix socket alone"},
    {"admins", CONFIG_LIST, offsetof(struct crypto_config, admins), .max = 64,
     .help = "SPIFFE ids that may make, grant and rotate keys, beside sextant/operator"},
    {"exempt_key", CONFIG_STR, offsetof(struct crypto_config, exempt_key),
     .fallback = "audit-checkpoint",
     .help = "signing with this key by sextant/audit is not an audit event: it would never end"},
    {0},
};

struct str crypto_operator(struct arena *a, struct str trust_domain)
{
    return arena_printf(a, "spiffe://%.*s/sextant/operator", STR_FMT(trust_domain));
}

size_t crypto_admins(struct arena *a, const struct config *c, const struct crypto_config *own,
                     struct str **out)
{
    struct str *ids = arena_array(a, struct str, own->admins.n + 1);
    ids[0] = crypto_operator(a, c->trust_domain);
    for (size_t i = 0; i < own->admins.n; i++) {
        ids[i + 1] = own->admins.items[i];
    }
    *out = ids;
    return own->admins.n + 1;
}
