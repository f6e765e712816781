/*
 * An interpreter for the part of nftables that sextant's table uses, fed by the kernel's own
 * listing (libnftables-json(5)). Whatever is outside that part is refused by name.
 */
#include "verify.h"

#include "lib/base/map.h"

#include <inttypes.h>
#include <stdlib.h>

enum { FIELDS_MAX = 5, JUMPS_MAX = 16, OPS_MAX = 8 };

enum field {
    FIELD_SADDR4,
    FIELD_DADDR4,
    FIELD_SADDR6,
    FIELD_DADDR6,
    FIELD_PROTO,
    FIELD_DPORT,
    FIELD_PRIORITY
};

/* A value of any field as a number of 128 bits in network order. */
struct value {
    uint8_t b[16];
};

struct element {
    struct value lo[FIELDS_MAX], hi[FIELDS_MAX];
    uint32_t data; /* maps: the class */
};

struct table_set {
    struct str name;
    size_t n_fields;
    struct str types[FIELDS_MAX];
    struct element *items;
    size_t n;
    size_t exact;        /* a field in which every element is one value, or n_fields */
    struct map by_exact; /* its value to struct bucket */
};

struct bucket {
    struct element **items;
    size_t n, cap;
};

enum op_kind {
    OP_CT,
    OP_NOT_SYN,
    OP_LOOKUP,
    OP_NOT_IN,
    OP_PRIORITY,
    OP_PRIORITY_MAP,
    OP_ACCEPT,
    OP_DROP,
    OP_RETURN,
    OP_JUMP
};

struct op {
    enum op_kind kind;
    bool established, invalid; /* OP_CT */
    enum field fields[FIELDS_MAX];
    size_t n_fields;
    const struct table_set *set;
    struct str chain;
    uint32_t number;
};

struct table_rule {
    struct op ops[OPS_MAX];
    size_t n;
    bool limited; /* applies to some packets only: then it may decide nothing */
};

struct table_chain {
    struct str name;
    struct table_rule *rules;
    size_t n, cap;
    bool base, accepts; /* the forward hook's chain; its policy */
};

struct nft_table {
    struct arena *arena;
    struct map sets, chains;
    struct table_chain *base;
};

static struct err unknown(const char *what, const struct json *v)
{
    struct buf text;
    buf_init(&text, 400);
    if (v != NULL) {
        json_write(&text, v);
    } else {
        buf_puts(&text, S("(nothing)"));
    }
    struct err e = err_make(ERR_UNSUPPORTED, "the table holds %s that cannot be judged: %.*s", what,
                            STR_FMT(buf_str(&text)));
    buf_release(&text);
    return e;
}

static void value_of_number(uint32_t n, struct value *out)
{
    *out = (struct value){0};
    for (int i = 0; i < 4; i++) {
        out->b[12 + i] = (uint8_t)(n >> (24 - 8 * i));
    }
}

static void value_of_ip(const struct ip *ip, struct value *out)
{
    *out = (struct value){0};
    if (ip->family == 4) {
        memcpy(out->b + 12, ip->b, 4);
    } else {
        memcpy(out->b, ip->b, 16);
    }
}

/* "MAJOR:MINOR" in hexadecimal, "none" for 0. */
static struct err class_number(struct str s, uint32_t *out)
{
    char copy[16], *end;
    if (str_is(s, "none")) {
        *out = 0;
        return OK;
    }
    TRY(str_to_cstr(s, copy, sizeof(copy)));
    unsigned long major = strtoul(copy, &end, 16);
    ENSURE(*end == ':', ERR_UNSUPPORTED, "'%s' is not a packet priority", copy);
    unsigned long minor = strtoul(end + 1, &end, 16);
    ENSURE(*end == '\0' && major < 65536 && minor < 65536, ERR_UNSUPPORTED,
           "'%s' is not a packet priority", copy);
    *out = (uint32_t)(major << 16 | minor);
    return OK;
}

