/* sextant-respond: contains a compromised identity, and proves it. */
#include "incident.h"

#include "lib/base/clock.h"
#include "lib/base/codec.h"
#include "lib/base/log.h"

#include <stdio.h>
#include <stdlib.h>

enum { EXIT_CONTAINED = 0, EXIT_NOT_CONTAINED = 1, EXIT_USAGE = 2, EXIT_CONFIG = 78 };

#define DEFAULT_CONFIG "/etc/sextant/sextant.yaml"
#define KEY(name) offsetof(struct respond_config, name)

static const struct config_key keys[] = {
    {"secrets", CONFIG_STR, KEY(secrets), .help = "URL of secrets; default its unix socket"},
    {"secrets_login", CONFIG_STR, KEY(secrets_login), .fallback = "auth/cert",
     .help = "auth method at secrets by which respond logs in with its identity"},
    {"identity", CONFIG_STR, KEY(identity),
     .help = "URL of identity's admin API; default its unix socket"},
    {"authn", CONFIG_STR, KEY(authn), .help = "URL of authn's admin API; default its unix socket"},
    {"authz", CONFIG_STR, KEY(authz), .help = "URL of authz; default its unix socket"},
    {"audit", CONFIG_STR, KEY(audit), .help = "URL of audit; default its unix socket"},
    {"crypto", CONFIG_STR, KEY(crypto), .help = "URL of crypto; default its unix socket"},
    {"deny_document", CONFIG_STR, KEY(deny_document), .fallback = "sextant/denied",
     .help = "policy data below which denied identities are named: data.sextant.denied[id]"},
    {"manifests", CONFIG_STR, KEY(netpol_manifests),
     .help = "folder of network policies; default netpol's own"},
    {"mesh_policies", CONFIG_STR, KEY(mesh_policies),
     .help = "folder of mesh policies to review; empty: none"},
    {"redeploy_hook", CONFIG_STR, KEY(redeploy_hook),
     .help = "program that starts a clean instance: gets old identity, new identity, incident"},
    {0},
};

struct options {
    const char *config, *report, *new_identity, *incident, *identity;
    bool json, dry_run, help;
};

static void usage(FILE *to)
{
    fputs("usage: sextant-respond IDENTITY [--dry-run] [--report DIR] [--json] [--config FILE]\n"
          "                       [--new-identity ID] [--incident UUID]\n\n"
          "Contains a compromised identity (a SPIFFE id, or the name of a person) in seven steps, "
          "each of which is\n"
          "logged and probed. It may be repeated: what is gone already counts as done. --dry-run "
          "says what it would\n"
          "find and do. --report DIR gets the report (Markdown, JSON) and the evidence with its "
          "proofs.\n\n"
          "Exit: 0 contained, 1 not contained, 2 wrong usage, 78 wrong configuration.\n",
          to);
}

static bool parse(int argc, char **argv, struct options *o)
{
    const char *env = getenv("SEXTANT_CONFIG");
    *o = (struct options){.config = env != NULL && env[0] != '\0' ? env : DEFAULT_CONFIG};
    for (int n = 1; n < argc; n++) {
        const struct {
            const char *name;
            const char **to;
        } values[] = {{"--config", &o->config},
                      {"--report", &o->report},
                      {"--new-identity", &o->new_identity},
                      {"--incident", &o->incident}};
        const struct {
            const char *name;
            bool *to;
        } flags[] = {{"--json", &o->json}, {"--dry-run", &o->dry_run}, {"--help", &o->help}};
        bool taken = false;
        for (size_t k = 0; k < ARRAY_LEN(values) && !taken; k++) {
            if (strcmp(argv[n], values[k].name) == 0 && n + 1 < argc) {
                *values[k].to = argv[++n];
                taken = true;
            }
        }
        for (size_t k = 0; k < ARRAY_LEN(flags) && !taken; k++) {
            if (strcmp(argv[n], flags[k].name) == 0) {
                *flags[k].to = taken = true;
            }
        }
        if (!taken && (argv[n][0] == '-' || o->identity != NULL)) {
            fprintf(stderr, "sextant-respond: '%s' was not expected\n", argv[n]);
            return false;
        }
        if (!taken) {
            o->identity = argv[n];
        }
    }
    return o->help || o->identity != NULL;
}

static struct str socket_of(struct arena *a, const struct config *c, const char *path)
{
    return arena_printf(a, "unix:%.*s/%s:", STR_FMT(c->run_dir), path);
}

static void fill(struct str *value, struct str fallback)
{
    if (value->n == 0) {
        *value = fallback;
    }
}

