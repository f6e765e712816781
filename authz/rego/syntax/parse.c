/* The parser's core, packages, imports, and the statements of a module. */
#include "authz/rego/syntax/parse_priv.h"

#include <stdarg.h>

static void add_comment(struct parser *p)
{
    p->comments = arena_grow(p->a, p->comments, p->s.n_comments, p->s.n_comments + 1,
                             &p->cap_comments, sizeof *p->comments);
    struct str text = str_sub(lit(p), 1, lit(p).n);
    while (text.n > 0 && text.p[text.n - 1] == '\r') {
        text.n--;
    }
    p->comments[p->s.n_comments++] = (struct comment){.loc = here(p), .text = text};
}

static void note_token(struct parser *p)
{
    p->s.tok_end = p->s.cur.loc.end;
    if (p->s.cur.error != NULL) {
        parser_error(p, here(p), "%s", p->s.cur.error);
        p->s.cur.tok = TOK_ILLEGAL;
    }
}

static void scan(struct parser *p, bool skip_blanks)
{
    if (tok(p) != TOK_WHITESPACE) {
        p->s.last_end = p->s.tok_end;
        p->s.skipped_nl = false;
    }
    for (;;) {
        p->s.cur = lexer_next(&p->s.lex);
        note_token(p);
        if (tok(p) == TOK_WHITESPACE) {
            p->s.skipped_nl |= lit(p).p[0] == '\n';
            if (skip_blanks) {
                continue;
            }
        }
        if (tok(p) != TOK_COMMENT) {
            return;
        }
        add_comment(p);
    }
}

void parser_scan(struct parser *p)
{
    scan(p, true);
}

void parser_scan_ws(struct parser *p)
{
    scan(p, false);
}

void parser_template_rest(struct parser *p, bool raw)
{
    p->s.last_end = p->s.tok_end;
    p->s.skipped_nl = false;
    /* The lexer stands behind the `}` unless it has looked ahead, which it never does here. */
    p->s.cur = lexer_template_rest(&p->s.lex, raw);
    note_token(p);
}

void parser_restore(struct parser *p, const struct parse_state *s)
{
    p->s = *s;
    p->errors.n = s->n_errors;
}

bool parser_enter(struct parser *p)
{
    if (p->depth >= PARSE_DEPTH_MAX || arena_exhausted(p->a)) {
        parser_error(p, here(p), "max parsing recursion depth exceeded");
        return false;
    }
    p->depth++;
    return true;
}

enum { MESSAGE_MAX = 4096 };

static struct str with_hints(struct parser *p, const char *fmt, va_list ap)
{
    char text[MESSAGE_MAX];
    int n = vsnprintf(text, sizeof text, fmt, ap);
    struct str s = arena_str(p->a, str_n(text, n < 0 ? 0 : MIN((size_t)n, sizeof text - 1)));
    for (int i = 0; i < p->s.n_hints; i++) {
        const char *open = i > 0 ? ", " : p->s.n_hints > 1 ? " (hints: " : " (hint: ";
        s = arena_printf(p->a, "%.*s%s%.*s", STR_FMT(s), open, STR_FMT(p->s.hints[i]));
    }
    if (p->s.n_hints > 0) {
        s = arena_printf(p->a, "%.*s)", STR_FMT(s));
    }
    p->s.n_hints = 0;
    return s;
}

void parser_error(struct parser *p, struct loc loc, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    struct str s = with_hints(p, fmt, ap);
    va_end(ap);
    if (p->errors.n < PARSE_ERRORS_MAX) {
        rego_errors_add(&p->errors, "rego_parse_error", p->file, loc, "%.*s", STR_FMT(s));
    }
    p->s.n_errors = p->errors.n;
}

void parser_hint(struct parser *p, const char *fmt, ...)
{
    char text[MESSAGE_MAX];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (p->s.n_hints < PARSE_HINTS_MAX) {
        p->s.hints[p->s.n_hints++] =
            arena_str(p->a, str_n(text, n < 0 ? 0 : MIN((size_t)n, sizeof text - 1)));
    }
}

