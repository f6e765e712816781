#include "cli/demo/demo.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * Service A is compromised: an intruder holds everything it held. Probes use each of those credentials
 * without pause while `sextant respond` runs; the time from its start to the last success of any
 * probe is the time to containment.
 */

#define IDENTITY_A "spiffe://cluster.local/ns/prod/sa/service-a"

enum { PROBES_MAX = 8, PROBE_SECONDS = 12, SETTLE_MS = 1500 };

/* The foothold from which a stolen database role would work: B's place in the network. */
static const struct actor foothold = {"foothold", 60531, POD_B, false};

struct probe {
    const char *name;
    const struct actor *who;
    char *command; /* for sh; exit 0 means that the access worked */
    char *log;
    pid_t pid;
    int pidfd;
    int64_t last_ok_ns;
    unsigned before, after; /* successes before the response, failures after the last success */
};

static struct probe probes[PROBES_MAX];
static size_t n_probes;

static struct err curl_probe(struct demo *d, const char *name, const struct actor *who,
                             const char *rest)
{
    struct probe *p = &probes[n_probes++];
    *p = (struct probe){.name = name, .who = who};
    p->command =
        arena_cstr(&d->arena, arena_printf(&d->arena, "curl -fsS -m 2 -o /dev/null %s", rest));
    return OK;
}

static struct err prepare_probes(struct demo *d)
{
    struct arena *a = &d->arena;
    n_probes = 0;
    /* Secrets go to the probes in files that only they can read. */
    TRY(make_dir(demo_path(d, "probe"), 0711, 0));
    char *token = demo_path(d, "probe/token"), *pg = demo_path(d, "probe/pgpass");
    const char *none[] = {NULL};
    struct str header =
        arena_printf(a, "header = \"X-Vault-Token: %.*s\"\n", STR_FMT(d->stolen_secrets_token));
    struct str line = arena_printf(a, "%s:5432:records:%.*s:%.*s\n", d->pods[POD_DB].ip,
                                   STR_FMT(d->stolen_db_user), STR_FMT(d->stolen_db_password));
    TRY(template_write(a, token, header, 0600, true, none));
    TRY(template_write(a, pg, line, 0600, true, none));
    if (chown(token, actor_service_a.uid, actor_service_a.uid) != 0 ||
        chown(pg, foothold.uid, foothold.uid) != 0) {
        FAIL(ERR_IO, "cannot hand the probes their credentials");
    }
    char *ca = demo_path(d, "run/identity/bundle.pem"), *dir = demo_path(d, "service-a");
    TRY(curl_probe(
        d, "secrets-token", &actor_service_a,
        arena_cstr(
            a, arena_printf(a, "-K %s --cacert %s https://10.77.0.1:8200/v1/kv/data/service-a/api",
                            token, ca))));
    TRY(curl_probe(d, "mesh-call", &actor_service_a,
                   "'http://10.77.2.2:8080/payments/payments?environment=staging'"));
    TRY(curl_probe(
        d, "crypto-key", &actor_service_a,
        arena_cstr(a,
                   arena_printf(a,
                                "--cacert %s/bundle.0.pem --cert %s/svid.0.pem --key %s/svid.0.key "
                                "-d '{\"plaintext\":\"eA==\"}' "
                                "https://10.77.0.1:8210/v1/transit/encrypt/reports",
                                dir, dir, dir))));
    probes[n_probes++] = (struct probe){
        .name = "workload-api",
        .who = &actor_service_a,
        .command = arena_cstr(a, arena_printf(a, "%s api fetch x509 -socketPath %s >/dev/null",
                                              demo_path(d, "bin/sextant-identity"),
                                              demo_path(d, "run/identity/workload.sock")))};
    probes[n_probes++] = (struct probe){
        .name = "database-role",
        .who = &foothold,
        .command = arena_cstr(
            a, arena_printf(
                   a,
                   "PGPASSFILE=%s psql -X -w -q -o /dev/null 'host=%s user=%.*s dbname=records' "
                   "-c 'SELECT count(*) FROM payment'",
                   pg, d->pods[POD_DB].ip, STR_FMT(d->stolen_db_user)))};
    return OK;
}

