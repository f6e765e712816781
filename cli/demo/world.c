#include "cli/demo/demo.h"

#include "cli/command.h"

#include "lib/base/codec.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * The world of the demo.
 *
 *   node (our own network namespace): the daemons, at 10.77.0.1
 *     ├── service-a  10.77.1.2   reports, with its sidecar      namespace prod
 *     ├── service-b  10.77.2.2   records, with its sidecar      namespace prod
 *     ├── service-c  10.77.3.2   a neighbour with its sidecar   namespace prod
 *     ├── database   10.77.4.2   PostgreSQL                     namespace prod
 *     └── client     10.77.9.2   a person and an attacker: no pod of the cluster
 *
 * Each pod hangs on a veth pair of its own, so all traffic between pods is forwarded by the node, where
 * netpol's rules are.
 */

enum {
    UID_SIDECAR_A = 60520,
    UID_SIDECAR_B,
    UID_SIDECAR_C,
    UID_SERVICE_A = 60530,
    UID_SERVICE_B,
    UID_SERVICE_C,
    UID_ALICE = 60540,
    UID_MALLORY,
    TEMPLATE_MAX = 1 << 20,
    READY_MS = 20000,
    POSTGRES_MS = 20000,
};

const struct actor actor_alice = {"alice", UID_ALICE, POD_CLIENT, false};
const struct actor actor_mallory = {"mallory", UID_MALLORY, POD_CLIENT, false};
const struct actor actor_service_a = {"service-a", UID_SERVICE_A, POD_A, false};
const struct actor actor_service_b = {"service-b", UID_SERVICE_B, POD_B, false};
const struct actor actor_service_c = {"service-c", UID_SERVICE_C, POD_C, false};
const struct actor actor_operator = {"operator", 0, POD_MAX, true};

static const struct pod pod_table[POD_MAX] = {
    [POD_A] = {.name = "service-a",
               .labels = "service-a",
               .ip = "10.77.1.2",
               .gateway = "10.77.1.1"},
    [POD_B] = {.name = "service-b",
               .labels = "service-b",
               .ip = "10.77.2.2",
               .gateway = "10.77.2.1"},
    [POD_C] = {.name = "service-c",
               .labels = "service-c",
               .ip = "10.77.3.2",
               .gateway = "10.77.3.1"},
    [POD_DB] = {.name = "database",
                .labels = "database",
                .ip = "10.77.4.2",
                .gateway = "10.77.4.1"},
    [POD_CLIENT] = {.name = "client", .ip = "10.77.9.2", .gateway = "10.77.9.1"},
};

char *demo_path(struct demo *d, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    return arena_cstr(&d->arena, arena_printf(&d->arena, "%.*s/%s", STR_FMT(d->dir), text));
}

/* A shell line on the node; its words are fixed or come from our own tables. */
static struct err shell(struct demo *d, const char *line)
{
    const char *argv[] = {"/bin/sh", "-c", line, NULL};
    int status;
    struct str out, err_text;
    TRY(client_run(d, &actor_operator, argv, STR_EMPTY, POSTGRES_MS, &status, &out, &err_text));
    ENSURE(status == 0, ERR_IO, "'%s' failed: %.*s", line, STR_FMT(str_trim(err_text)));
    return OK;
}

/* ---- pods ---- */

/* A process that does nothing but hold a network namespace open. */
static struct err hold_namespace(struct pod *p)
{
    int ready[2];
    ENSURE(pipe2(ready, O_CLOEXEC) == 0, ERR_IO, "pipe: %s", strerror(errno));
    pid_t pid = fork();
    ENSURE(pid >= 0, ERR_IO, "fork: %s", strerror(errno));
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        bool ok = syscall(SYS_unshare, 0x40000000 /* CLONE_NEWNET */) == 0;
        ssize_t n = write(ready[1], ok ? "y" : "n", 1);
        (void)n;
        while (ok) {
            pause();
        }
        _exit(1);
    }
    close(ready[1]);
    char answer = 'n';
    ssize_t n = read(ready[0], &answer, 1);
    close(ready[0]);
    ENSURE(n == 1 && answer == 'y', ERR_IO, "no network namespace for pod %s", p->name);
    p->holder = pid;
    return OK;
}