void parser_illegal(struct parser *p, const char *note, ...)
{
    if (tok(p) == TOK_ILLEGAL) {
        parser_error(p, here(p), "illegal token");
        return;
    }
    enum token t = tok(p);
    bool keyword = (t >= TOK_PACKAGE && t <= TOK_FALSE) || t == TOK_IN || t >= TOK_EVERY;
    const char *kind = keyword ? "keyword" : "token";
    if (note == NULL) {
        parser_error(p, here(p), "unexpected %s %s", token_name(t), kind);
        return;
    }
    char text[MESSAGE_MAX];
    va_list ap;
    va_start(ap, note);
    vsnprintf(text, sizeof text, note, ap);
    va_end(ap);
    parser_error(p, here(p), "unexpected %s %s: %s", token_name(t), kind, text);
}

const char *term_kind(const struct term *t)
{
    static const char *const names[] = {"null",
                                        "boolean",
                                        "number",
                                        "string",
                                        "templatestring",
                                        "var",
                                        "ref",
                                        "array",
                                        "object",
                                        "set",
                                        "arraycomprehension",
                                        "setcomprehension",
                                        "objectcomprehension",
                                        "call",
                                        "and",
                                        "or",
                                        "not",
                                        "expr"};
    return names[t->type];
}

bool ref_keyword(const struct parser *p)
{
    if (tok(p) < TOK_PACKAGE) {
        return false;
    }
    struct str word = lit(p);
    if (word.n == 0 || !((word.p[0] >= 'a' && word.p[0] <= 'z'))) {
        return false;
    }
    return is_keyword_in_version(word, p->o.version) ||
           keyword_token(word, p->s.lex.keywords) != TOK_IDENT;
}

bool scan_ahead_ref(struct parser *p)
{
    if (!ref_keyword(p)) {
        return false;
    }
    struct parse_state before = p->s;
    parser_scan_ws(p);
    enum token next = tok(p);
    parser_restore(p, &before);
    if (next != TOK_DOT && next != TOK_LBRACK) {
        return false;
    }
    p->s.cur.tok = TOK_IDENT;
    return true;
}

/* `package.x` and `import.x` are references, not statements: then NULL is meant. */
static bool statement_word(struct parser *p)
{
    parser_scan_ws(p);
    if (tok(p) == TOK_DOT || tok(p) == TOK_LBRACK) {
        return false;
    }
    if (tok(p) == TOK_WHITESPACE) {
        parser_scan(p);
    }
    if (tok(p) == TOK_IDENT) {
        return true;
    }
    if (ref_keyword(p)) {
        p->s.cur.tok = TOK_IDENT;
        return true;
    }
    parser_illegal(p, NULL);
    return false;
}

static bool package_path(struct parser *p, struct term *path, struct term *t)
{
    term_push(p->a, path, term_var(p->a, S("data"), t->loc));
    struct term *first = t->type == T_REF ? t->list.v[0] : t;
    if (t->type != T_VAR && t->type != T_REF) {
        parser_illegal(p, NULL);
        return false;
    }
    if (first->type != T_VAR) {
        parser_error(p, first->loc, "unexpected %s token: expecting var", term_kind(first));
        return false;
    }
    term_push(p->a, path, term_string(p->a, first->var.name, first->loc));
    for (size_t i = 1; t->type == T_REF && i < t->list.n; i++) {
        if (t->list.v[i]->type != T_STRING) {
            parser_error(p, t->list.v[i]->loc, "unexpected %s token: expecting string",
                         term_kind(t->list.v[i]));
            return false;
        }
        term_push(p->a, path, t->list.v[i]);
    }
    return true;
}

static bool parse_package(struct parser *p, struct module *m)
{
    struct loc loc = here(p);
    if (!statement_word(p)) {
        return false;
    }
    struct term *t = parse_term(p);
    if (t == NULL) {
        if (p->s.n_errors == 0) {
            parser_error(p, here(p), "expected path");
        }
        return false;
    }
    struct term *path = term_new(p->a, T_REF, t->loc);
    if (!package_path(p, path, t)) {
        return false;
    }
    if (m->has_package) {
        parser_error(p, loc, "unexpected package");
        return true;
    }
    m->has_package = true;
    m->package_loc = loc;
    m->package = path;
    if (tok(p) == TOK_SUB) {
        parser_illegal(p, NULL);
        return false;
    }
    return true;
}

