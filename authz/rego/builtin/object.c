/* Objects, and the three words of JSON that cut and change them. */
#include "authz/rego/builtin/builtin.h"

static enum b_status b_get(struct bcall *b)
{
    if (!b_is(b, 1, V_OBJECT)) {
        return B_ERROR;
    }
    struct val v = b->args[0], path = b->args[1];
    if (!val_is(path, V_ARRAY)) {
        v = val_get(v, path);
        return b_out(b, val_undef(v) ? b->args[2] : v);
    }
    for (uint32_t i = 0; i < val_len(path) && !val_undef(v); i++) {
        v = val_index(v, val_nth(path, i));
    }
    return b_out(b, val_undef(v) ? b->args[2] : v);
}

static enum b_status b_keys(struct bcall *b)
{
    struct vlist l = {.a = b->a};
    if (!b_is(b, 1, V_OBJECT)) {
        return B_ERROR;
    }
    for (uint32_t i = 0; i < val_len(b->args[0]); i++) {
        vlist_add(&l, val_nth_key(b->a, b->args[0], i));
    }
    return b_out(b, vlist_set(&l));
}

/* Operand 2 of filter and remove: an object's keys, or the items of a list, as a set. */
static bool key_set(struct bcall *b, struct val *out)
{
    struct val v = b->args[1];
    struct vlist l = {.a = b->a};
    if (!val_is_collection(v)) {
        (void)b_type(b, 2, "one of {object, set, array}");
        return false;
    }
    for (uint32_t i = 0; i < val_len(v); i++) {
        vlist_add(&l, val_is(v, V_OBJECT) ? val_nth_key(b->a, v, i) : val_nth(v, i));
    }
    *out = vlist_set(&l);
    return true;
}

static enum b_status keep(struct bcall *b, bool named)
{
    struct val keys;
    struct vlist l = {.a = b->a};
    if (!b_is(b, 1, V_OBJECT) || !key_set(b, &keys)) {
        return B_ERROR;
    }
    for (uint32_t i = 0; i < val_len(b->args[0]); i++) {
        struct val k = val_nth_key(b->a, b->args[0], i);
        if (val_has(keys, k) == named) {
            vlist_add2(&l, k, val_nth(b->args[0], i));
        }
    }
    return b_out(b, vlist_object(&l));
}

static enum b_status b_filter(struct bcall *b)
{
    return keep(b, true);
}
static enum b_status b_remove(struct bcall *b)
{
    return keep(b, false);
}

static enum b_status b_union2(struct bcall *b)
{
    if (!b_is(b, 1, V_OBJECT) || !b_is(b, 2, V_OBJECT)) {
        return B_ERROR;
    }
    return b_out(b, val_merge(b->a, b->args[0], b->args[1], NULL));
}

static enum b_status b_union_n(struct bcall *b)
{
    if (!b_is(b, 1, V_ARRAY)) {
        return B_ERROR;
    }
    struct val r = val_empty_object();
    for (uint32_t i = 0; i < val_len(b->args[0]); i++) {
        struct val item = val_nth(b->args[0], i);
        if (!val_is(item, V_OBJECT)) {
            return b_type_of_item(b, 1, "array of objects", item);
        }
        r = val_merge(b->a, r, item, NULL);
    }
    return b_out(b, r);
}

static bool is_subset(struct val super, struct val sub);

static bool object_subset(struct val super, struct val sub)
{
    for (uint32_t i = 0; i < val_len(sub); i++) {
        struct val mine = val_get(super, val_tab(sub)->v[2 * (size_t)i]), other = val_nth(sub, i);
        if (val_undef(mine)) {
            return false;
        }
        bool deep = val_is_collection(mine) && val_type(mine) == val_type(other);
        if (deep ? !is_subset(mine, other) : !val_eq(mine, other)) {
            return false;
        }
    }
    return true;
}

static bool array_subset(struct val super, struct val sub)
{
    uint32_t n = val_len(super), m = val_len(sub);
    for (uint32_t from = 0; from + m <= n; from++) {
        uint32_t i = 0;
        while (i < m && val_eq(val_nth(super, from + i), val_nth(sub, i))) {
            i++;
        }
        if (i == m) {
            return true;
        }
    }
    return false;
}

