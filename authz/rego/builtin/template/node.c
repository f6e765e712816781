/* Nodes as error texts show them, and Go's string literals. */
#include "authz/rego/builtin/template/priv.h"

#include "authz/rego/value/utf8.h"

static void put_words(struct buf *out, const struct tnode *n)
{
    for (size_t i = 0; i < n->items.n; i++) {
        bool parens = n->items.v[i]->kind == T_PIPE;
        buf_puts(out, i > 0 ? S(" ") : STR_EMPTY);
        buf_puts(out, parens ? S("(") : STR_EMPTY);
        tnode_put(out, n->items.v[i]);
        buf_puts(out, parens ? S(")") : STR_EMPTY);
    }
}

static void put_pipe(struct buf *out, const struct tnode *n)
{
    for (size_t i = 0; i < n->decls.n; i++) {
        buf_puts(out, i > 0 ? S(", ") : STR_EMPTY);
        tnode_put(out, n->decls.v[i]);
    }
    if (n->decls.n > 0) {
        buf_puts(out, n->assign ? S(" = ") : S(" := "));
    }
    for (size_t i = 0; i < n->items.n; i++) {
        buf_puts(out, i > 0 ? S(" | ") : STR_EMPTY);
        tnode_put(out, n->items.v[i]);
    }
}

static void put_idents(struct buf *out, const struct tnode *n, bool first_dot)
{
    for (size_t i = 0; i < n->n_idents; i++) {
        buf_puts(out, i > 0 || first_dot ? S(".") : STR_EMPTY);
        buf_puts(out, n->idents[i]);
    }
}

static void put_control(struct buf *out, const struct tnode *n)
{
    static const char *const words[] = {[T_IF] = "if", [T_RANGE] = "range", [T_WITH] = "with"};
    buf_printf(out, "{{%s ", words[n->kind]);
    tnode_put(out, n->pipe);
    buf_puts(out, S("}}"));
    tnode_put(out, n->list);
    if (n->otherwise != NULL) {
        buf_puts(out, S("{{else}}"));
        tnode_put(out, n->otherwise);
    }
    buf_puts(out, S("{{end}}"));
}

/* dispatch: one short case for each kind of node; depth is bounded by TEMPLATE_DEPTH_MAX */
void tnode_put(struct buf *out, const struct tnode *n)
{
    switch (n->kind) {
    case T_LIST:
        for (size_t i = 0; i < n->items.n; i++) {
            tnode_put(out, n->items.v[i]);
        }
        break;
    case T_ACTION:
        buf_puts(out, S("{{"));
        tnode_put(out, n->pipe);
        buf_puts(out, S("}}"));
        break;
    case T_IF:
    case T_RANGE:
    case T_WITH:
        put_control(out, n);
        break;
    case T_TEMPLATE:
        buf_puts(out, S("{{template "));
        gofmt_quoted(out, n->text);
        buf_puts(out, n->pipe != NULL ? S(" ") : STR_EMPTY);
        if (n->pipe != NULL) {
            tnode_put(out, n->pipe);
        }
        buf_puts(out, S("}}"));
        break;
    case T_BREAK:
        buf_puts(out, S("{{break}}"));
        break;
    case T_CONTINUE:
        buf_puts(out, S("{{continue}}"));
        break;
    case T_ELSE:
        buf_puts(out, S("{{else}}"));
        break;
    case T_END:
        buf_puts(out, S("{{end}}"));
        break;
    case T_PIPE:
        put_pipe(out, n);
        break;
    case T_COMMAND:
        put_words(out, n);
        break;
    case T_CHAIN:
        buf_puts(out, n->pipe->kind == T_PIPE ? S("(") : STR_EMPTY);
        tnode_put(out, n->pipe);
        buf_puts(out, n->pipe->kind == T_PIPE ? S(")") : STR_EMPTY);
        put_idents(out, n, true);
        break;
    case T_FIELD:
    case T_VARIABLE:
        put_idents(out, n, n->kind == T_FIELD);
        break;
    default:
        buf_puts(out, n->text);
    }
}

static int digit(char c)
{
    return c >= '0' && c <= '9'                 ? c - '0'
           : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                : 99;
}

/* `n` digits of `base` from *at on. */
static bool digits(struct str s, size_t *at, size_t n, unsigned base, uint32_t *out)
{
    *out = 0;
    for (size_t i = 0; i < n; i++, (*at)++) {
        if (*at >= s.n || digit(s.p[*at]) >= (int)base) {
            return false;
        }
        *out = *out * base + (uint32_t)digit(s.p[*at]);
    }
    return true;
}

static bool escape(struct str s, size_t *at, char quote, struct buf *out)
{
    static const char from[] = "abfnrtv\\", to[] = "\a\b\f\n\r\t\v\\";
    uint32_t c;
    char e = *at < s.n ? s.p[(*at)++] : 0;
    const char *simple = e != 0 ? strchr(from, e) : NULL;
    if (simple != NULL || (e == quote && e != 0)) {
        buf_putc(out, simple != NULL ? to[simple - from] : e);
        return true;
    }
    if (e == 'x' || (e >= '0' && e <= '7')) {
        *at -= e != 'x';
        bool ok = e == 'x' ? digits(s, at, 2, 16, &c) : digits(s, at, 3, 8, &c) && c < 256;
        buf_putc(out, (char)c);
        return ok;
    }
    if (e == 'u' || e == 'U') {
        if (!digits(s, at, e == 'u' ? 4 : 8, 16, &c) || c > 0x10ffff ||
            (c >= 0xd800 && c < 0xe000)) {
            return false;
        }
        utf8_put(out, c);
        return true;
    }
    return false;
}

bool tunquote(struct arena *a, struct str quoted, struct str *out)
{
    struct buf b;
    if (quoted.n < 2 || quoted.p[0] != quoted.p[quoted.n - 1] ||
        strchr("\"'`", quoted.p[0]) == NULL) {
        return false;
    }
    char quote = quoted.p[0];
    struct str s = str_sub(quoted, 1, quoted.n - 1);
    bool ok = true;
    buf_init(&b, s.n * 4 + 16);
    for (size_t at = 0; ok && at < s.n;) {
        if (quote == '`') {
            buf_puts(&b, s.p[at] != '\r' ? str_sub(s, at, at + 1) : STR_EMPTY);
            at++;
        } else if (s.p[at] == '\\') {
            at++;
            ok = escape(s, &at, quote, &b);
        } else {
            ok = s.p[at] != quote && s.p[at] != '\n';
            buf_putc(&b, s.p[at++]);
        }
    }
    *out = arena_str(a, buf_str(&b));
    buf_release(&b);
    return ok;
}
