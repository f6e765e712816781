/* source: one bundle of the configuration: from the loader to the activator, onto the disk, and into the status. */
#include "manage_priv.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Writing an archive, or reading it at the start, on the pool. */
struct save_job {
    struct source *source; /* NULL: nobody waits */
    char path[2048], temporary[2064], folder[2048];
    struct buf own; /* the archive, when it is to be saved */
    struct bundle_opts o;
    struct bundle *bundle; /* loading */
};

/* ---- status ---- */

static void set_ok(struct source *s)
{
    s->status.failed = false;
    s->status.http_code = 0;
    s->status.message[0] = 0;
    buf_clear(&s->status.errors);
}

static void put_error_json(struct buf *out, const struct rego_error *e)
{
    buf_printf(out, "%s{\"code\":\"%s\",\"message\":", out->n > 1 ? "," : "", e->code);
    val_json_string(out, e->message, true);
    buf_puts(out, S(",\"location\":{\"file\":"));
    val_json_string(out, e->file, true);
    buf_printf(out, ",\"row\":%u,\"col\":%u}}", e->loc.row, e->loc.col);
}

static void set_error(struct source *s, const char *why, const struct rego_errors *errors,
                      int http_code)
{
    struct source_status *t = &s->status;
    bool modules = errors != NULL && errors->n > 0;
    t->failed = true;
    t->failures++;
    t->http_code = http_code;
    snprintf(t->message, sizeof t->message, "%s",
             modules ? "error(s) occurred while compiling module(s)" : why);
    buf_clear(&t->errors);
    for (size_t i = 0; modules && i < errors->n && i < STATUS_ERRORS_MAX; i++) {
        if (i == 0) {
            buf_putc(&t->errors, '[');
        }
        put_error_json(&t->errors, &errors->v[i]);
    }
    if (modules) {
        buf_putc(&t->errors, ']');
    }
    log_error(s->discovery ? "discovery failed" : "a bundle was not taken over",
              {"name", LOG_STR(s->settings->name)}, {"reason", LOG_CSTR(why)});
}

/* ---- the disk ---- */

static bool job_paths(struct save_job *j, const struct source *s)
{
    struct str name = s->settings->name;
    if (name.n == 0 || str_find(name, S("..")) != STR_NPOS || name.p[0] == '/' || name.n > 512) {
        return false;
    }
    const char *kind = s->discovery ? "" : "/bundles";
    snprintf(j->folder, sizeof j->folder, "%s%s/%.*s", s->m->directory, kind, STR_FMT(name));
    snprintf(j->path, sizeof j->path, "%s/bundle.tar.gz", j->folder);
    snprintf(j->temporary, sizeof j->temporary, "%s.new", j->path);
    return true;
}

void source_make_folders(const char *path)
{
    char part[2048];
    snprintf(part, sizeof part, "%s", path);
    for (char *p = part + 1; *p != 0; p++) {
        if (*p == '/') {
            *p = 0;
            (void)mkdir(part, 0700);
            *p = '/';
        }
    }
    (void)mkdir(part, 0700);
}

static struct err write_all(int fd, struct str bytes)
{
    while (bytes.n > 0) {
        ssize_t n = write(fd, bytes.p, bytes.n);
        ENSURE(n > 0, ERR_IO, "%s", strerrordesc_np(errno));
        bytes = str_sub(bytes, (size_t)n, bytes.n);
    }
    ENSURE(fsync(fd) == 0, ERR_IO, "%s", strerrordesc_np(errno));
    return OK;
}

