#include "cli/demo/demo.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

/*
 * The five questions, the log verified offline with one public key, one byte changed in a copy and found,
 * and the repository assessed.
 */

static struct json *questions(struct demo *d)
{
    if (d->questions == NULL) {
        d->questions = json_new_array(&d->arena);
    }
    return (struct json *)(uintptr_t)d->questions;
}

static struct err ask(struct demo *d, const char *question, const char *const *about,
                      struct result *r)
{
    const char *args[16] = {"ask", question, "--json"};
    size_t n = 3;
    for (size_t i = 0; about[i] != NULL; i++) {
        args[n++] = about[i];
    }
    int status;
    struct str out;
    struct json *answer;
    TRY(client_sextant(d, "sextant-audit", args, &status, &out));
    ENSURE(status == 0, ERR_INVALID, "ask %s: exit %d: %.*s", question, status,
           STR_FMT(str_sub(str_trim(out), 0, 300)));
    TRY(json_parse(&d->arena, out, NULL, &answer));
    struct json *q = json_new_object(&d->arena);
    json_set(&d->arena, q, S("question"), json_new_string(&d->arena, str_of(question)));
    json_set(&d->arena, q, S("answer"), answer);
    json_push(&d->arena, questions(d), q);
    const struct json *text = json_get(answer, "answer");
    r->outcome = OUTCOME_ALLOWED;
    r->got = text != NULL ? json_str(text) : str_sub(str_trim(out), 0, 200);
    return OK;
}

#define TRACE_QUESTION(name)                                                                       \
    static struct err ask_##name(struct demo *d, struct result *r)                                 \
    {                                                                                              \
        const char *about[] = {"--trace", arena_cstr(&d->arena, d->request_trace), NULL};          \
        return ask(d, #name, about, r);                                                            \
    }

TRACE_QUESTION(who)
TRACE_QUESTION(when)
TRACE_QUESTION(policy)
TRACE_QUESTION(secret)
TRACE_QUESTION(identity)

static struct err key_text(struct demo *d, struct str *out)
{
    int status;
    const char *args[] = {"vkey", NULL};
    TRY(client_sextant(d, "sextant-audit", args, &status, out));
    ENSURE(status == 0, ERR_INVALID, "vkey: %.*s", STR_FMT(*out));
    *out = str_trim(*out);
    return OK;
}

static struct err verify(struct demo *d, const char *dir, int *status, struct str *out)
{
    struct str vkey;
    TRY(key_text(d, &vkey));
    const char *args[] = {"verify", dir, "--key", arena_cstr(&d->arena, vkey), "--json", NULL};
    return client_sextant(d, "sextant-audit", args, status, out);
}

static struct err flip_byte(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    char c;
    bool ok = fd >= 0 && pread(fd, &c, 1, 200) == 1;
    c = (char)(c ^ 1);
    ok = ok && pwrite(fd, &c, 1, 200) == 1;
    if (fd >= 0) {
        close(fd);
    }
    ENSURE(ok, ERR_IO, "cannot edit %s", path);
    return OK;
}

/* An entry bundle of the log at `dir`: the bytes of the first events. */
static struct err first_bundle(struct demo *d, const char *dir, char **out)
{
    char *line = arena_cstr(
        &d->arena, arena_printf(&d->arena, "find %s/tile/entries -type f | sort | head -n 1", dir));
    const char *argv[] = {"/bin/sh", "-c", line, NULL};
    int status;
    struct str path;
    TRY(client_run(d, &actor_operator, argv, STR_EMPTY, 5000, &status, &path, NULL));
    ENSURE(path.n > 1, ERR_NOT_FOUND, "no entry bundle below %s", dir);
    *out = arena_cstr(&d->arena, str_trim(path));
    return OK;
}

static struct err verify_live(struct demo *d, struct result *r)
{
    char *log = demo_path(d, "state/audit/log"), *bundle;
    if (d->sabotage == SABOTAGE_AUDIT) {
        TRY(first_bundle(d, log, &bundle));
        TRY(flip_byte(bundle));
    }
    int status;
    struct str out;
    struct json *v;
    TRY(verify(d, log, &status, &out));
    r->outcome = status == 0 ? OUTCOME_ALLOWED : OUTCOME_DETECTED;
    r->got = str_sub(str_trim(out), 0, 200);
    if (!failed(json_parse(&d->arena, out, NULL, &v))) {
        int64_t events = 0;
        ignore_err(json_i64(json_get(v, "size"), &events));
        struct json *a = json_new_object(&d->arena);
        json_set(&d->arena, a, S("events"), json_new_int(&d->arena, events));
        json_set(&d->arena, a, S("verified"), json_new_bool(&d->arena, status == 0));
        d->audit = a;
        if (status == 0) {
            r->got =
                arena_printf(&d->arena, "%lld events, every tile and the signed checkpoint agree",
                             (long long)events);
        }
    }
    return OK;
}

static struct err tampered_copy(struct demo *d, struct result *r)
{
    char *log = demo_path(d, "state/audit/log"), *copy = demo_path(d, "tampered"), *bundle;
    const char *argv[] = {"cp", "-r", log, copy, NULL};
    int status;
    struct str out;
    TRY(client_run(d, &actor_operator, argv, STR_EMPTY, 10000, &status, &out, NULL));
    ENSURE(status == 0, ERR_IO, "cannot copy the log");
    TRY(first_bundle(d, copy, &bundle));
    TRY(flip_byte(bundle));
    TRY(verify(d, copy, &status, &out));
    r->outcome = status != 0 ? OUTCOME_DETECTED : OUTCOME_ALLOWED;
    r->got = str_sub(str_trim(out), 0, 200);
    return OK;
}

static struct err assess(struct demo *d, struct result *r)
{
    char *repo = arena_cstr(
        &d->arena, arena_printf(&d->arena, "%.*s/share/sextant/reference", STR_FMT(d->dir)));
    const char *args[] = {repo, "--json", NULL};
    int status;
    struct str out;
    struct json *v;
    TRY(client_sextant(d, "sextant-assess", args, &status, &out));
    TRY(json_parse(&d->arena, out, NULL, &v));
    int64_t level = -1;
    TRY(json_i64(json_get(v, "level"), &level));
    struct json *a = json_new_object(&d->arena);
    json_set(&d->arena, a, S("level"), json_new_int(&d->arena, level));
    d->assessment = a;
    r->outcome = OUTCOME_ALLOWED;
    r->got = arena_printf(&d->arena, "maturity level %lld of 5", (long long)level);
    return OK;
}

const struct step proof_steps[] = {
    {"ask-who", "audit", "who accessed this data?", EXPECT_ALLOW, ask_who},
    {"ask-when", "audit", "when?", EXPECT_ALLOW, ask_when},
    {"ask-policy", "audit", "which policy allowed it?", EXPECT_ALLOW, ask_policy},
    {"ask-secret", "audit", "which secret or lease was used?", EXPECT_ALLOW, ask_secret},
    {"ask-identity", "audit", "which workload identity made the call?", EXPECT_ALLOW, ask_identity},
    {"verify-log", "audit", "the whole log verifies offline with one public key", EXPECT_ALLOW,
     verify_live},
    {"detect-tampered-log", "audit", "one byte edited in a copy is found", EXPECT_DETECT,
     tampered_copy},
    {"assess", "assess", "the reference system's own repository, assessed", EXPECT_ALLOW, assess},
};
const size_t n_proof_steps = ARRAY_LEN(proof_steps);