static struct err connect_pod(struct demo *d, const struct pod *p, unsigned index)
{
    struct arena *a = &d->arena;
    TRY(shell(d, arena_cstr(a, arena_printf(a,
                                            "ip link add sx%u type veth peer name eth0 netns %d && "
                                            "ip addr add %s/24 dev sx%u && "
                                            "ip link set sx%u up",
                                            index, (int)p->holder, p->gateway, index, index))));
    return shell(d,
                 arena_cstr(a, arena_printf(a,
                                            "nsenter --net=/proc/%d/ns/net sh -c 'ip link set lo "
                                            "up && ip addr add %s/24 dev eth0 && "
                                            "ip link set eth0 up && ip route add default via %s'",
                                            (int)p->holder, p->ip, p->gateway)));
}

static struct err build_pods(struct demo *d)
{
    TRY(shell(d, "ip link set lo up && ip addr add 10.77.0.1/32 dev lo && "
                 "echo 1 > /proc/sys/net/ipv4/ip_forward"));
    memcpy(d->pods, pod_table, sizeof(pod_table));
    for (unsigned i = 0; i < POD_MAX; i++) {
        TRY(hold_namespace(&d->pods[i]));
        TRY(connect_pod(d, &d->pods[i], i));
    }
    return OK;
}

/* ---- PostgreSQL ---- */

static struct err postgres_bin(struct demo *d, char **out)
{
    const char *argv[] = {"/bin/sh", "-c", "ls -d /usr/lib/postgresql/*/bin | sort -V | tail -n 1",
                          NULL};
    int status;
    struct str path;
    TRY(client_run(d, &actor_operator, argv, STR_EMPTY, 5000, &status, &path, NULL));
    ENSURE(status == 0 && path.n > 1, ERR_NOT_FOUND,
           "PostgreSQL is not installed: apt-get install postgresql");
    *out = arena_cstr(&d->arena, str_trim(path));
    return OK;
}

/* What PostgreSQL's own superuser is called here; secrets rotates its password at first use. */
#define PG_ROOT "vault_root"

static struct err init_cluster(struct demo *d, const struct actor *pg, const char *bin,
                               const char *data, struct str password)
{
    char *initdb = arena_cstr(&d->arena, arena_printf(&d->arena, "%s/initdb", bin));
    char *file = demo_path(d, "postgres.password");
    const char *none[] = {NULL};
    TRY(template_write(&d->arena, file, password, 0600, true, none));
    ENSURE(chown(file, pg->uid, pg->uid) == 0, ERR_IO, "chown %s: %s", file, strerror(errno));
    const char *argv[] = {initdb, "-D",    data,         "-A", "scram-sha-256",
                          "-U",   PG_ROOT, "--pwfile",   file, "--no-sync",
                          "-E",   "UTF8",  "--locale=C", NULL};
    int status;
    struct str out, err_text;
    TRY(client_run(d, pg, argv, STR_EMPTY, POSTGRES_MS, &status, &out, &err_text));
    unlink(file);
    ENSURE(status == 0, ERR_IO, "initdb: %.*s", STR_FMT(str_trim(err_text)));
    return shell(
        d,
        arena_cstr(&d->arena,
                   arena_printf(&d->arena,
                                "echo 'host all all 10.77.0.0/16 scram-sha-256' >> %s/pg_hba.conf",
                                data)));
}

static struct err wait_for_postgres(struct demo *d, const char *bin)
{
    char *tool = arena_cstr(&d->arena, arena_printf(&d->arena, "%s/pg_isready", bin));
    const char *argv[] = {tool, "-q", "-h", d->pods[POD_DB].ip, NULL};
    int64_t end = clock_mono_ns() + POSTGRES_MS * NS_PER_MS;
    int status = 1;
    while (status != 0) {
        struct str out;
        ENSURE(clock_mono_ns() < end, ERR_TIMEOUT, "PostgreSQL does not answer; its log is %s",
               demo_path(d, "log/postgres.log"));
        supervisor_step(d->supervisor, 50);
        TRY(client_run(d, &actor_operator, argv, STR_EMPTY, 5000, &status, &out, NULL));
    }
    return OK;
}

