/*
 * What came by the API, kept. In memory: the paths of the data that was written, so that a reload of the files puts
 * those documents on top again. On disk, when asked for: one line of JSON for each change,
 *
 *     {"data":["a","b"],"value":…}   {"data":["a","b"]} (removed)
 *     {"policy":"id","raw":"…"}      {"policy":"id"} (removed)
 *
 * appended and synced before the change is answered, and written anew, shorter, when the daemon starts.
 */
#include "store_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { JOURNAL_LINE_MAX = 512 << 20, JOURNAL_PATHS_MEMORY = 64 << 20 };

struct store_journal {
    int fd; /* -1: in memory alone */
    char *path;
    struct arena a;
    struct written *paths; /* none is a prefix of another */
    size_t n, cap;
};

static bool is_prefix(const struct written *p, const struct written *of)
{
    for (size_t i = 0; i < p->n; i++) {
        if (i >= of->n || !str_eq(p->path[i], of->path[i])) {
            return false;
        }
    }
    return true;
}

/* A write above others takes their place; one below another is part of it already. */
static void remember(struct store_journal *j, const struct written *w)
{
    size_t kept = 0;
    for (size_t i = 0; i < j->n; i++) {
        if (is_prefix(&j->paths[i], w)) {
            return;
        }
        if (!is_prefix(w, &j->paths[i])) {
            j->paths[kept++] = j->paths[i];
        }
    }
    j->n = kept;
    j->paths = arena_grow(&j->a, j->paths, j->n, j->n + 1, &j->cap, sizeof *j->paths);
    struct written *to = &j->paths[j->n++];
    to->n = w->n;
    to->path = arena_array(&j->a, struct str, w->n + 1);
    for (size_t i = 0; i < w->n; i++) {
        to->path[i] = arena_str(&j->a, w->path[i]);
    }
}

static void put_data_line(struct buf *b, const struct written *w, struct val v)
{
    buf_puts(b, S("{\"data\":["));
    for (size_t i = 0; i < w->n; i++) {
        buf_puts(b, i > 0 ? S(",") : S(""));
        val_json_string(b, w->path[i], false);
    }
    buf_putc(b, ']');
    if (!val_undef(v)) {
        buf_puts(b, S(",\"value\":"));
        val_to_json(b, v, false);
    }
    buf_puts(b, S("}\n"));
}

static void put_policy_line(struct buf *b, struct str id, const struct policy_source *p)
{
    buf_puts(b, S("{\"policy\":"));
    val_json_string(b, id, false);
    if (p != NULL) {
        buf_puts(b, S(",\"raw\":"));
        val_json_string(b, p->text, false);
        buf_printf(b, ",\"version\":%d", (int)p->version);
    }
    buf_puts(b, S("}\n"));
}

static struct err write_out(int fd, const char *path, struct str text)
{
    for (size_t done = 0; done < text.n;) {
        ssize_t n = write(fd, text.p + done, text.n - done);
        ENSURE(n > 0 || errno == EINTR, ERR_IO, "%s: %s", path, strerrordesc_np(errno));
        done += n > 0 ? (size_t)n : 0;
    }
    ENSURE(fdatasync(fd) == 0, ERR_IO, "%s: %s", path, strerrordesc_np(errno));
    return OK;
}

static const struct policy_source *find(struct policy_source *const *v, size_t n, struct str id)
{
    for (size_t i = 0; i < n; i++) {
        if (str_eq(v[i]->id, id)) {
            return v[i];
        }
    }
    return NULL;
}

struct err journal_append(struct store_journal *j, const struct store_txn *t)
{
    struct err e = OK;
    if (j->fd >= 0) {
        struct buf b;
        buf_init(&b, JOURNAL_LINE_MAX);
        for (size_t i = 0; i < t->n_writes; i++) {
            put_data_line(&b, &t->writes[i],
                          store_read(t->data, t->writes[i].path, t->writes[i].n));
        }
        for (size_t i = 0; i < t->n_drops; i++) {
            put_policy_line(&b, t->drops[i], NULL);
        }
        for (size_t i = 0; i < t->n_puts; i++) {
            put_policy_line(&b, t->puts[i], find(t->sources, t->n_sources, t->puts[i]));
        }
        off_t before = lseek(j->fd, 0, SEEK_END);
        e = buf_check(&b);
        e = failed(e) ? e : write_out(j->fd, j->path, buf_str(&b));
        if (failed(e)) { /* half a line must not stay */
            ignore_err(ftruncate(j->fd, before) == 0 ? OK : err_make(ERR_IO, "%s", j->path));
        }
        buf_release(&b);
    }
    for (size_t i = 0; i < t->n_writes && !failed(e); i++) {
        remember(j, &t->writes[i]);
    }
    return e;
}

void journal_overlay(const struct store_journal *j, struct store_txn *t)
{
    for (size_t i = 0; j != NULL && i < j->n; i++) {
        const struct written *w = &j->paths[i];
        struct val v = store_read(t->s->data, w->path, w->n);
        t->data = val_undef(v) ? data_without(t->s->data_memory, t->data, w->path, w->n)
                               : data_set(t->s->data_memory, t->data, w->path, w->n, v);
    }
}

