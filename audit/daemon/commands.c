/* The verbs of sextant-audit: questions to the running daemon, and checks that need none. */
#include "audit_daemon.h"

#include "audit/tlog/files.h"
#include "audit/tlog/tlog_read.h"
#include "audit/tlog/verify.h"
#include "lib/base/clock.h"
#include "lib/base/codec.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, COMMAND_ARENA = 256 << 20, CALL_MS = 60000 };

struct args {
    const char *config, *key, *dir, *entry, *out;
    struct str trace, since, until, outcome, daemon, limit, from;
    bool json, follow;
    const char *plain[4];
    int n_plain;
};

struct command {
    struct daemon *d;
    struct arena a;
    struct args args;
};

static int fail(const char *verb)
{
    fprintf(stderr, "sextant-audit %s: %s\n", verb, err_detail());
    return EXIT_FAILED;
}

/* ---- options ---- */

static bool take_value(struct args *o, const char *name, const char *value)
{
    const struct {
        const char *name;
        const char **text;
        struct str *s;
    } table[] = {
        {"--config", &o->config, NULL},   {"--key", &o->key, NULL},
        {"--dir", &o->dir, NULL},         {"--entry", &o->entry, NULL},
        {"--output", &o->out, NULL},      {"--trace", NULL, &o->trace},
        {"--since", NULL, &o->since},     {"--until", NULL, &o->until},
        {"--outcome", NULL, &o->outcome}, {"--daemon", NULL, &o->daemon},
        {"--limit", NULL, &o->limit},     {"--from", NULL, &o->from},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        if (strcmp(name, table[i].name) == 0) {
            if (table[i].text != NULL) {
                *table[i].text = value;
            } else {
                *table[i].s = str_of(value);
            }
            return true;
        }
    }
    return false;
}

static struct err parse_args(int argc, char **argv, struct args *o)
{
    *o = (struct args){0};
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];
        if (strcmp(arg, "--json") == 0) {
            o->json = true;
        } else if (strcmp(arg, "--follow") == 0 || strcmp(arg, "-f") == 0) {
            o->follow = true;
        } else if (arg[0] == '-' && arg[1] == '-' && i + 1 < argc &&
                   take_value(o, arg, argv[i + 1])) {
            i++;
        } else if (arg[0] == '-' && arg[1] != '\0') {
            FAIL(ERR_INVALID, "unknown option '%s', or its value is missing", arg);
        } else {
            ENSURE(o->n_plain < (int)ARRAY_LEN(o->plain), ERR_INVALID, "too many arguments at '%s'",
                   arg);
            o->plain[o->n_plain++] = arg;
        }
    }
    return OK;
}

/* ---- the running daemon ---- */

static struct err socket_url(struct command *c, struct str *out)
{
    struct config *config;
    const char *file = c->args.config != NULL ? c->args.config : daemon_config_path(c->d);
    TRY(config_load(file, &config));
    *out = arena_printf(&c->a, "unix:%.*s/audit/audit.sock:", STR_FMT(config->run_dir));
    config_free(config);
    return OK;
}

/* GET of a path; the body lives in the arena. */
static struct err get(struct command *c, struct str path, struct http_result *res)
{
    struct str base;
    TRY(socket_url(c, &base));
    struct http_call call = {.method = S("GET"),
                             .timeout_ms = CALL_MS,
                             .body_max = 64 << 20,
                             .url = arena_printf(&c->a, "%.*s%.*s", STR_FMT(base), STR_FMT(path))};
    struct http_client_opts opts = {.timeout_ms = CALL_MS, .body_max = 64 << 20};
    struct err e = http_call_blocking(&c->a, &opts, &call, res);
    if (failed(e)) {
        return err_wrap(e, "sextant-audit does not answer on its socket");
    }
    if (res->status != 200) {
        struct json *v;
        bool told = !failed(json_parse(&c->a, res->body, NULL, &v));
        struct str why = told ? json_str(json_get(v, "detail")) : str_trim(res->body);
        FAIL(ERR_UNAVAILABLE, "status %d: %.*s", res->status, STR_FMT(why));
    }
    return OK;
}

