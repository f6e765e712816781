/* From comments to annotations: finding blocks, reading their YAML, and the statements they describe. */
#include "authz/rego/syntax/annotation.h"

#include "authz/rego/value/value_yaml.h"

enum { BLOCK_MAX = 1 << 20 };

struct block {
    struct arena *a;
    struct module *m;
    struct rego_errors *errors;
    const struct comment *lines; /* the first is "METADATA" */
    size_t n;
    struct loc loc;
    bool failed;
};

static void fail(struct block *b, struct loc loc, struct str message)
{
    if (!b->failed) {
        rego_errors_add(b->errors, "rego_parse_error", b->m->file, loc, "%.*s", STR_FMT(message));
    }
    b->failed = true;
}

static bool is_first_line(const struct comment *c)
{
    return c->loc.col == 1 && str_starts(str_trim(c->text), S("METADATA"));
}

static struct str block_text(struct block *b, bool marked)
{
    struct buf text;
    buf_init(&text, BLOCK_MAX);
    buf_puts(&text, marked ? S("# METADATA\n") : S(""));
    for (size_t i = 1; i < b->n; i++) {
        struct str line = b->lines[i].text;
        line = str_starts(line, S(" ")) ? str_sub(line, 1, line.n) : line;
        buf_puts(&text, marked ? S("# ") : S(""));
        buf_puts(&text, line);
        buf_puts(&text, marked && i + 1 == b->n ? S("") : S("\n"));
    }
    struct str s = arena_str(b->a, buf_str(&text));
    buf_release(&text);
    return s;
}

/* A colon that is followed by a character that looks like a blank is easily overlooked. */
static struct str with_hint(struct block *b, struct str message)
{
    for (size_t i = 1; i < b->n; i++) {
        struct str text = b->lines[i].text;
        size_t at = str_find_char(text, ':');
        unsigned char next =
            at != STR_NPOS && at + 1 < text.n ? (unsigned char)text.p[at + 1] : ' ';
        if (next == ' ' || next == '\t') {
            continue;
        }
        char shown[16];
        struct str one = str_sub(text, at + 1, at + 2);
        if (next == 0xc2 && at + 2 < text.n && (unsigned char)text.p[at + 2] == 0xa0) {
            snprintf(shown, sizeof shown, "'\\u00a0'");
        } else {
            snprintf(shown, sizeof shown, "'%.*s'", STR_FMT(one));
        }
        return arena_printf(b->a,
                            "%.*s\n  Hint: on line %u, symbol(s) [%s] immediately following a "
                            "key/value separator ':' is not a legal yaml space character",
                            STR_FMT(message), b->lines[i].loc.row, shown);
    }
    return message;
}

static bool read_yaml(struct block *b, struct val *out)
{
    struct str text = block_text(b, false);
    if (str_trim(text).n == 0) {
        fail(b, b->loc, S("expected METADATA block, found whitespace"));
        return false;
    }
    if (failed(val_from_yaml(b->a, text, out))) {
        struct str message = val_yaml_error(b->a);
        size_t row = MIN((size_t)MAX(err_line(), 1U), b->n - 1);
        fail(b, b->lines[row].loc, with_hint(b, message));
        return false;
    }
    if (!val_is(*out, V_OBJECT)) {
        const char *kind = val_is(*out, V_ARRAY) ? "seq" : val_is(*out, V_STRING) ? "str" : "null";
        if (kind[0] != 'n') {
            struct str shown = val_is(*out, V_STRING) ? val_text(*out) : STR_EMPTY;
            bool cut = shown.n > 10;
            fail(b, b->lines[1].loc,
                 arena_printf(b->a,
                              "yaml: unmarshal errors:\n  line 1: cannot unmarshal !!%s%s%.*s%s%s "
                              "into ast.rawAnnotation",
                              kind, shown.n > 0 ? " `" : "",
                              STR_FMT(str_sub(shown, 0, cut ? 7 : 10)), cut ? "..." : "",
                              shown.n > 0 ? "`" : ""));
        }
        *out = val_empty_object();
    }
    return !b->failed;
}

/* ---- Fields ---- */

static void wrong_type(struct block *b, const char *field, const char *want)
{
    fail(b, b->loc,
         arena_printf(b->a, "yaml: unmarshal errors: cannot unmarshal %s into %s", field, want));
}