/* --sabotage lease: a second administrator, who will take from secrets the right to end roles. */
static struct err add_saboteur(struct demo *d, struct str password)
{
    int status;
    struct str out;
    char sql[128];
    random_bytes(sql, 16);
    d->saboteur = hex_encode(&d->arena, str_n(sql, 16));
    snprintf(sql, sizeof(sql), "CREATE ROLE saboteur SUPERUSER LOGIN PASSWORD '%.*s'",
             STR_FMT(d->saboteur));
    TRY(client_psql(d, &actor_operator, S(PG_ROOT), password, sql, &status, &out));
    ENSURE(status == 0, ERR_IO, "saboteur: %.*s", STR_FMT(str_trim(out)));
    return OK;
}

/* The database that service B writes to, and the group whose rights its leased roles inherit. */
static struct err make_schema(struct demo *d, struct str password)
{
    static const char sql[] =
        "CREATE TABLE payment (id bigserial PRIMARY KEY, team text NOT NULL, environment text NOT "
        "NULL,"
        " card text NOT NULL, written_by text NOT NULL DEFAULT current_user, at timestamptz "
        "DEFAULT now());"
        "CREATE ROLE records_writer NOLOGIN; GRANT SELECT, INSERT ON payment TO records_writer;"
        "GRANT USAGE ON SEQUENCE payment_id_seq TO records_writer;"
        "CREATE ROLE records_reader NOLOGIN; GRANT SELECT ON payment TO records_reader;";
    int status;
    struct str out;
    char *create = arena_cstr(
        &d->arena,
        arena_printf(
            &d->arena,
            "IFS= read -r PGPASSWORD; export PGPASSWORD; exec psql -X -q -w 'host=%s user=" PG_ROOT
            " dbname=postgres' -c 'CREATE DATABASE records'",
            d->pods[POD_DB].ip));
    const char *argv[] = {"/bin/sh", "-c", create, NULL};
    struct str err_text;
    TRY(client_run(d, &actor_operator, argv, arena_printf(&d->arena, "%.*s\n", STR_FMT(password)),
                   POSTGRES_MS, &status, &out, &err_text));
    ENSURE(status == 0, ERR_IO, "CREATE DATABASE: %.*s", STR_FMT(str_trim(err_text)));
    TRY(client_psql(d, &actor_operator, S(PG_ROOT), password, sql, &status, &out));
    ENSURE(status == 0, ERR_IO, "schema: %.*s", STR_FMT(str_trim(out)));
    return d->sabotage == SABOTAGE_LEASE ? add_saboteur(d, password) : OK;
}

static struct err start_postgres(struct demo *d, struct str password)
{
    /* Debian's user of that name: initdb wants a uid that has one. */
    struct passwd *pw = getpwnam("postgres");
    ENSURE(pw != NULL, ERR_NOT_FOUND, "no user 'postgres': apt-get install postgresql");
    char *bin, *data = demo_path(d, "postgres");
    TRY(postgres_bin(d, &bin));
    TRY(make_dir(data, 0700, pw->pw_uid));
    struct actor pg = {"postgres", pw->pw_uid, POD_DB, false};
    TRY(init_cluster(d, &pg, bin, data, password));
    char *argv[] = {
        arena_cstr(&d->arena, arena_printf(&d->arena, "%s/postgres", bin)),
        arena_cstr(&d->arena, S("-D")),
        data,
        arena_cstr(&d->arena, S("-c")),
        arena_cstr(&d->arena, arena_printf(&d->arena, "listen_addresses=%s", d->pods[POD_DB].ip)),
        arena_cstr(&d->arena, S("-c")),
        arena_cstr(&d->arena, arena_printf(&d->arena, "unix_socket_directories=%s", data)),
        arena_cstr(&d->arena, S("-c")),
        arena_cstr(&d->arena, S("fsync=off")),
        NULL};
    struct unit_spec spec = {.name = "postgres",
                             .argv = argv,
                             .uid = pw->pw_uid,
                             .netns_of = d->pods[POD_DB].holder,
                             .no_notify = true,
                             .address = "10.77.4.2:5432",
                             .log_path = demo_path(d, "log/postgres.log")};
    TRY(supervisor_add(d->supervisor, &spec));
    TRY(wait_for_postgres(d, bin));
    return make_schema(d, password);
}

/* ---- configuration ---- */

