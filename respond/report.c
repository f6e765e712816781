/* The report for people and for programs, and the evidence that a second person can check without us. */
#include "incident.h"

#include "lib/base/clock.h"
#include "lib/base/codec.h"
#include "lib/tls/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    EVIDENCE_MAX = 2000,
    CHUNK = 500,
    REPORT_MAX = 64 << 20,
    COVER_TRIES = 40,
    COVER_PAUSE_MS = 100
};

static const char *const state_names[] = {"planned", "done", "done, with residual risk", "failed"};
static const char *const state_words[] = {"planned", "done", "partial", "failed"};

/* ---- JSON ---- */

static void put_probes(struct jw *w, const struct step *s)
{
    jw_key(w, S("probes"));
    jw_arr(w);
    for (size_t p = 0; p < s->n_probes; p++) {
        jw_obj(w);
        jw_key_str(w, S("what"), s->probes[p].what);
        jw_key_bool(w, S("gone"), s->probes[p].gone);
        jw_key_str(w, S("detail"), s->probes[p].detail);
        jw_end(w);
    }
    jw_end(w);
}

static void put_step(struct jw *w, const struct incident *i, int n)
{
    const struct step *s = &i->steps[n];
    jw_obj(w);
    jw_key_int(w, S("step"), n + 1);
    jw_key_str(w, S("name"), str_of(step_names[n]));
    jw_key_str(w, S("title"), str_of(step_titles[n]));
    jw_key_str(w, S("state"), str_of(state_words[s->state]));
    jw_key_int(w, S("began_ms"), s->began_ms);
    jw_key_int(w, S("ended_ms"), s->ended_ms);
    if (s->details != NULL) {
        jw_key(w, S("details"));
        jw_json(w, s->details);
        jw_key(w, S("residual"));
        jw_json(w, s->residual);
    }
    put_probes(w, s);
    jw_end(w);
}

void report_json(const struct incident *i, struct buf *out)
{
    struct jw w;
    struct buf when;
    buf_init(&when, 64);
    clock_put_rfc3339(&when, i->began_wall_ns, 3);
    jw_init(&w, out);
    jw_obj(&w);
    jw_key_str(&w, S("incident"), i->id);
    jw_key_str(&w, S("identity"), i->identity);
    jw_key_str(&w, S("began"), buf_str(&when));
    jw_key_bool(&w, S("dry_run"), i->dry_run);
    jw_key_bool(&w, S("contained"), !i->dry_run && incident_contained(i));
    jw_key_int(&w, S("cut_ms"), i->steps[STEP_REVOKE].ended_ms);
    jw_key(&w, S("steps"));
    jw_arr(&w);
    for (int s = 0; s < STEPS; s++) {
        put_step(&w, i, s);
    }
    jw_end(&w);
    jw_end(&w);
    buf_putc(out, '\n');
    buf_release(&when);
}

/* ---- Markdown ---- */

static void put_list(struct buf *out, const struct json *v)
{
    for (uint32_t n = 0; n < v->n; n++) {
        struct buf text;
        buf_init(&text, 4096);
        if (v->items[n]->type == JSON_STRING) {
            buf_puts(&text, v->items[n]->text);
        } else {
            json_write(&text, v->items[n]);
        }
        buf_printf(out, "    - %.*s\n", (int)MIN(text.n, (size_t)600),
                   text.p != NULL ? text.p : "");
        buf_release(&text);
    }
}

static void put_details(struct buf *out, const struct json *details)
{
    for (uint32_t n = 0; n < details->n; n++) {
        const struct json_member *m = &details->members[n];
        buf_printf(out, "- %.*s: ", STR_FMT(m->key));
        if (m->value->type == JSON_STRING) {
            buf_puts(out, m->value->text);
            buf_putc(out, '\n');
        } else if (m->value->type == JSON_ARRAY) {
            buf_printf(out, "%u\n", m->value->n);
            put_list(out, m->value);
        } else if (m->value->type == JSON_OBJECT) {
            buf_puts(out, S("see report.json\n"));
        } else {
            json_write(out, m->value);
            buf_putc(out, '\n');
        }
    }
}