static void put_query(struct buf *b, const char *name, struct str value)
{
    if (value.n > 0) {
        buf_printf(b, "&%s=", name);
        percent_put(b, value);
    }
}

/* ---- ask ---- */

static void print_list(const struct json *r, const char *key, const char *label)
{
    const struct json *list = json_get(r, key);
    for (uint32_t i = 0; json_is(list, JSON_ARRAY) && i < list->n; i++) {
        printf("%s%.*s", i == 0 ? label : ", ", STR_FMT(json_str(list->items[i])));
    }
    if (json_is(list, JSON_ARRAY) && list->n > 0) {
        printf("\n");
    }
}

static void print_answer(const struct json *v)
{
    const struct json *requests = json_get(v, "requests");
    for (uint32_t i = 0; i < requests->n; i++) {
        const struct json *r = requests->items[i];
        printf("%.*s  %.*s\n", STR_FMT(json_str(json_get(r, "time"))),
               STR_FMT(json_str(json_get(r, "outcome"))));
        print_list(r, "persons", "    person     ");
        print_list(r, "identities", "    workload   ");
        print_list(r, "policies", "    policy     ");
        print_list(r, "rules", "    rule       ");
        print_list(r, "secrets", "    secret     ");
        print_list(r, "leases", "    lease      ");
        print_list(r, "keys", "    key        ");
        print_list(r, "resources", "    resource   ");
        print_list(r, "actions", "    actions    ");
        struct str trace = json_str(json_get(r, "trace_id"));
        if (trace.n > 0) {
            printf("    trace      %.*s\n", STR_FMT(trace));
        }
    }
    printf("%.*s: %.*s\n", STR_FMT(json_str(json_get(v, "question"))),
           STR_FMT(json_str(json_get(v, "answer"))));
}

/* Without the daemon: the events of a log folder, read from first to last. */
struct offline {
    struct tlog_reader reader;
};

static struct err offline_entry(void *ctx, struct arena *a, uint64_t index, struct str *out)
{
    struct offline *o = ctx;
    struct str entry;
    TRY(tlog_read_entry(&o->reader, index, &entry));
    *out = arena_str(a, entry);
    return OK;
}

static struct err open_dir(const char *path, int *out)
{
    *out = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return *out >= 0 ? OK : file_error("open folder", path, errno);
}

/* The checkpoint of a folder, as it says of itself: not verified. */
static struct err told_checkpoint(struct arena *a, int dir, struct checkpoint *out)
{
    struct str text;
    struct note n;
    TRY(file_read(a, dir, "checkpoint", NOTE_MAX, &text));
    TRY(note_parse(a, text, &n));
    return checkpoint_parse(a, n.text, out);
}

static struct err ask_offline(struct command *c, struct ask *q, struct buf *out)
{
    int dir;
    struct checkpoint told;
    struct offline o;
    TRY(open_dir(c->args.dir, &dir));
    struct err e = told_checkpoint(&c->a, dir, &told);
    if (!failed(e)) {
        tlog_reader_init(&o.reader, dir, told.size);
        struct ask_source s = {offline_entry, &o, told.size, NULL};
        e = ask_answer(&s, q, out);
        tlog_reader_release(&o.reader);
    }
    close(dir);
    return e;
}

static struct err ask_daemon(struct command *c, const char *question, struct str of,
                             struct buf *out)
{
    struct buf path;
    struct http_result res;
    buf_init(&path, 64 * 1024);
    buf_printf(&path, "/v1/ask?question=%s", question);
    put_query(&path, "of", of);
    put_query(&path, "since", c->args.since);
    put_query(&path, "until", c->args.until);
    put_query(&path, "outcome", c->args.outcome);
    put_query(&path, "daemon", c->args.daemon);
    put_query(&path, "limit", c->args.limit);
    struct err e = get(c, arena_str(&c->a, buf_str(&path)), &res);
    buf_release(&path);
    TRY(e);
    buf_puts(out, res.body);
    return buf_check(out);
}