/* Templates of share/sextant/reference, and where they go below the demo's directory. */
static const char *const templates[] = {
    "sextant.yaml",
    "manifests/cluster.yaml",
    "manifests/network.yaml",
    "mesh/peerauthentication.yaml",
    "mesh/requestauthentication.yaml",
    "mesh/authorizationpolicy.yaml",
    "policies/reports.rego",
    "data/directory.json",
    "sidecar-a.yaml",
    "sidecar-b.yaml",
    "sidecar-c.yaml",
};

/* The guard that --sabotage breaks, as one replaced word in one file. */
static const struct {
    enum sabotage what;
    const char *file, *from, *to;
} sabotages[] = {
    {SABOTAGE_POLICY, "policies/reports.rego", "default allow := false", "default allow := true"},
    {SABOTAGE_MESH, "mesh/peerauthentication.yaml", "mode: STRICT", "mode: PERMISSIVE"},
};

static struct err sabotage_text(struct demo *d, const char *file, struct str *text)
{
    for (size_t i = 0; i < ARRAY_LEN(sabotages); i++) {
        if (sabotages[i].what != d->sabotage || strcmp(sabotages[i].file, file) != 0) {
            continue;
        }
        size_t at = str_find(*text, str_of(sabotages[i].from));
        ENSURE(at != STR_NPOS, ERR_NOT_FOUND, "nothing to sabotage in %s", file);
        *text =
            arena_printf(&d->arena, "%.*s%s%.*s", STR_FMT(str_sub(*text, 0, at)), sabotages[i].to,
                         STR_FMT(str_sub(*text, at + strlen(sabotages[i].from), text->n)));
    }
    return OK;
}

static struct err write_templates(struct demo *d)
{
    static const char *const dirs[] = {"log", "manifests", "mesh", "policies", "data", "alice"};
    for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
        TRY(make_dir(demo_path(d, "%s", dirs[i]), 0755,
                     strcmp(dirs[i], "alice") == 0 ? UID_ALICE : 0));
    }
    const char *pairs[] = {"DIR", arena_cstr(&d->arena, d->dir), NULL};
    for (size_t i = 0; i < ARRAY_LEN(templates); i++) {
        struct str text;
        TRY(file_read(&d->arena, demo_path(d, "share/sextant/reference/%s", templates[i]),
                      TEMPLATE_MAX, &text));
        TRY(sabotage_text(d, templates[i], &text));
        TRY(template_write(&d->arena, demo_path(d, "%s", templates[i]), text, 0644, true, pairs));
    }
    return OK;
}

/* A sister program run to its end by the operator; its failure is ours. */
static struct err operate(struct demo *d, const char *program, const char *const *args)
{
    int status;
    struct str out;
    TRY(client_sextant(d, program, args, &status, &out));
    ENSURE(status == 0, ERR_INTERNAL, "%s %s: exit %d: %.*s", program, args[0], status,
           STR_FMT(str_sub(str_trim(out), 0, 500)));
    return OK;
}

/* ---- who exists ---- */

/* What runs a daemon's own commands: as the operator, with the domain's configuration. */
static struct err authn_cli(struct demo *d, const char *const *args, struct str input,
                            struct json **out)
{
    const char *argv[16] = {demo_path(d, "bin/sextant-authn")};
    size_t n = 1;
    for (size_t i = 0; args[i] != NULL; i++) {
        argv[n++] = args[i];
    }
    argv[n++] = "--json";
    argv[n] = NULL;
    int status;
    struct str text, err_text;
    TRY(client_run(d, &actor_operator, argv, input, 10000, &status, &text, &err_text));
    ENSURE(status == 0, ERR_INTERNAL, "authn %s %s: %.*s", args[0], args[1],
           STR_FMT(str_trim(err_text)));
    return json_parse(&d->arena, text, NULL, out);
}

static struct err add_client(struct demo *d, const char *name, const char *registration)
{
    const char *args[] = {"client", "add", NULL};
    struct json *v;
    TRY(authn_cli(d, args, str_of(registration), &v));
    struct str id = json_str(json_get(v, "client_id")),
               secret = json_str(json_get(v, "client_secret"));
    if (secret.n == 0) {
        return OK;
    }
    /* For curl's --config: the secret is in a file that only its owner reads, never in an argument. */
    char *file = demo_path(d, "alice/%s.client", name);
    const char *none[] = {NULL};
    struct str line =
        arena_printf(&d->arena, "user = \"%.*s:%.*s\"\n", STR_FMT(id), STR_FMT(secret));
    TRY(template_write(&d->arena, file, line, 0600, true, none));
    ENSURE(chown(file, UID_ALICE, UID_ALICE) == 0, ERR_IO, "chown %s: %s", file, strerror(errno));
    return OK;
}

