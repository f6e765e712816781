#include "loader.h"

#include "lib/base/clock.h"
#include "lib/base/codec.h"
#include "lib/base/log.h"
#include "lib/loop/loop.h"

#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>

struct superseded {
    char etag[LOADER_ETAG_MAX];
    int64_t at_ns;
};

/* Work on the pool owns all it touches; the loader may be gone when it ends. */
struct job {
    struct loader *loader; /* NULL: nobody waits */
    struct buf raw;
    char *path; /* file:// */
    struct bundle_opts o;
    struct arena arena; /* of errors */
    struct rego_errors errors;
    struct bundle *bundle;
    char etag[LOADER_ETAG_MAX];
    int64_t load_ns;
};

struct loader {
    struct loop *loop;
    struct loader_opts o;
    struct service_request *request;
    struct job *job, *kept; /* running; its result is with the owner */
    struct timer *timer;
    char etag[LOADER_ETAG_MAX];   /* sent with the next request */
    char active[LOADER_ETAG_MAX]; /* of what is in force */
    char offered[LOADER_ETAG_MAX];
    struct superseded old[LOADER_SUPERSEDED_MAX];
    size_t n_old;
    bool long_polling, again, busy;
    unsigned retry;
    int64_t request_at_ns, request_ns;
    uint64_t fingerprint;
};

static void attempt(void *ctx);

static void etag_set(char to[LOADER_ETAG_MAX], struct str s)
{
    if (failed(str_to_cstr(s, to, LOADER_ETAG_MAX))) {
        to[0] = 0; /* too long to be sent back: the next request fetches all of it */
    }
}

/* ---- when ---- */

static double uniform(void)
{
    uint32_t r;
    random_bytes(&r, sizeof r);
    return (double)r / 4294967296.0;
}

/* Doubling from 100 ms up to the longest poll, each with 20 % taken off at random. */
static int64_t backoff_ms(const struct loader *l)
{
    double max = (double)l->o.settings->polling.max_ns / 1e6, delay = LOADER_RETRY_MS;
    for (unsigned i = 0; i < l->retry && delay < max; i++) {
        delay *= 1.6;
    }
    delay = MIN(delay, MAX(max, (double)LOADER_RETRY_MS));
    return (int64_t)(delay * (1 - 0.2 * uniform()));
}

static int64_t poll_ms(const struct loader *l)
{
    const struct polling_settings *p = &l->o.settings->polling;
    double min = (double)p->min_ns / 1e6, max = (double)p->max_ns / 1e6;
    return (int64_t)((max - min) * uniform() + min);
}

static void schedule(struct loader *l, bool ok)
{
    bool manual = l->o.settings->trigger == TRIGGER_MANUAL;
    timer_stop(l->timer);
    l->timer = NULL;
    l->retry = ok ? 0 : l->retry + 1;
    if (manual && !l->again) {
        return;
    }
    int64_t ms = !ok                      ? backoff_ms(l)
                 : l->long_polling        ? 0
                 : l->o.settings->is_file ? LOADER_FILE_POLL_MS
                                          : poll_ms(l);
    l->timer = timer_start(l->loop, l->again ? 0 : ms, 0, attempt, l);
    l->again = false;
}

/* ---- what came ---- */

static void job_free(struct job *j)
{
    bundle_unref(j->bundle);
    buf_release(&j->raw);
    arena_release(&j->arena);
    free(j->path);
    free(j);
}

static void report(struct loader *l, const struct loaded *r)
{
    l->busy = true;
    l->o.got(l->o.ctx, r);
}

static void report_error(struct loader *l, const char *error, int http_code)
{
    etag_set(l->etag, str_of(l->active));
    l->offered[0] = 0;
    struct loaded r = {.error = error, .http_code = http_code, .request_ns = l->request_ns};
    report(l, &r);
}

static struct err read_job(void *ctx)
{
    struct job *j = ctx;
    int64_t start = clock_mono_ns();
    struct err e = j->path != NULL
                       ? bundle_read_path(str_of(j->path), &j->o, &j->errors, &j->bundle)
                       : bundle_read_tar(buf_str(&j->raw), &j->o, &j->errors, &j->bundle);
    j->load_ns = clock_mono_ns() - start;
    return e;
}

static void read_done(void *ctx, struct err e)
{
    struct job *j = ctx;
    struct loader *l = j->loader;
    if (l == NULL) {
        job_free(j);
        return;
    }
    l->job = NULL;
    struct loaded r = {.bundle = j->bundle,
                       .raw = j->raw.n > 0 ? &j->raw : NULL,
                       .size = j->raw.n,
                       .request_ns = l->request_ns,
                       .load_ns = j->load_ns};
    if (failed(e)) {
        char why[ERR_DETAIL_MAX];
        snprintf(why, sizeof why, "%s", err_detail());
        r.error = why;
        r.errors = &j->errors;
        etag_set(l->etag, str_of(l->active));
        l->offered[0] = 0;
        report(l, &r);
        job_free(j);
        return;
    }
    etag_set(l->offered, str_of(j->etag));
    l->kept = j;
    report(l, &r);
}

