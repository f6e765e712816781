/*
 * data: many data files put together into one document, each at the place of its folder. Done in one tree
 * that is turned into values at the end, so that ten thousand files cost ten thousand steps.
 */
#include "bundle_priv.h"

#include "lib/base/map.h"
#include "lib/yaml/yaml.h"

#include <stdlib.h>

struct node {
    struct str key;
    struct val v; /* what a file put here, or VAL_UNDEF */
    struct node *children, *next;
    struct node *after; /* all nodes, in order of making: parents come before children */
    struct node *parent;
    struct str from; /* the file, for a text */
};

struct data_tree {
    struct arena *a;
    struct map by_path; /* "/a/b" -> node */
    struct node *root, *last;
};

static struct node *node_new(struct data_tree *t, struct node *parent, struct str key)
{
    struct node *n = arena_new(t->a, struct node);
    n->key = key;
    n->v = VAL_UNDEF;
    n->parent = parent;
    if (parent != NULL) {
        n->next = parent->children;
        parent->children = n;
    }
    if (t->last != NULL) {
        t->last->after = n;
    }
    t->last = n;
    return n;
}

struct data_tree *data_tree_new(struct arena *a)
{
    struct data_tree *t = arena_new(a, struct data_tree);
    t->a = a;
    map_init(&t->by_path);
    t->root = node_new(t, NULL, STR_EMPTY);
    return t;
}

void data_tree_release(struct data_tree *t)
{
    map_release(&t->by_path);
}

/* The folder of a path, without slashes and dots in front. */
static struct str folder_of(struct str path)
{
    size_t slash = str_rfind_char(path, '/');
    struct str dir = slash == STR_NPOS ? STR_EMPTY : str_sub(path, 0, slash);
    while (dir.n > 0 && (dir.p[0] == '/' || dir.p[0] == '.')) {
        dir = str_sub(dir, 1, dir.n);
    }
    return dir;
}

static struct err node_at(struct data_tree *t, struct str path, struct node **out)
{
    struct str dir = folder_of(path), rest = dir;
    struct node *at = t->root;
    unsigned depth = 0;
    for (size_t end = 0; rest.n > 0;) {
        struct str part = str_split(&rest, '/');
        end = (size_t)(part.p - dir.p) + part.n;
        ENSURE(++depth <= BUNDLE_DEPTH_MAX, ERR_LIMIT,
               "bundle load failed on %.*s: more than %d folders deep", STR_FMT(path),
               BUNDLE_DEPTH_MAX);
        if (part.n == 0 || str_is(part, ".")) {
            continue;
        }
        struct str whole = str_sub(dir, 0, end);
        struct node *child = map_get(&t->by_path, whole);
        if (child == NULL) {
            child = node_new(t, at, arena_str(t->a, part));
            map_set(&t->by_path, whole, child);
        }
        at = child;
    }
    *out = at;
    return OK;
}

static struct err clash(struct str path)
{
    return err_make(ERR_CONFLICT,
                    "bundle load failed on %.*s: failed to insert data file from path %.*s",
                    STR_FMT(path), STR_FMT(folder_of(path)));
}

struct err data_tree_add(struct data_tree *t, struct str path, struct val v)
{
    struct node *n;
    TRY(node_at(t, path, &n));
    ENSURE(n != t->root || val_is(v, V_OBJECT), ERR_INVALID,
           "bundle load failed on %.*s: root value must be object", STR_FMT(path));
    n->from = path;
    if (val_undef(n->v)) {
        n->v = v;
        return OK;
    }
    if (!val_is(n->v, V_OBJECT) || !val_is(v, V_OBJECT)) {
        return clash(path);
    }
    bool unequal = false;
    n->v = val_merge(t->a, n->v, v, &unequal);
    return unequal ? clash(path) : OK;
}

/* A value and folders below it: members that both name go down to the folder. */
static struct err push_down(struct data_tree *t, struct node *n)
{
    if (val_undef(n->v) || n->children == NULL) {
        return OK;
    }
    if (!val_is(n->v, V_OBJECT)) {
        return clash(n->from);
    }
    for (struct node *c = n->children; c != NULL; c = c->next) {
        struct val member = val_get(n->v, val_str(t->a, c->key));
        if (val_undef(member)) {
            continue;
        }
        bool fits = val_undef(c->v) || (val_is(c->v, V_OBJECT) && val_is(member, V_OBJECT));
        bool unequal = false;
        if (!fits) {
            return clash(c->from);
        }
        c->v = val_undef(c->v) ? member : val_merge(t->a, member, c->v, &unequal);
        c->from = c->from.n > 0 ? c->from : n->from;
        if (unequal) {
            return clash(c->from);
        }
    }
    return OK;
}

static struct val node_value(struct data_tree *t, struct node *n)
{
    if (n->children == NULL) {
        return val_undef(n->v) ? val_empty_object() : n->v;
    }
    struct vlist l = {.a = t->a};
    for (uint32_t i = 0; !val_undef(n->v) && i < val_len(n->v); i++) {
        vlist_add2(&l, val_nth_key(t->a, n->v, i), val_nth(n->v, i));
    }
    for (struct node *c = n->children; c != NULL; c = c->next) {
        vlist_add2(&l, val_str(t->a, c->key), c->v);
    }
    return vlist_object(&l);
}

struct err data_tree_finish(struct data_tree *t, struct val *out)
{
    size_t n = 0, i = 0;
    for (struct node *at = t->root; at != NULL; at = at->after) {
        TRY(push_down(t, at));
        n++;
    }
    struct node **order = arena_array(t->a, struct node *, n);
    for (struct node *at = t->root; at != NULL; at = at->after) {
        order[i++] = at;
    }
    while (i-- > 0) { /* children before parents */
        order[i]->v = node_value(t, order[i]);
    }
    *out = t->root->v;
    return OK;
}

/* ---- one file ---- */

static struct err yaml_value(struct arena *a, struct str path, struct str text, struct val *out)
{
    struct json *docs;
    struct arena scratch;
    struct buf b;
    struct yaml_limits limits = {.max_bytes = BUNDLE_SIZE_MAX};
    arena_init(&scratch, BUNDLE_TOTAL_MAX);
    buf_init(&b, BUNDLE_TOTAL_MAX);
    struct err e = yaml_parse(&scratch, text, path, &limits, &docs);
    if (!failed(e) && docs->n > 0) {
        json_write(&b, docs->items[0]);
    } else {
        buf_puts(&b, S("null"));
    }
    if (!failed(e)) {
        e = val_from_json(a, buf_str(&b), out);
    }
    buf_release(&b);
    arena_release(&scratch);
    return e;
}

struct err data_parse(struct arena *a, struct str path, struct str text, struct val *out)
{
    struct err e =
        path_is_yaml_data(path) ? yaml_value(a, path, text, out) : val_from_json(a, text, out);
    if (failed(e)) {
        return err_wrap(e, "bundle load failed on %.*s", STR_FMT(path));
    }
    ENSURE(!arena_exhausted(a), ERR_LIMIT, "bundle load failed on %.*s: too much memory",
           STR_FMT(path));
    return OK;
}
