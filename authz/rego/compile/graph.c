/* Edges from references, and an order in which what is read stands first (Tarjan's components). */
#include "authz/rego/compile/graph.h"

#include "authz/rego/syntax/visit.h"

struct uses {
    struct compiler *c;
    struct ref_use *v;
    size_t n, cap, at;
};

static bool is_data(const struct term *t)
{
    return t->type == T_VAR && t->var.local == NULL && str_is(t->var.name, "data");
}

static bool collect_use(struct visitor *v, struct term *t)
{
    struct uses *u = v->ctx;
    if (t->type != T_REF || !is_data(t->list.v[0])) {
        return true;
    }
    u->v = arena_grow(u->c->a, u->v, u->n, u->n + 1, &u->cap, sizeof *u->v);
    struct ref_use use = {.ref = t, .at = u->at};
    for (size_t i = 1; i < t->list.n; i++) {
        use.has_vars |= val_undef(term_const(u->c->a, t->list.v[i]));
    }
    u->v[u->n++] = use;
    return true;
}

struct ref_use *graph_uses(struct compiler *c, struct crule *cr, size_t *n)
{
    struct uses u = {.c = c};
    struct visitor v = {.term = collect_use, .ctx = &u};
    for (size_t i = 0; i < cr->rule->body->n; i++) {
        u.at = i;
        visit_expr(&v, cr->rule->body->v[i]);
    }
    u.at = cr->rule->body->n;
    visit_head(&v, cr->rule->head);
    *n = u.n;
    return u.v;
}

size_t graph_rule_length(const struct crule *cr)
{
    return cr->node->depth + 1 + cr->n_tail;
}

struct val graph_rule_term(struct compiler *c, const struct crule *cr, size_t i)
{
    if (i > cr->node->depth) {
        return term_const(c->a, cr->tail[i - cr->node->depth - 1]);
    }
    const struct node *n = cr->node;
    while (n->depth > i) {
        n = n->parent;
    }
    return n->key;
}

/* The members of what is known, one step of a reference further. False: too many, or no collection. */
static bool step_into(struct compiler *c, struct known *k, const struct term *key)
{
    struct vlist next = {.a = c->a};
    struct val at = term_const(c->a, key);
    for (size_t i = 0; i < k->n; i++) {
        struct val v = k->v[i];
        if (!val_undef(at)) {
            struct val member = val_is_collection(v) ? val_index(v, at) : VAL_UNDEF;
            if (!val_undef(member)) {
                vlist_add(&next, member);
            }
            continue;
        }
        if (!val_is_collection(v) || val_len(v) > KNOWN_MAX) {
            return false;
        }
        for (uint32_t m = 0; m < val_len(v); m++) {
            vlist_add(&next, val_nth(v, m));
        }
    }
    k->v = next.v;
    k->n = next.n;
    return next.n <= KNOWN_MAX;
}

static bool values_of(struct compiler *c, const struct known_list *l, size_t at,
                      const struct term *t, struct known *out)
{
    const struct term *base = t->type == T_REF ? t->list.v[0] : t;
    struct known room = {0};
    const struct known *k = graph_values(c, l, at, base, &room);
    if (k == NULL) {
        return false;
    }
    *out = *k;
    for (size_t i = 1; t->type == T_REF && i < t->list.n; i++) {
        if (!step_into(c, out, t->list.v[i])) {
            return false;
        }
    }
    return true;
}

/* Looks a term up among what is known, or makes a constant known. */
const struct known *graph_values(struct compiler *c, const struct known_list *l, size_t at,
                                 const struct term *t, struct known *room)
{
    struct val v = term_const(c->a, t);
    if (!val_undef(v)) {
        room->v = arena_new(c->a, struct val);
        room->v[0] = v;
        room->n = 1;
        return room;
    }
    for (size_t i = 0; t->type == T_VAR && t->var.local != NULL && i < l->n; i++) {
        if (l->v[i].local == t->var.local && l->v[i].at < at) {
            return &l->v[i];
        }
    }
    bool below = t->type == T_REF && t->list.v[0]->type == T_VAR;
    if (below && t->list.v[0]->var.local != NULL && values_of(c, l, at, t, room)) {
        return room;
    }
    return NULL;
}

static bool has_known(const struct known_list *l, const struct local *local)
{
    for (size_t i = 0; i < l->n; i++) {
        if (l->v[i].local == local) {
            return true;
        }
    }
    return false;
}