static bool import_root(struct parser *p, const struct term *path)
{
    const struct term *root = path->list.v[0];
    static const char *const roots[] = {"data", "future", "input", "rego"};
    for (size_t i = 0; i < ARRAY_LEN(roots); i++) {
        if (root->type == T_VAR && str_is(root->var.name, roots[i])) {
            return true;
        }
    }
    struct buf b;
    buf_init(&b, 4096);
    term_write(&b, root);
    parser_hint(p, "if this is unexpected, try updating OPA");
    parser_error(p, path->loc,
                 "unexpected import path, must begin with one of: "
                 "{data, future, input, rego}, got: %.*s",
                 STR_FMT(buf_str(&b)));
    buf_release(&b);
    return false;
}

static bool import_alias(struct parser *p, struct import *imp)
{
    parser_scan(p);
    if (tok(p) != TOK_IDENT) {
        parser_illegal(p, "expected var");
        return false;
    }
    struct term *t = parse_term(p);
    if (t != NULL && t->type == T_VAR) {
        imp->alias = t->var.name;
        imp->alias_loc = t->loc;
        return true;
    }
    if (t != NULL && t->type == T_REF && t->list.n == 1) {
        parser_error(p, t->loc, "unexpected import alias, must not be a reserved name, got: %.*s",
                     STR_FMT(t->list.v[0]->var.name));
        return false;
    }
    parser_illegal(p, "expected var");
    return false;
}

static void check_import_end(struct parser *p, const struct term *path)
{
    const struct term *last = path->list.v[path->list.n - 1];
    if (path->list.n > 1 && str_is(path->list.v[0]->var.name, "future")) {
        return;
    }
    struct str name = last->type == T_VAR ? last->var.name : last->str;
    if (is_keyword_in_version(name, p->o.version)) {
        parser_hint(p, "import a different path or use an alias");
        parser_error(p, last->loc, "unexpected import path, must not end with a keyword, got: %.*s",
                     STR_FMT(name));
    }
}

static struct import *parse_import(struct parser *p)
{
    struct import *imp = arena_new(p->a, struct import);
    imp->loc = here(p);
    if (!statement_word(p)) {
        return NULL;
    }
    unsigned keywords = p->s.lex.keywords;
    p->s.lex.keywords = 0;
    struct term *t = parse_term(p);
    p->s.lex.keywords = keywords;
    if (tok(p) == TOK_IDENT) {
        p->s.cur.tok = keyword_token(lit(p), keywords); /* scanned before they were back */
    }
    if (t == NULL || (t->type != T_VAR && t->type != T_REF)) {
        parser_error(p, here(p), "expected path");
        return NULL;
    }
    imp->path = term_new(p->a, T_REF, t->loc);
    for (size_t i = 0; i < (t->type == T_REF ? t->list.n : 1); i++) {
        struct term *part = t->type == T_REF ? t->list.v[i] : t;
        if (i > 0 && part->type != T_STRING) {
            parser_error(p, part->loc, "unexpected %s token: expecting string", term_kind(part));
            return NULL;
        }
        term_push(p->a, imp->path, part);
    }
    if (!import_root(p, imp->path)) {
        return NULL;
    }
    if (tok(p) == TOK_AS) {
        return import_alias(p, imp) ? imp : NULL;
    }
    check_import_end(p, imp->path);
    imp->loc.end = p->s.last_end;
    return imp;
}

static bool path_is(const struct term *path, const char *root, const char *next)
{
    return str_is(path->list.v[0]->var.name, root) &&
           (next == NULL || (path->list.n > 1 && str_is(path->list.v[1]->str, next)));
}

static void future_import(struct parser *p, const struct import *imp)
{
    const struct term *path = imp->path;
    if (!path_is(path, "future", "keywords") || path->list.n > 3) {
        parser_error(p, path->loc, "invalid import, must be `future.keywords`");
        return;
    }
    if (imp->alias.n > 0) {
        parser_error(p, imp->alias_loc, "`future` imports cannot be aliased");
        return;
    }
    unsigned bits = p->allowed;
    if (path->list.n == 3) {
        bits = keyword_bit(path->list.v[2]->str);
        if (bits == 0 || (bits & p->allowed) == 0) {
            parser_error(p, path->loc,
                         "unexpected keyword, must be one of "
                         "[and contains every if in not or]");
            return;
        }
    }
    p->not_bodies |= (bits & KW_NOT) != 0;
    p->s.lex.keywords |= bits | ((bits & KW_EVERY) != 0 ? KW_IN : 0);
}