/* Alice, and what the policy knows about her: not in a token, but in authz's data. */
static struct err add_alice(struct demo *d)
{
    const char *args[] = {"user", "add", "alice", NULL};
    struct json *v;
    TRY(authn_cli(d, args, S("correct horse battery staple\n"), &v));
    struct str sub = json_str(json_get(v, "sub"));
    ENSURE(sub.n > 0, ERR_INVALID, "user add gave no sub");
    char *subject = arena_cstr(&d->arena, sub);
    const char *pairs[] = {"ALICE", subject, NULL};
    struct str text;
    TRY(file_read(&d->arena, demo_path(d, "share/sextant/reference/data/directory.json"),
                  TEMPLATE_MAX, &text));
    TRY(template_write(&d->arena, demo_path(d, "data/directory.json"), text, 0644, true, pairs));
    return supervisor_kill_unit(d->supervisor, "authz", SIGHUP); /* reads it at once */
}

static struct err register_people(struct demo *d)
{
    TRY(add_alice(d));
    TRY(add_client(
        d, "portal",
        "{\"client_id\":\"portal\",\"redirect_uris\":[\"http://127.0.0.1:7777/callback\"],"
        "\"application_type\":\"native\",\"grant_types\":[\"authorization_code\",\"refresh_token\"]"
        ","
        "\"token_endpoint_auth_method\":\"none\",\"audiences\":[\"https://reports.prod\"],"
        "\"require_consent\":true}"));
    TRY(add_client(d, "batch",
                   "{\"client_id\":\"batch\",\"grant_types\":[\"client_credentials\"],"
                   "\"token_endpoint_auth_method\":\"client_secret_basic\","
                   "\"audiences\":[\"https://elsewhere.prod\"]}"));
    return add_client(
        d, "sprinter",
        "{\"client_id\":\"sprinter\",\"grant_types\":[\"client_credentials\"],"
        "\"token_endpoint_auth_method\":\"client_secret_basic\",\"access_token_life\":1,"
        "\"audiences\":[\"https://reports.prod\"]}");
}

/* The sidecars' entries follow from `uids` of sextant.yaml; the services' are made here. */
static struct err register_workloads(struct demo *d)
{
    static const struct {
        const char *service;
        uid_t uid;
    } entries[] = {
        {"service-a", UID_SERVICE_A},
        {"service-b", UID_SERVICE_B},
        {"service-c", UID_SERVICE_C},
    };
    for (size_t i = 0; i < ARRAY_LEN(entries); i++) {
        struct arena *a = &d->arena;
        char *id = arena_cstr(
            a, arena_printf(a, "spiffe://cluster.local/ns/prod/sa/%s", entries[i].service));
        char *selector = arena_cstr(a, arena_printf(a, "unix:uid:%u", (unsigned)entries[i].uid));
        const char *args[] = {
            "entry",     "create", "-parentID", "spiffe://cluster.local/sextant/identity",
            "-spiffeID", id,       "-selector", selector,
            NULL};
        TRY(operate(d, "sextant-identity", args));
    }
    return OK;
}

/* ---- sidecars and services ---- */

struct workload {
    const char *name, *sidecar, *service, *listen, *upstream;
    enum pod_name pod;
    uid_t sidecar_uid, service_uid;
};

static const struct workload workloads[] = {
    {"service-a", "sidecar-a", "reports", "127.0.0.1:8080", "http://10.77.2.2:8080", POD_A,
     UID_SIDECAR_A, UID_SERVICE_A},
    {"service-b", "sidecar-b", "records", "127.0.0.1:8080", NULL, POD_B, UID_SIDECAR_B,
     UID_SERVICE_B},
    {"service-c", "sidecar-c", NULL, NULL, NULL, POD_C, UID_SIDECAR_C, UID_SERVICE_C},
};

