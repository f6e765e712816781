/* Terms: values, references, calls, patterns. */
#include "authz/rego/compile/emit_priv.h"

bool has_unbound(const struct term *t)
{
    switch (t->type) {
    case T_VAR:
        return t->var.local != NULL && !t->var.local->bound;
    case T_ARRAY:
        for (size_t i = 0; i < t->list.n; i++) {
            if (has_unbound(t->list.v[i])) {
                return true;
            }
        }
        return false;
    case T_OBJECT:
        for (size_t i = 1; i < t->list.n; i += 2) {
            if (has_unbound(t->list.v[i])) {
                return true;
            }
        }
        return false;
    default:
        return false;
    }
}

bool any_unbound(const struct term *t)
{
    switch (t->type) {
    case T_VAR:
        return t->var.local != NULL && !t->var.local->bound;
    case T_REF:
    case T_CALL:
    case T_ARRAY:
    case T_SET:
    case T_OBJECT:
        for (size_t i = t->type == T_CALL; i < t->list.n; i++) {
            if (any_unbound(t->list.v[i])) {
                return true;
            }
        }
        return false;
    default:
        return false;
    }
}

static int32_t emit_list(struct gen *g, enum op op, struct term *t)
{
    int32_t *ops = arena_array(g->c->a, int32_t, t->list.n + 1);
    emit_operands(g, t->list.v, t->list.n, ops);
    int32_t at = list_add(g, ops, t->list.n), r = reg_new(g);
    emit(g, op, r, at, 0)->n = (uint16_t)t->list.n;
    return r;
}

static int32_t unbound_error(struct gen *g, const struct term *t)
{
    g->failed = true;
    compile_error(g->c, "rego_unsafe_var_error", t->loc, "var %.*s is unsafe",
                  STR_FMT(term_is_wildcard(t) ? S("_") : t->var.name));
    return constant(g, VAL_NULL);
}

int32_t emit_value(struct gen *g, struct term *t)
{
    struct val v = term_const(g->c->a, t);
    if (!val_undef(v)) {
        return constant(g, v);
    }
    switch (t->type) {
    case T_VAR:
        if (t->var.local == NULL) {
            return emit_ref(g, t, true);
        }
        return t->var.local->bound ? (int32_t)t->var.local->reg : unbound_error(g, t);
    case T_REF:
        return emit_ref(g, t, true);
    case T_CALL:
        return emit_call(g, t, t->list.n - 1);
    case T_ARRAY:
        return emit_list(g, OP_ARRAY, t);
    case T_SET:
        return emit_list(g, OP_SET, t);
    case T_OBJECT:
        return emit_list(g, OP_OBJECT, t);
    case T_TEMPLATE:
        return emit_template(g, t);
    default:
        return emit_comprehension(g, t);
    }
}

static bool same_keys(struct gen *g, const struct place_read *in, struct term **keys, size_t n)
{
    bool same = in->n == n;
    for (size_t i = 0; same && i < n; i++) {
        struct val x = term_const(g->c->a, in->keys[i]), y = term_const(g->c->a, keys[i]);
        same = val_type(x) == val_type(y) && val_eq(x, y);
    }
    return same;
}

/* The register and key list of a place, made when it is read for the first time. */
static struct place_read *place_of(struct gen *g, bool data, struct term **keys, size_t n)
{
    for (size_t i = 0; i < g->n_reads; i++) {
        if (g->reads[i]->data == data && same_keys(g, g->reads[i], keys, n)) {
            return g->reads[i];
        }
    }
    struct place_read *in = arena_new(g->c->a, struct place_read);
    *in = (struct place_read){.data = data, .keys = keys, .n = n, .reg = reg_new(g)};
    int32_t *ops = arena_array(g->c->a, int32_t, n);
    for (size_t i = 0; i < n; i++) {
        ops[i] = constant(g, term_const(g->c->a, keys[i]));
    }
    in->list = list_add(g, ops, n);
    g->reads = arena_grow(g->c->a, g->reads, g->n_reads, g->n_reads + 1, &g->cap_reads, sizeof(in));
    g->reads[g->n_reads++] = in;
    struct code *k = g->code;
    k->kept = arena_grow(g->c->a, k->kept, k->n_kept, k->n_kept + 1, &k->cap_kept, sizeof *k->kept);
    k->kept[k->n_kept++] = in->reg;
    return in;
}

