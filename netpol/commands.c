/*
 * The subcommands: what operators ask without the daemon, and the one-shot forms of what it does.
 *
 * Exit codes: 0 yes, allowed, proven, no difference; 1 the opposite or a failure; 2 wrong usage.
 */
#include "netpold.h"

#include "nft.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { EXIT_YES = 0, EXIT_NO = 1, EXIT_WRONG_USAGE = 2, OUTPUT_MAX = 256 << 20 };

static const char *const unrelated_choices[] = {"drop", "accept", NULL};

const struct config_key netpol_keys[] = {
    {"manifests", CONFIG_STR, offsetof(struct netpol_config, manifests),
     .fallback = "/etc/sextant/manifests",
     .help = "folder of Pod, Namespace and NetworkPolicy files; it is watched"},
    {"table", CONFIG_STR, offsetof(struct netpol_config, table), .fallback = "sextant",
     .help = "name of the nftables table (family inet); no other table is touched"},
    {"unrelated", CONFIG_STR, offsetof(struct netpol_config, unrelated), .fallback = "drop",
     .choices = unrelated_choices,
     .help = "forwarded packets between addresses that are no pods: drop or accept"},
    {"cut_connections", CONFIG_BOOL, offsetof(struct netpol_config, cut_connections),
     .fallback = "true", .help = "cut live connections that a change no longer allows"},
    {"report_denied", CONFIG_BOOL, offsetof(struct netpol_config, report_denied),
     .fallback = "true",
     .help = "one audit event for each denied connection (nflog group 1511), repeated attempts "
             "once in ten seconds"},
    {0},
};

/* The options all subcommands share. */
struct options {
    const char *manifests;
    bool json;
    struct netpol_config cfg;
    const char *rest[8];
    int n_rest;
};

static int wrong_usage(const char *command, const char *args)
{
    fprintf(stderr, "usage: sextant-netpol %s %s\n", command, args);
    return EXIT_WRONG_USAGE;
}

static int failure(void)
{
    fprintf(stderr, "sextant-netpol: %s\n", err_detail());
    return EXIT_NO;
}

static bool parse(int argc, char **argv, struct options *o)
{
    const char *env = getenv("SEXTANT_MANIFESTS");
    *o = (struct options){
        .manifests = env != NULL ? env : "/etc/sextant/manifests",
        .cfg = {.table = S("sextant"), .unrelated = S("drop"), .cut_connections = true}};
    for (int i = 1; i < argc; i++) {
        struct str arg = str_of(argv[i]);
        if (str_is(arg, "--json")) {
            o->json = true;
        } else if ((str_is(arg, "--manifests") || str_is(arg, "-f")) && i + 1 < argc) {
            o->manifests = argv[++i];
        } else if (str_is(arg, "--table") && i + 1 < argc) {
            o->cfg.table = str_of(argv[++i]);
        } else if (str_is(arg, "--unrelated") && i + 1 < argc &&
                   (str_is(str_of(argv[i + 1]), "drop") || str_is(str_of(argv[i + 1]), "accept"))) {
            o->cfg.unrelated = str_of(argv[++i]);
        } else if ((arg.n > 1 && arg.p[0] == '-') || o->n_rest == (int)ARRAY_LEN(o->rest)) {
            return false;
        } else {
            o->rest[o->n_rest++] = argv[i];
        }
    }
    return true;
}

static void print_buf(const struct buf *b)
{
    fwrite(b->p, 1, b->n, stdout);
}

/* --- explain --------------------------------------------------------------------------------- */

static int explain_one(const struct netpol_epoch *e, const struct options *o)
{
    struct netpol_end src, dst;
    enum netpol_proto proto;
    uint16_t port;
    struct buf text;
    if (failed(netpol_end_parse(e->model, str_of(o->rest[0]), 4, &src)) ||
        failed(netpol_end_parse(e->model, str_of(o->rest[1]), src.ip.family, &dst)) ||
        failed(netpol_port_parse(&dst, str_of(o->rest[2]), &proto, &port))) {
        return failure();
    }
    struct netpol_decision d = netpol_decide(e->model, &src, &dst, proto, port);
    buf_init(&text, 1 << 20);
    if (o->json) {
        netpol_explain_json(&text, &src, &dst, proto, port, &d);
        buf_putc(&text, '\n');
    } else {
        netpol_explain_text(&text, &src, &dst, proto, port, &d);
    }
    print_buf(&text);
    buf_release(&text);
    return d.allowed ? EXIT_YES : EXIT_NO;
}