struct known_list graph_known(struct compiler *c, const struct rule *r)
{
    struct known_list l = {0};
    for (size_t i = 0; i < r->body->n; i++) {
        const struct expr *e = r->body->v[i];
        if (e->kind != E_TERM || e->negated || e->n_with > 0 || !term_is_call_of(e->term, "eq") ||
            e->term->list.n != 3) {
            continue;
        }
        for (size_t side = 1; side <= 2; side++) {
            const struct term *var = e->term->list.v[side], *other = e->term->list.v[3 - side];
            struct known k;
            if (var->type != T_VAR || var->var.local == NULL || !values_of(c, &l, i, other, &k)) {
                continue;
            }
            if (!has_known(&l, var->var.local)) {
                l.v = arena_grow(c->a, l.v, l.n, l.n + 1, &l.cap, sizeof *l.v);
                k.local = var->var.local;
                k.at = i;
                l.v[l.n++] = k;
            }
            break;
        }
    }
    return l;
}

static void add_edge(struct graph *g, uint32_t from, uint32_t to)
{
    struct vertex *v = &g->vertices[from];
    if (v->n > 0 && v->to[v->n - 1] == to) {
        return;
    }
    v->to = arena_grow(g->a, v->to, v->n, v->n + 1, &v->cap, sizeof *v->to);
    v->to[v->n++] = to;
}

static uint32_t place_vertex(const struct graph *g, const struct node *n)
{
    return g->n_rules + n->id;
}

static uint32_t subtree_vertex(const struct graph *g, const struct node *n)
{
    return g->n_rules + g->n_nodes + n->id;
}

struct linking {
    struct compiler *c;
    struct graph *g;
    const struct known_list *known;
    struct ref_use use;
    uint32_t from;
};

/* Rules at a place: all of them, but for those whose dynamic part goes elsewhere. */
static void link_place(struct linking *k, struct node *n)
{
    if (n->n_all == 0) {
        return;
    }
    if (n->n_dynamic == 0) {
        add_edge(k->g, k->from, place_vertex(k->g, n));
        return;
    }
    for (size_t i = 0; i < n->n_all; i++) {
        if (graph_may_refer(k->c, k->known, &k->use, n->all[i])) {
            for (struct crule *cr = n->all[i]; cr != NULL; cr = cr->otherwise) {
                add_edge(k->g, k->from, cr->id);
            }
        }
    }
}

static void link_ref(struct linking *k, struct node *n, size_t i)
{
    if (n == NULL) {
        return;
    }
    if (i > 1) {
        link_place(k, n);
    }
    if (i >= k->use.ref->list.n) {
        add_edge(k->g, k->from, subtree_vertex(k->g, n));
        return;
    }
    struct known room = {0};
    const struct known *values =
        graph_values(k->c, k->known, k->use.at, k->use.ref->list.v[i], &room);
    if (values != NULL && values->n > 0) {
        for (size_t v = 0; v < values->n; v++) {
            link_ref(k, node_child(n, values->v[v]), i + 1);
        }
        return;
    }
    for (size_t child = 0; child < n->n_children; child++) {
        link_ref(k, n->children[child], i + 1);
    }
}

bool graph_may_refer(struct compiler *c, const struct known_list *l, const struct ref_use *u,
                     const struct crule *cr)
{
    size_t n = MIN(u->ref->list.n, graph_rule_length(cr));
    for (size_t i = 1; i < n; i++) {
        struct val want = graph_rule_term(c, cr, i);
        struct known room = {0};
        const struct known *k = graph_values(c, l, u->at, u->ref->list.v[i], &room);
        bool found = val_undef(want) || k == NULL || k->n == 0;
        for (size_t v = 0; !found && v < k->n; v++) {
            found = val_eq(k->v[v], want);
        }
        if (!found) {
            return false;
        }
    }
    return true;
}

static void link_rule(struct compiler *c, struct graph *g, struct crule *cr)
{
    size_t n;
    struct ref_use *uses = graph_uses(c, cr, &n);
    struct known_list known = {0};
    bool asked = false;
    for (size_t i = 0; i < n; i++) {
        if (uses[i].has_vars && !asked) {
            known = graph_known(c, cr->rule);
            asked = true;
        }
        struct linking k = {c, g, &known, uses[i], cr->id};
        link_ref(&k, c->p->root, 1);
    }
}

static void link_node(struct graph *g, struct node *n)
{
    for (size_t i = 0; i < n->n_all; i++) {
        for (struct crule *cr = n->all[i]; cr != NULL; cr = cr->otherwise) {
            add_edge(g, place_vertex(g, n), cr->id);
        }
    }
    for (size_t i = 0; i < n->n_children; i++) {
        add_edge(g, subtree_vertex(g, n), place_vertex(g, n->children[i]));
        add_edge(g, subtree_vertex(g, n), subtree_vertex(g, n->children[i]));
        link_node(g, n->children[i]);
    }
}

/* Tarjan's algorithm with its own stack, as a chain of rules may be long. */
struct tarjan {
    struct graph *g;
    uint32_t *index, *low, *stack, *path, *next;
    size_t n_stack, n_path;
    uint32_t count, n_components;
    bool *on_stack;
};

