/* The section `authn` of the configuration. */
#include "lib/base/clock.h"

#include "authn.h"

#define DAY (86400 * NS_PER_S)

static const char *const claim_scopes[] = {"openid", "profile", "email", "address", "phone", NULL};

static const struct config_key claim_keys[] = {
    {"name", CONFIG_STR, offsetof(struct claim_config, name), .required = true,
     .help = "name of the claim; identity only, never permissions"},
    {"attribute", CONFIG_STR, offsetof(struct claim_config, attribute),
     .help = "the user's attribute it is taken from; the claim's name when absent"},
    {"scope", CONFIG_STR, offsetof(struct claim_config, scope), .fallback = "profile",
     .choices = claim_scopes, .help = "scope that releases it"},
    {0},
};

#define FIELD(f) offsetof(struct authn_config, f)

const struct config_key authn_keys[] = {
    {"issuer", CONFIG_STR, FIELD(issuer), .fallback = "https://localhost:9443",
     .help = "issuer identifier: the URL by which people and clients reach this"},
    {"listen", CONFIG_STR, FIELD(listen), .fallback = "127.0.0.1:9443",
     .help = "address for HTTPS"},
    {"listen_mtls", CONFIG_STR, FIELD(listen_mtls), .fallback = "127.0.0.1:9444",
     .help = "address for HTTPS with client SVIDs (clients of method spiffe_x509, enforcement "
             "points); empty: none"},
    {"tls_cert", CONFIG_STR, FIELD(tls_cert),
     .help = "PEM chain for `listen`; absent: one is made, signed by a local CA"},
    {"tls_key", CONFIG_STR, FIELD(tls_key), .help = "PEM key that belongs to tls_cert"},
    {"tls_names", CONFIG_LIST, FIELD(tls_names), .max = 32,
     .help = "further names and addresses of a certificate made here"},
    {"crypto", CONFIG_STR, FIELD(crypto),
     .help = "where the signing keys are: unix:/path; absent: the crypto daemon of this host"},
    {"id_token_key", CONFIG_STR, FIELD(id_key), .fallback = "authn-rs256",
     .help = "RSA key in crypto that signs ID tokens"},
    {"access_token_key", CONFIG_STR, FIELD(access_key), .fallback = "authn-es256",
     .help = "P-256 key in crypto that signs access tokens"},
    {"publish_ahead", CONFIG_DURATION, FIELD(publish_ahead_ns), .fallback = "1h", .min = 0,
     .max = 30 * DAY, .help = "how long a new key version is published before it signs"},
    {"access_token_life", CONFIG_DURATION, FIELD(access_ns), .fallback = "5m", .min = 10 * NS_PER_S,
     .max = DAY, .help = "life of access tokens"},
    {"id_token_life", CONFIG_DURATION, FIELD(id_ns), .fallback = "5m", .min = 10 * NS_PER_S,
     .max = DAY, .help = "life of ID tokens"},
    {"code_life", CONFIG_DURATION, FIELD(code_ns), .fallback = "60s", .min = NS_PER_S,
     .max = 60 * NS_PER_S, .help = "life of authorization codes"},
    {"refresh_idle", CONFIG_DURATION, FIELD(refresh_idle_ns), .fallback = "14d",
     .min = 60 * NS_PER_S, .max = 365 * DAY, .help = "a refresh token unused for so long is dead"},
    {"refresh_max", CONFIG_DURATION, FIELD(refresh_max_ns), .fallback = "90d", .min = 60 * NS_PER_S,
     .max = 365 * DAY, .help = "after so long a new login is needed"},
    {"refresh_grace", CONFIG_DURATION, FIELD(grace_ns), .fallback = "10s", .min = 0,
     .max = 60 * NS_PER_S,
     .help = "a refresh token repeated within this gives the same successor; later it is theft"},
    {"session_idle", CONFIG_DURATION, FIELD(session_idle_ns), .fallback = "8h",
     .min = 60 * NS_PER_S, .max = 90 * DAY, .help = "a browser session unused for so long is over"},
    {"session_max", CONFIG_DURATION, FIELD(session_max_ns), .fallback = "24h", .min = 60 * NS_PER_S,
     .max = 90 * DAY, .help = "longest browser session"},
    {"hash_memory", CONFIG_INT, FIELD(hash_memory), .fallback = "19456", .min = 8192,
     .max = 1048576, .help = "Argon2id memory in KiB"},
    {"hash_passes", CONFIG_INT, FIELD(hash_passes), .fallback = "2", .min = 1, .max = 64,
     .help = "Argon2id passes"},
    {"hash_workers", CONFIG_INT, FIELD(hash_workers), .fallback = "2", .min = 1, .max = 4,
     .help = "password checks at a time"},
    {"admins", CONFIG_LIST, FIELD(admins), .fallback = "[\"respond\"]", .max = 64,
     .help = "who may use the administration socket beside root: daemon names or SPIFFE ids"},
    {"claims", CONFIG_SECTIONS, FIELD(claims), .keys = claim_keys,
     .size = sizeof(struct claim_config), .max = 64,
     .fallback = "[{\"name\": \"team\"}, {\"name\": \"department\"}]",
     .help = "identity claims beyond the standard ones"},
    {0},
};

static struct err check_issuer(const struct config *c, const struct authn_config *a)
{
    const struct json *at = json_path(c->root, "authn.issuer");
    struct str host =
        str_starts(a->issuer, S("https://")) ? str_sub(a->issuer, 8, a->issuer.n) : STR_EMPTY;
    if (host.n == 0 || str_find_char(host, '?') != STR_NPOS ||
        str_find_char(host, '#') != STR_NPOS || str_find_char(host, '/') != STR_NPOS) {
        return config_error(
            c, at, "authn.issuer: '%.*s' is not of the form https://host or https://host:port",
            STR_FMT(a->issuer));
    }
    return OK;
}

struct err authn_config_check(const struct config *c, const struct authn_config *a)
{
    const struct claim_config *claims = a->claims.items;
    const struct json *list = json_path(c->root, "authn.claims");
    TRY(check_issuer(c, a));
    for (size_t i = 0; i < a->claims.n; i++) {
        const struct json *at =
            json_is(list, JSON_ARRAY) && i < list->n ? json_get(list->items[i], "name") : NULL;
        struct err e = identity_claim_check(claims[i].name);
        if (!failed(e) && claim_is_reserved(claims[i].name)) {
            e = err_make(ERR_INVALID, "the claim '%.*s' is set by the protocol",
                         STR_FMT(claims[i].name));
        }
        if (failed(e)) {
            char detail[ERR_DETAIL_MAX];
            snprintf(detail, sizeof(detail), "%s", err_detail());
            return config_error(c, at, "authn.claims[%zu]: %s", i, detail);
        }
    }
    if ((a->tls_cert.n == 0) != (a->tls_key.n == 0)) {
        return config_error(c, json_get(c->root, "authn"),
                            "authn: tls_cert and tls_key belong together");
    }
    return OK;
}