static int cmd_explain(struct daemon *d, int argc, char **argv)
{
    struct options o;
    struct netpol_epoch *e;
    (void)d;
    if (!parse(argc, argv, &o) || o.n_rest != 3) {
        return wrong_usage("explain", "[--manifests DIR] [--json] SRC DST PORT[/PROTO]");
    }
    if (failed(netpol_epoch_load(o.manifests, &e))) {
        return failure();
    }
    int code = explain_one(e, &o);
    netpol_epoch_free(e);
    return code;
}

/* --- simulate -------------------------------------------------------------------------------- */

static void put_cell(struct buf *out, const struct options *o, const struct netpol_end *src,
                     const struct netpol_end *dst, const struct netpol_container_port *p,
                     const struct netpol_decision *d, bool first)
{
    if (o->json) {
        buf_puts(out, first ? S("\n ") : S(",\n "));
        netpol_explain_json(out, src, dst, p->proto, p->number, d);
        return;
    }
    buf_printf(out, "%-7s ", d->allowed ? "allow" : "deny");
    netpol_end_put(out, src);
    buf_puts(out, S(" -> "));
    netpol_end_put(out, dst);
    buf_printf(out, " %u/%s\n", p->number, netpol_proto_name(p->proto));
}

/* Every pod to every port that a pod of the manifests says it serves. */
static void simulate(struct buf *out, const struct netpol_model *m, const struct options *o)
{
    bool first = true;
    for (size_t i = 0; i < m->n_pods; i++) {
        for (size_t k = 0; k < m->n_pods; k++) {
            const struct netpol_pod *a = m->pods[i], *b = m->pods[k];
            if (i == k || a->n_ips == 0 || b->n_ips == 0) {
                continue;
            }
            struct netpol_end src = {a->host_network ? NULL : a, a->ips[0]};
            struct netpol_end dst = {b->host_network ? NULL : b, b->ips[0]};
            for (size_t p = 0; p < b->n_ports && src.ip.family == dst.ip.family; p++) {
                struct netpol_decision d =
                    netpol_decide(m, &src, &dst, b->ports[p].proto, b->ports[p].number);
                put_cell(out, o, &src, &dst, &b->ports[p], &d, first);
                first = false;
            }
        }
    }
}

static int cmd_simulate(struct daemon *d, int argc, char **argv)
{
    struct options o;
    struct netpol_epoch *e;
    struct buf text;
    (void)d;
    if (!parse(argc, argv, &o) || o.n_rest > 1) {
        return wrong_usage("simulate", "[--json] [DIR]");
    }
    if (failed(netpol_epoch_load(o.n_rest > 0 ? o.rest[0] : o.manifests, &e))) {
        return failure();
    }
    buf_init(&text, OUTPUT_MAX);
    buf_puts(&text, o.json ? S("[") : STR_EMPTY);
    simulate(&text, e->model, &o);
    buf_puts(&text, o.json ? S("\n]\n") : STR_EMPTY);
    print_buf(&text);
    buf_release(&text);
    netpol_epoch_free(e);
    return EXIT_YES;
}

/* --- diff ------------------------------------------------------------------------------------ */

/* The decision in a model for pods that are found by name; false when one is not there. */
static bool decide_by_name(const struct netpol_model *m, const struct netpol_pod *a,
                           const struct netpol_pod *b, const struct netpol_container_port *p,
                           bool *allowed)
{
    char src_name[512], dst_name[512];
    int n = snprintf(src_name, sizeof(src_name), "%.*s/%.*s", STR_FMT(a->ns), STR_FMT(a->name));
    int k = snprintf(dst_name, sizeof(dst_name), "%.*s/%.*s", STR_FMT(b->ns), STR_FMT(b->name));
    const struct netpol_pod *x = netpol_model_pod(m, str_n(src_name, (size_t)n));
    const struct netpol_pod *y = netpol_model_pod(m, str_n(dst_name, (size_t)k));
    if (x == NULL || y == NULL || x->n_ips == 0 || y->n_ips == 0) {
        return false;
    }
    struct netpol_end src = {x->host_network ? NULL : x, x->ips[0]};
    struct netpol_end dst = {y->host_network ? NULL : y, y->ips[0]};
    *allowed = netpol_decide(m, &src, &dst, p->proto, p->number).allowed;
    return true;
}