static struct err run_ask(struct command *c)
{
    struct buf out;
    struct json *v;
    struct str of = c->args.trace.n > 0   ? c->args.trace
                    : c->args.n_plain > 1 ? str_of(c->args.plain[1])
                                          : STR_EMPTY;
    struct ask q = {.of = of, .outcome = c->args.outcome, .daemon = c->args.daemon};
    ENSURE(c->args.n_plain > 0 && of.n > 0, ERR_INVALID,
           "write: ask who|when|policy|secret|identity VALUE, or --trace ID");
    TRY(ask_question_parse(str_of(c->args.plain[0]), &q.question));
    buf_init(&out, 64 << 20);
    struct err e =
        c->args.dir != NULL ? ask_offline(c, &q, &out) : ask_daemon(c, c->args.plain[0], of, &out);
    e = failed(e) ? e : json_parse(&c->a, buf_str(&out), NULL, &v);
    if (!failed(e) && c->args.json) {
        printf("%.*s\n", STR_FMT(buf_str(&out)));
    } else if (!failed(e)) {
        print_answer(v);
    }
    buf_release(&out);
    return e;
}

/* ---- verify ---- */

static struct err read_key(struct command *c, struct note_key *out)
{
    struct str text;
    ENSURE(c->args.key != NULL, ERR_INVALID, "--key VKEY (or a file that holds it) is missing");
    if (failed(file_read(&c->a, AT_FDCWD, c->args.key, 4096, &text))) {
        text = str_of(c->args.key);
    }
    struct err e = note_key_parse(&c->a, text, out);
    return failed(e) ? err_wrap(e, "--key") : OK;
}

/* Beside the tree: each event's own fingerprint and its place. */
static struct err check_event(void *ctx, uint64_t index, struct str entry)
{
    struct arena a;
    arena_init(&a, EVENT_ARENA);
    struct err e = event_check_fingerprint(&a, entry);
    if (e.code == ERR_NOT_FOUND) {
        e = OK; /* a log of other content */
    }
    arena_release(&a);
    return e;
}

static void print_verified(const struct verify_result *r, bool json)
{
    struct buf b;
    struct jw w;
    if (!json) {
        if (r->good) {
            printf("%" PRIu64
                   " entries of %.*s verify: every leaf, every tile and the signed root\n",
                   r->checkpoint.size, STR_FMT(r->checkpoint.origin));
        } else {
            printf("TAMPERED: %s\n", r->what);
        }
        return;
    }
    buf_init(&b, 8192);
    jw_init(&w, &b);
    jw_obj(&w);
    jw_key_bool(&w, S("ok"), r->good);
    jw_key_str(&w, S("origin"), r->checkpoint.origin);
    jw_key_int(&w, S("size"), (int64_t)r->checkpoint.size);
    if (!r->good) {
        jw_key_str(&w, S("what"), str_of(r->what));
    }
    if (!r->good && r->has_entry) {
        jw_key_int(&w, S("first_entry"), (int64_t)r->entry);
    }
    jw_end(&w);
    printf("%.*s\n", STR_FMT(buf_str(&b)));
    buf_release(&b);
}

static struct err run_verify(struct command *c)
{
    struct note_key key;
    struct verify_result r;
    int dir;
    ENSURE(c->args.n_plain == 1, ERR_INVALID, "write: verify DIR --key VKEY");
    TRY(read_key(c, &key));
    TRY(open_dir(c->args.plain[0], &dir));
    struct err e = tlog_verify(&c->a, dir, &key, check_event, NULL, &r);
    close(dir);
    TRY(e);
    print_verified(&r, c->args.json);
    ENSURE(r.good, ERR_SIGNATURE, "%s", r.what);
    return OK;
}

/* ---- proofs ---- */