/* State of its own, and by links the sockets of the daemons that it calls. */
static struct err prepare_sidecar(struct demo *d, const struct workload *w)
{
    const char *letter = w->sidecar + strlen("sidecar-");
    static const char *const callees[] = {"audit", "identity", "authn"};
    TRY(make_dir(demo_path(d, "sidecars"), 0711, 0));
    TRY(make_dir(demo_path(d, "sidecars/%s", letter), 0755, w->sidecar_uid));
    TRY(make_dir(demo_path(d, "sidecars/%s/run", letter), 0755, w->sidecar_uid));
    for (size_t i = 0; i < ARRAY_LEN(callees); i++) {
        char *link = demo_path(d, "sidecars/%s/run/%s", letter, callees[i]);
        ENSURE(symlink(demo_path(d, "run/%s", callees[i]), link) == 0, ERR_IO, "symlink %s: %s",
               link, strerror(errno));
    }
    return OK;
}

/* All TCP of the pod passes the sidecar, but what goes to the control plane or to the database. */
static struct err intercept(struct demo *d, const struct workload *w)
{
    char *uid = arena_cstr(&d->arena, arena_printf(&d->arena, "%u", (unsigned)w->sidecar_uid));
    const char *argv[] = {demo_path(d, "bin/sextant-mesh"),
                          "intercept",
                          "--uid",
                          uid,
                          "--inbound",
                          "8080",
                          "--exclude",
                          "10.77.0.1/32,10.77.4.2/32",
                          NULL};
    struct actor root_in_pod = {"operator", 0, w->pod, false};
    int status;
    struct str out, err_text;
    TRY(client_run(d, &root_in_pod, argv, STR_EMPTY, 10000, &status, &out, &err_text));
    ENSURE(status == 0, ERR_INTERNAL, "intercept in %s: %.*s", w->name,
           STR_FMT(str_trim(err_text)));
    return OK;
}

static struct err start_sidecar(struct demo *d, const struct workload *w)
{
    TRY(prepare_sidecar(d, w));
    TRY(intercept(d, w));
    char *file = demo_path(d, "%s.yaml", w->sidecar);
    char *argv[] = {demo_path(d, "bin/sextant-mesh"), arena_cstr(&d->arena, S("--config")), file,
                    NULL};
    struct unit_spec spec = {.name = w->sidecar,
                             .argv = argv,
                             .uid = w->sidecar_uid,
                             .netns_of = d->pods[w->pod].holder,
                             .address = d->pods[w->pod].ip,
                             .log_path = demo_path(d, "log/%s.log", w->sidecar)};
    return supervisor_add(d->supervisor, &spec);
}

/* What Alice's browser trusts: the authorities of the provider and of the door. */
static struct err give_alice_trust(struct demo *d)
{
    static const char *const from[] = {"run/authn/ca.crt", "sidecars/a/state/mesh/ca.crt"};
    static const char *const to[] = {"alice/ca.crt", "alice/door.crt"};
    const char *none[] = {NULL};
    for (size_t i = 0; i < ARRAY_LEN(from); i++) {
        struct str pem;
        TRY(file_read(&d->arena, demo_path(d, "%s", from[i]), TEMPLATE_MAX, &pem));
        TRY(template_write(&d->arena, demo_path(d, "%s", to[i]), pem, 0644, true, none));
    }
    return OK;
}

static struct err start_service(struct demo *d, const struct workload *w)
{
    if (w->service == NULL) {
        return OK;
    }
    char *argv[16];
    size_t n = 0;
    argv[n++] = demo_path(d, "bin/sextant-example-%s", w->service);
    argv[n++] = arena_cstr(&d->arena, S("--listen"));
    argv[n++] = arena_cstr(&d->arena, str_of(w->listen));
    if (w->upstream != NULL) {
        argv[n++] = arena_cstr(&d->arena, S("--upstream"));
        argv[n++] = arena_cstr(&d->arena, str_of(w->upstream));
    } else {
        static const char *const fixed[] = {"--secrets",  "https://10.77.0.1:8200",
                                            "--crypto",   "https://10.77.0.1:8210",
                                            "--database", "10.77.4.2"};
        for (size_t i = 0; i < ARRAY_LEN(fixed); i++) {
            argv[n++] = arena_cstr(&d->arena, str_of(fixed[i]));
        }
        argv[n++] = arena_cstr(&d->arena, S("--workload-api"));
        argv[n++] = arena_cstr(&d->arena, arena_printf(&d->arena, "unix:%s",
                                                       demo_path(d, "run/identity/workload.sock")));
    }
    argv[n] = NULL;
    struct unit_spec spec = {.name = w->service,
                             .argv = argv,
                             .uid = w->service_uid,
                             .netns_of = d->pods[w->pod].holder,
                             .address = w->listen,
                             .log_path = demo_path(d, "log/%s.log", w->service)};
    return supervisor_add(d->supervisor, &spec);
}