static struct job *job_new(struct loader *l)
{
    struct job *j = calloc(1, sizeof *j);
    BUG_ON(j == NULL);
    buf_init(&j->raw, BUNDLE_TOTAL_MAX);
    arena_init(&j->arena, 64 << 20);
    j->errors.a = &j->arena;
    j->loader = l;
    const struct bundle_settings *s = l->o.settings;
    j->o = (struct bundle_opts){.name = s->name,
                                .version = l->o.version,
                                .verify = s->has_verify ? &s->verify : NULL,
                                .skip_verify = l->o.skip_verify,
                                .persist = s->persist,
                                .size_limit = s->size_limit};
    return j;
}

static void run_job(struct loader *l, struct job *j)
{
    l->job = j;
    bundle_prepare();
    struct err e = loop_work(l->loop, read_job, read_done, j);
    if (failed(e)) {
        l->job = NULL;
        job_free(j);
        report_error(l, "no thread for reading the bundle", 0);
    }
}

/* ---- services ---- */

/* The etag in force goes first, then those it replaced, newest first, as long as they are young. */
static struct str if_none_match(struct loader *l, struct arena *a)
{
    int64_t ttl = l->o.settings->polling.superseded_s * INT64_C(1000000000);
    struct str s = arena_str(a, str_of(l->etag));
    if (s.n == 0) {
        return s;
    }
    for (size_t i = l->n_old; i-- > 0;) {
        if (clock_mono_ns() - l->old[i].at_ns < ttl) {
            s = arena_printf(a, "%.*s, %s", STR_FMT(s), l->old[i].etag);
        }
    }
    return s;
}

static void drop_old(struct loader *l, size_t i)
{
    memmove(&l->old[i], &l->old[i + 1], (l->n_old - i - 1) * sizeof *l->old);
    l->n_old--;
}

static void supersede(struct loader *l, const char *etag, const char *current)
{
    if (l->o.settings->polling.superseded_s == 0) {
        return;
    }
    for (size_t i = l->n_old; i-- > 0;) {
        if (strcmp(l->old[i].etag, etag) == 0 || strcmp(l->old[i].etag, current) == 0) {
            drop_old(l, i);
        }
    }
    if (etag[0] == 0 || strcmp(etag, current) == 0) {
        return;
    }
    if (l->n_old == LOADER_SUPERSEDED_MAX) {
        drop_old(l, 0);
    }
    struct superseded *s = &l->old[l->n_old++];
    etag_set(s->etag, str_of(etag));
    s->at_ns = clock_mono_ns();
}

static void not_modified(struct loader *l, struct str etag)
{
    bool replaced = etag.n == 0;
    for (size_t i = 0; i < l->n_old; i++) {
        replaced |= str_is(etag, l->old[i].etag);
    }
    if (!replaced) {
        etag_set(l->etag, etag);
    }
    etag_set(l->offered, str_of(l->active));
    struct loaded r = {.request_ns = l->request_ns};
    report(l, &r);
}

static void got_reply(void *ctx, const char *error, const struct service_result *res)
{
    struct loader *l = ctx;
    l->request = NULL;
    l->request_ns = clock_mono_ns() - l->request_at_ns;
    if (error != NULL) {
        report_error(l, error, 0);
        return;
    }
    if (res->status == 304) {
        not_modified(l, service_header(res, "etag"));
        return;
    }
    if (res->status != 200) {
        char why[200];
        snprintf(why, sizeof why, "server replied with %s", http_reason(res->status));
        report_error(l, why, res->status);
        return;
    }
    l->long_polling =
        l->o.settings->polling.long_s > 0 &&
        str_is(service_header(res, "content-type"), "application/vnd.openpolicyagent.bundles");
    struct job *j = job_new(l);
    if (res->whole != NULL) { /* moved, not copied: it may be a gigabyte */
        buf_release(&j->raw);
        j->raw = *res->whole;
        buf_init(res->whole, 0);
    }
    etag_set(j->etag, service_header(res, "etag"));
    j->o.etag = str_of(j->etag);
    run_job(l, j);
}

static void ask_service(struct loader *l)
{
    const struct bundle_settings *s = l->o.settings;
    struct arena a;
    struct http_header h[2];
    size_t n = 0;
    arena_init(&a, 1 << 20);
    struct str match = if_none_match(l, &a);
    /* Long polls begin with the first request; what the server says decides whether they go on. */
    bool wait = s->polling.long_s > 0 && l->long_polling;
    h[n++] =
        (struct http_header){S("prefer"), wait ? arena_printf(&a, "modes=snapshot,delta;wait=%lld",
                                                              (long long)s->polling.long_s)
                                               : S("modes=snapshot,delta")};
    if (match.n > 0) {
        h[n++] = (struct http_header){S("if-none-match"), match};
    }
    struct service_call c = {.method = "GET",
                             .path = s->resource,
                             .headers = h,
                             .n_headers = n,
                             .head_ms = wait ? -1 : 0,
                             .body_max = MIN((size_t)BUNDLE_TOTAL_MAX, 2 * s->size_limit + 65536),
                             .done = got_reply,
                             .ctx = l};
    l->request_at_ns = clock_mono_ns();
    l->request = service_send(l->o.service, &c);
    arena_release(&a);
}