static struct err start_probe(struct demo *d, struct probe *p)
{
    p->log = demo_path(d, "log/probe-%s.log", p->name);
    char *script = arena_cstr(
        &d->arena, arena_printf(&d->arena,
                                "end=$(($(date +%%s) + %d)); while [ $(date +%%s) -lt $end ]; do "
                                "if %s 2>/dev/null; then r=ok; else r=no; fi; echo $r $(date "
                                "+%%s%%N); sleep 0.01; done",
                                PROBE_SECONDS, p->command));
    char *argv[] = {arena_cstr(&d->arena, S("/bin/sh")), arena_cstr(&d->arena, S("-c")), script,
                    NULL};
    struct process_spec spec = {.argv = argv,
                                .uid = p->who->uid,
                                .gid = p->who->uid,
                                .netns_of = d->pods[p->who->pod].holder,
                                .log_path = p->log,
                                .die_with_parent = true};
    return process_start(&spec, &p->pid, &p->pidfd);
}

static void stop_probe(struct probe *p)
{
    /* The loop has a session of its own: end it with whatever it is running. */
    kill(-p->pid, SIGKILL);
    process_signal(p->pidfd, SIGKILL);
    waitpid(p->pid, NULL, 0);
    close(p->pidfd);
}

static struct err read_probe(struct demo *d, struct probe *p, int64_t respond_ns)
{
    struct str text;
    TRY(file_read(&d->arena, p->log, 1 << 20, &text));
    while (text.p != NULL) {
        struct str line = str_split(&text, '\n'), verdict = str_split(&line, ' ');
        uint64_t at = 0;
        if (failed(str_to_u64(line, &at))) {
            continue;
        }
        if (str_is(verdict, "ok")) {
            p->last_ok_ns = (int64_t)at;
            p->before += (int64_t)at < respond_ns;
            p->after = 0;
        } else {
            p->after++;
        }
    }
    return OK;
}

static void pause_ms(struct demo *d, int ms)
{
    int64_t end = clock_mono_ns() + ms * NS_PER_MS;
    while (clock_mono_ns() < end) {
        supervisor_step(d->supervisor, 20);
    }
}

/* ---- the compromise ---- */

static struct err stolen_role(struct demo *d, struct result *r)
{
    struct answer a;
    struct json *v;
    TRY(client_secrets(d, &actor_service_a, d->stolen_secrets_token, "GET",
                       "database/creds/reports", NULL, &a));
    *r = answer_result(d, &a);
    if (a.status != 200) {
        return OK;
    }
    TRY(json_parse(&d->arena, a.body, NULL, &v));
    d->stolen_db_user = json_str(json_path(v, "data.username"));
    d->stolen_db_password = json_str(json_path(v, "data.password"));
    d->stolen_lease = json_str(json_get(v, "lease_id"));
    int64_t seconds = 0;
    ignore_err(json_i64(json_get(v, "lease_duration"), &seconds));
    r->got = arena_printf(&d->arena, "role %.*s for %lld s", STR_FMT(d->stolen_db_user),
                          (long long)seconds);
    return OK;
}

static struct err role_works(struct demo *d, struct result *r)
{
    int status;
    struct str out;
    TRY(client_psql(d, &foothold, d->stolen_db_user, d->stolen_db_password,
                    "SELECT current_user, count(*) FROM payment", &status, &out));
    r->outcome = status == 0 ? OUTCOME_ALLOWED : OUTCOME_DENIED;
    r->got = str_trim(out);
    return OK;
}

/* ---- the response ---- */

static struct err run_respond(struct demo *d, bool dry, int *status, struct str *out)
{
    const char *args[] = {"--json", IDENTITY_A, dry ? "--dry-run" : "--report",
                          dry ? NULL : demo_path(d, "incident"), NULL};
    return client_sextant(d, "sextant-respond", args, status, out);
}

/* --sabotage lease: from now on secrets can make no role and end none. */
static struct err sabotage_lease(struct demo *d)
{
    int status;
    struct str out;
    TRY(client_psql(d, &actor_operator, S("saboteur"), d->saboteur,
                    "ALTER ROLE vault_root NOSUPERUSER NOCREATEROLE", &status, &out));
    ENSURE(status == 0, ERR_IO, "sabotage: %.*s", STR_FMT(str_trim(out)));
    return OK;
}

static struct err dry_run(struct demo *d, struct result *r)
{
    int status;
    struct str out;
    if (d->sabotage == SABOTAGE_LEASE) {
        TRY(sabotage_lease(d));
    }
    TRY(run_respond(d, true, &status, &out));
    r->outcome = status == 0 ? OUTCOME_ALLOWED : OUTCOME_BROKEN;
    r->got =
        status == 0 ? S("seven steps planned, nothing changed") : str_sub(str_trim(out), 0, 300);
    return OK;
}

