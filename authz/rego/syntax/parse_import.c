/* Packages and imports, and the keywords that imports turn on. */
#include "authz/rego/syntax/parse_priv.h"

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
    struct term *first = t->type == T_REF ? t->list.v[0] : t;
    term_push(p->a, path, term_var(p->a, S("data"), first->loc));
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

struct term *parse_package(struct parser *p)
{
    if (!statement_word(p)) {
        return NULL;
    }
    struct term *t = parse_term(p);
    if (t == NULL) {
        if (p->s.n_errors == 0) {
            parser_error(p, here(p), "expected path");
        }
        return NULL;
    }
    struct term *path = term_new(p->a, T_REF, t->loc);
    return package_path(p, path, t) ? path : NULL;
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

struct import *parse_import(struct parser *p)
{
    struct import *imp = arena_new(p->a, struct import);
    imp->loc = here(p);
    if (!statement_word(p)) {
        return NULL;
    }
    unsigned keywords = p->s.lex.keywords; /* `import future.keywords.in` must still be a path */
    struct parsed_term *cache = p->cache;
    p->s.lex.keywords = KW_PLAIN_NOT;
    p->cache = NULL;
    struct term *t = parse_term(p);
    p->s.lex.keywords = keywords;
    p->cache = cache;
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
    if (!path_is(path, "future", "keywords")) {
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

static void rego_import(struct parser *p, const struct import *imp)
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

void apply_import(struct parser *p, const struct import *imp)
{
    if (path_is(imp->path, "rego", NULL)) {
        rego_import(p, imp);
        reclassify(p);
    } else if (path_is(imp->path, "future", NULL)) {
        future_import(p, imp);
        reclassify(p);
    }
}