static bool is_subset(struct val super, struct val sub)
{
    if (val_is(super, V_OBJECT) && val_is(sub, V_OBJECT)) {
        return object_subset(super, sub);
    }
    if (val_is(super, V_ARRAY) && val_is(sub, V_ARRAY)) {
        return array_subset(super, sub);
    }
    if (val_is(super, V_ARRAY) && val_len(super) == 0) {
        return false; /* as upstream: an empty array holds not even the empty set */
    }
    for (uint32_t i = 0; i < val_len(sub); i++) {
        bool found = val_has(super, val_nth(sub, i));
        for (uint32_t k = 0; !found && val_is(super, V_ARRAY) && k < val_len(super); k++) {
            found = val_eq(val_nth(super, k), val_nth(sub, i));
        }
        if (!found) {
            return false;
        }
    }
    return true;
}

static enum b_status b_subset(struct bcall *b)
{
    enum vtype x = val_type(b->args[0]), y = val_type(b->args[1]);
    bool fine =
        (x == y && (x == V_OBJECT || x == V_SET || x == V_ARRAY)) || (x == V_ARRAY && y == V_SET);
    if (!fine) {
        return b_fail(b, "both arguments object.subset must be of the same type or array and set");
    }
    return b_out(b, val_bool(is_subset(b->args[0], b->args[1])));
}

/* Segments of a path: an array as it is, or a string with / between (~0 and ~1 escape). */
static bool json_path_segments(struct bcall *b, int pos, struct val path, struct val *out)
{
    struct vlist l = {.a = b->a};
    if (val_is(path, V_ARRAY)) {
        *out = path;
        return true;
    }
    if (!val_is(path, V_STRING)) {
        (void)b_operand(b, pos,
                        "must be one of {set, array} containing string paths or array of "
                        "path segments but got %s",
                        val_type_name(path));
        return false;
    }
    struct str rest = val_text(path);
    if (rest.n == 0) {
        *out = val_empty_array();
        return true;
    }
    while (rest.n > 0 && rest.p[0] == '/') {
        rest = str_sub(rest, 1, rest.n);
    }
    while (rest.p != NULL) {
        struct str part = str_split(&rest, '/');
        struct buf text;
        buf_init(&text, part.n + 1);
        for (size_t i = 0; i < part.n; i++) {
            bool escape = part.p[i] == '~' && i + 1 < part.n &&
                          (part.p[i + 1] == '0' || part.p[i + 1] == '1');
            buf_putc(&text, !escape ? part.p[i] : part.p[i + 1] == '0' ? '~' : '/');
            i += escape;
        }
        vlist_add(&l, val_str(b->a, buf_str(&text)));
        buf_release(&text);
    }
    *out = vlist_array(&l);
    return true;
}

static bool path_list(struct bcall *b, struct vlist *out)
{
    struct val v = b->args[1];
    if (!val_is(v, V_SET) && !val_is(v, V_ARRAY)) {
        (void)b_type(b, 2, "one of {set, array}");
        return false;
    }
    for (uint32_t i = 0; i < val_len(v); i++) {
        struct val segments;
        if (!json_path_segments(b, 2, val_nth(v, i), &segments)) {
            return false;
        }
        vlist_add(out, segments);
    }
    return true;
}

/* A position in an array as a path names it: digits without leading zeros, or a number. */
static bool path_index(struct val key, int64_t *at)
{
    uint64_t n;
    if (!val_is(key, V_STRING)) {
        return val_to_i64(key, at);
    }
    if (failed(str_to_u64(val_text(key), &n)) || n > UINT32_MAX) {
        return false;
    }
    *at = (int64_t)n;
    return true;
}

static struct val step_of(struct val v, struct val key)
{
    if (val_is(v, V_ARRAY) && val_is(key, V_STRING)) {
        int64_t i;
        return path_index(key, &i) && i < val_len(v) ? val_nth(v, (uint32_t)i) : VAL_UNDEF;
    }
    return val_index(v, key);
}

/* Does some path lead exactly here (then all of it is meant) or further down? */
struct paths {
    struct val *v;
    size_t n;
};

static bool key_matches(struct val segment, struct val key)
{
    if (val_eq(segment, key)) {
        return true;
    }
    if (val_is(key, V_NUMBER) && val_is(segment, V_STRING)) {
        struct num n;
        return !failed(num_parse(val_text(segment), &n)) && num_cmp(n, val_number(key)) == 0;
    }
    return false;
}

static struct paths below(struct bcall *b, const struct paths *p, uint32_t depth, struct val key,
                          bool *exact)
{
    struct vlist l = {.a = b->a};
    *exact = false;
    for (size_t i = 0; i < p->n; i++) {
        if (depth < val_len(p->v[i]) && key_matches(val_nth(p->v[i], depth), key)) {
            *exact |= depth + 1 == val_len(p->v[i]);
            vlist_add(&l, p->v[i]);
        }
    }
    return (struct paths){l.v, l.n};
}