static struct err respond(struct demo *d, struct result *r)
{
    int status;
    struct str out;
    TRY(prepare_probes(d));
    for (size_t i = 0; i < n_probes; i++) {
        TRY(start_probe(d, &probes[i]));
    }
    pause_ms(d, SETTLE_MS);
    int64_t start = clock_wall_ns();
    struct err e = run_respond(d, false, &status, &out);
    pause_ms(d, SETTLE_MS);
    for (size_t i = 0; i < n_probes; i++) {
        stop_probe(&probes[i]);
    }
    TRY(e);
    ENSURE(status == 0, ERR_INVALID, "respond: exit %d: %.*s", status,
           STR_FMT(str_sub(str_trim(out), 0, 400)));
    int64_t last = start;
    for (size_t i = 0; i < n_probes; i++) {
        TRY(read_probe(d, &probes[i], start));
        ENSURE(probes[i].before > 0, ERR_INVALID, "probe %s never worked before the response",
               probes[i].name);
        ENSURE(probes[i].after > 0, ERR_INVALID, "access %s is still there", probes[i].name);
        last = MAX(last, probes[i].last_ok_ns);
    }
    d->contained_ms = (last - start) / NS_PER_MS;
    r->outcome = d->contained_ms < 1000 ? OUTCOME_ALLOWED : OUTCOME_BROKEN;
    r->got = arena_printf(&d->arena, "%zu accesses gone, the last after %lld ms", n_probes,
                          (long long)d->contained_ms);
    return OK;
}

/* ---- what the intruder has now ---- */

static struct err role_after(struct demo *d, struct result *r)
{
    TRY(role_works(d, r));
    struct str first = str_trim(r->got);
    r->got = str_split(&first, '\n');
    return OK;
}

static struct err token_after(struct demo *d, struct result *r)
{
    struct answer a;
    for (int i = 0; i < 4; i++) { /* repeated: a detection watches for this */
        TRY(client_secrets(d, &actor_service_a, d->stolen_secrets_token, "GET",
                           "kv/data/service-a/api", NULL, &a));
    }
    *r = answer_result(d, &a);
    return OK;
}

static struct err svid_after(struct demo *d, struct result *r)
{
    int status;
    TRY(client_x509_svid(d, &actor_service_a, "service-a-again", &status, &r->got));
    r->outcome = status == 0 ? OUTCOME_ALLOWED : OUTCOME_DENIED;
    return OK;
}

static struct err call_after(struct demo *d, struct result *r)
{
    struct answer a;
    const char *args[] = {"http://10.77.2.2:8080/payments/payments?environment=staging", NULL};
    TRY(client_curl(d, &actor_service_a, args, &a));
    *r = answer_result(d, &a);
    if (a.status >= 500) { /* its own sidecar has no identity left to call with */
        r->outcome = OUTCOME_DENIED;
    }
    return OK;
}

static struct err reuse_detected(struct demo *d, struct result *r)
{
    const char *args[] = {"alerts", "--json", NULL};
    int64_t end = clock_mono_ns() + 3 * NS_PER_S;
    do {
        int status;
        struct str out;
        TRY(client_sextant(d, "sextant-audit", args, &status, &out));
        if (status == 0 && str_find(out, S("revo")) != STR_NPOS) {
            r->outcome = OUTCOME_DETECTED;
            r->got = S("alert: use of a revoked credential, by this identity");
            return OK;
        }
        pause_ms(d, 200);
    } while (clock_mono_ns() < end);
    r->outcome = OUTCOME_ALLOWED;
    r->got = S("no alert within 3 s");
    return OK;
}

const struct step respond_steps[] = {
    {"stolen-role", "secrets", "the intruder in A leases the database role that A may have",
     EXPECT_ALLOW, stolen_role},
    {"stolen-role-works", "secrets", "from a foothold beside B the stolen role works", EXPECT_ALLOW,
     role_works},
    {"respond-dry-run", "respond", "the runbook says what it would do", EXPECT_ALLOW, dry_run},
    {"respond", "respond", "sextant respond contains service A in under a second", EXPECT_ALLOW,
     respond},
    {"deny-role-after-revocation", "secrets", "the stolen role logs in no more", EXPECT_DENY,
     role_after},
    {"deny-token-after-revocation", "secrets", "A's token opens nothing", EXPECT_DENY, token_after},
    {"deny-svid-after-ban", "identity", "A's processes get no SVID", EXPECT_DENY, svid_after},
    {"deny-call-after-ban", "encryption", "A calls B no more", EXPECT_DENY, call_after},
    {"detect-reuse-after-revocation", "audit", "repeated use of the revoked token raises an alert",
     EXPECT_DETECT, reuse_detected},
};
const size_t n_respond_steps = ARRAY_LEN(respond_steps);
