#include "labels.h"

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* Letters, digits, '-', '_' and '.', with a letter or digit at both ends; at most 63. */
static bool is_label_word(struct str s)
{
    if (s.n == 0 || s.n > 63 || !is_alnum(s.p[0]) || !is_alnum(s.p[s.n - 1])) {
        return false;
    }
    for (size_t i = 0; i < s.n; i++) {
        if (!is_alnum(s.p[i]) && s.p[i] != '-' && s.p[i] != '_' && s.p[i] != '.') {
            return false;
        }
    }
    return true;
}

/* RFC 1123 subdomain: lower case labels joined by dots, at most 253. */
static bool is_subdomain(struct str s)
{
    if (s.n == 0 || s.n > 253) {
        return false;
    }
    for (struct str rest = s; rest.p != NULL;) {
        struct str part = str_split(&rest, '.');
        if (part.n == 0 || !is_alnum(part.p[0]) || !is_alnum(part.p[part.n - 1])) {
            return false;
        }
        for (size_t i = 0; i < part.n; i++) {
            if ((!is_alnum(part.p[i]) && part.p[i] != '-') ||
                (part.p[i] >= 'A' && part.p[i] <= 'Z')) {
                return false;
            }
        }
    }
    return true;
}

static bool is_label_key(struct str key)
{
    size_t slash = str_find_char(key, '/');
    if (slash == STR_NPOS) {
        return is_label_word(key);
    }
    return is_subdomain(str_sub(key, 0, slash)) && is_label_word(str_sub(key, slash + 1, key.n));
}

static struct err check_key(const struct json_member *m)
{
    if (!is_label_key(m->key)) {
        return err_make_at(
            ERR_INVALID, m->line, m->col,
            "'%.*s' is not a label key: letters, digits, '-', '_', '.' (63 at most), "
            "with an optional lower case DNS prefix and '/'",
            STR_FMT(m->key));
    }
    return OK;
}

static struct err check_value(const struct json *v)
{
    if (!json_is(v, JSON_STRING) || (v->text.n > 0 && !is_label_word(v->text))) {
        return err_make_at(
            ERR_INVALID, v->line, v->col,
            "a label value must be a string of at most 63 letters, digits, '-', '_', "
            "'.', or empty%s",
            json_is(v, JSON_STRING) ? "" : "; quote it");
    }
    return OK;
}

struct err labels_read(struct arena *a, const struct json *obj, struct labels *out)
{
    struct labels l = {0};
    if (obj == NULL || json_is(obj, JSON_NULL)) {
        *out = l;
        return OK;
    }
    ENSURE(json_is(obj, JSON_OBJECT) && obj->n <= LABELS_MAX, ERR_INVALID,
           "labels must be a mapping of at most %d strings", LABELS_MAX);
    l.items = arena_array(a, struct label, obj->n + 1); /* room for one default */
    for (uint32_t i = 0; i < obj->n; i++) {
        TRY(check_key(&obj->members[i]));
        TRY(check_value(obj->members[i].value));
        l.items[l.n++] = (struct label){obj->members[i].key, obj->members[i].value->text};
    }
    *out = l;
    return OK;
}

struct str labels_get(const struct labels *l, struct str key, bool *found)
{
    for (size_t i = 0; i < l->n; i++) {
        if (str_eq(l->items[i].key, key)) {
            *found = true;
            return l->items[i].value;
        }
    }
    *found = false;
    return STR_EMPTY;
}

void labels_default(struct arena *a, struct labels *l, struct str key, struct str value)
{
    bool found;
    labels_get(l, key, &found);
    if (found) {
        return;
    }
    if (l->items == NULL) {
        l->items = arena_array(a, struct label, 1);
    }
    l->items[l->n++] = (struct label){key, value};
}

static struct err read_match_labels(const struct json *obj, const char *where, struct selector *s)
{
    if (obj == NULL || json_is(obj, JSON_NULL)) {
        return OK;
    }
    ENSURE(json_is(obj, JSON_OBJECT), ERR_INVALID, "%s.matchLabels must be a mapping", where);
    for (uint32_t i = 0; i < obj->n; i++) {
        TRY(check_key(&obj->members[i]));
        TRY(check_value(obj->members[i].value));
        s->terms[s->n++] = (struct selector_term){.key = obj->members[i].key,
                                                  .op = SELECTOR_IN,
                                                  .values = &obj->members[i].value->text,
                                                  .n_values = 1};
    }
    return OK;
}

static struct err read_op(const struct json *v, const char *where, enum selector_op *out)
{
    static const char *const names[] = {"In", "NotIn", "Exists", "DoesNotExist"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (str_is(json_str(v), names[i])) {
            *out = (enum selector_op)i;
            return OK;
        }
    }
    return err_make_at(
        ERR_INVALID, v != NULL ? v->line : 0, v != NULL ? v->col : 0,
        "%s.matchExpressions: operator '%.*s' is not In, NotIn, Exists or DoesNotExist", where,
        STR_FMT(json_str(v)));
}