static struct err proto_number(const struct json *v, uint32_t *out)
{
    static const struct {
        struct str name;
        uint32_t number;
    } known[] = {{STR_INIT("tcp"), NETPOL_TCP},
                 {STR_INIT("udp"), NETPOL_UDP},
                 {STR_INIT("sctp"), NETPOL_SCTP},
                 {STR_INIT("icmp"), NETPOL_ICMP}};
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (str_eq(json_str(v), known[i].name)) {
            *out = known[i].number;
            return OK;
        }
    }
    uint64_t n;
    ENSURE(!failed(json_u64(v, &n)) && n < 256, ERR_UNSUPPORTED, "an unknown protocol in a set");
    *out = (uint32_t)n;
    return OK;
}

static struct err scalar(const struct json *v, struct str type, struct value *out)
{
    uint32_t n = 0;
    uint64_t port;
    if (str_is(type, "ipv4_addr") || str_is(type, "ipv6_addr")) {
        struct ip ip;
        TRY(ip_parse(json_str(v), &ip));
        value_of_ip(&ip, out);
        return OK;
    }
    if (str_is(type, "classid")) {
        TRY(class_number(json_str(v), &n));
    } else if (str_is(type, "inet_proto")) {
        TRY(proto_number(v, &n));
    } else if (str_is(type, "inet_service") && !failed(json_u64(v, &port)) && port < 65536) {
        n = (uint32_t)port;
    } else {
        return unknown("a set element", v);
    }
    value_of_number(n, out);
    return OK;
}

/* A value, {"range": [a, b]} or {"prefix": {"addr", "len"}}. */
static struct err interval(const struct json *v, struct str type, struct value *lo,
                           struct value *hi)
{
    const struct json *range = json_get(v, "range"), *prefix = json_get(v, "prefix");
    if (json_is(range, JSON_ARRAY) && range->n == 2) {
        TRY(scalar(range->items[0], type, lo));
        return scalar(range->items[1], type, hi);
    }
    if (prefix != NULL) {
        struct ip_block block;
        uint64_t len;
        TRY(ip_parse(json_str(json_get(prefix, "addr")), &block.addr));
        TRY(json_u64(json_get(prefix, "len"), &len));
        ENSURE(len <= ip_bits(&block.addr), ERR_UNSUPPORTED, "a prefix of %" PRIu64 " bits", len);
        block.len = (uint8_t)len;
        struct ip first = ip_block_first(&block), last = ip_block_last(&block);
        value_of_ip(&first, lo);
        value_of_ip(&last, hi);
        return OK;
    }
    TRY(scalar(v, type, lo));
    *hi = *lo;
    return OK;
}

static struct err read_element(const struct json *v, const struct table_set *s, struct element *out)
{
    const struct json *wrapped = json_get(v, "elem");
    v = wrapped != NULL ? json_get(wrapped, "val") : v;
    const struct json *concat = json_get(v, "concat");
    if (s->n_fields == 1) {
        return interval(v, s->types[0], &out->lo[0], &out->hi[0]);
    }
    if (!json_is(concat, JSON_ARRAY) || concat->n != s->n_fields) {
        return unknown("a set element", v);
    }
    for (size_t i = 0; i < s->n_fields; i++) {
        TRY(interval(concat->items[i], s->types[i], &out->lo[i], &out->hi[i]));
    }
    return OK;
}

static struct err read_types(const struct json *type, struct table_set *s)
{
    if (json_is(type, JSON_STRING)) {
        s->types[s->n_fields++] = type->text;
        return OK;
    }
    if (!json_is(type, JSON_ARRAY) || type->n > FIELDS_MAX) {
        return unknown("a set type", type);
    }
    for (uint32_t i = 0; i < type->n; i++) {
        s->types[s->n_fields++] = json_str(type->items[i]);
    }
    return OK;
}

/* Finds a field that is one value in every element, and files the elements under it. */
static void index_set(struct arena *a, struct table_set *s)
{
    for (s->exact = s->n_fields; s->exact-- > 0;) {
        size_t i = 0;
        bool address = str_starts(s->types[s->exact], S("ip"));
        while (i < s->n && memcmp(&s->items[i].lo[s->exact], &s->items[i].hi[s->exact], 16) == 0) {
            i++;
        }
        if (i == s->n && address) {
            break;
        }
    }
    for (size_t i = 0; s->exact < s->n_fields && i < s->n; i++) {
        struct str key = str_n(&s->items[i].lo[s->exact], sizeof(struct value));
        struct bucket *b = map_get(&s->by_exact, key);
        if (b == NULL) {
            b = arena_new(a, struct bucket);
            map_set(&s->by_exact, key, b);
        }
        b->items = arena_grow(a, b->items, b->n, b->n + 1, &b->cap, sizeof(*b->items));
        b->items[b->n++] = &s->items[i];
    }
}

