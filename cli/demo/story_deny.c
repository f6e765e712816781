#include "cli/demo/demo.h"

#include <stdio.h>

/*
 * What services and intruders may not: reach B without being A, read B's secret, use B's key, open the
 * database port. Each from the uid and the network place of the one it names.
 */

#define SERVICE_B "10.77.2.2:8080"
#define CRYPTO "https://10.77.0.1:8210"

/* An intruder who runs as the sidecar's uid in pod A: not intercepted, so it speaks to B directly. */
static const struct actor intruder_in_a = {"intruder", 60520, POD_A, false};

static struct err get(struct demo *d, const struct actor *who, const char *const *args,
                      struct result *r)
{
    struct answer a;
    TRY(client_curl(d, who, args, &a));
    *r = answer_result(d, &a);
    return OK;
}

static struct err service_c(struct demo *d, struct result *r)
{
    const char *args[] = {"http://" SERVICE_B "/payments/payments?environment=staging", NULL};
    return get(d, &actor_service_c, args, r);
}

static struct err plaintext(struct demo *d, struct result *r)
{
    const char *args[] = {"http://" SERVICE_B "/payments/payments?environment=staging", NULL};
    struct answer a;
    TRY(client_curl(d, &intruder_in_a, args, &a));
    *r = answer_result(d, &a);
    if (a.status != 0) { /* any answer at all means that plaintext was read */
        r->outcome = OUTCOME_ALLOWED;
    }
    return OK;
}

/* A certificate that says it is service A, from a certificate authority of the intruder's own. */
static struct err make_foreign_svid(struct demo *d, const char *dir)
{
    TRY(make_dir(dir, 0700, intruder_in_a.uid));
    char *key = arena_cstr(&d->arena, arena_printf(&d->arena, "%s/key.pem", dir));
    char *cert = arena_cstr(&d->arena, arena_printf(&d->arena, "%s/cert.pem", dir));
    const char *argv[] = {"openssl",
                          "req",
                          "-x509",
                          "-newkey",
                          "ec",
                          "-pkeyopt",
                          "ec_paramgen_curve:P-256",
                          "-nodes",
                          "-days",
                          "1",
                          "-subj",
                          "/O=evil",
                          "-addext",
                          "subjectAltName=URI:spiffe://evil.example/ns/prod/sa/service-a",
                          "-addext",
                          "keyUsage=critical,digitalSignature",
                          "-keyout",
                          key,
                          "-out",
                          cert,
                          NULL};
    int status;
    struct str out, err_text;
    TRY(client_run(d, &intruder_in_a, argv, STR_EMPTY, 10000, &status, &out, &err_text));
    ENSURE(status == 0, ERR_IO, "openssl: %.*s", STR_FMT(str_trim(err_text)));
    return OK;
}

static struct err foreign_trust_domain(struct demo *d, struct result *r)
{
    char *dir = demo_path(d, "intruder");
    TRY(make_foreign_svid(d, dir));
    const char *args[] = {"--insecure",
                          "--cert",
                          arena_cstr(&d->arena, arena_printf(&d->arena, "%s/cert.pem", dir)),
                          "--key",
                          arena_cstr(&d->arena, arena_printf(&d->arena, "%s/key.pem", dir)),
                          "https://" SERVICE_B "/payments/payments?environment=staging",
                          NULL};
    return get(d, &intruder_in_a, args, r);
}

static struct err secret_of_b(struct demo *d, struct result *r)
{
    struct answer a;
    TRY(client_secrets(d, &actor_service_a, d->stolen_secrets_token, "GET", "kv/data/service-b/api",
                       NULL, &a));
    *r = answer_result(d, &a);
    return OK;
}

static struct err key_of_b(struct demo *d, struct result *r)
{
    const char *args[] = {"--cacert",
                          demo_path(d, "service-a/bundle.0.pem"),
                          "--cert",
                          demo_path(d, "service-a/svid.0.pem"),
                          "--key",
                          demo_path(d, "service-a/svid.0.key"),
                          "--data",
                          "{\"plaintext\":\"NDExMQ==\"}",
                          CRYPTO "/v1/transit/encrypt/cards",
                          NULL};
    return get(d, &actor_service_a, args, r);
}

static struct err database_port(struct demo *d, struct result *r)
{
    int status;
    TRY(client_psql(d, &intruder_in_a, S("records_reader"), S("x"), "SELECT 1", &status, &r->got));
    bool reached = str_find(r->got, S("authentication")) != STR_NPOS ||
                   str_find(r->got, S("password")) != STR_NPOS || status == 0;
    r->outcome = reached ? OUTCOME_ALLOWED : OUTCOME_DENIED;
    struct str first = str_trim(r->got);
    r->got = str_split(&first, '\n');
    return OK;
}

const struct step deny_steps[] = {
    {"deny-service-c", "encryption", "service C calls B with its own identity", EXPECT_DENY,
     service_c},
    {"deny-plaintext", "encryption", "an intruder in A's pod calls B in plaintext", EXPECT_DENY,
     plaintext},
    {"deny-foreign-trust-domain", "encryption",
     "a certificate of another trust domain that claims to be A", EXPECT_DENY,
     foreign_trust_domain},
    {"deny-secret-of-b", "secrets", "service A asks for a secret of B", EXPECT_DENY, secret_of_b},
    {"deny-key-of-b", "encryption", "service A uses B's key", EXPECT_DENY, key_of_b},
    {"deny-database-port", "network control", "pod A opens the database's port", EXPECT_DENY,
     database_port},
};
const size_t n_deny_steps = ARRAY_LEN(deny_steps);