static struct err write_out(const char *path, struct str text)
{
    if (path == NULL || strcmp(path, "-") == 0) {
        fwrite(text.p, 1, text.n, stdout);
        return OK;
    }
    return file_replace(AT_FDCWD, path, text, false);
}

/* The event travels inside, so that the file needs nothing beside the key. */
static struct err run_prove(struct command *c)
{
    struct http_result proof, event;
    struct tlog_proof p;
    struct buf out;
    uint64_t index;
    ENSURE(c->args.n_plain == 1, ERR_INVALID, "write: prove INDEX [--output FILE]");
    TRY(str_to_u64(str_of(c->args.plain[0]), &index));
    TRY(get(c, arena_printf(&c->a, "/v1/events/%" PRIu64 "/proof", index), &proof));
    TRY(get(c, arena_printf(&c->a, "/v1/events/%" PRIu64, index), &event));
    TRY(tlog_proof_parse(&c->a, proof.body, &p));
    p.extra = event.body;
    buf_init(&out, TLOG_PROOF_MAX * 2);
    tlog_proof_put(&out, &p);
    struct err e = write_out(c->args.out, buf_str(&out));
    buf_release(&out);
    return e;
}

static struct err run_check_proof(struct command *c)
{
    struct note_key key;
    struct tlog_proof p;
    struct checkpoint cp;
    struct str text, entry;
    ENSURE(c->args.n_plain == 1, ERR_INVALID, "write: check-proof FILE --key VKEY [--entry FILE]");
    TRY(read_key(c, &key));
    TRY(file_read(&c->a, AT_FDCWD, c->args.plain[0], TLOG_PROOF_MAX, &text));
    TRY(tlog_proof_parse(&c->a, text, &p));
    entry = p.extra;
    if (c->args.entry != NULL) {
        TRY(file_read(&c->a, AT_FDCWD, c->args.entry, ENTRY_MAX + 1, &entry));
        entry = str_ends(entry, S("\n")) ? str_sub(entry, 0, entry.n - 1) : entry;
    }
    ENSURE(entry.n > 0, ERR_INVALID,
           "the proof does not hold its event; give it with --entry FILE");
    TRY(tlog_proof_check(&c->a, &p, entry, &key, &cp));
    printf("entry %" PRIu64 " is in the log %.*s of %" PRIu64 " entries\n", p.index,
           STR_FMT(cp.origin), cp.size);
    return OK;
}

/* ---- events and alerts ---- */

static struct err next_of(const struct http_result *res, uint64_t *out)
{
    struct str text = http_result_header(res, "x-next");
    return str_to_u64(text, out);
}

/* All events from --from on; with --follow for ever. */
static struct err run_export(struct command *c)
{
    uint64_t from = 0, next;
    if (c->args.from.n > 0) {
        TRY(str_to_u64(c->args.from, &from));
    }
    for (;;) {
        struct http_result res;
        arena_reset(&c->a);
        TRY(get(c,
                arena_printf(&c->a, "/v1/events?from=%" PRIu64 "&wait=%d", from,
                             c->args.follow ? 50 : 0),
                &res));
        fwrite(res.body.p, 1, res.body.n, stdout);
        fflush(stdout);
        TRY(next_of(&res, &next));
        if (next == from && !c->args.follow) {
            return OK;
        }
        from = next;
    }
}

/* The last events, and those to come with -f. */
static struct err run_tail(struct command *c)
{
    struct http_result res;
    struct json *v;
    uint64_t size, last = 10;
    char text[32];
    TRY(get(c, S("/v1/status"), &res));
    TRY(json_parse(&c->a, res.body, NULL, &v));
    TRY(json_u64(json_get(v, "size"), &size));
    if (c->args.limit.n > 0) {
        TRY(str_to_u64(c->args.limit, &last));
    }
    snprintf(text, sizeof(text), "%" PRIu64, size > last ? size - last : 0);
    c->args.from = str_of(text);
    return run_export(c);
}