/* Flags that keep a set's meaning; any other (timeout, dynamic) would make it a moving target. */
static struct err check_set_flags(const struct json *obj)
{
    const struct json *flags = json_get(obj, "flags");
    for (uint32_t i = 0; json_is(flags, JSON_ARRAY) && i < flags->n; i++) {
        if (!str_is(json_str(flags->items[i]), "interval")) {
            return unknown("a set flag", flags->items[i]);
        }
    }
    return OK;
}

static struct err read_set(struct nft_table *t, const struct json *obj, bool map)
{
    struct table_set *s = arena_new(t->arena, struct table_set);
    const struct json *elems = json_get(obj, "elem");
    s->name = json_str(json_get(obj, "name"));
    if (map_get(&t->sets, s->name) != NULL) {
        return unknown("a set whose name is taken", obj);
    }
    map_init(&s->by_exact);
    map_set(&t->sets, s->name, s);
    TRY(check_set_flags(obj));
    TRY(read_types(json_get(obj, "type"), s));
    s->n = json_is(elems, JSON_ARRAY) ? elems->n : 0;
    s->items = arena_array(t->arena, struct element, s->n);
    for (size_t i = 0; i < s->n; i++) {
        const struct json *e = elems->items[i];
        if (map) {
            if (!json_is(e, JSON_ARRAY) || e->n != 2) {
                return unknown("a map element", e);
            }
            TRY(class_number(json_str(e->items[1]), &s->items[i].data));
            e = e->items[0];
        }
        TRY(read_element(e, s, &s->items[i]));
        ENSURE(!arena_exhausted(t->arena), ERR_LIMIT, "the listing is too big");
    }
    index_set(t->arena, s);
    return OK;
}

/* --- rules ----------------------------------------------------------------------------------- */

static struct err read_field(const struct json *v, enum field *out)
{
    static const struct {
        const char *protocol, *field;
        enum field is;
    } payloads[] = {{"ip", "saddr", FIELD_SADDR4},
                    {"ip", "daddr", FIELD_DADDR4},
                    {"ip6", "saddr", FIELD_SADDR6},
                    {"ip6", "daddr", FIELD_DADDR6},
                    {"th", "dport", FIELD_DPORT}};
    const struct json *payload = json_get(v, "payload");
    struct str meta = json_str(json_path(v, "meta.key"));
    for (size_t i = 0; payload != NULL && i < ARRAY_LEN(payloads); i++) {
        if (str_is(json_str(json_get(payload, "protocol")), payloads[i].protocol) &&
            str_is(json_str(json_get(payload, "field")), payloads[i].field)) {
            *out = payloads[i].is;
            return OK;
        }
    }
    if (str_is(meta, "l4proto") || str_is(meta, "priority")) {
        *out = str_is(meta, "l4proto") ? FIELD_PROTO : FIELD_PRIORITY;
        return OK;
    }
    return unknown("an expression", v);
}

static struct err read_fields(const struct json *v, struct op *op)
{
    const struct json *concat = json_get(v, "concat");
    if (!json_is(concat, JSON_ARRAY)) {
        op->n_fields = 1;
        return read_field(v, &op->fields[0]);
    }
    ENSURE(concat->n <= FIELDS_MAX, ERR_UNSUPPORTED, "a concatenation of %u fields", concat->n);
    for (uint32_t i = 0; i < concat->n; i++) {
        TRY(read_field(concat->items[i], &op->fields[op->n_fields++]));
    }
    return OK;
}