static void put_step_text(struct buf *out, const struct incident *i, int n)
{
    const struct step *s = &i->steps[n];
    buf_printf(out, "\n## %d. %s: %s\n\n", n + 1, step_titles[n], state_names[s->state]);
    buf_printf(out, "From %" PRId64 " ms to %" PRId64 " ms.\n\n", s->began_ms, s->ended_ms);
    if (s->details != NULL) {
        put_details(out, s->details);
    }
    for (size_t p = 0; p < s->n_probes; p++) {
        buf_printf(out, "%s- %s: %.*s (%.*s)\n", p == 0 ? "\nProbes:\n\n" : "",
                   s->probes[p].gone ? "proven" : "**not proven**", STR_FMT(s->probes[p].what),
                   STR_FMT(s->probes[p].detail));
    }
    if (s->residual != NULL && s->residual->n > 0) {
        buf_puts(out, S("\nResidual risk:\n\n"));
        put_list(out, s->residual);
    }
}

void report_markdown(const struct incident *i, struct buf *out)
{
    buf_printf(out, "# Incident %.*s\n\nIdentity: `%.*s`  \nBegan: ", STR_FMT(i->id),
               STR_FMT(i->identity));
    clock_put_rfc3339(out, i->began_wall_ns, 3);
    buf_printf(out, "  \nAccess cut after %" PRId64 " ms  \n", i->steps[STEP_REVOKE].ended_ms);
    buf_printf(out, "%s\n",
               i->dry_run              ? "Dry run: nothing was changed."
               : incident_contained(i) ? "Contained: every probe found the access gone."
                                       : "**Not contained**: see the steps below.");
    for (int s = 0; s < STEPS; s++) {
        put_step_text(out, i, s);
    }
    buf_puts(
        out,
        S("\n## Checking this evidence\n\n"
          "Every event in `events.ndjson` has a proof in `proofs/`, made by the log itself:\n\n"
          "    sextant-audit check-proof proofs/N.tlog-proof --key vkey\n\n"
          "`manifest.json` holds the SHA-256 of every file.\n"));
}

/* ---- evidence ---- */

struct evidence {
    struct incident *i;
    const char *dir;
    uint64_t events[EVIDENCE_MAX];
    size_t n;
    struct json *manifest; /* file name -> SHA-256 */
};

static struct err put_file(struct evidence *v, const char *name, struct str bytes)
{
    char path[4096];
    uint8_t sum[SHA256_BYTES];
    ENSURE(snprintf(path, sizeof(path), "%s/%s", v->dir, name) < (int)sizeof(path), ERR_LIMIT,
           "the path of the report is too long");
    FILE *f = fopen(path, "we");
    ENSURE(f != NULL, ERR_IO, "cannot write %s: %s", path, strerror(errno));
    bool good = fwrite(bytes.p, 1, bytes.n, f) == bytes.n;
    good = fclose(f) == 0 && good;
    ENSURE(good, ERR_IO, "cannot write %s", path);
    sha256_of(bytes, sum);
    json_set(v->i->a, v->manifest, arena_str(v->i->a, str_of(name)),
             json_new_string(v->i->a, hex_encode(v->i->a, str_n(sum, sizeof(sum)))));
    return OK;
}