/* ---- reading it back ---- */

static struct err apply_line(struct store_txn *t, struct str line, struct arena *a)
{
    struct val v, value;
    TRY(val_from_json(a, line, &v));
    struct val policy = val_get_str(v, "policy"), data = val_get_str(v, "data");
    if (val_is(policy, V_STRING)) {
        struct val raw = val_get_str(v, "raw"), version = val_get_str(v, "version");
        int64_t number = REGO_V1;
        if (!val_is(raw, V_STRING)) {
            (void)store_txn_drop(t, val_text(policy));
            return OK;
        }
        if (!val_undef(version) && (!val_to_i64(version, &number) || number < 0 || number > 2)) {
            number = REGO_V1;
        }
        store_txn_put(t, val_text(policy), val_text(raw), (enum rego_version)number);
        return OK;
    }
    ENSURE(val_is(data, V_ARRAY), ERR_SYNTAX, "neither data nor a policy");
    struct written w = {.n = val_len(data)};
    w.path = arena_array(a, struct str, w.n + 1);
    for (size_t i = 0; i < w.n; i++) {
        struct val part = val_nth(data, (uint32_t)i);
        ENSURE(val_is(part, V_STRING), ERR_SYNTAX, "a path that is not strings");
        w.path[i] = val_text(part);
    }
    value = val_get_str(v, "value");
    struct arena *m = t->s->data_memory;
    t->data = val_undef(value) ? data_without(m, t->data, w.path, w.n)
                               : data_set(m, t->data, w.path, w.n, val_copy(m, value));
    t->data = val_is(t->data, V_OBJECT) ? t->data : val_empty_object();
    remember(t->s->journal, &w);
    return OK;
}

/* The last line may have been cut off by a crash: it was never answered, and is left out. */
static struct err replay(struct store_txn *t, struct str text, const char *path)
{
    size_t row = 0;
    while (text.n > 0) {
        size_t end = str_find_char(text, '\n');
        if (end == STR_NPOS) {
            return OK;
        }
        struct arena a;
        arena_init(&a, (size_t)4 << 30);
        row++;
        struct err e = apply_line(t, str_sub(text, 0, end), &a);
        arena_release(&a);
        ENSURE(!failed(e), ERR_SYNTAX, "%s:%zu: %s", path, row, err_detail());
        text = str_sub(text, end + 1, text.n);
    }
    return OK;
}

/* The same state in as few lines as it takes, in a new file that takes the old one's place. */
static struct err rewrite(struct store_journal *j, const struct store_txn *t)
{
    struct arena a;
    struct buf b;
    arena_init(&a, 1 << 20);
    buf_init(&b, JOURNAL_LINE_MAX);
    for (size_t i = 0; i < j->n; i++) {
        put_data_line(&b, &j->paths[i], store_read(t->data, j->paths[i].path, j->paths[i].n));
    }
    for (size_t i = 0; i < t->n_sources; i++) {
        if (!t->sources[i]->from_disk && !t->sources[i]->from_bundle) {
            put_policy_line(&b, t->sources[i]->id, t->sources[i]);
        }
    }
    char *fresh = arena_cstr(&a, arena_printf(&a, "%s.new", j->path));
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    struct err e =
        fd >= 0 ? buf_check(&b) : err_make(ERR_IO, "%s: %s", fresh, strerrordesc_np(errno));
    e = failed(e) ? e : write_out(fd, fresh, buf_str(&b));
    if (!failed(e) && rename(fresh, j->path) != 0) {
        e = err_make(ERR_IO, "%s: %s", j->path, strerrordesc_np(errno));
    }
    buf_release(&b);
    arena_release(&a);
    if (failed(e)) {
        close(fd);
        return e;
    }
    j->fd = fd;
    return OK;
}

static struct store_journal *journal_new(const char *path)
{
    struct store_journal *j = calloc(1, sizeof *j);
    BUG_ON(j == NULL);
    arena_init(&j->a, JOURNAL_PATHS_MEMORY);
    j->fd = -1;
    j->path = path != NULL ? strdup(path) : NULL;
    return j;
}

struct err store_keep(struct authz_store *s, const char *path, struct rego_errors *errors)
{
    struct arena a;
    struct str text = STR_EMPTY;
    s->journal = journal_new(path);
    if (path == NULL) {
        return OK;
    }
    arena_init(&a, (size_t)4 << 30);
    struct err e = read_whole_file(&a, str_of(path), &text);
    e = e.code == ERR_NOT_FOUND ? OK : e;
    struct store_txn *t = store_begin(s);
    t->replaying = true;
    t->policies_changed = true;
    e = failed(e) ? e : replay(t, text, path);
    e = failed(e) ? e : rewrite(s->journal, t);
    arena_release(&a);
    if (failed(e)) {
        store_abort(t);
        return e;
    }
    ENSURE(store_commit(t, errors), ERR_INVALID, "%s: what it holds does not fit the policies",
           path);
    return OK;
}

void journal_close(struct authz_store *s)
{
    struct store_journal *j = s->journal;
    if (j != NULL) {
        if (j->fd >= 0) {
            close(j->fd);
        }
        arena_release(&j->a);
        free(j->path);
        free(j);
        s->journal = NULL;
    }
}
