#include "cli/demo/demo.h"

#include "cli/command.h"

#include <stdio.h>

/*
 * How the story's clients act: with curl and psql, from their own uid and network namespace. What they
 * say and hear goes over the wire; nothing here knows the inside of a daemon.
 */

enum {
    CURL_TIMEOUT_S = 5,
    RUN_TIMEOUT_MS = 15000,
    ARGS_MAX = 48,
    OUTPUT_MAX = 4 << 20,
    GOT_MAX = 160,
};

static pid_t netns_of(const struct demo *d, const struct actor *who)
{
    return who->on_node ? 0 : d->pods[who->pod].holder;
}

struct err client_run(struct demo *d, const struct actor *who, const char *const *argv,
                      struct str input, int timeout_ms, int *exit_status, struct str *out,
                      struct str *err_out)
{
    char *args[ARGS_MAX + 1];
    size_t n = 0;
    for (; argv[n] != NULL; n++) {
        BUG_ON(n == ARGS_MAX);
        args[n] = arena_cstr(&d->arena, str_of(argv[n]));
    }
    args[n] = NULL;
    struct process_spec spec = {
        .argv = args, .uid = who->uid, .gid = who->uid, .netns_of = netns_of(d, who)};
    char *env[] = {arena_cstr(&d->arena, S("PGCONNECT_TIMEOUT=2")),
                   arena_cstr(&d->arena, S("HOME=/nonexistent")),
                   arena_cstr(&d->arena, arena_printf(&d->arena, "SEXTANT_CONFIG=%s",
                                                      demo_path(d, "sextant.yaml"))),
                   NULL};
    spec.extra_env = env;
    struct buf o, e;
    struct process_result result;
    buf_init(&o, OUTPUT_MAX);
    buf_init(&e, 64 * 1024);
    struct err err = process_run(&spec, input, timeout_ms, &o, &e, &result);
    if (!failed(err)) {
        *exit_status = result.exit_status;
        *out = arena_str(&d->arena, buf_str(&o));
        if (err_out != NULL) {
            *err_out = arena_str(&d->arena, buf_str(&e));
        }
    }
    buf_release(&o);
    buf_release(&e);
    return err;
}

/* Last lines of curl's standard output, as --write-out was told to write them. */
static void read_write_out(struct str err_text, struct answer *a)
{
    size_t at = str_find(err_text, S("@answer "));
    if (at == STR_NPOS) {
        return;
    }
    struct str line = str_sub(err_text, at + 8, err_text.n);
    line = str_split(&line, '\n');
    uint64_t status = 0;
    ignore_err(str_to_u64(str_split(&line, ' '), &status));
    a->status = (int)status;
    a->redirect = line.p != NULL ? str_trim(line) : STR_EMPTY;
}

struct err client_curl(struct demo *d, const struct actor *who, const char *const *args,
                       struct answer *out)
{
    struct buf header;
    buf_init(&header, 128);
    buf_puts(&header, S("traceparent: "));
    trace_put(&header, &d->trace);
    const char *argv[ARGS_MAX];
    size_t n = 0;
    argv[n++] = "curl";
    argv[n++] = "--silent";
    argv[n++] = "--show-error";
    argv[n++] = "--max-time";
    argv[n++] = arena_cstr(&d->arena, arena_printf(&d->arena, "%d", CURL_TIMEOUT_S));
    argv[n++] = "--header";
    argv[n++] = arena_cstr(&d->arena, buf_str(&header));
    argv[n++] = "--write-out";
    argv[n++] = "%{stderr}@answer %{http_code} %{redirect_url}\n";
    buf_release(&header);
    for (size_t i = 0; args[i] != NULL; i++) {
        BUG_ON(n + 1 >= ARGS_MAX);
        argv[n++] = args[i];
    }
    argv[n] = NULL;
    struct str err_text;
    *out = (struct answer){0};
    TRY(client_run(d, who, argv, STR_EMPTY, RUN_TIMEOUT_MS, &out->curl, &out->body, &err_text));
    ENSURE(out->curl != 127, ERR_NOT_FOUND, "curl cannot be run: %.*s", STR_FMT(err_text));
    read_write_out(err_text, out);
    if (out->status == 0) {
        out->headers = str_trim(err_text); /* curl's own words about why there was no answer */
    }
    return OK;
}

struct err client_psql(struct demo *d, const struct actor *who, struct str user,
                       struct str password, const char *sql, int *exit_status, struct str *out)
{
    /* The password goes in by file, never by argument. */
    char *url = arena_cstr(&d->arena, arena_printf(&d->arena, "host=%s user=%.*s dbname=records",
                                                   d->pods[POD_DB].ip, STR_FMT(user)));
    char *script = arena_cstr(
        &d->arena,
        S("IFS= read -r PGPASSWORD; export PGPASSWORD; exec psql -X -A -t -w \"$0\" -c \"$1\""));
    const char *argv[] = {"/bin/sh", "-c", script, url, sql, NULL};
    struct str input = arena_printf(&d->arena, "%.*s\n", STR_FMT(password)), err_text;
    TRY(client_run(d, who, argv, input, RUN_TIMEOUT_MS, exit_status, out, &err_text));
    if (*exit_status != 0) {
        *out = err_text;
    }
    return OK;
}

struct err client_sextant(struct demo *d, const char *program, const char *const *args,
                          int *exit_status, struct str *out)
{
    const char *argv[ARGS_MAX];
    size_t n = 0;
    argv[n++] = command_sister(&d->arena, program);
    for (size_t i = 0; args[i] != NULL; i++) {
        BUG_ON(n + 1 >= ARGS_MAX);
        argv[n++] = args[i];
    }
    argv[n] = NULL;
    struct str err_text;
    TRY(client_run(d, &actor_operator, argv, STR_EMPTY, 60000, exit_status, out, &err_text));
    if (*exit_status != 0 && out->n == 0) {
        *out = err_text;
    }
    return OK;
}

/* One line, printable, short: for people. */
static struct str one_line(struct demo *d, struct str s)
{
    s = str_trim(s);
    struct buf b;
    buf_init(&b, GOT_MAX + 1);
    for (size_t i = 0; i < s.n && b.n < GOT_MAX; i++) {
        char c = s.p[i];
        buf_putc(&b, (unsigned char)c < 0x20 ? ' ' : c);
    }
    struct str line = arena_str(&d->arena, buf_str(&b));
    buf_release(&b);
    return line;
}

struct str answer_text(struct demo *d, const struct answer *a)
{
    if (a->status == 0) {
        return one_line(
            d, arena_printf(&d->arena, "no answer (curl %d): %.*s", a->curl, STR_FMT(a->headers)));
    }
    struct str body = str_starts(a->body, S("<")) ? S("a page") : a->body;
    return one_line(d, arena_printf(&d->arena, "%d %.*s", a->status, STR_FMT(body)));
}

struct result answer_result(struct demo *d, const struct answer *a)
{
    enum outcome o = OUTCOME_BROKEN;
    /* 7 refused, 28 dropped, 35/52/56: the other end ended the connection */
    bool cut = a->curl == 7 || a->curl == 28 || a->curl == 35 || a->curl == 52 || a->curl == 56 ||
               a->curl == 55;
    if (a->status >= 200 && a->status < 400) {
        o = OUTCOME_ALLOWED;
    } else if ((a->status >= 400 && a->status < 500) || (a->status == 0 && cut)) {
        o = OUTCOME_DENIED;
    }
    return (struct result){o, answer_text(d, a)};
}