static struct str string_field(struct block *b, struct val raw, const char *name)
{
    struct val v = val_get_str(raw, name);
    if (val_is_collection(v)) {
        wrong_type(b, name, "string");
        return STR_EMPTY;
    }
    return val_is(v, V_STRING)                 ? val_text(v)
           : val_undef(v) || val_is(v, V_NULL) ? STR_EMPTY
                                               : val_rego_text(b->a, v);
}

static struct val list_field(struct block *b, struct val raw, const char *name)
{
    struct val v = val_get_str(raw, name);
    if (!val_undef(v) && !val_is(v, V_NULL) && !val_is(v, V_ARRAY)) {
        wrong_type(b, name, "a list");
    }
    return val_is(v, V_ARRAY) ? v : val_empty_array();
}

static struct val object_field(struct block *b, struct val raw, const char *name)
{
    struct val v = val_get_str(raw, name);
    if (!val_undef(v) && !val_is(v, V_NULL) && !val_is(v, V_OBJECT)) {
        wrong_type(b, name, "map[string]interface {}");
    }
    return val_is(v, V_OBJECT) && val_len(v) > 0 ? v : VAL_UNDEF;
}

static struct str text_of(struct val object, const char *name)
{
    struct val v = val_get_str(object, name);
    return val_is(v, V_STRING) ? str_trim(val_text(v)) : STR_EMPTY;
}

static struct val two_texts(struct arena *a, const char *k1, struct str v1, const char *k2,
                            struct str v2)
{
    struct vlist l = {.a = a};
    if (v1.n > 0) {
        vlist_put(&l, k1, val_str(a, v1));
    }
    if (v2.n > 0) {
        vlist_put(&l, k2, val_str(a, v2));
    }
    return vlist_object(&l);
}

/* How a value that was not understood is shown. */
static struct str shown(struct arena *a, struct val v)
{
    if (val_is(v, V_STRING)) {
        return val_text(v);
    }
    if (!val_is(v, V_OBJECT)) {
        return val_rego_text(a, v);
    }
    struct str s = S("map[");
    for (uint32_t i = 0; i < val_len(v); i++) {
        s = arena_printf(a, "%.*s%s%.*s:%.*s", STR_FMT(s), i > 0 ? " " : "",
                         STR_FMT(shown(a, val_nth_key(a, v, i))), STR_FMT(shown(a, val_nth(v, i))));
    }
    return arena_printf(a, "%.*s]", STR_FMT(s));
}

static void wrong_item(struct block *b, const char *what, struct val item, const char *why)
{
    fail(b, b->loc,
         arena_printf(b->a, "invalid %s definition %.*s: %s", what, STR_FMT(shown(b->a, item)),
                      why));
}

static struct val resource(struct block *b, struct val item)
{
    if (val_is(item, V_STRING)) {
        if (val_len(item) == 0) {
            wrong_item(b, "related-resource", item, "ref URL may not be empty string");
        }
        return two_texts(b->a, "ref", val_text(item), "description", STR_EMPTY);
    }
    if (!val_is(item, V_OBJECT)) {
        wrong_item(b, "related-resource", item, "invalid value type, must be string or map");
        return VAL_NULL;
    }
    if (text_of(item, "ref").n == 0) {
        wrong_item(b, "related-resource", item, "'ref' value required in object");
    }
    return two_texts(b->a, "ref", text_of(item, "ref"), "description",
                     text_of(item, "description"));
}

/* "Jane Doe <jane@example.com>": the last word may be an address. */
static struct val author_of_text(struct block *b, struct val item)
{
    struct str rest = str_trim(val_text(item)), name = STR_EMPTY, email = STR_EMPTY;
    if (rest.n == 0) {
        wrong_item(b, "author", item, "author is an empty string");
    }
    while (rest.n > 0) {
        size_t n = 0;
        while (n < rest.n && memchr(" \t\r\n", rest.p[n], 4) == NULL) {
            n++;
        }
        struct str word = str_sub(rest, 0, n);
        rest = str_trim(str_sub(rest, n, rest.n));
        if (rest.n == 0 && word.n >= 2 && word.p[0] == '<' && word.p[word.n - 1] == '>') {
            email = str_sub(word, 1, word.n - 1);
        } else {
            name =
                name.n == 0 ? word : arena_printf(b->a, "%.*s %.*s", STR_FMT(name), STR_FMT(word));
        }
    }
    return two_texts(b->a, "name", name, "email", email);
}