static void add_events(struct evidence *v, const struct json *answer)
{
    const struct json *requests = json_get(answer, "requests");
    for (uint32_t r = 0; json_is(requests, JSON_ARRAY) && r < requests->n; r++) {
        const struct json *list = json_get(requests->items[r], "events");
        for (uint32_t e = 0; json_is(list, JSON_ARRAY) && e < list->n && v->n < EVIDENCE_MAX; e++) {
            uint64_t index;
            if (!failed(json_u64(list->items[e], &index))) {
                v->events[v->n++] = index;
            }
        }
    }
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void sort_events(struct evidence *v)
{
    size_t out = 0;
    if (v->n > 0) {
        qsort(v->events, v->n, sizeof(v->events[0]), compare);
    }
    for (size_t n = 0; n < v->n; n++) {
        if (out == 0 || v->events[out - 1] != v->events[n]) {
            v->events[out++] = v->events[n];
        }
    }
    v->n = out;
}

/* The runbook's own events too; then waits until a checkpoint covers the newest. */
static void gather_events(struct evidence *v)
{
    struct incident *i = v->i;
    struct call c = {.method = "GET",
                     .url = join_url(i, i->config->audit,
                                     "/v1/ask?question=when&limit=1000&of=%.*s", STR_FMT(i->id))};
    add_events(v, i->actions);
    calls_run(&i->calls, &c, 1);
    add_events(v, c.json);
    sort_events(v);
    for (int tries = 0; v->n > 0 && tries < COVER_TRIES; tries++) {
        struct call status = {.method = "GET", .url = join_url(i, i->config->audit, "/v1/status")};
        uint64_t covered = 0;
        calls_run(&i->calls, &status, 1);
        ignore_err(json_u64(json_get(status.json, "checkpoint_size"), &covered));
        if (covered > v->events[v->n - 1]) {
            return;
        }
        usleep(COVER_PAUSE_MS * 1000);
    }
}

static struct err put_proof(struct evidence *v, const struct call *event, const struct call *proof,
                            uint64_t index, struct buf *lines, size_t *proven)
{
    char name[64];
    if (!call_good(event)) {
        return OK;
    }
    buf_puts(lines, event->text);
    buf_putc(lines, '\n');
    if (!call_good(proof)) {
        return OK;
    }
    /* "extra" holds the event itself, so that each proof stands alone. */
    size_t line = str_find_char(proof->text, '\n');
    struct buf file;
    buf_init(&file, 1 << 20);
    buf_puts(&file, str_sub(proof->text, 0, line + 1));
    buf_puts(&file, S("extra "));
    base64_put(&file, event->text, BASE64_STD);
    buf_putc(&file, '\n');
    buf_puts(&file, str_sub(proof->text, line + 1, proof->text.n));
    snprintf(name, sizeof(name), "proofs/%" PRIu64 ".tlog-proof", index);
    struct err e = put_file(v, name, buf_str(&file));
    buf_release(&file);
    *proven += !failed(e);
    return e;
}

static struct err put_events(struct evidence *v)
{
    struct incident *i = v->i;
    struct buf lines;
    size_t proven = 0;
    struct err e = OK;
    buf_init(&lines, REPORT_MAX);
    for (size_t from = 0; from < v->n && !failed(e); from += CHUNK) {
        size_t n = MIN(v->n - from, (size_t)CHUNK);
        struct call *c = arena_array(i->a, struct call, 2 * n);
        for (size_t k = 0; k < n; k++) {
            c[2 * k] = (struct call){
                .method = "GET",
                .url = join_url(i, i->config->audit, "/v1/events/%" PRIu64, v->events[from + k])};
            c[2 * k + 1] =
                (struct call){.method = "GET",
                              .url = join_url(i, i->config->audit, "/v1/events/%" PRIu64 "/proof",
                                              v->events[from + k])};
        }
        calls_run(&i->calls, c, 2 * n);
        for (size_t k = 0; k < n && !failed(e); k++) {
            e = put_proof(v, &c[2 * k], &c[2 * k + 1], v->events[from + k], &lines, &proven);
        }
    }
    e = failed(e) ? e : put_file(v, "events.ndjson", buf_str(&lines));
    buf_release(&lines);
    if (proven < v->n) {
        step_residual(
            i, STEP_LIST,
            "%zu of %zu events have no proof yet: the log has no signed checkpoint over them",
            v->n - proven, v->n);
    }
    step_note(i, STEP_LIST, "events_in_evidence", json_new_int(i->a, (int64_t)v->n));
    step_note(i, STEP_LIST, "events_proven", json_new_int(i->a, (int64_t)proven));
    return e;
}

static struct err put_reports(struct evidence *v)
{
    struct buf b;
    buf_init(&b, REPORT_MAX);
    report_json(v->i, &b);
    struct err e = put_file(v, "report.json", buf_str(&b));
    buf_clear(&b);
    report_markdown(v->i, &b);
    e = failed(e) ? e : put_file(v, "report.md", buf_str(&b));
    buf_clear(&b);
    json_write_canonical(&b, v->manifest);
    e = failed(e) ? e : put_file(v, "manifest.json", buf_str(&b));
    buf_release(&b);
    return e;
}

static struct err make_folder(const char *dir, const char *name)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s%s", dir, name);
    ENSURE(mkdir(path, 0700) == 0 || errno == EEXIST, ERR_IO, "cannot make %s: %s", path,
           strerror(errno));
    return OK;
}

struct err report_bundle(struct incident *i, const char *dir)
{
    struct evidence *v = arena_new(i->a, struct evidence);
    *v = (struct evidence){.i = i, .dir = dir, .manifest = json_new_object(i->a)};
    TRY(make_folder(dir, ""));
    TRY(make_folder(dir, "/proofs"));
    gather_events(v);
    TRY(put_events(v));
    struct call c[2] = {{.method = "GET", .url = join_url(i, i->config->audit, "/checkpoint")},
                        {.method = "GET", .url = join_url(i, i->config->audit, "/v1/vkey")}};
    calls_run(&i->calls, c, 2);
    if (call_good(&c[0])) {
        TRY(put_file(v, "checkpoint", c[0].text));
    }
    if (call_good(&c[1])) {
        TRY(put_file(v, "vkey", c[1].text));
    }
    return put_reports(v);
}