static void rego_import(struct parser *p, struct module *m, const struct import *imp)
{
    const struct term *path = imp->path;
    bool v1 = path->list.n == 2 && path_is(path, "rego", "v1");
    bool v2 = path->list.n == 2 && path_is(path, "rego", "v2");
    if (!v1 && !v2) {
        struct buf b;
        buf_init(&b, 4096);
        term_write(&b, path);
        parser_error(p, path->loc, "invalid import `%.*s`, must be one of: `rego.v1`, `rego.v2`",
                     STR_FMT(buf_str(&b)));
        buf_release(&b);
        return;
    }
    if (imp->alias.n > 0) {
        parser_error(p, imp->alias_loc, "`rego` imports cannot be aliased");
        return;
    }
    enum rego_version v = v2 ? REGO_V2 : REGO_V1;
    m->effective = MAX(m->effective, v);
    p->s.lex.keywords |= v2 ? KW_V2 : KW_V1;
    p->not_bodies |= v2;
}

/* Keywords that an import turned on apply to the token that was already read. */
static void reclassify(struct parser *p)
{
    if (tok(p) == TOK_IDENT) {
        p->s.cur.tok = keyword_token(lit(p), p->s.lex.keywords);
    }
}

static bool import_statement(struct parser *p, struct module *m)
{
    struct import *imp = parse_import(p);
    if (imp == NULL) {
        return false;
    }
    if (tok(p) == TOK_SUB) {
        parser_illegal(p, NULL);
        return false;
    }
    if (path_is(imp->path, "rego", NULL)) {
        rego_import(p, m, imp);
    } else if (path_is(imp->path, "future", NULL)) {
        future_import(p, imp);
    }
    reclassify(p);
    m->imports = arena_grow(p->a, m->imports, m->n_imports, m->n_imports + 1, &m->cap_imports,
                            sizeof *m->imports);
    m->imports[m->n_imports++] = imp;
    return true;
}

static void add_rule(struct parser *p, struct module *m, struct rule *r)
{
    for (; r != NULL; r = r->next_in_chain) {
        for (struct rule *e = r; e != NULL; e = e->otherwise) {
            e->module = m;
        }
        m->rules =
            arena_grow(p->a, m->rules, m->n_rules, m->n_rules + 1, &m->cap_rules, sizeof *m->rules);
        m->rules[m->n_rules++] = r;
    }
}

/* `every := 1` and the like: a keyword where only a rule's name makes sense. */
static bool keyword_as_name(struct parser *p)
{
    enum token t = tok(p);
    bool name = t == TOK_EVERY || t == TOK_IF || t == TOK_IN || t == TOK_SOME || t == TOK_AS;
    bool operator= t == TOK_NOT || t == TOK_LOGICAL_AND || t == TOK_LOGICAL_OR;
    bool path = t == TOK_PACKAGE || t == TOK_IMPORT;
    if (!name && !operator&& !path && t != TOK_CONTAINS) {
        return false;
    }
    struct loc loc = here(p);
    struct parse_state before = p->s;
    parser_scan(p);
    enum token next = tok(p);
    parser_restore(p, &before);
    bool equation = (next == TOK_ASSIGN || next == TOK_UNIFY) && t != TOK_CONTAINS;
    bool word = (next == TOK_IF || next == TOK_CONTAINS) && !path;
    bool call = next == TOK_LPAREN && (name || path);
    if (!equation && !word && !call) {
        return false;
    }
    parser_error(p, loc, "%s keyword cannot be used for rule name", token_name(t));
    return true;
}

