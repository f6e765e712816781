/*
 * builtin: how the functions of the language are written.
 *
 * A builtin is a C function that is called with its evaluated operands, none of them undefined:
 *
 *     static enum b_status b_count(struct bcall *b)
 *     {
 *         struct val v = b->args[0];
 *         if (val_is(v, V_STRING)) ...
 *         return b_type(b, 1, "one of {array, object, set, string}");
 *     }
 *
 * It returns b_out(b, value), B_UNDEF (the expression is undefined), or an error made by b_type (a
 * wrong operand: eval_type_error) or b_fail (anything else: eval_builtin_error). Unless errors are
 * strict, an error only makes the expression undefined. Values are made in b->a, which is freed when
 * the query ends. Loops over large operands call b_budget() now and then and give up when it says so.
 *
 * A group of builtins is one file, builtin_GROUP.c, that ends with a table
 *
 *     const struct builtin builtins_GROUP[] = { {"count", 1, b_count, 0}, …, {0} };
 *
 * and one line in the list of builtin.c. Operand helpers name operands from 1, as error texts do.
 */
#ifndef SEXTANT_REGO_BUILTIN_H
#define SEXTANT_REGO_BUILTIN_H

#include "authz/rego/value/value.h"

struct eval;

enum b_status { B_OK, B_UNDEF, B_ERROR };

struct bcall {
    struct arena *a;
    struct eval *ev; /* the query that runs */
    const struct builtin *fn;
    const struct val *args;
    int n;
    struct val out;
};

enum {
    BF_RELATION = 1,   /* returns an array of results that is enumerated (walk) */
    BF_NONDET = 2,     /* depends on the world; cached inside a query by its operands */
    BF_DEPRECATED = 4, /* refused in modules from v1 on */
    BF_VOID = 8,       /* has no result */
    BF_CHEAP = 16,     /* quicker than looking up an earlier result */
    BF_OUTSIDE = 64,   /* asks the world (outside.h) */
    BF_UNCACHED = 32,  /* BF_NONDET that keeps its results itself */
};

struct builtin {
    const char *name;
    int arity;
    enum b_status (*fn)(struct bcall *b);
    unsigned flags;
};

const struct builtin *builtin_find(struct str name); /* NULL when there is none */
const struct builtin *builtin_at(size_t i); /* all of them by index; NULL behind the last */

/*
 * Adds builtins of the embedding program (a list that ends with an empty entry and lives as long as the
 * program) before the first policy is compiled. Their names hide ours.
 */
void builtin_extend(const struct builtin *list);

static inline enum b_status b_out(struct bcall *b, struct val v)
{
    b->out = v;
    return B_OK;
}

/* "name: operand POS must be WANT but got TYPE" (eval_type_error). POS counts from 1. */
enum b_status b_type(struct bcall *b, int pos, const char *want);
/* The same about an element of a collection operand: "… must be WANT but got COLLECTION containing TYPE". */
enum b_status b_type_of_item(struct bcall *b, int pos, const char *want, struct val item);
/* "name: operand POS …" with a text of its own (eval_type_error). */
enum b_status b_operand(struct bcall *b, int pos, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* "name: text" (eval_builtin_error). */
enum b_status b_fail(struct bcall *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* As b_fail with the detail of a lib error. */
enum b_status b_fail_err(struct bcall *b, struct err e);

/* Operands of one type; false after an error was recorded: `return B_ERROR`. */
bool b_string(struct bcall *b, int pos, struct str *out);
bool b_number(struct bcall *b, int pos, struct num *out);
bool b_int(struct bcall *b, int pos, int64_t *out); /* a whole number in range */
bool b_is(struct bcall *b, int pos, enum vtype t);
/* Every element of an array or set operand is a string. */
bool b_strings(struct bcall *b, int pos);

enum b_status b_str(struct bcall *b,
                    struct str s); /* a copy; ends the query when it does not fit */
size_t b_text_max(const struct bcall *b,
                  size_t most);       /* for the buf of a result: `most`, or less */
size_t b_room(const struct bcall *b); /* bytes of memory that the query has left */
/* The content of a buf as a string result; releases the buf. ERR when it overflowed. */
enum b_status b_buf(struct bcall *b, struct buf *text);
bool b_budget(struct bcall *b, uint64_t work); /* true: stop, the query is out of budget */

/* For internal.test_case: tells who asked for it. */
void b_tell_test_case(struct bcall *b, struct val name);

/* What a query shares between its builtins. */
int64_t b_now_ns(struct bcall *b);                       /* constant inside one query */
struct val b_cache_get(struct bcall *b, struct val key); /* VAL_UNDEF when absent */
void b_cache_put(struct bcall *b, struct val key, struct val v);

#endif
