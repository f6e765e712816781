#include "secretsd.h"

#define KEY(name) offsetof(struct secrets_config, name)

static const char *const seals[] = {"transit", "shamir", NULL};

const struct config_key secrets_keys[] = {
    {"listen", CONFIG_STR, KEY(listen), .fallback = "127.0.0.1:8200",
     .help = "HTTPS address of the API; empty: the unix socket alone"},
    {"seal", CONFIG_STR, KEY(seal), .fallback = "transit", .choices = seals,
     .help = "who gives the root key back: the crypto daemon, or operators with Shamir shares"},
    {"seal_key", CONFIG_STR, KEY(seal_key), .fallback = "secrets-unseal",
     .help = "key of crypto that wraps the root key"},
    {"crypto", CONFIG_STR, KEY(crypto),
     .help = "URL of crypto; default unix:RUN_DIR/crypto/crypto.sock:"},
    {"identity_admin", CONFIG_STR, KEY(identity_admin),
     .help = "URL of identity for its deny-list; default unix:RUN_DIR/identity/admin.sock:"},
    {"bundle_url", CONFIG_STR, KEY(bundle_url), .fallback = "https://127.0.0.1:8081/bundle",
     .help = "trust bundle with the keys of JWT-SVIDs, for jwt mounts with a spiffe_trust_domain "
             "and no jwks_url"},
    {"tls_cert", CONFIG_STR, KEY(tls_cert), .help = "PEM chain of the server; default: its SVID"},
    {"tls_key", CONFIG_STR, KEY(tls_key), .help = "PEM key that belongs to tls_cert"},
    {"version", CONFIG_STR, KEY(version), .fallback = "1.14.8",
     .help = "version of Vault's API that clients are told"},
    {"default_lease_ttl", CONFIG_DURATION, KEY(default_ttl_ns), .fallback = "1h", .min = NS_PER_S,
     .max = INT64_C(365) * 86400 * NS_PER_S,
     .help = "life of a token or lease where nothing else is said"},
    {"max_lease_ttl", CONFIG_DURATION, KEY(max_ttl_ns), .fallback = "24h", .min = NS_PER_S,
     .max = INT64_C(365) * 86400 * NS_PER_S,
     .help = "longest life, renewals included, where a mount says nothing else"},
    {"root_token_on_init", CONFIG_BOOL, KEY(root_token_on_init), .fallback = "false",
     .help = "seal: shamir: give a root token at init, for tools that need one"},
    {"declare", CONFIG_TREE, KEY(declare),
     .help = "policies, mounts, auth and write that shall be there after each unseal"},
    {0},
};