static struct err read_config(struct arena *a, const char *file, struct config **out,
                              struct respond_config *r)
{
    TRY(config_load(file, out));
    TRY(config_section(*out, "respond", keys, r));
    fill(&r->secrets, socket_of(a, *out, "secrets/secrets.sock"));
    fill(&r->identity, socket_of(a, *out, "identity/admin.sock"));
    fill(&r->authn, socket_of(a, *out, "authn/admin.sock"));
    fill(&r->authz, socket_of(a, *out, "authz/authz.sock"));
    fill(&r->audit, socket_of(a, *out, "audit/audit.sock"));
    fill(&r->crypto, socket_of(a, *out, "crypto/crypto.sock"));
    fill(&r->netpol_manifests, json_str(json_path((*out)->root, "netpol.manifests")));
    return OK;
}

static struct err check_identity(struct incident *i)
{
    i->is_workload = str_starts(i->identity, S("spiffe://"));
    ENSURE(i->identity.n > 0 && i->identity.n <= 2048 && str_is_utf8(i->identity), ERR_INVALID,
           "an identity is a SPIFFE id such as spiffe://cluster.local/ns/prod/sa/pay, or a "
           "person's name");
    struct str own = arena_printf(i->a, "spiffe://%.*s/sextant/", STR_FMT(i->trust_domain));
    ENSURE(!str_starts(i->identity, own), ERR_INVALID,
           "'%.*s' is a daemon of Sextant itself: banning it would stop the system that is to "
           "contain it; "
           "see docs/respond.md",
           STR_FMT(i->identity));
    return OK;
}

/* Access first; then its proof; then everything that may take longer. */
static struct err run_steps(struct incident *i)
{
    TRY(incident_identify(i));
    if (!i->dry_run) {
        incident_cut(i);
        incident_log_revoked(i);
        incident_probe(i);
    }
    incident_rotate(i);
    incident_list(i);
    incident_redeploy(i);
    incident_review(i);
    if (!i->dry_run) {
        incident_log_steps(i);
    }
    return OK;
}

static void plan(struct incident *i)
{
    static const char *const would[STEPS] = {NULL,
                                             "ban the identity; revoke its tokens and leases, "
                                             "disable its entity; revoke its sessions and grants",
                                             NULL,
                                             NULL,
                                             "name it as denied in the policy data",
                                             NULL,
                                             NULL};
    for (int s = 0; s < STEPS; s++) {
        step_begin(i, (enum step_id)s);
        if (would[s] != NULL) {
            step_note_str(i, (enum step_id)s, "would", str_of(would[s]));
        }
        i->steps[s].state = STEP_PLANNED;
    }
}

static struct err respond(struct incident *i, const struct options *o)
{
    struct buf out;
    TRY(check_identity(i));
    TRY(run_steps(i));
    if (i->dry_run) {
        plan(i);
    }
    if (o->report != NULL) {
        TRY(report_bundle(i, o->report));
    }
    buf_init(&out, 64 << 20);
    if (o->json) {
        report_json(i, &out);
    } else {
        report_markdown(i, &out);
    }
    fwrite(out.p, 1, out.n, stdout);
    buf_release(&out);
    return OK;
}

static int run(struct arena *a, const struct options *o)
{
    struct config *config = NULL;
    struct respond_config rc = {0};
    char id[UUID_TEXT];
    struct err e = read_config(a, o->config, &config, &rc);
    if (failed(e)) {
        fprintf(stderr, "sextant-respond: %s\n", err_detail());
        config_free(config);
        return EXIT_CONFIG;
    }
    uuid4(id);
    struct incident *i = arena_new(a, struct incident);
    *i = (struct incident){.a = a,
                           .config = &rc,
                           .trust_domain = config->trust_domain,
                           .id = arena_str(a, str_of(o->incident != NULL ? o->incident : id)),
                           .identity = str_of(o->identity),
                           .new_identity = str_of(o->new_identity),
                           .dry_run = o->dry_run,
                           .began_ns = clock_mono_ns(),
                           .began_wall_ns = clock_wall_ns()};
    i->calls = (struct calls){.a = a, .trace = trace_new()};
    e = respond(i, o);
    int code =
        failed(e) || (!i->dry_run && !incident_contained(i)) ? EXIT_NOT_CONTAINED : EXIT_CONTAINED;
    if (failed(e)) {
        fprintf(stderr, "sextant-respond: %s\n", err_detail());
    }
    config_free(config);
    return code;
}

int main(int argc, char **argv)
{
    struct options o;
    struct arena a;
    if (!parse(argc, argv, &o)) {
        usage(stderr);
        return EXIT_USAGE;
    }
    if (o.help) {
        usage(stdout);
        return 0;
    }
    log_setup("sextant-respond", LOG_WARN, LOG_TEXT);
    arena_init(&a, INCIDENT_ARENA);
    int code = run(&a, &o);
    arena_release(&a);
    return code;
}
