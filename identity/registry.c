#include "registry.h"

#include "lib/base/clock.h"

/* Entries that share a selector. */
struct posting {
    struct entry **items;
    size_t n, cap;
};

static void posting_add(struct posting *p, struct entry *e)
{
    if (p->n == p->cap) {
        p->cap = p->cap > 0 ? 2 * p->cap : 2;
        p->items = realloc(p->items, p->cap * sizeof(struct entry *));
        BUG_ON(p->items == NULL);
    }
    p->items[p->n++] = e;
}

static bool has_hash(const struct entry *e)
{
    for (size_t i = 0; i < e->selectors.n; i++) {
        if (str_starts(e->selectors.items[i], S("unix:sha256:"))) {
            return true;
        }
    }
    return false;
}

static void index_add(struct registry *r, struct entry *e)
{
    map_set(&r->by_id, e->id, e);
    r->hashed += has_hash(e);
    for (size_t i = 0; i < e->selectors.n; i++) {
        struct posting *p = map_get(&r->by_selector, e->selectors.items[i]);
        if (p == NULL) {
            p = calloc(1, sizeof(*p));
            BUG_ON(p == NULL);
            map_set(&r->by_selector, e->selectors.items[i], p);
        }
        posting_add(p, e);
    }
}

static void index_drop(struct registry *r, struct entry *e)
{
    map_del(&r->by_id, e->id);
    r->hashed -= has_hash(e);
    for (size_t i = 0; i < e->selectors.n; i++) {
        struct posting *p = map_get(&r->by_selector, e->selectors.items[i]);
        size_t kept = 0;
        for (size_t k = 0; k < p->n; k++) {
            if (p->items[k] != e) {
                p->items[kept++] = p->items[k];
            }
        }
        p->n = kept;
        if (kept == 0) {
            map_del(&r->by_selector, e->selectors.items[i]);
            free(p->items);
            free(p);
        }
    }
}

static void forget(struct registry *r, struct entry *e)
{
    index_drop(r, e);
    r->drop_svid(e);
    entry_free(e);
}

/* ---- the database ---- */

static struct str json_text(struct arena *a, const struct json *v)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    json_write(&b, v);
    struct str s = arena_str(a, buf_str(&b));
    buf_release(&b);
    return s;
}

static struct err write_row(struct registry *r, const struct entry *e)
{
    struct stmt *q;
    TRY(store_stmt(
        r->store,
        "INSERT INTO entry(id, spiffe_id, parent_id, selectors, document, created_at) "
        "VALUES(?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT(id) DO UPDATE SET spiffe_id=?2, parent_id=?3, "
        "selectors=?4, document=?5",
        &q));
    struct arena a;
    arena_init(&a, 1 << 20);
    stmt_bind_str(q, 1, e->id);
    stmt_bind_str(q, 2, e->spiffe_id);
    stmt_bind_str(q, 3, e->parent_id);
    stmt_bind_str(q, 4, json_text(&a, strs_to_json(&a, &e->selectors)));
    stmt_bind_str(q, 5, json_text(&a, entry_to_json(&a, e)));
    stmt_bind_int(q, 6, e->created_at);
    struct err err = stmt_run(q);
    arena_release(&a);
    return err;
}

static struct err read_row(struct registry *r, struct str document)
{
    struct arena a;
    arena_init(&a, 4 << 20);
    struct json *v;
    struct entry *e;
    struct err err = json_parse(&a, document, NULL, &v);
    if (!failed(err)) {
        err = entry_from_json(v, r->domain, &e);
    }
    arena_release(&a);
    if (failed(err)) {
        return err_wrap(err, "stored entry");
    }
    index_add(r, e);
    return OK;
}

static struct err read_all(struct registry *r)
{
    struct stmt *q;
    TRY(store_stmt(r->store, "SELECT document FROM entry ORDER BY created_at, rowid", &q));
    for (bool row = true;;) {
        TRY(stmt_step(q, &row));
        if (!row) {
            return OK;
        }
        struct err e = read_row(r, stmt_col_str(q, 0));
        if (failed(e)) {
            stmt_reset(q);
            return e;
        }
    }
}

struct err registry_open(struct store *s, struct str domain, void (*drop_svid)(struct entry *e),
                         struct registry *out)
{
    *out = (struct registry){.store = s, .domain = domain, .drop_svid = drop_svid};
    map_init(&out->by_id);
    map_init(&out->by_selector);
    return read_all(out);
}

void registry_close(struct registry *r)
{
    struct map_entry *m;
    for (size_t i = 0; (m = map_at(&r->by_selector, &i)) != NULL;) {
        struct posting *p = m->value;
        free(p->items);
        free(p);
    }
    for (size_t i = 0; (m = map_at(&r->by_id, &i)) != NULL;) {
        r->drop_svid(m->value);
        entry_free(m->value);
    }
    map_release(&r->by_selector);
    map_release(&r->by_id);
}