static struct val author(struct block *b, struct val item)
{
    if (val_is(item, V_STRING)) {
        return author_of_text(b, item);
    }
    if (!val_is(item, V_OBJECT)) {
        wrong_item(b, "author", item, "invalid value type, must be string or map");
        return VAL_NULL;
    }
    if (text_of(item, "name").n == 0 && text_of(item, "email").n == 0) {
        wrong_item(b, "author", item, "'name' and/or 'email' values required in object");
    }
    return two_texts(b->a, "name", text_of(item, "name"), "email", text_of(item, "email"));
}

static struct val mapped(struct block *b, struct val list,
                         struct val (*fn)(struct block *b, struct val item))
{
    struct vlist l = {.a = b->a};
    for (uint32_t i = 0; i < val_len(list) && !b->failed; i++) {
        vlist_add(&l, fn(b, val_nth(list, i)));
    }
    return vlist_array(&l);
}

/* ---- References ---- */

/* A reference or name; NULL if `text` is none. */
static struct term *read_ref(struct block *b, struct str text)
{
    struct rego_errors ignored = {.a = b->a};
    struct parse_options o = {.version = REGO_V1};
    struct body *body;
    if (!rego_parse_query(b->a, arena_str(b->a, text), &o, &ignored, &body) || body->n != 1 ||
        body->v[0]->kind != E_TERM || body->v[0]->negated || body->v[0]->n_with > 0) {
        return NULL;
    }
    struct term *t = body->v[0]->term;
    if (t->type == T_VAR) {
        struct term *ref = term_new(b->a, T_REF, t->loc);
        term_push(b->a, ref, t);
        return ref;
    }
    return t->type == T_REF ? t : NULL;
}

static struct val path_of(struct arena *a, const struct term *ref)
{
    struct vlist l = {.a = a};
    for (size_t i = 0; i < ref->list.n; i++) {
        const struct term *t = ref->list.v[i];
        if (t->type == T_NUMBER) {
            vlist_add(&l, val_num(a, t->num));
        } else {
            vlist_add(&l, val_str(a, t->type == T_VAR ? t->var.name : t->str));
        }
    }
    return vlist_array(&l);
}

static struct val read_schema(struct block *b, struct schema_note *s, struct val pair)
{
    struct val key =
        val_is(pair, V_OBJECT) && val_len(pair) > 0 ? val_nth_key(b->a, pair, 0) : VAL_UNDEF;
    struct val v = val_undef(key) ? VAL_UNDEF : val_nth(pair, 0);
    struct vlist l = {.a = b->a};
    s->path = val_is(key, V_STRING) ? read_ref(b, val_text(key)) : NULL;
    s->definition = VAL_UNDEF;
    if (s->path == NULL) {
        fail(b, b->loc, S("invalid document reference"));
        return VAL_NULL;
    }
    vlist_put(&l, "path", path_of(b->a, s->path));
    if (val_is(v, V_STRING)) {
        s->schema = read_ref(b, val_text(v));
        if (s->schema == NULL || !str_is(s->schema->list.v[0]->var.name, "schema")) {
            fail(b, b->loc, S("invalid schema reference"));
            return VAL_NULL;
        }
        vlist_put(&l, "schema", path_of(b->a, s->schema));
    } else if (val_is(v, V_OBJECT)) {
        s->definition = v;
        vlist_put(&l, "definition", v);
    } else {
        fail(b, b->loc,
             arena_printf(b->a, "invalid schema declaration for path \"%.*s\"",
                          STR_FMT(val_text(key))));
    }
    return vlist_object(&l);
}

static struct val read_schemas(struct block *b, struct annotation *n, struct val list)
{
    struct vlist l = {.a = b->a};
    n->schemas = arena_array(b->a, struct schema_note, val_len(list) + 1);
    for (uint32_t i = 0; i < val_len(list) && !b->failed; i++) {
        vlist_add(&l, read_schema(b, &n->schemas[n->n_schemas++], val_nth(list, i)));
    }
    return vlist_array(&l);
}

