/*
 * Writing to the base data. A write copies the objects and arrays on its path, member by member but not what lies
 * below them: its cost is the width of the path, not the size of the data.
 */
#include "store_priv.h"

#include "authz/rego/value/value_priv.h"
#include "lib/base/codec.h"

#include <stdlib.h>

/* ---- places ---- */

struct str store_path_text(struct arena *a, const struct str *path, size_t n)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    for (size_t i = 0; i < n; i++) {
        buf_putc(&b, '/');
        for (size_t k = 0; k < path[i].n; k++) { /* as a path segment of a URL, RFC 3986 */
            unsigned char c = (unsigned char)path[i].p[k];
            bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                         (c >= '0' && c <= '9') || (c != 0 && strchr("-_.~$&+:=@", c) != NULL);
            buf_printf(&b, plain ? "%c" : "%%%02X", c);
        }
    }
    struct str s = n == 0 ? S("/") : arena_str(a, buf_str(&b));
    buf_release(&b);
    return s;
}

/* Digits with an optional sign; anything behind a decimal point must be zeros. */
static bool array_index(struct str s, int64_t *out)
{
    bool minus = s.n > 0 && s.p[0] == '-', dot = false;
    int64_t v = 0;
    s = str_sub(s, minus || (s.n > 0 && s.p[0] == '+') ? 1 : 0, s.n);
    if (s.n == 0 || s.n > 18) {
        return false;
    }
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '.' && !dot) {
            dot = true;
        } else if (s.p[i] < '0' || s.p[i] > '9' || (dot && s.p[i] != '0')) {
            return false;
        } else if (!dot) {
            v = v * 10 + (s.p[i] - '0');
        }
    }
    *out = minus ? -v : v;
    return true;
}

static struct val member(struct val v, struct str key)
{
    struct arena a;
    if (!val_is(v, V_OBJECT)) {
        return VAL_UNDEF;
    }
    arena_init(&a, 1 << 20);
    struct val found = val_get(v, val_str(&a, key));
    arena_release(&a);
    return found;
}

struct val store_read(struct val data, const struct str *path, size_t n)
{
    for (size_t i = 0; i < n && !val_undef(data); i++) {
        int64_t at;
        if (val_is(data, V_ARRAY)) {
            bool there = array_index(path[i], &at) && at >= 0 && at < (int64_t)val_len(data);
            data = there ? val_nth(data, (uint32_t)at) : VAL_UNDEF;
        } else {
            data = member(data, path[i]);
        }
    }
    return data;
}

/* ---- copies of one level ---- */

static size_t key_position(struct val obj, struct val key, bool *there)
{
    size_t lo = 0, hi = val_is(obj, V_OBJECT) ? val_len(obj) : 0;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (val_cmp(val_tab(obj)->v[2 * mid], key) < 0) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    *there = val_is(obj, V_OBJECT) && lo < val_len(obj) && val_eq(val_tab(obj)->v[2 * lo], key);
    return lo;
}

/* The object with `key` set; VAL_UNDEF takes it away. Anything but an object counts as an empty one. */
static struct val object_put(struct arena *a, struct val obj, struct val key, struct val v)
{
    bool there;
    size_t n = val_is(obj, V_OBJECT) ? val_len(obj) : 0, at = key_position(obj, key, &there);
    struct val *words = malloc((2 * n + 2) * sizeof *words);
    BUG_ON(words == NULL);
    const struct val *old = n > 0 ? val_tab(obj)->v : words;
    size_t count = 2 * at;
    memcpy(words, old, count * sizeof *words);
    if (!val_undef(v)) {
        words[count++] = there ? old[2 * at] : key;
        words[count++] = v;
    }
    size_t from = 2 * (at + (there ? 1 : 0));
    memcpy(words + count, old + from, (2 * n - from) * sizeof *words);
    count += 2 * n - from;
    struct val r = count == 0 ? val_empty_object() : val_table(a, V_OBJECT, words, count / 2);
    free(words);
    return r;
}

static struct val array_splice(struct arena *a, struct val arr, size_t at, size_t drop,
                               struct val add)
{
    size_t n = val_len(arr), count = at;
    struct val *words = malloc((n + 1) * sizeof *words);
    BUG_ON(words == NULL);
    memcpy(words, val_arr(arr)->v, at * sizeof *words);
    if (!val_undef(add)) {
        words[count++] = add;
    }
    memcpy(words + count, val_arr(arr)->v + at + drop, (n - at - drop) * sizeof *words);
    count += n - at - drop;
    struct val r = count == 0 ? val_empty_array() : val_array(a, words, count);
    free(words);
    return r;
}

struct val data_set(struct arena *a, struct val v, const struct str *path, size_t n,
                    struct val leaf)
{
    if (n == 0) {
        return leaf;
    }
    struct val below = data_set(a, member(v, path[0]), path + 1, n - 1, leaf);
    return object_put(a, v, val_str(a, path[0]), below);
}

struct val data_without(struct arena *a, struct val v, const struct str *path, size_t n)
{
    struct val old = n > 0 ? member(v, path[0]) : VAL_UNDEF;
    if (val_undef(old)) {
        return v;
    }
    struct val below = n == 1 ? VAL_UNDEF : data_without(a, old, path + 1, n - 1);
    return object_put(a, v, val_str(a, path[0]), below);
}

/* ---- one operation ---- */