static struct err find_set(const struct nft_table *t, const struct json *ref, struct op *op)
{
    struct str name = json_str(ref);
    op->set = name.n > 1 && name.p[0] == '@' ? map_get(&t->sets, str_sub(name, 1, name.n)) : NULL;
    if (op->set == NULL || op->set->n_fields != op->n_fields) {
        return unknown("a reference", ref);
    }
    return OK;
}

static bool holds(const struct json *list, const char *word)
{
    if (json_is(list, JSON_STRING)) {
        return str_is(list->text, word);
    }
    for (uint32_t i = 0; json_is(list, JSON_ARRAY) && i < list->n; i++) {
        if (str_is(json_str(list->items[i]), word)) {
            return true;
        }
    }
    return false;
}

static struct err read_ct(const struct json *m, struct op *op)
{
    const struct json *right = json_get(m, "right");
    size_t words = json_is(right, JSON_ARRAY) ? right->n : 1;
    op->kind = OP_CT;
    op->established = holds(right, "established");
    op->invalid = holds(right, "invalid");
    size_t known = (size_t)op->established + (size_t)op->invalid + (size_t)holds(right, "related");
    return known == words ? OK : unknown("a connection state", m);
}

/* Exactly: flags & (fin|syn|rst|ack) != syn. */
static struct err read_flags(const struct json *m, struct op *op)
{
    const struct json *and = json_path(m, "left.&");
    bool ours = json_is(and, JSON_ARRAY) && and->n == 2 &&
                json_is(and->items[1], JSON_ARRAY) && and->items[1]->n == 4 &&
                holds(and->items[1], "fin") && holds(and->items[1], "syn") &&
                holds(and->items[1], "rst") && holds(and->items[1], "ack") &&
                str_is(json_str(json_path(and->items[0], "payload.field")), "flags") &&
                str_is(json_str(json_get(m, "op")), "!=") && holds(json_get(m, "right"), "syn");
    op->kind = OP_NOT_SYN;
    return ours ? OK : unknown("a match", m);
}

static struct err read_match(const struct nft_table *t, const struct json *m, struct op *op)
{
    const struct json *left = json_get(m, "left");
    struct str operator= json_str(json_get(m, "op"));
    if (str_is(json_str(json_path(left, "ct.key")), "state")) {
        return read_ct(m, op);
    }
    if (json_get(left, "&") != NULL) {
        return read_flags(m, op);
    }
    if (!str_is(operator, "==") && !str_is(operator, "!=")) {
        return unknown("a match", m);
    }
    op->kind = str_is(operator, "==") ? OP_LOOKUP : OP_NOT_IN;
    TRY(read_fields(left, op));
    return find_set(t, json_get(m, "right"), op);
}

static struct err read_mangle(const struct nft_table *t, const struct json *m, struct op *op)
{
    const struct json *value = json_get(m, "value"), *map = json_get(value, "map");
    if (!str_is(json_str(json_path(m, "key.meta.key")), "priority")) {
        return unknown("a statement", m);
    }
    if (map != NULL) {
        op->kind = OP_PRIORITY_MAP;
        TRY(read_fields(json_get(map, "key"), op));
        return find_set(t, json_get(map, "data"), op);
    }
    op->kind = OP_PRIORITY;
    return class_number(json_str(value), &op->number);
}

static struct err read_statement(const struct nft_table *t, const struct json *v,
                                 struct table_rule *r)
{
    static const struct {
        const char *word;
        enum op_kind kind;
    } verdicts[] = {{"accept", OP_ACCEPT}, {"drop", OP_DROP}, {"return", OP_RETURN}};
    if (!json_is(v, JSON_OBJECT) || v->n != 1 || r->n == OPS_MAX) {
        return unknown("a statement", v);
    }
    struct str word = v->members[0].key;
    const struct json *body = v->members[0].value;
    struct op *op = &r->ops[r->n];
    if (str_is(word, "counter") || str_is(word, "log") || str_is(word, "limit")) {
        r->limited = r->limited || str_is(word, "limit");
        return OK;
    }
    r->n++;
    for (size_t i = 0; i < ARRAY_LEN(verdicts); i++) {
        if (str_is(word, verdicts[i].word)) {
            op->kind = verdicts[i].kind;
            return OK;
        }
    }
    if (str_is(word, "jump")) {
        op->kind = OP_JUMP;
        op->chain = json_str(json_get(body, "target"));
        return OK;
    }
    if (str_is(word, "match")) {
        return read_match(t, body, op);
    }
    return str_is(word, "mangle") ? read_mangle(t, body, op) : unknown("a statement", v);
}

