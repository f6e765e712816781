/* walk, and what can be reached in a graph. */
#include "authz/rego/builtin/builtin.h"

/* Preorder without recursion: a stack of what is still to be visited. */
static enum b_status b_walk(struct bcall *b)
{
    struct vlist out = {.a = b->a}, todo = {.a = b->a};
    vlist_add2(&todo, val_empty_array(), b->args[0]);
    while (todo.n > 0) {
        struct val v = todo.v[--todo.n], path = todo.v[--todo.n];
        vlist_add(&out, val_array(b->a, (struct val[]){path, v}, 2));
        uint32_t n = val_is_collection(v) ? val_len(v) : 0, depth = val_len(path);
        if (b_budget(b, n + 1)) {
            return B_ERROR;
        }
        for (uint32_t i = n; i > 0; i--) {
            struct varr *p = arena_alloc_raw(b->a, sizeof *p + (depth + 1) * sizeof path, 8);
            p->h = (struct vhead){
                .type = V_ARRAY, .n = depth + 1, .depth = (uint16_t)MIN(depth + 2, 65535u)};
            memcpy(p->v, val_arr(path)->v, depth * sizeof path);
            p->v[depth] = val_nth_key(b->a, v, i - 1);
            vlist_add2(&todo, val_of(p), val_nth(v, i - 1));
        }
    }
    return b_out(b, vlist_array(&out));
}

/* A growing set of values that were seen. */
struct seen {
    struct bcall *b;
    struct val *slots;
    size_t n, mask;
};

static bool seen_add(struct seen *s, struct val v)
{
    if (s->slots == NULL || s->n * 2 > s->mask) {
        size_t old_n = s->slots == NULL ? 0 : s->mask + 1;
        struct val *old = s->slots;
        s->mask = old_n == 0 ? 31 : old_n * 4 - 1;
        s->slots = arena_array(s->b->a, struct val, s->mask + 1);
        s->n = 0;
        for (size_t i = 0; i < old_n; i++) {
            if (old[i].w != 0) {
                seen_add(s, old[i]);
            }
        }
    }
    size_t at = val_hash(v) & s->mask;
    for (; s->slots[at].w != 0; at = (at + 1) & s->mask) {
        if (val_eq(s->slots[at], v)) {
            return false;
        }
    }
    s->slots[at] = v;
    s->n++;
    return true;
}

static bool graph_operands(struct bcall *b)
{
    if (!b_is(b, 1, V_OBJECT)) {
        return false;
    }
    if (!val_is(b->args[1], V_ARRAY) && !val_is(b->args[1], V_SET)) {
        (void)b_type(b, 2, "{array, set}");
        return false;
    }
    return true;
}

static enum b_status b_reachable(struct bcall *b)
{
    struct vlist out = {.a = b->a}, todo = {.a = b->a};
    struct seen seen = {.b = b};
    if (!graph_operands(b)) {
        return B_ERROR;
    }
    for (uint32_t i = 0; i < val_len(b->args[1]); i++) {
        vlist_add(&todo, val_nth(b->args[1], i));
    }
    while (todo.n > 0) {
        struct val at = todo.v[--todo.n], edges = val_get(b->args[0], at);
        if (val_undef(edges) || !seen_add(&seen, at)) {
            continue;
        }
        vlist_add(&out, at);
        bool list = val_is(edges, V_ARRAY) || val_is(edges, V_SET);
        for (uint32_t i = 0; list && i < val_len(edges); i++) {
            vlist_add(&todo, val_nth(edges, i));
        }
        if (b_budget(b, 4 + (list ? 4 * (uint64_t)val_len(edges) : 0))) {
            return B_ERROR;
        }
    }
    return b_out(b, vlist_set(&out));
}

struct path_link {
    struct val v;
    const struct path_link *up;
    uint32_t n;
};

static bool on_path(const struct path_link *p, struct val v)
{
    for (; p != NULL; p = p->up) {
        if (val_eq(p->v, v)) {
            return true;
        }
    }
    return false;
}

static struct val path_array(struct bcall *b, const struct path_link *p)
{
    struct val *v = arena_alloc_raw(b->a, (p != NULL ? p->n : 0) * sizeof *v + 8, 8);
    size_t n = p != NULL ? p->n : 0;
    for (size_t i = n; i > 0; i--, p = p->up) {
        v[i - 1] = p->v;
    }
    return val_array(b->a, v, n);
}

struct path_work {
    const struct path_link *at;
    struct path_work *next;
};

static enum b_status b_reachable_paths(struct bcall *b)
{
    struct vlist out = {.a = b->a};
    struct path_work *todo = NULL;
    if (!graph_operands(b)) {
        return B_ERROR;
    }
    for (uint32_t i = 0; i < val_len(b->args[1]); i++) {
        struct val v = val_nth(b->args[1], i);
        if (val_undef(val_get(b->args[0], v))) {
            continue;
        }
        struct path_link *p = arena_new(b->a, struct path_link);
        *p = (struct path_link){.v = v, .n = 1};
        struct path_work *w = arena_new(b->a, struct path_work);
        *w = (struct path_work){.at = p, .next = todo};
        todo = w;
    }
    while (todo != NULL) {
        const struct path_link *at = todo->at;
        todo = todo->next;
        struct val edges = val_get(b->args[0], at->v);
        bool list = !val_undef(edges) && (val_is(edges, V_ARRAY) || val_is(edges, V_SET));
        bool leaf = !list || val_len(edges) == 0;
        for (uint32_t i = 0; list && i < val_len(edges); i++) {
            struct val v = val_nth(edges, i);
            if (val_undef(val_get(b->args[0], v)) || on_path(at, v)) {
                leaf = true;
                continue;
            }
            struct path_link *p = arena_new(b->a, struct path_link);
            *p = (struct path_link){.v = v, .up = at, .n = at->n + 1};
            struct path_work *w = arena_new(b->a, struct path_work);
            *w = (struct path_work){.at = p, .next = todo};
            todo = w;
        }
        if (leaf) {
            vlist_add(&out, path_array(b, at));
        }
        if (b_budget(b, at->n * (1 + (list ? (uint64_t)val_len(edges) : 0)))) {
            return B_ERROR;
        }
    }
    return b_out(b, vlist_set(&out));
}

const struct builtin builtins_graph[] = {
    {"walk", 1, b_walk, BF_RELATION},
    {"graph.reachable", 2, b_reachable, 0},
    {"graph.reachable_paths", 2, b_reachable_paths, 0},
    {0},
};