/* Filtering keeps what paths name; removing keeps the rest. Arrays keep their order. */
static struct val cut(struct bcall *b, struct val v, const struct paths *p, uint32_t depth,
                      bool filter)
{
    if (!val_is(v, V_OBJECT) && !val_is(v, V_ARRAY) && !val_is(v, V_SET)) {
        return v;
    }
    struct vlist l = {.a = b->a};
    for (uint32_t i = 0; i < val_len(v); i++) {
        struct val k = val_nth_key(b->a, v, i), item = val_nth(v, i);
        bool exact;
        struct paths deeper = below(b, p, depth, k, &exact);
        if (deeper.n == 0 ? filter : exact && !filter) {
            continue;
        }
        if (deeper.n > 0 && !exact) {
            item = cut(b, item, &deeper, depth + 1, filter);
        }
        if (val_is(v, V_OBJECT)) {
            vlist_add2(&l, k, item);
        } else {
            vlist_add(&l, item);
        }
    }
    return val_is(v, V_OBJECT) ? vlist_object(&l)
           : val_is(v, V_SET)  ? vlist_set(&l)
                               : vlist_array(&l);
}

static enum b_status json_cut(struct bcall *b, bool filter)
{
    struct vlist paths = {.a = b->a};
    if (!b_is(b, 1, V_OBJECT) || !path_list(b, &paths)) {
        return B_ERROR;
    }
    struct paths p = {paths.v, paths.n};
    return b_out(b, cut(b, b->args[0], &p, 0, filter));
}

static enum b_status b_json_filter(struct bcall *b)
{
    return json_cut(b, true);
}
static enum b_status b_json_remove(struct bcall *b)
{
    return json_cut(b, false);
}

enum patch_op { PATCH_ADD, PATCH_REMOVE, PATCH_REPLACE };

static bool array_slot(struct val key, uint32_t n, bool append, int64_t *at)
{
    if (append && val_is(key, V_STRING) && str_is(val_text(key), "-")) {
        *at = n;
        return true;
    }
    return path_index(key, at) && *at >= 0 && *at < (int64_t)n + append;
}

static struct val patch_list(struct bcall *b, struct val v, int64_t at, enum patch_op op,
                             struct val value)
{
    struct vlist l = {.a = b->a};
    for (uint32_t i = 0; i <= val_len(v); i++) {
        if (i == at && op != PATCH_REMOVE) {
            vlist_add(&l, value);
        }
        if (i < val_len(v) && (i != at || op == PATCH_ADD)) {
            vlist_add(&l, val_nth(v, i));
        }
    }
    return vlist_array(&l);
}

static struct val patch_object(struct bcall *b, struct val v, struct val key, enum patch_op op,
                               struct val value)
{
    struct vlist l = {.a = b->a};
    for (uint32_t i = 0; i < val_len(v); i++) {
        struct val k = val_nth_key(b->a, v, i);
        if (!val_eq(k, key)) {
            vlist_add2(&l, k, val_nth(v, i));
        }
    }
    if (op != PATCH_REMOVE) {
        vlist_add2(&l, key, value);
    }
    return vlist_object(&l);
}

static struct val patch_set(struct bcall *b, struct val v, struct val key, enum patch_op op,
                            struct val value)
{
    struct vlist l = {.a = b->a};
    for (uint32_t i = 0; i < val_len(v); i++) {
        if (op == PATCH_ADD || !val_eq(val_nth(v, i), key)) {
            vlist_add(&l, val_nth(v, i));
        }
    }
    if (op != PATCH_REMOVE) {
        vlist_add(&l, value);
    }
    return vlist_set(&l);
}