static void read_compile(struct block *b, struct annotation *n, struct val v)
{
    struct val unknowns = val_is(v, V_OBJECT) ? val_get_str(v, "unknowns") : VAL_UNDEF;
    struct val mask = val_is(v, V_OBJECT) ? val_get_str(v, "mask_rule") : VAL_UNDEF;
    n->has_compile = val_is(v, V_OBJECT);
    uint32_t count = val_is(unknowns, V_ARRAY) ? val_len(unknowns) : 0;
    n->unknowns = arena_array(b->a, struct term *, (size_t)count + 1);
    for (uint32_t i = 0; i < count && !b->failed; i++) {
        struct val item = val_nth(unknowns, i);
        struct term *ref = val_is(item, V_STRING) ? read_ref(b, val_text(item)) : NULL;
        if (val_is(item, V_STRING) && ref == NULL) {
            fail(b, b->loc,
                 arena_printf(b->a, "invalid unknowns element \"%.*s\"", STR_FMT(val_text(item))));
        } else if (ref != NULL) {
            n->unknowns[n->n_unknowns++] = ref;
        }
    }
    if (val_is(mask, V_STRING)) {
        n->mask_rule = read_ref(b, val_text(mask));
        if (n->mask_rule == NULL) {
            fail(b, b->loc,
                 arena_printf(b->a, "invalid mask_rule annotation \"%.*s\"",
                              STR_FMT(val_text(mask))));
        }
    }
}

/* ---- Whole blocks ---- */

static void put_text(struct vlist *l, const char *key, struct str text)
{
    if (text.n > 0) {
        vlist_put(l, key, val_str(l->a, text));
    }
}

static void put_list(struct vlist *l, const char *key, struct val list)
{
    if (val_len(list) > 0) {
        vlist_put(l, key, list);
    }
}

/* The scope as it was written, for texts of errors; empty: by the statement. */
static void read_fields(struct block *b, struct annotation *n, struct val raw, struct str *scope)
{
    struct vlist l = {.a = b->a};
    struct str title = string_field(b, raw, "title"), about = string_field(b, raw, "description");
    *scope = string_field(b, raw, "scope");
    n->entrypoint = val_is_true(val_get_str(raw, "entrypoint"));
    n->title = title.n > 0 ? val_str(b->a, title) : VAL_UNDEF;
    n->description = about.n > 0 ? val_str(b->a, about) : VAL_UNDEF;
    put_text(&l, "title", title);
    put_text(&l, "description", about);
    put_list(&l, "organizations", list_field(b, raw, "organizations"));
    put_list(&l, "related_resources", mapped(b, list_field(b, raw, "related_resources"), resource));
    read_compile(b, n, object_field(b, raw, "compile"));
    put_list(&l, "schemas", read_schemas(b, n, list_field(b, raw, "schemas")));
    put_list(&l, "authors", mapped(b, list_field(b, raw, "authors"), author));
    n->custom = object_field(b, raw, "custom");
    n->labels = object_field(b, raw, "labels");
    if (n->entrypoint) {
        vlist_put(&l, "entrypoint", VAL_TRUE);
    }
    if (!val_undef(n->custom)) {
        vlist_put(&l, "custom", n->custom);
    }
    if (!val_undef(n->labels)) {
        vlist_put(&l, "labels", n->labels);
    }
    n->value = vlist_object(&l);
}

static const char *const scope_names[] = {[SCOPE_RULE] = "rule",
                                          [SCOPE_DOCUMENT] = "document",
                                          [SCOPE_PACKAGE] = "package",
                                          [SCOPE_SUBPACKAGES] = "subpackages"};

const char *annotation_scope_name(enum annotation_scope s)
{
    return scope_names[s];
}

enum below { NOTHING, A_PACKAGE, AN_IMPORT, A_RULE };

