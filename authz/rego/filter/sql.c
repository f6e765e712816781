/* UCAST as SQL, with the literals and names of each dialect. */
#include "authz/rego/filter/filter_priv.h"

struct sql {
    struct buf *out;
    struct str dialect;
};

static bool is(const struct sql *s, const char *dialect)
{
    return str_is(s->dialect, dialect);
}

static bool is_bare(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!letter && !(i > 0 && c >= '0' && c <= '9')) {
            return false;
        }
    }
    return s.n > 0;
}

/* Parts of a name that are no plain words are quoted: a name never becomes syntax. */
static void put_name(struct sql *s, struct str name)
{
    char quote = is(s, "mysql") ? '`' : '"';
    for (bool first = true; name.p != NULL; first = false) {
        struct str part = str_split(&name, '.');
        if (!first) {
            buf_putc(s->out, '.');
        }
        if (is_bare(part)) {
            buf_puts(s->out, part);
            continue;
        }
        buf_putc(s->out, quote);
        for (size_t i = 0; i < part.n; i++) {
            if (part.p[i] == quote) {
                buf_putc(s->out, quote);
            }
            buf_putc(s->out, part.p[i]);
        }
        buf_putc(s->out, quote);
    }
}

/* The character behind the backslash, in the dialects that have it; 0: it stands for itself. */
static char escape_of(unsigned char c)
{
    switch (c) {
    case '\0':
        return '0';
    case '\b':
        return 'b';
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    case 0x1a:
        return 'Z';
    case '\'':
    case '"':
    case '\\':
        return (char)c;
    default:
        return 0;
    }
}

static void put_string(struct sql *s, struct str text)
{
    bool doubled = is(s, "sqlserver") || is(s, "sqlite");
    buf_puts(s->out, is(s, "sqlserver") ? S("N'") : is(s, "postgresql") ? S("E'") : S("'"));
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i], escape = doubled ? 0 : escape_of((unsigned char)c);
        if (c == '\0' && is(s, "sqlite")) {
            buf_puts(s->out, S("'||char(0)||'"));
        } else if (escape != 0) {
            buf_putc(s->out, '\\');
            buf_putc(s->out, escape);
        } else {
            if (c == '\'') {
                buf_putc(s->out, c);
            }
            buf_putc(s->out, c);
        }
    }
    buf_putc(s->out, '\'');
}

/* Numbers are literals of text, too, as OPA writes them: the column's type decides. */
static bool put_literal(struct sql *s, struct val v)
{
    struct buf text;
    switch (val_type(v)) {
    case V_NULL:
        buf_puts(s->out, S("NULL"));
        return true;
    case V_BOOL:
        buf_puts(s->out, val_is_true(v) ? S("TRUE") : S("FALSE"));
        return true;
    case V_STRING:
        put_string(s, val_text(v));
        return true;
    case V_NUMBER:
        buf_init(&text, 1 << 20);
        num_write(&text, val_number(v));
        put_string(s, buf_str(&text));
        buf_release(&text);
        return true;
    default:
        return false;
    }
}

static bool put_in(struct sql *s, struct str field, struct val list)
{
    if (!val_is(list, V_ARRAY)) {
        return false;
    }
    if (val_len(list) == 0) {
        buf_puts(s->out, S("0 = 1"));
        return true;
    }
    put_name(s, field);
    buf_puts(s->out, S(" IN ("));
    for (uint32_t i = 0; i < val_len(list); i++) {
        buf_puts(s->out, i > 0 ? S(", ") : S(""));
        if (!put_literal(s, val_nth(list, i))) {
            return false;
        }
    }
    buf_putc(s->out, ')');
    return true;
}

/* A pattern in which the text means itself. */
static bool put_like(struct sql *s, struct str field, struct str op, struct val v)
{
    struct buf pattern;
    if (!val_is(v, V_STRING)) {
        return false;
    }
    struct str text = val_text(v);
    buf_init(&pattern, 1 << 20);
    buf_puts(&pattern, str_is(op, "startswith") ? S("") : S("%"));
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '\\' || text.p[i] == '_' || text.p[i] == '%') {
            buf_putc(&pattern, '\\');
        }
        buf_putc(&pattern, text.p[i]);
    }
    buf_puts(&pattern, str_is(op, "endswith") ? S("") : S("%"));
    put_name(s, field);
    buf_puts(s->out, S(" LIKE "));
    put_string(s, buf_str(&pattern));
    bool ok = buf_ok(&pattern);
    buf_release(&pattern);
    return ok;
}

static bool put_field(struct sql *s, struct val n)
{
    static const char *const signs[][2] = {{"eq", "="}, {"ne", "<>"},  {"lt", "<"},
                                           {"gt", ">"}, {"lte", "<="}, {"gte", ">="}};
    struct str op = val_text(val_get_str(n, "operator")), field = val_text(val_get_str(n, "field"));
    struct val value = val_get_str(n, "value");
    if (str_is(op, "in")) {
        return put_in(s, field, value);
    }
    if (str_is(op, "startswith") || str_is(op, "endswith") || str_is(op, "contains")) {
        return put_like(s, field, op, value);
    }
    if (val_is(value, V_NULL)) {
        bool eq = str_is(op, "eq");
        put_name(s, field);
        buf_puts(s->out, eq ? S(" IS NULL") : S(" IS NOT NULL"));
        return eq || str_is(op, "ne");
    }
    for (size_t i = 0; i < ARRAY_LEN(signs); i++) {
        if (!str_is(op, signs[i][0])) {
            continue;
        }
        put_name(s, field);
        buf_printf(s->out, " %s ", signs[i][1]);
        struct val other = val_is(value, V_OBJECT) ? val_get_str(value, "field") : VAL_UNDEF;
        if (val_is(other, V_STRING)) {
            put_name(s, val_text(other));
            return true;
        }
        return put_literal(s, value);
    }
    return false;
}

/* Conditions are three deep at most: or, and, not. */
static bool put_node(struct sql *s, struct val n, int depth)
{
    struct str op = val_text(val_get_str(n, "operator"));
    struct val value = val_get_str(n, "value");
    if (str_is(val_text(val_get_str(n, "type")), "field")) {
        return put_field(s, n);
    }
    if (depth == 0 || !val_is(value, V_ARRAY)) {
        return false;
    }
    if (str_is(op, "not")) {
        buf_puts(s->out, S("NOT "));
        return put_node(s, val_nth(value, 0), depth - 1);
    }
    buf_putc(s->out, '(');
    for (uint32_t i = 0; i < val_len(value); i++) {
        buf_puts(s->out, i == 0 ? S("") : str_is(op, "and") ? S(" AND ") : S(" OR "));
        if (!put_node(s, val_nth(value, i), depth - 1)) {
            return false;
        }
    }
    buf_putc(s->out, ')');
    return true;
}

bool filter_sql(struct buf *out, struct val ucast, struct str dialect)
{
    struct sql s = {.out = out, .dialect = dialect};
    if (val_len(ucast) == 0) {
        return true;
    }
    buf_puts(out, S("WHERE "));
    return put_node(&s, ucast, 4) && buf_ok(out);
}