static struct err save_work(void *ctx)
{
    struct save_job *j = ctx;
    source_make_folders(j->folder);
    int fd = open(j->temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    ENSURE(fd >= 0, ERR_IO, "%s: %s", j->temporary, strerrordesc_np(errno));
    struct err e = write_all(fd, buf_str(&j->own));
    close(fd);
    if (!failed(e) && rename(j->temporary, j->path) != 0) {
        e = err_make(ERR_IO, "%s: %s", j->path, strerrordesc_np(errno));
    }
    if (failed(e)) {
        (void)unlink(j->temporary);
    }
    return e;
}

static void job_end(struct save_job *j)
{
    bundle_unref(j->bundle);
    buf_release(&j->own);
    free(j);
}

static void saved(void *ctx, struct err e)
{
    struct save_job *j = ctx;
    struct source *s = j->source;
    if (s != NULL) {
        s->saving = NULL;
    }
    if (failed(e)) {
        log_error("a bundle was not kept on disk", {"reason", LOG_CSTR(err_detail())});
        if (s != NULL) {
            set_error(s, err_detail(), NULL, 0);
            status_changed(s->m);
        }
    }
    job_end(j);
}

static void save(struct source *s, struct buf *raw)
{
    struct save_job *j = calloc(1, sizeof *j);
    BUG_ON(j == NULL);
    buf_init(&j->own, BUNDLE_TOTAL_MAX);
    if (s->saving != NULL || !job_paths(j, s)) { /* the next version will be kept */
        job_end(j);
        return;
    }
    buf_release(&j->own);
    j->own = *raw;
    buf_init(raw, 0);
    j->source = s;
    s->saving = j;
    if (failed(loop_work(s->m->loop, save_work, saved, j))) {
        s->saving = NULL;
        job_end(j);
    }
}

static struct err read_work(void *ctx)
{
    struct save_job *j = ctx;
    return bundle_read_path(str_of(j->path), &j->o, NULL, &j->bundle);
}

static void start_loader(struct source *s)
{
    loader_start(s->loader);
}

static void activated_from_disk(void *ctx, const struct activated *r)
{
    struct source *s = ctx;
    if (r->error != NULL) {
        set_error(s, r->error, r->errors, 0);
    } else {
        const struct bundle *b = activator_find(s->m->activator, s->settings->name);
        struct str revision = b != NULL ? b->manifest.revision : STR_EMPTY;
        set_ok(s);
        s->status.activated_ns = clock_wall_ns();
        s->status.type = "snapshot";
        snprintf(s->status.revision, sizeof s->status.revision, "%.*s", STR_FMT(revision));
        log_info("a bundle from disk is in force", {"name", LOG_STR(s->settings->name)});
    }
    manage_ready(s->m);
    status_changed(s->m);
}

static void read_from_disk(void *ctx, struct err e)
{
    struct save_job *j = ctx;
    struct source *s = j->source;
    if (s == NULL) {
        job_end(j);
        return;
    }
    s->saving = NULL;
    if (!failed(e) && s->discovery) {
        discovery_found(s, j->bundle);
    } else if (!failed(e)) {
        activator_offer(s->m->activator, j->bundle, activated_from_disk, s);
    } else if (access(j->path, F_OK) == 0) {
        set_error(s, err_detail(), NULL, 0);
    }
    job_end(j);
    start_loader(s);
}

static bool load_from_disk(struct source *s)
{
    struct save_job *j = calloc(1, sizeof *j);
    BUG_ON(j == NULL);
    buf_init(&j->own, 1);
    if (!s->settings->persist || !job_paths(j, s)) {
        job_end(j);
        return false;
    }
    j->source = s;
    j->o = (struct bundle_opts){.name = s->settings->name,
                                .version = s->m->z->store.version,
                                .verify = s->settings->has_verify ? &s->settings->verify : NULL,
                                .skip_verify = s->m->o.skip_verify,
                                .size_limit = s->settings->size_limit};
    bundle_prepare();
    s->saving = j;
    if (failed(loop_work(s->m->loop, read_work, read_from_disk, j))) {
        s->saving = NULL;
        job_end(j);
        return false;
    }
    return true;
}

/* ---- what came ---- */

void source_rest(struct source *s, const struct activated *r)
{
    struct source_status *t = &s->status;
    bool ok = r->error == NULL;
    t->compile_took_ns = r->compile_ns;
    if (ok) {
        const struct bundle *b = s->last.bundle;
        set_ok(s);
        t->loads++;
        t->activated_ns = clock_wall_ns();
        t->size = s->last.size;
        snprintf(t->revision, sizeof t->revision, "%.*s", STR_FMT(b->manifest.revision));
        if (s->settings->persist && !b->delta && s->last.raw != NULL) {
            save(s, s->last.raw);
        }
        log_info(s->discovery ? "a configuration was discovered"
                              : "Bundle loaded and activated successfully.",
                 {"plugin", LOG_CSTR(s->discovery ? "discovery" : "bundle")},
                 {"name", LOG_STR(s->settings->name)}, {"revision", LOG_STR(b->manifest.revision)},
                 {"longest_hold_us", LOG_INT(manage_longest_ns(s->m) / 1000)});
    } else {
        set_error(s, r->error, r->errors, 0);
    }
    s->last = (struct loaded){0};
    loader_done(s->loader, ok);
    manage_ready(s->m);
    status_changed(s->m);
}

static void in_force(void *ctx, const struct activated *r)
{
    source_rest(ctx, r);
}

static void nothing_new(struct source *s)
{
    set_ok(s);
    loader_done(s->loader, true);
    manage_ready(s->m);
    status_changed(s->m);
}

static void got(void *ctx, const struct loaded *l)
{
    struct source *s = ctx;
    struct source_status *t = &s->status;
    t->requested_ns = clock_wall_ns();
    t->request_took_ns = l->request_ns;
    t->load_took_ns = l->load_ns;
    if (l->error != NULL) {
        set_error(s, l->error, l->errors, l->http_code);
        loader_done(s->loader, false);
        status_changed(s->m);
        return;
    }
    t->ok_request_ns = t->requested_ns;
    if (l->bundle == NULL) {
        nothing_new(s);
        return;
    }
    t->downloaded_ns = t->requested_ns;
    t->type = l->bundle->delta ? "delta" : "snapshot";
    s->last = *l;
    if (s->discovery) {
        discovery_found(s, l->bundle);
    } else {
        activator_offer(s->m->activator, l->bundle, in_force, s);
    }
}

/* ---- life ---- */

struct source *source_new(struct manage *m, const struct bundle_settings *settings, bool discovery)
{
    struct source *s = calloc(1, sizeof *s);
    BUG_ON(s == NULL);
    s->m = m;
    s->settings = settings;
    s->discovery = discovery;
    s->service = settings->is_file ? NULL : manage_service(m, settings->service);
    buf_init(&s->status.errors, 1 << 20);
    const struct bundle *b = discovery ? NULL : activator_find(m->activator, settings->name);
    struct loader_opts o = {.settings = settings,
                            .service = s->service,
                            .version = m->z->store.version,
                            .skip_verify = m->o.skip_verify,
                            .got = got,
                            .ctx = s};
    s->loader = loader_new(m->loop, &o, b != NULL ? b->etag : STR_EMPTY);
    if (settings->has_verify && settings->verify.optional) {
        log_warn("keys are there, but the bundle has no \"signing\" block: a signature is verified "
                 "when there is one, and a bundle without is accepted",
                 {"bundle", LOG_STR(settings->name)});
    }
    return s;
}

void source_start(struct source *s)
{
    if (!load_from_disk(s)) {
        start_loader(s);
    }
}

void source_free(struct source *s)
{
    if (s == NULL) {
        return;
    }
    activator_forget(s->m->activator, s);
    loader_free(s->loader);
    if (s->saving != NULL) {
        s->saving->source = NULL;
    }
    buf_release(&s->status.errors);
    free(s);
}