static void know(struct gen *g, struct known what)
{
    g->known =
        arena_grow(g->c->a, g->known, g->n_known, g->n_known + 1, &g->cap_known, sizeof what);
    g->known[g->n_known++] = what;
}

size_t branch_begin(const struct gen *g)
{
    return g->n_known;
}

void branch_end(struct gen *g, size_t mark)
{
    while (g->n_known > mark) {
        struct known *k = &g->known[--g->n_known];
        if (k->place != NULL) {
            k->place->known = false;
        }
    }
}

enum { KNOWN_LOOK_BACK = 64 };

/* The register that holds from[key] already, or -1. */
static int32_t known_member(const struct gen *g, int32_t from, int32_t key)
{
    for (size_t i = g->n_known; i > 0 && g->n_known - i < KNOWN_LOOK_BACK; i--) {
        const struct known *k = &g->known[i - 1];
        if (k->place == NULL && k->from == from && k->key == key) {
            return k->to;
        }
    }
    return -1;
}

static void know_member(struct gen *g, int32_t from, int32_t key, int32_t to)
{
    know(g, (struct known){.from = from, .key = key, .to = to});
}

/* Reads n constant keys below input or data; once a rule, but inside of `with`. */
static int32_t emit_place(struct gen *g, bool data, struct term **keys, size_t n)
{
    enum op op = data ? OP_DATA_PATH : OP_INPUT_PATH;
    struct place_read *in = place_of(g, data, keys, n);
    if (g->with_depth > 0) {
        int32_t r = reg_new(g);
        emit(g, op, r, in->list, 0)->n = (uint16_t)n;
        return r;
    }
    if (!in->known) {
        struct insn *x = emit(g, op, in->reg, in->list, 0);
        x->n = (uint16_t)n;
        x->flag = 1;
        in->known = true;
        know(g, (struct known){.place = in});
    }
    return in->reg;
}

static int32_t emit_input(struct gen *g, struct term *t, size_t *used)
{
    size_t i = ground_prefix(t);
    *used = i;
    if (i == 1) {
        int32_t r = reg_new(g);
        emit(g, OP_INPUT, r, 0, 0);
        return r;
    }
    return emit_place(g, false, t->list.v + 1, i - 1);
}

/* One step of a reference: by value, or over everything when the key is still free. */
static int32_t emit_step(struct gen *g, int32_t from, struct term *key, bool base, bool doc)
{
    bool lasting = !doc && g->with_depth == 0;
    if (!has_unbound(key)) {
        int32_t k = emit_value(g, key), r = lasting ? known_member(g, from, k) : -1;
        if (r >= 0) {
            return r;
        }
        r = reg_new(g);
        bool field = k < 0 && val_is(g->code->consts[~k], V_STRING);
        emit(g, field ? OP_FIELD : OP_DOT, r, from, k)->flag = base;
        if (lasting) {
            know_member(g, from, k, r);
        }
        return r;
    }
    int32_t it = reg_new(g);
    reg_new(g);
    reg_new(g);
    int32_t r = reg_new(g);
    emit(g, OP_SCAN, it, from, 0);
    uint32_t next = label_new(g);
    label_here(g, next);
    if (key->type == T_VAR) {
        bind_local(g, key->var.local);
        bool wanted = !term_is_wildcard(key);
        int32_t k = (int32_t)key->var.local->reg;
        emit(g, OP_NEXT, it, wanted ? k : -1, r);
        g->fail = next;
        if (lasting && wanted) {
            know_member(g, from, k, r);
        }
        return r;
    }
    int32_t k = reg_new(g);
    emit(g, OP_NEXT, it, k, r);
    g->fail = next;
    emit_match(g, key, k);
    return r;
}