/* ---- files ---- */

static uint64_t mix(uint64_t h, uint64_t v)
{
    return (h ^ v) * UINT64_C(0x100000001b3);
}

static uint64_t stat_of(uint64_t h, const struct stat *st)
{
    h = mix(h, (uint64_t)st->st_size);
    h = mix(h, st->st_ino);
    return mix(h, (uint64_t)st->st_mtim.tv_sec * 1000000007u + (uint64_t)st->st_mtim.tv_nsec);
}

/* Of names, sizes and times of the file, or of all below the folder. */
static uint64_t fingerprint(struct str path)
{
    struct arena a;
    struct stat st;
    struct str *todo = NULL;
    size_t n = 0, cap = 0, seen = 0;
    uint64_t h = 14695981039346656037u;
    arena_init(&a, 64 << 20);
    todo = arena_grow(&a, todo, n, 1, &cap, sizeof *todo);
    todo[n++] = path;
    while (n > 0 && seen++ < BUNDLE_FILES_MAX) {
        struct str at = todo[--n];
        if (stat(arena_cstr(&a, at), &st) != 0) {
            h = mix(h, 1);
            continue;
        }
        h = stat_of(mix(h, str_hash(at)), &st);
        DIR *d = S_ISDIR(st.st_mode) ? opendir(arena_cstr(&a, at)) : NULL;
        for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
            if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) {
                todo = arena_grow(&a, todo, n, n + 1, &cap, sizeof *todo);
                todo[n++] = arena_printf(&a, "%.*s/%s", STR_FMT(at), e->d_name);
            }
        }
        if (d != NULL) {
            closedir(d);
        }
    }
    arena_release(&a);
    return h;
}

/* A path of a file:// URL. */
static struct str file_path(struct arena *a, struct str resource)
{
    struct str path = str_sub(resource, strlen("file://"), resource.n), decoded;
    return failed(percent_decode(a, path, false, &decoded)) ? path : decoded;
}

static void ask_file(struct loader *l)
{
    struct arena a;
    arena_init(&a, 1 << 20);
    struct str path = file_path(&a, l->o.settings->resource);
    uint64_t now = fingerprint(path);
    if (now == l->fingerprint && l->retry == 0 && !l->again) {
        schedule(l, true);
        arena_release(&a);
        return;
    }
    l->fingerprint = now;
    struct job *j = job_new(l);
    j->path = strdup(arena_cstr(&a, path));
    BUG_ON(j->path == NULL);
    arena_release(&a);
    run_job(l, j);
}

/* ---- public ---- */

static void attempt(void *ctx)
{
    struct loader *l = ctx;
    l->timer = NULL;
    if (l->o.settings->is_file) {
        ask_file(l);
    } else {
        ask_service(l);
    }
}

struct loader *loader_new(struct loop *loop, const struct loader_opts *o, struct str etag)
{
    struct loader *l = calloc(1, sizeof *l);
    BUG_ON(l == NULL);
    l->loop = loop;
    l->o = *o;
    l->long_polling = o->settings->polling.long_s > 0;
    etag_set(l->etag, etag);
    etag_set(l->active, etag);
    return l;
}

void loader_start(struct loader *l)
{
    if (l->o.settings->trigger != TRIGGER_MANUAL) {
        loader_trigger(l);
    }
}

void loader_trigger(struct loader *l)
{
    if (l->request != NULL || l->job != NULL || l->busy) {
        l->again = true;
        return;
    }
    timer_stop(l->timer);
    l->timer = timer_start(l->loop, 0, 0, attempt, l);
}

void loader_done(struct loader *l, bool ok)
{
    struct job *j = l->kept;
    l->kept = NULL;
    l->busy = false;
    if (ok && j != NULL) {
        supersede(l, l->active, l->offered);
        etag_set(l->active, str_of(l->offered));
        etag_set(l->etag, str_of(l->offered));
    } else if (!ok) {
        etag_set(l->etag, str_of(l->active));
    }
    if (j != NULL) {
        job_free(j);
    }
    schedule(l, ok);
}

void loader_free(struct loader *l)
{
    if (l == NULL) {
        return;
    }
    service_cancel(l->request);
    timer_stop(l->timer);
    if (l->job != NULL) {
        l->job->loader = NULL; /* the pool is still at it */
    }
    if (l->kept != NULL) {
        job_free(l->kept);
    }
    free(l);
}