/* ---- all of it ---- */

/* The administrator's password of PostgreSQL, where secrets alone can read it. */
static struct err hand_to_secrets(struct demo *d, struct str password)
{
    const char *none[] = {NULL};
    uint32_t uid = 0;
    ENSURE(config_uid(d->domain.config, S("secrets"), &uid), ERR_NOT_FOUND, "no uid of secrets");
    TRY(make_dir(demo_path(d, "declared"), 0700, uid));
    char *file = demo_path(d, "declared/postgres.password");
    TRY(template_write(&d->arena, file, password, 0600, true, none));
    ENSURE(chown(file, uid, uid) == 0, ERR_IO, "chown %s: %s", file, strerror(errno));
    return OK;
}

/* Keys of the services: each may use its own, nobody else's. */
static struct err create_keys(struct demo *d)
{
    static const char *const keys[][2] = {
        {"cards", "spiffe://cluster.local/ns/prod/sa/service-b=encrypt,decrypt"},
        {"reports", "spiffe://cluster.local/ns/prod/sa/service-a=encrypt,decrypt"},
    };
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        const char *args[] = {"key",      "create",
                              keys[i][0], "aes256-gcm96",
                              keys[i][1], "spiffe://cluster.local/sextant/respond=rotate,read",
                              NULL};
        TRY(operate(d, "sextant-crypto", args));
    }
    return OK;
}

static struct err start_daemons(struct demo *d)
{
    const char *init[] = {"init", NULL};
    TRY(domain_open(&d->arena, d->dir, &d->domain));
    TRY(domain_prepare(&d->arena, &d->domain));
    TRY(supervisor_new(d->domain.control_path, &d->supervisor));
    TRY(operate(d, "sextant-crypto", init));
    char password[UUID_TEXT];
    uuid4(password);
    TRY(hand_to_secrets(d, str_of(password)));
    TRY(start_postgres(d, str_of(password)));
    TRY(domain_start(&d->arena, &d->domain, d->supervisor));
    return supervisor_wait_ready(d->supervisor, READY_MS);
}

/* --sabotage netpol: the daemon and its rules are gone. */
static struct err take_netpol_away(struct demo *d)
{
    const char *args[] = {"flush", NULL};
    TRY(supervisor_stop_unit(d->supervisor, "netpol"));
    return operate(d, "sextant-netpol", args);
}

struct err world_build(struct demo *d)
{
    record_heading(d, "Building the world");
    TRY(build_pods(d));
    TRY(write_templates(d));
    TRY(start_daemons(d));
    TRY(create_keys(d));
    TRY(register_people(d));
    TRY(register_workloads(d));
    for (size_t i = 0; i < ARRAY_LEN(workloads); i++) {
        TRY(start_sidecar(d, &workloads[i]));
    }
    TRY(supervisor_wait_ready(d->supervisor, READY_MS));
    TRY(give_alice_trust(d));
    for (size_t i = 0; i < ARRAY_LEN(workloads); i++) {
        TRY(start_service(d, &workloads[i]));
    }
    TRY(supervisor_wait_ready(d->supervisor, READY_MS));
    return d->sabotage == SABOTAGE_NETPOL ? take_netpol_away(d) : OK;
}

void world_tear_down(struct demo *d)
{
    supervisor_free(d->supervisor);
    d->supervisor = NULL;
    domain_release(&d->domain);
    for (size_t i = 0; i < POD_MAX; i++) {
        if (d->pods[i].holder > 0) {
            kill(d->pods[i].holder, SIGKILL);
            waitpid(d->pods[i].holder, NULL, 0);
        }
    }
}