static bool is_root(const struct term *t, const char *name)
{
    return t->type == T_VAR && t->var.local == NULL && str_is(t->var.name, name);
}

/* A constant, or a variable that can only be one. */
static struct val known_key(struct gen *g, const struct term *t)
{
    if (t->type <= T_STRING) {
        return term_const(g->c->a, t);
    }
    bool known = t->type == T_VAR && t->var.local != NULL && t->var.local->bound &&
                 t->var.local->is_constant;
    return known ? t->var.local->constant : VAL_UNDEF;
}

enum data_kind { DATA_DOC, DATA_RULE, DATA_BASE };

/*
 * The longest part of a reference to data that the rule tree knows. Where a constant key leads out of the tree,
 * nothing but base data can be behind it.
 */
static int32_t emit_data(struct gen *g, struct term *t, size_t *used, enum data_kind *kind)
{
    struct node *n = g->c->p->root;
    size_t i = 1;
    bool constant_keys = true; /* written as such, not only known to be */
    for (; i < t->list.n && node_is_doc(n); i++) {
        struct val k = known_key(g, t->list.v[i]);
        struct node *child = val_undef(k) ? NULL : node_child(n, k);
        constant_keys &= t->list.v[i]->type == T_STRING;
        if (child == NULL) {
            break;
        }
        n = child;
    }
    *used = i;
    if (i < t->list.n && node_is_doc(n) && constant_keys) {
        while (i < t->list.n && t->list.v[i]->type == T_STRING) {
            i++;
        }
        *used = i;
        *kind = DATA_BASE;
        return emit_place(g, true, t->list.v + 1, i - 1);
    }
    *kind = node_is_doc(n) ? DATA_DOC : DATA_RULE;
    int32_t r = reg_new(g);
    emit(g, *kind == DATA_DOC ? OP_DOC : OP_RULE, r, 0, 0)->p = n;
    return r;
}

int32_t emit_ref(struct gen *g, struct term *t, bool plain)
{
    struct term only = {.type = T_REF};
    struct term *head = t;
    if (t->type == T_VAR) {
        only.list.v = &head;
        only.list.n = 1;
        t = &only;
    }
    head = t->list.v[0];
    size_t used = 1;
    int32_t r;
    enum data_kind kind = DATA_BASE;
    bool data = is_root(head, "data");
    if (data) {
        r = emit_data(g, t, &used, &kind);
    } else if (is_root(head, "input")) {
        r = emit_input(g, t, &used);
    } else {
        r = emit_value(g, head);
    }
    for (size_t i = used; i < t->list.n; i++) {
        r = emit_step(g, r, t->list.v[i], data, kind == DATA_DOC);
    }
    if (kind == DATA_DOC && plain) {
        int32_t forced = reg_new(g);
        emit(g, OP_FORCE, forced, r, 0);
        r = forced;
    }
    return r;
}

/* Does a reference in it bind what stands at its operands? */
static bool binds_something(const struct term *t)
{
    switch (t->type) {
    case T_REF:
        return any_unbound(t);
    case T_CALL:
    case T_ARRAY:
    case T_SET:
    case T_OBJECT:
        for (size_t i = t->type == T_CALL; i < t->list.n; i++) {
            if (binds_something(t->list.v[i])) {
                return true;
            }
        }
        return false;
    default:
        return false;
    }
}

enum { RANK_FIRST, RANK_BINDS, RANK_NEEDS, RANK_VAR, RANKS };

