/* The parts of templates: tokens, nodes, and the values that commands give. */
#ifndef SEXTANT_REGO_TEMPLATE_PRIV_H
#define SEXTANT_REGO_TEMPLATE_PRIV_H

#include "authz/rego/builtin/gofmt.h"
#include "authz/rego/builtin/template/template.h"

enum ttok {
    TT_ERROR,
    TT_BOOL,
    TT_CHAR, /* one that means nothing by itself, such as a comma */
    TT_CHAR_CONSTANT,
    TT_ASSIGN,
    TT_DECLARE,
    TT_EOF,
    TT_FIELD,
    TT_IDENTIFIER,
    TT_LEFT_DELIM,
    TT_LEFT_PAREN,
    TT_NUMBER,
    TT_PIPE,
    TT_RAW_STRING,
    TT_RIGHT_DELIM,
    TT_RIGHT_PAREN,
    TT_SPACE,
    TT_STRING,
    TT_TEXT,
    TT_VARIABLE,
    TT_KEYWORD, /* keywords follow */
    TT_BLOCK,
    TT_BREAK,
    TT_CONTINUE,
    TT_DOT,
    TT_DEFINE,
    TT_ELSE,
    TT_END,
    TT_IF,
    TT_NIL,
    TT_RANGE,
    TT_TEMPLATE,
    TT_WITH,
};

struct ttoken {
    enum ttok kind;
    size_t pos;
    struct str text;
    unsigned line;
};

struct tlexer {
    struct arena *a;
    struct str s;
    size_t pos, start;
    unsigned line, start_line;
    int parens;
    bool inside, dead;
};

void tlex_init(struct tlexer *x, struct arena *a, struct str text);
struct ttoken tlex(struct tlexer *x);

enum tkind {
    T_LIST,
    T_TEXT,
    T_ACTION,
    T_IF,
    T_RANGE,
    T_WITH,
    T_TEMPLATE,
    T_BREAK,
    T_CONTINUE,
    T_ELSE,
    T_END,
    T_PIPE,
    T_COMMAND,
    T_FIELD,
    T_CHAIN,
    T_VARIABLE,
    T_IDENTIFIER,
    T_DOT,
    T_NIL,
    T_BOOL,
    T_NUMBER,
    T_STRING,
};

struct tnodes {
    struct tnode **v;
    size_t n, cap;
};

struct tnode {
    enum tkind kind;
    size_t pos;
    struct str text; /* as written; the name of a template; a string's value is `value` */
    struct str value;
    struct tnodes items; /* of a list, a command's words, a pipeline's commands */
    struct tnodes decls; /* variables that a pipeline sets */
    bool assign;         /* with "=" */
    struct str *idents;  /* of fields, variables and chains */
    size_t n_idents;
    struct tnode *pipe, *list, *otherwise; /* of controls; `pipe` is what a chain begins with */
    bool truth, is_int, is_float;
    int64_t i;
    double f;
};

/* What a command gives. `boxed`: taken out of data, where Go knows it as interface{}. */
enum tval_kind {
    TV_NONE,
    TV_NULL,
    TV_BOOL,
    TV_INT,
    TV_BYTE,
    TV_FLOAT,
    TV_STRING,
    TV_NUMBER,
    TV_LIST,
    TV_MAP
};

struct tval {
    enum tval_kind kind;
    bool boxed, truth;
    int64_t i;
    double f;
    struct str s;
    struct val v;
};

struct tval tval_of(struct arena *a, struct val v); /* boxed */
struct tval tval_unboxed(struct tval t);
bool tval_truth(struct tval t);
const char *tval_type(struct tval t);
struct gofmt_arg tval_arg(struct arena *a, struct tval t);

/* funcs.c */
struct tfunc {
    const char *name;
    int fixed; /* arguments there must be */
    bool more; /* and any number behind them */
    bool text; /* the first is Go's string, all others anything */
    bool (*fn)(struct arena *a, const struct tval *args, size_t n, struct tval *out,
               struct str *why);
};
const struct tfunc *tfunc_find(struct str name);

/* node.c: how a node is written in errors. */
void tnode_put(struct buf *out, const struct tnode *n);
/* strconv.Unquote; false: invalid syntax. */
bool tunquote(struct arena *a, struct str quoted, struct str *out);

#endif
