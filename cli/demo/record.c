#include "cli/demo/demo.h"

#include "cli/table.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

/*
 * The record of a run: each step as it is played, for people on the terminal and for programs in a
 * JSON file.
 */

enum { RECORD_MAX = 4 << 20 };

static const char *const expect_names[] = {"allow", "deny", "detect"};
static const char *const outcome_names[] = {"allowed", "denied", "detected", "broken"};

static bool as_expected(enum expect e, enum outcome o)
{
    return (e == EXPECT_ALLOW && o == OUTCOME_ALLOWED) ||
           (e == EXPECT_DENY && o == OUTCOME_DENIED) ||
           (e == EXPECT_DETECT && o == OUTCOME_DETECTED);
}

static void print_step(const struct played *p)
{
    bool color = isatty(STDOUT_FILENO) != 0;
    const char *mark = p->ok ? "ok  " : "FAIL";
    printf("  %s%s%s %-26s %s\n", color ? (p->ok ? "\033[32m" : "\033[31m") : "", mark,
           color ? "\033[0m" : "", p->step->id, p->step->title);
    printf("       %s: %.*s  (%lld ms, trace %.8s)\n", outcome_names[p->result.outcome],
           STR_FMT(p->result.got), (long long)p->ms, p->trace);
    fflush(stdout);
}

static void play_one(struct demo *d, const struct step *step)
{
    BUG_ON(d->n_played == DEMO_STEPS_MAX);
    struct played *p = &d->played[d->n_played++];
    *p = (struct played){.step = step};
    d->trace = trace_new();
    int64_t start = clock_mono_ns();
    struct err e = step->play(d, &p->result);
    if (failed(e)) {
        p->result.outcome = OUTCOME_BROKEN;
        p->result.got = arena_printf(&d->arena, "%s: %s", err_text(e), err_detail());
    }
    p->ms = (clock_mono_ns() - start) / NS_PER_MS;
    p->ok = as_expected(step->expect, p->result.outcome);
    struct buf id;
    buf_init(&id, sizeof(p->trace));
    trace_id_put(&id, &d->trace);
    ignore_err(str_to_cstr(buf_str(&id), p->trace, sizeof(p->trace)));
    buf_release(&id);
    print_step(p);
}

void record_heading(struct demo *d, const char *title)
{
    (void)d;
    bool color = isatty(STDOUT_FILENO) != 0;
    printf("\n%s%s%s\n", color ? "\033[1m" : "", title, color ? "\033[0m" : "");
    fflush(stdout);
}

/* One daemon after the other dies without warning; the step begins when it is back. */
static void kill_next(struct demo *d)
{
    struct unit_status st[SUPERVISOR_MAX_UNITS];
    size_t n = supervisor_status(d->supervisor, st, ARRAY_LEN(st));
    for (size_t i = 0; i < n; i++) {
        const struct unit_status *u = &st[(d->n_played + i) % n];
        bool banned = d->contained_ms >= 0 && strcmp(u->name, "sidecar-a") == 0;
        if (strcmp(u->name, "postgres") == 0 || banned) {
            continue; /* not ours; and who is banned gets no identity to come back with */
        }
        ignore_err(supervisor_kill_unit(d->supervisor, u->name, SIGKILL));
        supervisor_step(d->supervisor, 100);
        struct err e = supervisor_wait_unit(d->supervisor, u->name, 20000);
        printf("       killed %s%s\n", u->name, failed(e) ? ", and it did not come back" : "");
        return;
    }
}

void record_play(struct demo *d, const struct step *steps, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (d->chaos) {
            kill_next(d);
        }
        play_one(d, &steps[i]);
        supervisor_step(d->supervisor, 0);
    }
}

bool record_ok(const struct demo *d)
{
    for (size_t i = 0; i < d->n_played; i++) {
        if (!d->played[i].ok) {
            return false;
        }
    }
    return d->n_played > 0;
}

static void write_steps(struct demo *d, struct jw *w)
{
    jw_key(w, S("steps"));
    jw_arr(w);
    for (size_t i = 0; i < d->n_played; i++) {
        const struct played *p = &d->played[i];
        jw_obj(w);
        jw_key_str(w, S("id"), str_of(p->step->id));
        jw_key_str(w, S("job"), str_of(p->step->job));
        jw_key_str(w, S("title"), str_of(p->step->title));
        jw_key_str(w, S("expect"), str_of(expect_names[p->step->expect]));
        jw_key_str(w, S("got"), p->result.got);
        jw_key_bool(w, S("ok"), p->ok);
        jw_key_int(w, S("ms"), p->ms);
        jw_key_str(w, S("trace"), str_of(p->trace));
        jw_end(w);
    }
    jw_end(w);
}

static void write_daemons(struct demo *d, struct jw *w)
{
    struct unit_status st[SUPERVISOR_MAX_UNITS];
    size_t n = supervisor_status(d->supervisor, st, ARRAY_LEN(st));
    jw_key(w, S("daemons"));
    jw_arr(w);
    for (size_t i = 0; i < n; i++) {
        jw_obj(w);
        jw_key_str(w, S("name"), str_of(st[i].name));
        jw_key_int(w, S("pid"), st[i].pid);
        jw_key_int(w, S("uid"), st[i].uid);
        jw_key_int(w, S("rss_kb"), (int64_t)st[i].rss_kb);
        jw_key_int(w, S("pss_kb"), (int64_t)st[i].pss_kb);
        jw_key_int(w, S("ready_ms"), st[i].ready_ms);
        jw_end(w);
    }
    jw_end(w);
}

static void write_tree(struct jw *w, struct str key, const struct json *tree)
{
    jw_key(w, key);
    if (tree != NULL) {
        jw_json(w, tree);
    } else {
        jw_null(w);
    }
}

static struct err write_json(struct demo *d)
{
    struct buf b;
    struct jw w;
    buf_init(&b, RECORD_MAX);
    jw_init(&w, &b);
    jw_obj(&w);
    jw_key_bool(&w, S("ok"), record_ok(d));
    write_steps(d, &w);
    write_daemons(d, &w);
    jw_key_int(&w, S("contained_ms"), d->contained_ms);
    write_tree(&w, S("questions"), d->questions);
    write_tree(&w, S("audit"), d->audit);
    write_tree(&w, S("assess"), d->assessment);
    jw_end(&w);
    buf_putc(&b, '\n');
    int fd = open(d->json_file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    bool ok = fd >= 0 && buf_ok(&b) && write(fd, b.p, b.n) == (ssize_t)b.n;
    if (fd >= 0) {
        close(fd);
    }
    buf_release(&b);
    ENSURE(ok, ERR_IO, "cannot write %s", d->json_file);
    return OK;
}

static void print_closing(struct demo *d)
{
    size_t failed_steps = 0;
    for (size_t i = 0; i < d->n_played; i++) {
        failed_steps += !d->played[i].ok;
    }
    struct unit_status st[SUPERVISOR_MAX_UNITS];
    size_t n = supervisor_status(d->supervisor, st, ARRAY_LEN(st));
    printf("\n");
    table_print_units(stdout, st, n);
    printf("\n%zu steps in %.1f s, %zu not as expected.", d->n_played,
           (double)(clock_mono_ns() - d->story_ns) / (double)NS_PER_S, failed_steps);
    if (d->contained_ms >= 0) {
        printf(" From `respond` to the last access gone: %lld ms.", (long long)d->contained_ms);
    }
    printf("\n");
}

struct err record_write(struct demo *d)
{
    print_closing(d);
    return d->json_file != NULL ? write_json(d) : OK;
}
