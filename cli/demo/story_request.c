#include "cli/demo/demo.h"

#include <stdio.h>

/*
 * One request of Alice's through all six jobs, each seen at work; and the denials that stand beside
 * each allow: forged tokens, other teams, other services, other networks.
 */

#define OWN_REPORT "/reports/payments?environment=staging"

static struct err report_with(struct demo *d, struct str token, const char *path, struct result *r)
{
    struct answer a;
    TRY(client_report(d, token, path, &a));
    *r = answer_result(d, &a);
    return OK;
}

/* ---- what works ---- */

static struct err read_report(struct demo *d, struct result *r)
{
    struct answer a;
    TRY(client_report(d, d->access_token, OWN_REPORT, &a));
    *r = answer_result(d, &a);
    if (a.status == 200) {
        struct buf id;
        buf_init(&id, 64);
        trace_id_put(&id, &d->trace);
        d->request_trace = arena_str(&d->arena, buf_str(&id));
        buf_release(&id);
    }
    return OK;
}

static struct err workload_identity(struct demo *d, struct result *r)
{
    int status;
    struct str said;
    TRY(client_x509_svid(d, &actor_service_a, "service-a", &status, &said));
    r->outcome = status == 0 ? OUTCOME_ALLOWED : OUTCOME_DENIED;
    r->got = str_split(&said, '\n');
    return OK;
}

static struct err own_secret(struct demo *d, struct result *r)
{
    struct answer a;
    TRY(client_secrets_login(d, &actor_service_a, "service-a", &d->stolen_secrets_token));
    TRY(client_secrets(d, &actor_service_a, d->stolen_secrets_token, "GET", "kv/data/service-a/api",
                       NULL, &a));
    *r = answer_result(d, &a);
    r->got = a.status == 200 ? S("200 the secret of service A, version 1") : r->got;
    return OK;
}

/* ---- tokens that are not Alice's ---- */

static struct err token_forged(struct demo *d, struct result *r)
{
    char *t = arena_cstr(&d->arena, d->access_token);
    size_t dot = str_rfind_char(d->access_token, '.');
    t[dot + 10] = t[dot + 10] == 'A' ? 'B' : 'A';
    return report_with(d, str_of(t), OWN_REPORT, r);
}

/* Three parts with a header and claims of our own making, and no signature. */
static struct err token_alg_none(struct demo *d, struct result *r)
{
    struct str rest = d->access_token;
    str_split(&rest, '.');
    struct str claims = str_split(&rest, '.');
    struct str token =
        arena_printf(&d->arena, "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0.%.*s.", STR_FMT(claims));
    return report_with(d, token, OWN_REPORT, r);
}

static struct err no_token(struct demo *d, struct result *r)
{
    return report_with(d, STR_EMPTY, OWN_REPORT, r);
}

static struct err token_from(struct demo *d, const char *client, const char *resource,
                             struct str *token)
{
    struct answer a;
    struct json *v;
    char *user = demo_path(d, "alice/%s.client", client); /* "id:secret", for curl's --config */
    const char *args[] = {"--cacert",
                          demo_path(d, "alice/ca.crt"),
                          "--config",
                          user,
                          "--data",
                          "grant_type=client_credentials",
                          "--data-urlencode",
                          arena_cstr(&d->arena, arena_printf(&d->arena, "resource=%s", resource)),
                          "https://10.77.0.1:9443/token",
                          NULL};
    TRY(client_curl(d, &actor_alice, args, &a));
    ENSURE(a.status == 200, ERR_DENIED, "token for %s: %.*s", client, STR_FMT(answer_text(d, &a)));
    TRY(json_parse(&d->arena, a.body, NULL, &v));
    *token = json_str(json_get(v, "access_token"));
    return OK;
}

static struct err token_audience(struct demo *d, struct result *r)
{
    struct str token;
    TRY(token_from(d, "batch", "https://elsewhere.prod", &token));
    return report_with(d, token, OWN_REPORT, r);
}

static struct err token_expired(struct demo *d, struct result *r)
{
    struct str token;
    struct answer a;
    /* A client whose tokens live one second. */
    TRY(token_from(d, "sprinter", "https://reports.prod", &token));
    int64_t end = clock_mono_ns() + 6 * NS_PER_S;
    do {
        supervisor_step(d->supervisor, 500);
        TRY(client_report(d, token, OWN_REPORT, &a));
    } while (a.status != 401 && clock_mono_ns() < end);
    *r = answer_result(d, &a);
    return OK;
}

/* ---- what Alice may not ---- */

static struct err production(struct demo *d, struct result *r)
{
    return report_with(d, d->access_token, "/reports/payments?environment=production", r);
}

static struct err other_team(struct demo *d, struct result *r)
{
    return report_with(d, d->access_token, "/reports/hr?environment=staging", r);
}

const struct step request_steps[] = {
    {"read-report", "authorization",
     "Alice reads her team's report: A, B, secrets, crypto, database", EXPECT_ALLOW, read_report},
    {"workload-identity", "identity", "service A gets its SVID without any static credential",
     EXPECT_ALLOW, workload_identity},
    {"own-secret", "secrets", "service A logs in with its SVID and reads its own secret",
     EXPECT_ALLOW, own_secret},
};
const size_t n_request_steps = ARRAY_LEN(request_steps);

/* The second half of the denials is about services: story_deny.c. */
const struct step person_denials[] = {
    {"deny-no-token", "authentication", "a request without a token", EXPECT_DENY, no_token},
    {"deny-token-forged", "authentication", "a token with one letter of its signature changed",
     EXPECT_DENY, token_forged},
    {"deny-token-alg-none", "authentication", "a token that says it needs no signature",
     EXPECT_DENY, token_alg_none},
    {"deny-token-audience", "authentication", "a true token, meant for another service",
     EXPECT_DENY, token_audience},
    {"deny-token-expired", "authentication", "a token that has run out", EXPECT_DENY,
     token_expired},
    {"deny-production", "authorization", "an analyst asks for production", EXPECT_DENY, production},
    {"deny-other-team", "authorization", "an analyst asks for another team's report", EXPECT_DENY,
     other_team},
};
const size_t n_person_denials = ARRAY_LEN(person_denials);