struct write {
    struct arena *a, *notes;
    enum store_op op;
    const struct str *path;
    size_t n;
    struct val value;
    struct str *why;
    size_t array_at; /* depth of the outermost array on the path; n when there is none */
};

static enum store_status not_found(struct write *w, const char *hint)
{
    *w->why = hint == NULL ? S("document does not exist")
                           : arena_printf(w->notes, "%.*s: %s",
                                          STR_FMT(store_path_text(w->notes, w->path, w->n)), hint);
    return STORE_NOT_FOUND;
}

static enum store_status write_at(struct write *w, struct val here, size_t depth, struct val *out);

static enum store_status write_array(struct write *w, struct val here, size_t depth,
                                     struct val *out)
{
    struct str key = w->path[depth];
    size_t n = val_len(here);
    int64_t at;
    bool last = depth == w->n - 1, index = array_index(key, &at);
    w->array_at = MIN(w->array_at, depth);
    if (last && (str_is(key, "-") || (index && at == (int64_t)n))) {
        if (w->op != STORE_ADD) {
            *w->why = arena_printf(w->notes, "%.*s: invalid patch path",
                                   STR_FMT(store_path_text(w->notes, w->path, w->n)));
            return STORE_INVALID;
        }
        *out = array_splice(w->a, here, n, 0, w->value);
        return STORE_OK;
    }
    if (!index || at < 0 || at >= (int64_t)n) {
        return not_found(w, index ? "array index out of range" : "array index must be integer");
    }
    struct val item = w->value;
    if (!last) {
        enum store_status st = write_at(w, val_nth(here, (uint32_t)at), depth + 1, &item);
        if (st != STORE_OK) {
            return st;
        }
    }
    bool insert = last && w->op == STORE_ADD, drop = last && w->op == STORE_REMOVE;
    *out = array_splice(w->a, here, (size_t)at, insert ? 0 : 1, drop ? VAL_UNDEF : item);
    return STORE_OK;
}

/* Recursion is bounded by the number of segments of a path. */
static enum store_status write_at(struct write *w, struct val here, size_t depth, struct val *out)
{
    if (val_is(here, V_ARRAY)) {
        return write_array(w, here, depth, out);
    }
    if (!val_is(here, V_OBJECT)) {
        return not_found(w, NULL);
    }
    struct val old = member(here, w->path[depth]), below = w->value;
    bool last = depth == w->n - 1;
    if (val_undef(old) && (!last || w->op != STORE_ADD)) {
        return not_found(w, NULL);
    }
    if (!last) {
        enum store_status st = write_at(w, old, depth + 1, &below);
        if (st != STORE_OK) {
            return st;
        }
    }
    *out = object_put(w->a, here, val_str(w->a, w->path[depth]),
                      last && w->op == STORE_REMOVE ? VAL_UNDEF : below);
    return STORE_OK;
}

/* Remembers the document that a write has changed, for conflict checks and the journal. */
static void note_write(struct store_txn *t, const struct str *path, size_t n)
{
    t->data_changed = true;
    t->writes = arena_grow(&t->a, t->writes, t->n_writes, t->n_writes + 1, &t->cap_writes,
                           sizeof *t->writes);
    struct written *w = &t->writes[t->n_writes++];
    w->n = n;
    w->path = arena_array(&t->a, struct str, n + 1);
    for (size_t i = 0; i < n; i++) {
        w->path[i] = arena_str(&t->a, path[i]);
    }
}

static enum store_status write_root(struct store_txn *t, enum store_op op, struct val value,
                                    struct str *why)
{
    if (op == STORE_REMOVE || !val_is(value, V_OBJECT)) {
        *why = op == STORE_REMOVE ? S("root cannot be removed") : S("root must be object");
        return STORE_INVALID;
    }
    t->data = val_copy(t->s->data_memory, value);
    note_write(t, NULL, 0);
    return STORE_OK;
}

enum store_status store_txn_write(struct store_txn *t, enum store_op op, const struct str *path,
                                  size_t n, struct val value, struct str *why)
{
    if (t->n_writes >= STORE_TXN_WRITES_MAX) {
        *why = S("too many writes in one transaction");
        return STORE_INVALID;
    }
    if (n == 0) {
        return write_root(t, op, value, why);
    }
    struct arena *a = t->s->data_memory;
    struct write w = {.a = a,
                      .notes = &t->a,
                      .op = op,
                      .path = path,
                      .n = n,
                      .value = op == STORE_REMOVE ? VAL_UNDEF : val_copy(a, value),
                      .why = why,
                      .array_at = n};
    enum store_status st = write_at(&w, t->data, 0, &t->data);
    if (st == STORE_OK) {
        note_write(t, path, w.array_at);
    }
    return st;
}

enum store_status store_txn_mkdir(struct store_txn *t, const struct str *path, size_t n,
                                  struct str *why)
{
    size_t there = n;
    struct val v = store_read(t->data, path, n);
    while (val_undef(v)) {
        v = store_read(t->data, path, --there);
    }
    if (!val_is(v, V_OBJECT)) {
        *why = store_path_text(&t->a, path, there);
        return STORE_CONFLICT;
    }
    if (there < n) {
        t->data = data_set(t->s->data_memory, t->data, path, n, val_empty_object());
    }
    return STORE_OK;
}

struct val store_txn_data(const struct store_txn *t)
{
    return t->data;
}