/* What `to` allows that `from` denies ('+'), and the other way round ('-'). */
static size_t diff(struct buf *out, const struct netpol_model *from, const struct netpol_model *to)
{
    size_t n = 0;
    for (size_t i = 0; i < to->n_pods; i++) {
        for (size_t k = 0; k < to->n_pods; k++) {
            const struct netpol_pod *a = to->pods[i], *b = to->pods[k];
            for (size_t p = 0; i != k && p < b->n_ports; p++) {
                bool before, after;
                if (!decide_by_name(from, a, b, &b->ports[p], &before) ||
                    !decide_by_name(to, a, b, &b->ports[p], &after) || before == after) {
                    continue;
                }
                buf_printf(out, "%c %.*s/%.*s -> %.*s/%.*s %u/%s\n", after ? '+' : '-',
                           STR_FMT(a->ns), STR_FMT(a->name), STR_FMT(b->ns), STR_FMT(b->name),
                           b->ports[p].number, netpol_proto_name(b->ports[p].proto));
                n++;
            }
        }
    }
    return n;
}

static int cmd_diff(struct daemon *d, int argc, char **argv)
{
    struct options o;
    struct netpol_epoch *from = NULL, *to = NULL;
    struct buf text;
    (void)d;
    if (!parse(argc, argv, &o) || o.n_rest < 1 || o.n_rest > 2) {
        return wrong_usage("diff", "[OLD-DIR] NEW-DIR");
    }
    if (failed(netpol_epoch_load(o.n_rest == 2 ? o.rest[0] : o.manifests, &from)) ||
        failed(netpol_epoch_load(o.rest[o.n_rest - 1], &to))) {
        netpol_epoch_free(from);
        return failure();
    }
    buf_init(&text, OUTPUT_MAX);
    size_t n = diff(&text, from->model, to->model);
    print_buf(&text);
    printf("%zu connections differ; %zu set elements change\n", n,
           netpol_change_size(from->ruleset, to->ruleset));
    buf_release(&text);
    netpol_epoch_free(from);
    netpol_epoch_free(to);
    return n == 0 ? EXIT_YES : EXIT_NO;
}

/* --- check, compile, apply, verify, flush ---------------------------------------------------- */

static int cmd_check(struct daemon *d, int argc, char **argv)
{
    struct options o;
    struct netpol_epoch *e;
    (void)d;
    if (!parse(argc, argv, &o) || o.n_rest > 1) {
        return wrong_usage("check", "[DIR]");
    }
    const char *dir = o.n_rest > 0 ? o.rest[0] : o.manifests;
    if (failed(netpol_epoch_load(dir, &e))) {
        return failure();
    }
    printf("%s: %zu pods, %zu policies, %zu other objects; %zu set elements; hash %s\n", dir,
           e->model->n_pods, e->model->n_policies, e->model->n_ignored, e->ruleset->n_elements,
           e->hash);
    netpol_epoch_free(e);
    return EXIT_YES;
}

static int cmd_compile(struct daemon *d, int argc, char **argv)
{
    struct options o;
    struct netpol_epoch *e;
    struct buf text;
    (void)d;
    if (!parse(argc, argv, &o) || o.n_rest > 1) {
        return wrong_usage("compile", "[--table NAME] [--unrelated drop|accept] [DIR]");
    }
    if (failed(netpol_epoch_load(o.n_rest > 0 ? o.rest[0] : o.manifests, &e))) {
        return failure();
    }
    struct netpol_text_opts opts = {
        .table = o.cfg.table,
        .comment = S("sextant-netpol"),
        .unrelated = str_is(o.cfg.unrelated, "accept") ? UNRELATED_ACCEPT : UNRELATED_DROP};
    buf_init(&text, NFT_TEXT_MAX);
    int code = failed(netpol_put_ruleset(&text, e->ruleset, &opts)) ? failure() : EXIT_YES;
    print_buf(&text);
    buf_release(&text);
    netpol_epoch_free(e);
    return code;
}