static void close_component(struct tarjan *t, uint32_t v)
{
    uint32_t w;
    do {
        w = t->stack[--t->n_stack];
        t->on_stack[w] = false;
        t->g->component[w] = t->n_components;
        t->g->sizes[t->n_components]++;
        if (w < t->g->n_rules) {
            t->g->order[t->g->n_order++] = t->g->rules[w];
        }
    } while (w != v);
    t->n_components++;
}

static void open_vertex(struct tarjan *t, uint32_t v)
{
    t->index[v] = t->low[v] = ++t->count;
    t->stack[t->n_stack++] = v;
    t->on_stack[v] = true;
    t->path[t->n_path++] = v;
}

static void walk_from(struct tarjan *t, uint32_t root)
{
    open_vertex(t, root);
    while (t->n_path > 0) {
        uint32_t v = t->path[t->n_path - 1];
        const struct vertex *x = &t->g->vertices[v];
        if (t->next[v] < x->n) {
            uint32_t w = x->to[t->next[v]++];
            if (t->index[w] == 0) {
                open_vertex(t, w);
            } else if (t->on_stack[w]) {
                t->low[v] = MIN(t->low[v], t->index[w]);
            }
            continue;
        }
        t->n_path--;
        if (t->n_path > 0) {
            uint32_t up = t->path[t->n_path - 1];
            t->low[up] = MIN(t->low[up], t->low[v]);
        }
        if (t->low[v] == t->index[v]) {
            close_component(t, v);
        }
    }
}

static void sort_graph(struct graph *g)
{
    struct arena *a = g->a;
    struct tarjan t = {.g = g};
    t.index = arena_array(a, uint32_t, g->n + 1);
    t.low = arena_array(a, uint32_t, g->n + 1);
    t.stack = arena_array(a, uint32_t, g->n + 1);
    t.path = arena_array(a, uint32_t, g->n + 1);
    t.next = arena_array(a, uint32_t, g->n + 1);
    t.on_stack = arena_array(a, bool, g->n + 1);
    g->component = arena_array(a, uint32_t, g->n + 1);
    g->sizes = arena_array(a, uint32_t, g->n + 1);
    g->order = arena_array(a, struct crule *, g->n_rules + 1);
    for (uint32_t v = 0; v < g->n_rules; v++) {
        if (t.index[v] == 0) {
            walk_from(&t, v);
        }
    }
}

void graph_check(struct compiler *c)
{
    struct graph *g = arena_new(&c->scratch, struct graph);
    c->graph = g;
    g->a = &c->scratch;
    g->n_rules = c->n_crules;
    g->n_nodes = c->p->n_nodes;
    g->n = g->n_rules + 2 * (size_t)g->n_nodes;
    g->vertices = arena_array(g->a, struct vertex, g->n + 1);
    g->rules = arena_array(g->a, struct crule *, g->n_rules + 1);
    for (size_t i = 0; i < c->n_rules; i++) {
        for (struct crule *cr = c->rules[i]; cr != NULL; cr = cr->otherwise) {
            g->rules[cr->id] = cr;
            link_rule(c, g, cr);
        }
    }
    link_node(g, c->p->root);
    sort_graph(g);
    recursion_check(c);
}

static void make_readers(struct graph *g)
{
    g->readers = arena_array(g->a, struct vertex, g->n + 1);
    for (uint32_t v = 0; v < g->n; v++) {
        for (size_t i = 0; i < g->vertices[v].n; i++) {
            struct vertex *r = &g->readers[g->vertices[v].to[i]];
            r->to = arena_grow(g->a, r->to, r->n, r->n + 1, &r->cap, sizeof *r->to);
            r->to[r->n++] = v;
        }
    }
}

void graph_dependents(struct compiler *c, const struct term *ref,
                      void (*fn)(void *ctx, struct crule *cr), void *ctx)
{
    struct graph *g = c->graph;
    if (g == NULL) {
        return;
    }
    if (g->readers == NULL) {
        make_readers(g);
    }
    struct known_list none = {0};
    struct ref_use use = {.ref = ref};
    bool *seen = arena_array(g->a, bool, g->n + 1);
    uint32_t *todo = arena_array(g->a, uint32_t, g->n + 1);
    size_t n = 0;
    for (uint32_t v = 0; v < g->n_rules; v++) {
        if (graph_may_refer(c, &none, &use, g->rules[v])) {
            seen[v] = true;
            todo[n++] = v;
        }
    }
    while (n > 0) {
        uint32_t v = todo[--n];
        if (v < g->n_rules) {
            fn(ctx, g->rules[v]);
        }
        for (size_t i = 0; i < g->readers[v].n; i++) {
            uint32_t r = g->readers[v].to[i];
            if (!seen[r]) {
                seen[r] = true;
                todo[n++] = r;
            }
        }
    }
}