/* One statement: false when nothing more can be read. */
static bool statement(struct parser *p, struct module *m)
{
    if (keyword_as_name(p)) {
        return false;
    }
    struct parse_state before = p->s;
    if (tok(p) == TOK_PACKAGE || tok(p) == TOK_IMPORT) {
        bool ok = tok(p) == TOK_PACKAGE ? parse_package(p, m) : import_statement(p, m);
        if (ok || p->s.n_errors > before.n_errors) {
            return ok;
        }
        parser_restore(p, &before);
    }
    if (!m->has_package && p->s.n_errors == 0) {
        parser_error(p, here(p), "package expected");
        return false;
    }
    struct rule *r = parse_rules(p);
    if (r != NULL) {
        add_rule(p, m, r);
        return true;
    }
    if (p->s.n_errors > before.n_errors) {
        return false;
    }
    parser_restore(p, &before);
    struct body *b = parse_query(p, true, TOK_EOF);
    if (b == NULL) {
        return false;
    }
    r = rule_from_body(p, b);
    if (r != NULL) {
        add_rule(p, m, r);
    }
    return true;
}

static void check_versions(struct parser *p, struct module *m)
{
    for (size_t i = 0; m->effective >= REGO_V1 && i < m->n_rules; i++) {
        for (struct rule *r = m->rules[i]; r != NULL; r = r->otherwise) {
            check_v1_rule(p, r);
        }
    }
}

static void parser_init(struct parser *p, struct arena *a, struct str file, struct str source,
                        const struct parse_options *o)
{
    *p = (struct parser){.a = a, .file = file, .source = source, .o = *o, .errors = {.a = a}};
    lexer_init(&p->s.lex, source);
    p->allowed = KW_V2;
    unsigned on = o->version == REGO_V0 ? 0 : o->version == REGO_V1 ? KW_V1 : KW_V2;
    on |= o->all_future_keywords || o->query_keywords_v2 ? KW_V2 : 0;
    p->s.lex.keywords = on;
    p->not_bodies = (on & KW_NOT) != 0;
    p->s.cur.tok = TOK_WHITESPACE;
    parser_scan(p);
}

static void hand_over(struct parser *p, struct rego_errors *errors)
{
    for (size_t i = 0; i < p->errors.n; i++) {
        rego_errors_add(errors, p->errors.v[i].code, p->errors.v[i].file, p->errors.v[i].loc,
                        "%.*s", STR_FMT(p->errors.v[i].message));
    }
}

bool rego_parse_module(struct arena *a, struct str file, struct str source,
                       const struct parse_options *o, struct rego_errors *errors,
                       struct module **out)
{
    struct parser *p = arena_new(a, struct parser);
    parser_init(p, a, file, source, o);
    struct module *m = arena_new(a, struct module);
    m->file = file;
    m->source = source;
    m->version = m->effective = o->version;
    while (tok(p) != TOK_EOF && statement(p, m) && !arena_exhausted(a)) {
    }
    m->comments = p->comments;
    m->n_comments = p->s.n_comments;
    m->not_bodies = p->not_bodies;
    if (p->errors.n == 0 && !m->has_package) {
        rego_errors_add(&p->errors, "rego_parse_error", file, (struct loc){0}, "empty module");
    }
    if (p->errors.n == 0) {
        check_versions(p, m);
    }
    hand_over(p, errors);
    if (p->errors.n > 0) {
        return false;
    }
    *out = m;
    return true;
}

bool rego_parse_query(struct arena *a, struct str source, const struct parse_options *o,
                      struct rego_errors *errors, struct body **out)
{
    struct parser *p = arena_new(a, struct parser);
    parser_init(p, a, STR_EMPTY, source, o);
    struct body *b = arena_new(a, struct body);
    while (tok(p) != TOK_EOF && p->errors.n == 0) {
        struct body *part = parse_query(p, true, TOK_EOF);
        for (size_t i = 0; part != NULL && i < part->n; i++) {
            body_push(a, b, part->v[i]);
        }
        if (part == NULL) {
            break;
        }
    }
    if (p->errors.n == 0 && b->n == 0) {
        rego_errors_add(&p->errors, "rego_parse_error", STR_EMPTY, (struct loc){.row = 1, .col = 1},
                        "empty query");
    }
    hand_over(p, errors);
    *out = b;
    return p->errors.n == 0;
}