static int cmd_apply(struct daemon *d, int argc, char **argv)
{
    struct options o;
    struct netpol_epoch *e;
    struct netpol_applied done;
    struct netlink *nl;
    (void)d;
    if (!parse(argc, argv, &o) || o.n_rest > 1) {
        return wrong_usage("apply", "[--table NAME] [--unrelated drop|accept] [DIR]");
    }
    if (failed(netpol_epoch_load(o.n_rest > 0 ? o.rest[0] : o.manifests, &e))) {
        return failure();
    }
    int code = EXIT_YES;
    if (failed(netlink_open(&nl))) {
        netpol_epoch_free(e);
        return failure();
    }
    if (failed(netpol_epoch_apply(nl, NULL, e, &o.cfg, &done))) {
        code = failure();
    } else {
        printf("%zu pods, %zu policies in force as %zu set elements; %zu connections cut; %" PRId64
               " us\n",
               e->model->n_pods, e->model->n_policies, done.elements, done.flows_cut,
               done.ns / 1000);
    }
    netlink_close(nl);
    netpol_epoch_free(e);
    return code;
}

static int verified(const struct netpol_epoch *e, const struct options *o)
{
    struct netpol_verify_report r;
    struct arena a;
    arena_init(&a, MANIFEST_ARENA_MAX);
    int code = EXIT_NO;
    if (failed(netpol_epoch_verify(e, &o->cfg, &a, &r))) {
        code = failure();
    } else if (r.mismatches > 0) {
        printf("NOT PROVEN: at least %" PRIu64 " of %" PRIu64 " packets differ; the first:\n%.*s",
               r.mismatches, r.checks, STR_FMT(r.first));
    } else {
        printf("proven: the kernel's table decides %" PRIu64 " packets as the policies do\n",
               r.checks);
        code = EXIT_YES;
    }
    arena_release(&a);
    return code;
}

static int cmd_verify(struct daemon *d, int argc, char **argv)
{
    struct options o;
    struct netpol_epoch *e;
    (void)d;
    if (!parse(argc, argv, &o) || o.n_rest > 1) {
        return wrong_usage("verify", "[--table NAME] [--unrelated drop|accept] [DIR]");
    }
    if (failed(netpol_epoch_load(o.n_rest > 0 ? o.rest[0] : o.manifests, &e))) {
        return failure();
    }
    int code = verified(e, &o);
    netpol_epoch_free(e);
    return code;
}

static int cmd_flush(struct daemon *d, int argc, char **argv)
{
    struct options o;
    (void)d;
    if (!parse(argc, argv, &o) || o.n_rest > 0) {
        return wrong_usage("flush", "[--table NAME]");
    }
    if (failed(nft_delete(o.cfg.table))) {
        return failure();
    }
    printf("table inet %.*s is gone: nothing is filtered now\n", STR_FMT(o.cfg.table));
    return EXIT_YES;
}

const struct daemon_command netpol_commands[] = {
    {"explain", "SRC DST PORT[/PROTO]", "which rule decides, for NAMESPACE/POD or addresses",
     cmd_explain, false},
    {"simulate", "[DIR]", "every pod against every port that a pod serves", cmd_simulate, false},
    {"diff", "[OLD-DIR] NEW-DIR", "what would be allowed or denied anew", cmd_diff, false},
    {"check", "[DIR]", "read the manifests as the daemon would", cmd_check, false},
    {"compile", "[DIR]", "print the nftables ruleset", cmd_compile, false},
    {"apply", "[DIR]", "bring the manifests into force once, without the daemon", cmd_apply, false},
    {"verify", "[DIR]", "prove that the kernel's table decides as the manifests do", cmd_verify,
     false},
    {"flush", "", "remove the table", cmd_flush, false},
    {0},
};