/* The value with one change at the path; undefined when the path leads nowhere. */
static struct val patched(struct bcall *b, struct val v, struct val path, uint32_t depth,
                          enum patch_op op, struct val value)
{
    if (depth == val_len(path)) {
        return op == PATCH_REMOVE ? VAL_UNDEF : value;
    }
    struct val key = val_nth(path, depth);
    bool last = depth + 1 == val_len(path);
    int64_t at = 0;
    bool array = val_is(v, V_ARRAY), set = val_is(v, V_SET);
    if (!val_is_collection(v) || b_budget(b, 1 + val_len(v) / 4) ||
        (array && !array_slot(key, val_len(v), last && op == PATCH_ADD, &at))) {
        return VAL_UNDEF;
    }
    struct val old =
        array ? (at < val_len(v) ? val_nth(v, (uint32_t)at) : VAL_UNDEF) : val_index(v, key);
    if (last) {
        if (val_undef(old) && op != PATCH_ADD) {
            return VAL_UNDEF;
        }
        if (set && op == PATCH_ADD && !val_eq(key, value)) {
            return VAL_UNDEF;
        }
        return array ? patch_list(b, v, at, op, value)
               : set ? patch_set(b, v, key, op, value)
                     : patch_object(b, v, key, op, value);
    }
    if (val_undef(old)) {
        return VAL_UNDEF;
    }
    struct val inner = patched(b, old, path, depth + 1, op, value);
    if (val_undef(inner)) {
        return VAL_UNDEF;
    }
    return array ? patch_list(b, v, at, PATCH_REPLACE, inner)
           : set ? patch_set(b, v, old, PATCH_REPLACE, inner)
                 : patch_object(b, v, key, PATCH_REPLACE, inner);
}

static struct val at_path(struct val v, struct val path)
{
    for (uint32_t i = 0; i < val_len(path) && !val_undef(v); i++) {
        v = step_of(v, val_nth(path, i));
    }
    return v;
}

static bool is_prefix(struct val prefix, struct val path)
{
    for (uint32_t i = 0; i < val_len(prefix); i++) {
        if (i >= val_len(path) || !val_eq(val_nth(prefix, i), val_nth(path, i))) {
            return false;
        }
    }
    return val_len(prefix) < val_len(path);
}

static struct val apply_patch(struct bcall *b, struct val doc, struct val op, bool *bad)
{
    struct val name = val_get_str(op, "op"), path = val_get_str(op, "path"), from;
    struct val value = val_get_str(op, "value");
    if (!val_is(name, V_STRING) || val_undef(path) || !json_path_segments(b, 2, path, &path)) {
        *bad = true;
        return VAL_UNDEF;
    }
    struct str what = val_text(name);
    bool moves = str_is(what, "move"), copies = str_is(what, "copy");
    if (moves || copies) {
        if (val_undef(val_get_str(op, "from")) ||
            !json_path_segments(b, 2, val_get_str(op, "from"), &from)) {
            *bad = true;
            return VAL_UNDEF;
        }
        value = at_path(doc, from);
        if (val_undef(value) || (moves && is_prefix(from, path))) {
            return VAL_UNDEF;
        }
        doc = moves && val_len(from) > 0 ? patched(b, doc, from, 0, PATCH_REMOVE, VAL_UNDEF) : doc;
        return val_undef(doc) ? doc : patched(b, doc, path, 0, PATCH_ADD, value);
    }
    if (str_is(what, "remove")) {
        return patched(b, doc, path, 0, PATCH_REMOVE, VAL_UNDEF);
    }
    *bad = val_undef(value);
    if (*bad) {
        return VAL_UNDEF;
    }
    if (str_is(what, "test")) {
        struct val have = at_path(doc, path);
        return !val_undef(have) && val_eq(have, value) ? doc : VAL_UNDEF;
    }
    *bad = !str_is(what, "add") && !str_is(what, "replace");
    return *bad ? VAL_UNDEF
                : patched(b, doc, path, 0, str_is(what, "add") ? PATCH_ADD : PATCH_REPLACE, value);
}

static enum b_status b_json_patch(struct bcall *b)
{
    struct val doc = b->args[0];
    bool bad = false;
    if (!b_is(b, 2, V_ARRAY)) {
        return B_ERROR;
    }
    for (uint32_t i = 0; i < val_len(b->args[1]) && !val_undef(doc); i++) {
        struct val op = val_nth(b->args[1], i);
        if (!val_is(op, V_OBJECT)) {
            return b_type_of_item(b, 2, "array of objects", op);
        }
        doc = apply_patch(b, doc, op, &bad);
        if (bad) {
            return b_fail(b, "invalid patch operation");
        }
    }
    return val_undef(doc) ? b_fail(b, "a path leads nowhere, or a test failed") : b_out(b, doc);
}

const struct builtin builtins_object[] = {
    {"object.get", 3, b_get, BF_CHEAP},
    {"object.keys", 1, b_keys, 0},
    {"object.filter", 2, b_filter, 0},
    {"object.remove", 2, b_remove, 0},
    {"object.union", 2, b_union2, 0},
    {"object.union_n", 1, b_union_n, 0},
    {"object.subset", 2, b_subset, 0},
    {"json.filter", 2, b_json_filter, 0},
    {"json.remove", 2, b_json_remove, 0},
    {"json.patch", 2, b_json_patch, 0},
    {0},
};