static int operand_rank(const struct term *t)
{
    if (t->type == T_REF || !any_unbound(t)) {
        return RANK_FIRST;
    }
    return t->type == T_VAR ? RANK_VAR : binds_something(t) ? RANK_BINDS : RANK_NEEDS;
}

/* Operands that enumerate come first: they may bind what others need. */
void emit_operands(struct gen *g, struct term **terms, size_t n, int32_t *ops)
{
    int *rank = arena_array(g->c->a, int, n + 1);
    for (size_t i = 0; i < n; i++) {
        rank[i] = operand_rank(terms[i]);
    }
    for (int pass = RANK_FIRST; pass < RANKS; pass++) {
        for (size_t i = 0; i < n; i++) {
            if (rank[i] == pass) {
                ops[i] = emit_value(g, terms[i]);
            }
        }
    }
}

static bool is_unsafe(const struct compiler *c, const struct builtin *b)
{
    const char *const *name = c->unsafe_builtins;
    while (name != NULL && *name != NULL && strcmp(*name, b->name) != 0) {
        name++;
    }
    return name != NULL && *name != NULL;
}

int32_t emit_call(struct gen *g, struct term *t, size_t n_args)
{
    struct callee callee = {0};
    struct loc outer = g->loc;
    if (t->loc.row != 0) {
        g->loc = t->loc;
    }
    if (!find_callee(g->c, t->list.v[0], &callee)) {
        g->failed = true;
        compile_error(g->c, "rego_type_error", t->loc, "undefined function %.*s",
                      STR_FMT(term_call_name(g->c->a, t)));
        return constant(g, VAL_NULL);
    }
    if (callee.builtin != NULL && is_unsafe(g->c, callee.builtin)) {
        g->failed = true;
        compile_error(g->c, "rego_type_error", t->loc,
                      "unsafe built-in function calls in expression: %s", callee.builtin->name);
        return constant(g, VAL_NULL);
    }
    int32_t *ops = arena_array(g->c->a, int32_t, n_args + 1);
    emit_operands(g, t->list.v + 1, n_args, ops);
    int32_t at = list_add(g, ops, n_args), r = reg_new(g);
    struct insn *x = emit(g, callee.func != NULL ? OP_FUNC : OP_CALL, r, at, 0);
    x->n = (uint16_t)n_args;
    x->p = callee.func != NULL ? (const void *)callee.func : (const void *)callee.builtin;
    if (callee.builtin != NULL && (callee.builtin->flags & BF_RELATION) != 0) {
        int32_t it = reg_new(g);
        reg_new(g);
        reg_new(g);
        int32_t item = reg_new(g);
        emit(g, OP_SCAN, it, r, 0);
        uint32_t next = label_new(g);
        label_here(g, next);
        emit(g, OP_NEXT, it, -1, item);
        g->fail = next;
        r = item;
    }
    g->loc = outer;
    return r;
}

void emit_match(struct gen *g, struct term *t, int32_t value)
{
    if (t->type == T_VAR && t->var.local != NULL && !t->var.local->bound) {
        struct local *l = t->var.local;
        l->is_constant = value < 0;
        l->constant = value < 0 ? g->code->consts[~value] : VAL_UNDEF;
        if (value >= 0) {
            l->bound = true; /* another name for the register */
            l->reg = (uint32_t)value;
            return;
        }
        bind_local(g, l);
        emit(g, OP_MOVE, (int32_t)l->reg, value, 0);
        return;
    }
    if ((t->type != T_ARRAY && t->type != T_OBJECT) || !has_unbound(t)) {
        int32_t v = emit_value(g, t);
        emit(g, OP_EQ, 0, v, value);
        return;
    }
    bool object = t->type == T_OBJECT;
    size_t n = object ? t->list.n / 2 : t->list.n;
    emit(g, OP_LEN, 0, value, (int32_t)n)->n = object ? V_OBJECT : V_ARRAY;
    /* Which items bind must be settled before the first of them does. */
    bool *later = arena_array(g->c->a, bool, t->list.n + 1);
    for (size_t i = 0; i < t->list.n; i++) {
        later[i] = !has_unbound(t->list.v[i]);
    }
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < t->list.n; i += object ? 2 : 1) {
            struct term *item = t->list.v[object ? i + 1 : i];
            if (later[object ? i + 1 : i] != (pass == 1)) {
                continue;
            }
            int32_t k =
                object ? emit_value(g, t->list.v[i]) : constant(g, val_int(g->c->a, (int64_t)i));
            int32_t r = reg_new(g);
            emit(g, OP_DOT, r, value, k);
            emit_match(g, item, r);
        }
    }
}