static struct err read_expression(struct arena *a, const struct json *e, const char *where,
                                  struct selector_term *out)
{
    const struct json *values = json_get(e, "values");
    struct selector_term t = {.key = json_str(json_get(e, "key"))};
    ENSURE(is_label_key(t.key), ERR_INVALID, "%s.matchExpressions: '%.*s' is not a label key",
           where, STR_FMT(t.key));
    TRY(read_op(json_get(e, "operator"), where, &t.op));
    t.n_values = json_is(values, JSON_ARRAY) ? values->n : 0;
    bool wants = t.op == SELECTOR_IN || t.op == SELECTOR_NOT_IN;
    if (wants != (t.n_values > 0) || t.n_values > SELECTOR_VALUES_MAX) {
        return err_make_at(ERR_INVALID, e->line, e->col,
                           wants ? "%s.matchExpressions: In and NotIn need 1 to 1024 values"
                                 : "%s.matchExpressions: Exists and DoesNotExist take no values",
                           where);
    }
    t.values = arena_array(a, struct str, t.n_values);
    for (size_t i = 0; i < t.n_values; i++) {
        TRY(check_value(values->items[i]));
        t.values[i] = values->items[i]->text;
    }
    *out = t;
    return OK;
}

/* Go's decoder leaves misspelt fields out and so widens the selector; here they are errors. */
static struct err check_fields(const struct json *obj, const char *where)
{
    for (uint32_t i = 0; i < obj->n; i++) {
        const struct json_member *m = &obj->members[i];
        if (!str_is(m->key, "matchLabels") && !str_is(m->key, "matchExpressions")) {
            return err_make_at(ERR_INVALID, m->line, m->col,
                               "%s has no field '%.*s'; it takes matchLabels and matchExpressions",
                               where, STR_FMT(m->key));
        }
    }
    return OK;
}

struct err selector_read(struct arena *a, const struct json *obj, const char *where,
                         struct selector *out)
{
    struct selector s = {0};
    ENSURE(obj == NULL || json_is(obj, JSON_OBJECT) || json_is(obj, JSON_NULL), ERR_INVALID,
           "%s must be a label selector such as {matchLabels: {app: web}}", where);
    const struct json *labels = json_get(obj, "matchLabels");
    const struct json *expressions = json_get(obj, "matchExpressions");
    size_t n_labels = json_is(labels, JSON_OBJECT) ? labels->n : 0;
    size_t n_expressions = json_is(expressions, JSON_ARRAY) ? expressions->n : 0;
    ENSURE(n_labels + n_expressions <= SELECTOR_TERMS_MAX, ERR_LIMIT, "%s has more than %d terms",
           where, SELECTOR_TERMS_MAX);
    if (json_is(obj, JSON_OBJECT)) {
        TRY(check_fields(obj, where));
    }
    s.terms = arena_array(a, struct selector_term, n_labels + n_expressions);
    TRY(read_match_labels(labels, where, &s));
    for (size_t i = 0; i < n_expressions; i++) {
        TRY(read_expression(a, expressions->items[i], where, &s.terms[s.n]));
        s.n++;
    }
    *out = s;
    return OK;
}

static bool term_matches(const struct selector_term *t, const struct labels *l)
{
    bool found;
    struct str value = labels_get(l, t->key, &found);
    if (t->op == SELECTOR_EXISTS || t->op == SELECTOR_NOT_EXISTS) {
        return found == (t->op == SELECTOR_EXISTS);
    }
    bool among = false;
    for (size_t i = 0; found && !among && i < t->n_values; i++) {
        among = str_eq(value, t->values[i]);
    }
    return among == (t->op == SELECTOR_IN);
}

bool selector_matches(const struct selector *s, const struct labels *l)
{
    for (size_t i = 0; i < s->n; i++) {
        if (!term_matches(&s->terms[i], l)) {
            return false;
        }
    }
    return true;
}

static void put_term(struct buf *out, const struct selector_term *t)
{
    static const char *const words[] = {" in (", " notin (", "", "!"};
    if (t->op == SELECTOR_IN && t->n_values == 1) {
        buf_printf(out, "%.*s=%.*s", STR_FMT(t->key), STR_FMT(t->values[0]));
        return;
    }
    if (t->op == SELECTOR_EXISTS || t->op == SELECTOR_NOT_EXISTS) {
        buf_printf(out, "%s%.*s", words[t->op], STR_FMT(t->key));
        return;
    }
    buf_printf(out, "%.*s%s", STR_FMT(t->key), words[t->op]);
    for (size_t i = 0; i < t->n_values; i++) {
        buf_printf(out, "%s%.*s", i > 0 ? "," : "", STR_FMT(t->values[i]));
    }
    buf_putc(out, ')');
}

void selector_put(struct buf *out, const struct selector *s)
{
    if (s->n == 0) {
        buf_puts(out, S("{}"));
    }
    for (size_t i = 0; i < s->n; i++) {
        buf_puts(out, i > 0 ? S(",") : STR_EMPTY);
        put_term(out, &s->terms[i]);
    }
}