static struct err read_rule(struct nft_table *t, const struct json *obj)
{
    struct table_chain *c = map_get(&t->chains, json_str(json_get(obj, "chain")));
    const struct json *expr = json_get(obj, "expr");
    ENSURE(c != NULL && json_is(expr, JSON_ARRAY), ERR_UNSUPPORTED, "a rule outside any chain");
    c->rules = arena_grow(t->arena, c->rules, c->n, c->n + 1, &c->cap, sizeof(*c->rules));
    struct table_rule *r = &c->rules[c->n++];
    *r = (struct table_rule){.n = 0};
    for (uint32_t i = 0; i < expr->n; i++) {
        TRY(read_statement(t, expr->items[i], r));
    }
    for (size_t i = 0; i < r->n && r->limited; i++) {
        if (r->ops[i].kind >= OP_ACCEPT || r->ops[i].kind == OP_PRIORITY ||
            r->ops[i].kind == OP_PRIORITY_MAP) {
            return unknown("a rule with a limit", obj);
        }
    }
    return OK;
}

static struct err read_chain(struct nft_table *t, const struct json *obj)
{
    struct table_chain *c = arena_new(t->arena, struct table_chain);
    struct str hook = json_str(json_get(obj, "hook"));
    c->name = json_str(json_get(obj, "name"));
    map_set(&t->chains, c->name, c);
    if (hook.n == 0) {
        return OK;
    }
    if (!str_is(hook, "forward") || t->base != NULL) {
        return unknown("a second base chain", obj);
    }
    c->base = true;
    c->accepts = str_is(json_str(json_get(obj, "policy")), "accept");
    t->base = c;
    return OK;
}

/* Sets first, then chains, then rules, since rules refer to both. */
static struct err read_pass(struct nft_table *t, const struct json *list, int pass)
{
    for (uint32_t i = 0; i < list->n; i++) {
        const struct json *v = list->items[i], *set = json_get(v, "set"), *map = json_get(v, "map");
        const struct json *chain = json_get(v, "chain"), *rule = json_get(v, "rule");
        if (pass == 0 && (set != NULL || map != NULL)) {
            TRY(read_set(t, set != NULL ? set : map, map != NULL));
        } else if (pass == 0 && chain != NULL) {
            TRY(read_chain(t, chain));
        } else if (pass == 1 && rule != NULL) {
            TRY(read_rule(t, rule));
        }
    }
    return OK;
}

struct err nft_table_read(struct arena *a, const struct json *listing, struct nft_table **out)
{
    struct nft_table *t = arena_new(a, struct nft_table);
    const struct json *list = json_get(listing, "nftables");
    t->arena = a;
    map_init(&t->sets);
    map_init(&t->chains);
    ENSURE(json_is(list, JSON_ARRAY), ERR_SYNTAX, "not a listing of nft -j");
    struct err e = read_pass(t, list, 0);
    e = failed(e) ? e : read_pass(t, list, 1);
    if (!failed(e) && t->base == NULL) {
        e = err_make(ERR_NOT_FOUND, "the table has no chain on the forward hook");
    }
    if (failed(e)) {
        nft_table_release(t);
        return e;
    }
    *out = t;
    return OK;
}

void nft_table_release(struct nft_table *t)
{
    struct map_entry *e;
    for (size_t i = 0; (e = map_at(&t->sets, &i)) != NULL;) {
        map_release(&((struct table_set *)e->value)->by_exact);
    }
    map_release(&t->sets);
    map_release(&t->chains);
}

/* --- judging --------------------------------------------------------------------------------- */

struct judge {
    const struct nft_table *t;
    const struct nft_packet *p;
    uint32_t priority;
};