struct pair {
    struct term *a, *b;
    struct pair *next;
};

static void push_pair(struct gen *g, struct pair ***tail, struct term *a, struct term *b)
{
    struct pair *p = arena_new(g->c->a, struct pair);
    *p = (struct pair){.a = a, .b = b};
    **tail = p;
    *tail = &p->next;
}

static struct term *object_member(struct gen *g, const struct term *t, const struct term *key)
{
    struct val k = term_const(g->c->a, key);
    for (size_t i = 0; i + 1 < t->list.n; i += 2) {
        struct val other = term_const(g->c->a, t->list.v[i]);
        if (!val_undef(k) && !val_undef(other) && val_eq(k, other)) {
            return t->list.v[i + 1];
        }
    }
    return NULL;
}

/* Two patterns of one kind: their parts are unified one by one. False if they can never be equal. */
static bool split_pair(struct gen *g, struct pair *p, struct pair ***tail)
{
    if (p->a->type != p->b->type || p->a->list.n != p->b->list.n) {
        return false;
    }
    if (p->a->type == T_ARRAY) {
        for (size_t i = 0; i < p->a->list.n; i++) {
            push_pair(g, tail, p->a->list.v[i], p->b->list.v[i]);
        }
        return true;
    }
    for (size_t i = 0; i + 1 < p->a->list.n; i += 2) {
        struct term *other = object_member(g, p->b, p->a->list.v[i]);
        if (other == NULL) {
            return false;
        }
        push_pair(g, tail, p->a->list.v[i + 1], other);
    }
    return true;
}

/* True when the pair is settled; false when it must wait for others. */
static bool unify_pair(struct gen *g, struct pair *p, struct pair ***tail)
{
    bool a_free = has_unbound(p->a), b_free = has_unbound(p->b);
    if (a_free && b_free) {
        if (p->a->type == T_VAR || p->b->type == T_VAR) {
            return false;
        }
        if (!split_pair(g, p, tail)) {
            emit_jump(g, g->fail);
        }
        return true;
    }
    if (b_free) {
        int32_t v = emit_value(g, p->a);
        emit_match(g, p->b, v);
        return true;
    }
    int32_t v = emit_value(g, p->b);
    emit_match(g, p->a, v);
    return true;
}

static size_t pairs(const struct pair *list)
{
    size_t n = 0;
    for (; list != NULL; list = list->next) {
        n++;
    }
    return n;
}

void emit_unify(struct gen *g, struct term *a, struct term *b)
{
    struct pair *list = NULL, **tail = &list;
    push_pair(g, &tail, a, b);
    size_t waiting = 0;
    while (list != NULL) {
        struct pair *p = list;
        list = p->next;
        p->next = NULL;
        if (list == NULL) {
            tail = &list;
        }
        if (unify_pair(g, p, &tail)) {
            waiting = 0;
        } else if (waiting++ > pairs(list)) {
            /* Parts of the pattern may bind what others of its parts need: `x = [i, input.a[i]]`. */
            bool left = p->a->type == T_VAR;
            emit_match(g, left ? p->a : p->b, emit_value(g, left ? p->b : p->a));
            waiting = 0;
        } else {
            *tail = p;
            tail = &p->next;
        }
    }
}
