/*
 * code: what the evaluator runs. A body is a straight line of instructions with choice points: where
 * one fails, it jumps to the innermost loop around it that may have another solution, which is known
 * when the code is made. No stack of alternatives is kept at run time.
 *
 * Operands: registers count from 0; constants are the complement of their index (~0 is the first).
 */
#ifndef SEXTANT_REGO_CODE_H
#define SEXTANT_REGO_CODE_H

#include "authz/rego/compile/compile_priv.h"

enum op {
    OP_JMP,        /* to */
    OP_MOVE,       /* a <- b */
    OP_INPUT,      /* a <- input, or fail */
    OP_INPUT_PATH, /* a <- input[list b, n keys], or fail; flag: unless a has it already */
    OP_DATA_PATH,  /* the same for base data that no rule stands in the way of */
    OP_DOC,        /* a <- the document of node p */
    OP_RULE,       /* a <- the value of node p, or fail */
    OP_DOT,        /* a <- b[c], or fail */
    OP_FIELD,      /* a <- b[c], c a constant string, or fail */
    OP_FORCE,      /* a <- b as a plain value, or fail */
    OP_SCAN,       /* a, a+1, a+2 <- an iteration over b, or fail */
    OP_NEXT, /* b <- key, c <- value of iteration a, or jump to `to` when exhausted; -1: not wanted */
    OP_FIELD_CMP, /* fail unless b[c] REL a, c a constant string, REL in n; flag: a stood on the left */
    OP_EQ,        /* fail unless b equals c */
    OP_TRUE,      /* fail if b is false */
    OP_CMP,       /* fail unless b REL c, REL in n */
    OP_LEN,       /* fail unless b is of type n and has c elements */
    OP_ARRAY,     /* a <- array of list b, n operands */
    OP_SET,       /* a <- set of list b, n operands */
    OP_OBJECT,  /* a <- object of list b, n operands: keys and values by turns */
    OP_CALL,    /* a <- builtin p of list b, n operands, or fail */
    OP_FUNC,    /* a <- function node p of list b, n operands, or fail */
    OP_COLLECT, /* a <- a new collection */
    OP_ADD,     /* a gets b */
    OP_ADD2,    /* a gets b: c */
    OP_DONE,    /* a <- the collection b as a value of type n */
    OP_WITH,    /* begin of `with`: struct with_code p, values in list b, n of them */
    OP_UNWITH,  /* its end */
    OP_VALUE,   /* the rule's value is b */
    OP_RETURN,  /* the rule's value is b; stop */
    OP_MEMBER,  /* the rule adds b to its set */
    OP_PART, /* the rule adds at list b, n operands: path… and value last; c: it is a set member */
    OP_ROW,  /* a solution of the query: list b, n operands */
    OP_TEMPLATE, /* a <- text of list b, n operands, each a set of at most one value */
    OP_PRINT,    /* prints list b, n operands, each a set of values */
    OP_END,
};

struct insn {
    uint8_t op, flag;
    uint16_t n;
    int32_t a, b, c;
    uint32_t to; /* where to go on failure, or at all */
    const void *p;
    struct loc loc;
};

struct code {
    struct insn *v;
    size_t n, cap;
    uint32_t n_regs;
    struct val *consts;
    size_t n_consts, cap_consts;
    int32_t *lists;
    size_t n_lists, cap_lists;
    int32_t *kept; /* registers that start out empty (w is 0) */
    size_t n_kept, cap_kept;
    struct str file;
    struct node *node; /* whose rule it is; NULL for queries */
};

enum with_kind { WITH_INPUT, WITH_DATA, WITH_FUNC };

struct with_target {
    enum with_kind kind;
    struct val *path; /* below input or data */
    size_t n_path;
    struct node *mask; /* WITH_DATA: rules here are hidden */
    struct node *func; /* WITH_FUNC: what is replaced … */
    const struct builtin *builtin;
    struct node *by_func; /* … and by what; or by the value */
    const struct builtin *by_builtin;
};

struct with_code {
    size_t n;
    struct with_target *targets;
};

#endif