/* False when the packet has no such field: then the rule does not apply. */
static bool field_value(const struct judge *j, enum field f, struct value *out)
{
    uint8_t family = f == FIELD_SADDR4 || f == FIELD_DADDR4 ? 4 : 6;
    switch (f) {
    case FIELD_SADDR4:
    case FIELD_SADDR6:
        value_of_ip(&j->p->src, out);
        return j->p->src.family == family;
    case FIELD_DADDR4:
    case FIELD_DADDR6:
        value_of_ip(&j->p->dst, out);
        return j->p->dst.family == family;
    case FIELD_PROTO:
        value_of_number(j->p->proto, out);
        return true;
    case FIELD_DPORT:
        value_of_number(j->p->dport, out);
        return true;
    case FIELD_PRIORITY:
        value_of_number(j->priority, out);
        return true;
    }
    return false;
}

static bool element_holds(const struct element *e, const struct value *key, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (memcmp(&key[i], &e->lo[i], 16) < 0 || memcmp(&key[i], &e->hi[i], 16) > 0) {
            return false;
        }
    }
    return true;
}

static const struct element *set_find(const struct table_set *s, const struct value *key)
{
    if (s->exact < s->n_fields) {
        const struct bucket *b = map_get(&s->by_exact, str_n(&key[s->exact], sizeof(struct value)));
        for (size_t i = 0; b != NULL && i < b->n; i++) {
            if (element_holds(b->items[i], key, s->n_fields)) {
                return b->items[i];
            }
        }
        return NULL;
    }
    for (size_t i = 0; i < s->n; i++) {
        if (element_holds(&s->items[i], key, s->n_fields)) {
            return &s->items[i];
        }
    }
    return NULL;
}

/* Does the rule go on after this operation? Lookups and the map stop it when they find nothing. */
static bool op_holds(struct judge *j, const struct op *op)
{
    struct value key[FIELDS_MAX];
    for (size_t i = 0; i < op->n_fields; i++) {
        if (!field_value(j, op->fields[i], &key[i])) {
            return false;
        }
    }
    const struct element *e = op->set != NULL ? set_find(op->set, key) : NULL;
    switch (op->kind) {
    case OP_CT:
        return op->established && j->p->established;
    case OP_NOT_SYN:
        return j->p->proto == NETPOL_TCP && !j->p->syn;
    case OP_LOOKUP:
        return e != NULL;
    case OP_NOT_IN:
        return e == NULL;
    case OP_PRIORITY:
        j->priority = op->number;
        return true;
    case OP_PRIORITY_MAP:
        j->priority = e != NULL ? e->data : j->priority;
        return e != NULL;
    default:
        return true;
    }
}

/* The operation that ends the rule, or NULL when the rule did not apply. */
static const struct op *run_rule(struct judge *j, const struct table_rule *r)
{
    for (size_t i = 0; i < r->n; i++) {
        if (r->ops[i].kind >= OP_ACCEPT) {
            return &r->ops[i];
        }
        if (!op_holds(j, &r->ops[i])) {
            return NULL;
        }
    }
    return NULL;
}

struct err nft_table_judge(const struct nft_table *t, const struct nft_packet *p, bool *accept)
{
    struct {
        const struct table_chain *chain;
        size_t at;
    } stack[JUMPS_MAX] = {{t->base, 0}};
    struct judge j = {.t = t, .p = p};
    size_t depth = 0;
    for (;;) {
        if (stack[depth].at == stack[depth].chain->n) {
            if (depth-- == 0) {
                *accept = t->base->accepts;
                return OK;
            }
            continue;
        }
        const struct op *end = run_rule(&j, &stack[depth].chain->rules[stack[depth].at++]);
        if (end == NULL) {
            continue;
        }
        if (end->kind == OP_ACCEPT || end->kind == OP_DROP) {
            *accept = end->kind == OP_ACCEPT;
            return OK;
        }
        if (end->kind == OP_RETURN) {
            stack[depth].at = stack[depth].chain->n;
            continue;
        }
        const struct table_chain *target = map_get(&t->chains, end->chain);
        ENSURE(target != NULL && depth + 1 < JUMPS_MAX, ERR_INVALID,
               "a jump to '%.*s' leads nowhere", STR_FMT(end->chain));
        stack[++depth].chain = target;
        stack[depth].at = 0;
    }
}