/* ---- changes ---- */

/* SPIRE's rule: one entry for one SPIFFE id, parent and set of selectors. */
static bool same_meaning(const struct entry *a, const struct entry *b)
{
    return str_eq(a->spiffe_id, b->spiffe_id) && str_eq(a->parent_id, b->parent_id) &&
           strs_equal(&a->selectors, &b->selectors);
}

struct err registry_check_new(const struct registry *r, const struct entry *e)
{
    ENSURE(map_len(&r->by_id) < REGISTRY_ENTRIES_MAX, ERR_LIMIT, "over %d entries",
           REGISTRY_ENTRIES_MAX);
    ENSURE(map_get(&r->by_id, e->id) == NULL, ERR_EXISTS, "entry '%.*s' exists already",
           STR_FMT(e->id));
    const struct posting *p = map_get(&r->by_selector, e->selectors.items[0]);
    for (size_t i = 0; p != NULL && i < p->n; i++) {
        ENSURE(!same_meaning(p->items[i], e), ERR_EXISTS,
               "similar entry already exists: '%.*s' has the same SPIFFE id, parent and selectors",
               STR_FMT(p->items[i]->id));
    }
    return OK;
}

struct err registry_create(struct registry *r, struct entry *e)
{
    TRY(registry_check_new(r, e));
    e->created_at = clock_wall_s();
    e->revision = 0;
    TRY(write_row(r, e));
    index_add(r, e);
    return OK;
}

struct err registry_add_builtin(struct registry *r, struct entry *e)
{
    TRY(registry_check_new(r, e));
    e->builtin = true;
    index_add(r, e);
    return OK;
}

void registry_drop_builtin(struct registry *r)
{
    struct map_entry *m;
    for (size_t i = 0; (m = map_at(&r->by_id, &i)) != NULL;) {
        struct entry *e = m->value;
        if (e->builtin) {
            forget(r, e);
        }
    }
}

struct entry *registry_find(const struct registry *r, struct str id)
{
    return map_get(&r->by_id, id);
}

static struct err changeable(const struct registry *r, struct str id, struct entry **out)
{
    struct entry *e = registry_find(r, id);
    ENSURE(e != NULL, ERR_NOT_FOUND, "no entry '%.*s'", STR_FMT(str_sub(id, 0, ENTRY_ID_MAX)));
    ENSURE(!e->builtin, ERR_DENIED,
           "entry '%.*s' comes from `uids` of the configuration; change it there", STR_FMT(id));
    *out = e;
    return OK;
}

struct err registry_update(struct registry *r, struct entry *e)
{
    struct entry *old;
    TRY(changeable(r, e->id, &old));
    e->created_at = old->created_at;
    e->revision = old->revision + 1;
    TRY(write_row(r, e));
    forget(r, old);
    index_add(r, e);
    return OK;
}

struct err registry_delete(struct registry *r, struct str id)
{
    struct entry *e;
    struct stmt *q;
    TRY(changeable(r, id, &e));
    TRY(store_stmt(r->store, "DELETE FROM entry WHERE id = ?", &q));
    stmt_bind_str(q, 1, id);
    TRY(stmt_run(q));
    forget(r, e);
    return OK;
}

/* ---- matching ---- */

static int older_first(const void *a, const void *b)
{
    const struct entry *x = *(struct entry *const *)a, *y = *(struct entry *const *)b;
    int by_age = x->created_at < y->created_at ? -1 : x->created_at > y->created_at;
    return by_age != 0 ? by_age : str_cmp(x->id, y->id);
}

/* Each selector of the workload adds one to the entries that ask for it; those that reach their count match. */
size_t registry_match(struct registry *r, const struct strs *have, int64_t now_s,
                      struct entry *out[REGISTRY_MATCH_MAX])
{
    size_t n = 0;
    for (size_t i = 0; i < have->n; i++) {
        struct posting *p = map_get(&r->by_selector, have->items[i]);
        for (size_t k = 0; p != NULL && k < p->n; k++) {
            struct entry *e = p->items[k];
            if (++e->matched == e->selectors.n && n < REGISTRY_MATCH_MAX &&
                (e->expires_at == 0 || e->expires_at > now_s)) {
                out[n++] = e;
            }
        }
    }
    for (size_t i = 0; i < have->n; i++) {
        struct posting *p = map_get(&r->by_selector, have->items[i]);
        for (size_t k = 0; p != NULL && k < p->n; k++) {
            p->items[k]->matched = 0;
        }
    }
    qsort(out, n, sizeof(struct entry *), older_first);
    return n;
}