/* The first statement below the block. */
static enum below statement_below(struct block *b, struct annotation *n)
{
    uint32_t row = b->loc.row, best = UINT32_MAX;
    enum below kind = NOTHING;
    if (b->m->package_loc.row > row) {
        best = b->m->package_loc.row;
        kind = A_PACKAGE;
    }
    for (size_t i = 0; i < b->m->n_imports; i++) {
        uint32_t at = b->m->imports[i]->loc.row;
        if (at > row && at < best) {
            best = at;
            kind = AN_IMPORT;
        }
    }
    for (size_t i = 0; i < b->m->n_rules; i++) {
        uint32_t at = b->m->rules[i]->loc.row;
        if (at > row && at < best) {
            best = at;
            kind = A_RULE;
            n->rule = b->m->rules[i];
        }
    }
    return kind;
}

static void settle_scope(struct block *b, struct annotation *n, struct str written)
{
    static const char *const have[] = {[NOTHING] = "",
                                       [A_PACKAGE] = " (have package)",
                                       [AN_IMPORT] = " (have import)",
                                       [A_RULE] = " (have rule)"};
    enum below below = statement_below(b, n);
    struct str scope = written;
    if (scope.n == 0) {
        scope = below == A_RULE      ? (n->entrypoint ? S("document") : S("rule"))
                : below == A_PACKAGE ? S("package")
                : below == AN_IMPORT ? S("import")
                                     : S("");
    }
    size_t i = 0;
    while (i < ARRAY_LEN(scope_names) && !str_is(scope, scope_names[i])) {
        i++;
    }
    if (i == ARRAY_LEN(scope_names)) {
        fail(b, b->loc,
             arena_printf(b->a,
                          "invalid annotation scope '%.*s'. Use one of 'rule', "
                          "'document', 'package', or 'subpackages'",
                          STR_FMT(scope)));
        return;
    }
    n->scope = (enum annotation_scope)i;
    bool for_rule = n->scope <= SCOPE_DOCUMENT;
    if (below != (for_rule ? A_RULE : A_PACKAGE)) {
        fail(b, b->loc,
             arena_printf(b->a, "annotation scope '%.*s' must be applied to %s%s", STR_FMT(scope),
                          for_rule ? "rule" : "package", have[below]));
    }
    if (n->entrypoint && n->scope != SCOPE_DOCUMENT && n->scope != SCOPE_PACKAGE) {
        fail(b, b->loc,
             arena_printf(b->a,
                          "annotation entrypoint applied to non-document or package scope '%.*s'",
                          STR_FMT(scope)));
    }
    n->value = val_with(b->a, n->value, val_str(b->a, S("scope")), val_str(b->a, scope));
}

static void read_block(struct block *b, struct annotation **at)
{
    struct annotation *n = arena_new(b->a, struct annotation);
    struct val raw;
    struct str scope = STR_EMPTY;
    n->module = b->m;
    n->custom = n->labels = n->title = n->description = VAL_UNDEF;
    if (!read_yaml(b, &raw)) {
        return;
    }
    read_fields(b, n, raw, &scope);
    if (b->failed) {
        return;
    }
    n->loc = b->loc;
    n->loc.end = b->lines[b->n - 1].loc.end;
    n->text = block_text(b, true);
    settle_scope(b, n, scope);
    *at = n;
}

/* Rules keep what belongs to them alone. */
static void give_to_rules(struct module *m)
{
    for (size_t i = m->n_annotations; i > 0; i--) {
        struct annotation *n = m->annotations[i - 1];
        if (n->scope == SCOPE_RULE && n->rule != NULL) {
            n->next = n->rule->annotation;
            n->rule->annotation = n;
        }
    }
}

bool annotations_read(struct arena *a, struct module *m, struct rego_errors *errors)
{
    size_t before = errors->n;
    m->annotations = arena_array(a, struct annotation *, m->n_comments + 1);
    m->n_annotations = 0;
    for (size_t i = 0; i < m->n_comments; i++) {
        const struct comment *c = &m->comments[i];
        if (!is_first_line(c)) {
            continue;
        }
        size_t n = 1;
        while (i + n < m->n_comments && c[n].loc.col == 1 && c[n].loc.row == c[n - 1].loc.row + 1 &&
               !is_first_line(&c[n])) {
            n++;
        }
        struct block b = {.a = a, .m = m, .errors = errors, .lines = c, .n = n, .loc = c->loc};
        struct annotation *found = NULL;
        read_block(&b, &found);
        if (found != NULL) {
            m->annotations[m->n_annotations++] = found;
        }
    }
    give_to_rules(m);
    return errors->n == before;
}