static void print_alerts(const struct json *v)
{
    const struct json *list = json_get(v, "alerts");
    for (uint32_t i = 0; i < list->n; i++) {
        const struct json *own = json_path(list->items[i], "unmapped.sextant");
        struct buf b;
        int64_t ms = 0;
        ignore_err(json_i64(json_get(list->items[i], "time"), &ms));
        buf_init(&b, 64);
        clock_put_rfc3339(&b, ms * NS_PER_MS, 3);
        printf("%.*s  %-22.*s %.*s: %.*s\n", STR_FMT(buf_str(&b)),
               STR_FMT(json_str(json_get(own, "reason"))),
               STR_FMT(json_str(json_get(own, "actor_spiffe_id"))),
               STR_FMT(json_str(json_get(own, "title"))));
        buf_release(&b);
    }
}

static struct err run_alerts(struct command *c)
{
    uint64_t from = 0, next;
    if (c->args.from.n > 0) {
        TRY(str_to_u64(c->args.from, &from));
    }
    for (;;) {
        struct http_result res;
        struct json *v;
        arena_reset(&c->a);
        TRY(get(c,
                arena_printf(&c->a, "/v1/alerts?from=%" PRIu64 "&wait=%d", from,
                             c->args.follow ? 50 : 0),
                &res));
        TRY(json_parse(&c->a, res.body, NULL, &v));
        TRY(json_u64(json_get(v, "next"), &next));
        if (c->args.json) {
            printf("%.*s\n", STR_FMT(res.body));
        } else {
            print_alerts(v);
        }
        fflush(stdout);
        if (!c->args.follow) {
            return OK;
        }
        from = next;
    }
}

static struct err run_plain(struct command *c, struct str path)
{
    struct http_result res;
    TRY(get(c, path, &res));
    printf("%.*s\n", STR_FMT(str_trim(res.body)));
    return OK;
}

static struct err run_vkey(struct command *c)
{
    return run_plain(c, S("/v1/vkey"));
}

static struct err run_status(struct command *c)
{
    return run_plain(c, S("/v1/status"));
}

/* ---- the table ---- */

static int run(struct daemon *d, int argc, char **argv, struct err (*verb)(struct command *c))
{
    struct command c = {.d = d};
    struct err e = parse_args(argc, argv, &c.args);
    if (failed(e)) {
        fail(argv[0]);
        return EXIT_USAGE;
    }
    arena_init(&c.a, COMMAND_ARENA);
    e = verb(&c);
    int code = failed(e) ? fail(argv[0]) : EXIT_OK;
    arena_release(&c.a);
    return code;
}

#define VERB(name)                                                                                 \
    static int command_##name(struct daemon *d, int argc, char **argv)                             \
    {                                                                                              \
        return run(d, argc, argv, run_##name);                                                     \
    }

VERB(ask)
VERB(verify)
VERB(prove)
VERB(check_proof)
VERB(export)
VERB(tail)
VERB(alerts)
VERB(vkey)
VERB(status)

const struct daemon_command audit_commands[] = {
    {"ask",
     "who|when|policy|secret|identity VALUE [--since T] [--until T] [--outcome O] [--dir DIR] "
     "[--json]",
     "the five questions about a resource, secret, lease, person, identity or trace", command_ask,
     false},
    {"verify", "DIR --key VKEY [--json]", "check a whole log folder offline", command_verify,
     false},
    {"prove", "INDEX [--output FILE]", "a proof file for one event, with the event inside",
     command_prove, false},
    {"check-proof", "FILE --key VKEY [--entry FILE]", "check a proof file offline",
     command_check_proof, false},
    {"alerts", "[--from INDEX] [--follow] [--json]", "what the detections found", command_alerts,
     false},
    {"export", "[--from INDEX] [--follow]", "all events as JSON lines", command_export, false},
    {"tail", "[--limit N] [-f]", "the last events", command_tail, false},
    {"vkey", "", "the log's public key", command_vkey, false},
    {"status", "", "sizes and counts of the running log", command_status, false},
    {0},
};
