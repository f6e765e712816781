/* Comparison, types, casts, membership, and the words that print and trace. */
#include "authz/rego/builtin/builtin.h"

static enum b_status b_equal(struct bcall *b)
{
    return b_out(b, val_bool(val_eq(b->args[0], b->args[1])));
}

static enum b_status b_neq(struct bcall *b)
{
    return b_out(b, val_bool(!val_eq(b->args[0], b->args[1])));
}

static enum b_status b_lt(struct bcall *b)
{
    return b_out(b, val_bool(val_cmp(b->args[0], b->args[1]) < 0));
}

static enum b_status b_lte(struct bcall *b)
{
    return b_out(b, val_bool(val_cmp(b->args[0], b->args[1]) <= 0));
}

static enum b_status b_gt(struct bcall *b)
{
    return b_out(b, val_bool(val_cmp(b->args[0], b->args[1]) > 0));
}

static enum b_status b_gte(struct bcall *b)
{
    return b_out(b, val_bool(val_cmp(b->args[0], b->args[1]) >= 0));
}

static enum b_status is_type(struct bcall *b, enum vtype t)
{
    return b_out(b, val_bool(val_is(b->args[0], t)));
}

static enum b_status b_is_array(struct bcall *b)
{
    return is_type(b, V_ARRAY);
}
static enum b_status b_is_boolean(struct bcall *b)
{
    return is_type(b, V_BOOL);
}
static enum b_status b_is_null(struct bcall *b)
{
    return is_type(b, V_NULL);
}
static enum b_status b_is_number(struct bcall *b)
{
    return is_type(b, V_NUMBER);
}
static enum b_status b_is_object(struct bcall *b)
{
    return is_type(b, V_OBJECT);
}
static enum b_status b_is_set(struct bcall *b)
{
    return is_type(b, V_SET);
}
static enum b_status b_is_string(struct bcall *b)
{
    return is_type(b, V_STRING);
}

static enum b_status b_type_name(struct bcall *b)
{
    return b_str(b, str_of(val_type_name(b->args[0])));
}

static bool is_member(struct val item, struct val in)
{
    if (val_is(in, V_SET)) {
        return val_has(in, item);
    }
    for (uint32_t i = 0; val_is_collection(in) && i < val_len(in); i++) {
        if (val_eq(val_nth(in, i), item)) {
            return true;
        }
    }
    return false;
}

static enum b_status b_member_2(struct bcall *b)
{
    return b_out(b, val_bool(is_member(b->args[0], b->args[1])));
}

static enum b_status b_member_3(struct bcall *b)
{
    struct val v = val_index(b->args[2], b->args[0]);
    return b_out(b, val_bool(!val_undef(v) && val_eq(v, b->args[1])));
}

static enum b_status b_to_number(struct bcall *b)
{
    struct val v = b->args[0];
    struct num n;
    switch (val_type(v)) {
    case V_NULL:
        return b_out(b, val_int(b->a, 0));
    case V_BOOL:
        return b_out(b, val_int(b->a, val_is_true(v)));
    case V_NUMBER:
        return b_out(b, v);
    case V_STRING:
        if (failed(num_parse(val_text(v), &n))) {
            static const char *const special[] = {"nan", "inf", "infinity"};
            struct str word = val_text(v);
            bool sign = word.n > 0 && (word.p[0] == '-' || word.p[0] == '+');
            for (size_t i = 0; i < ARRAY_LEN(special); i++) {
                if (str_eq_nocase(str_sub(word, sign, word.n), str_of(special[i]))) {
                    return b_type(b, 1, "valid number string");
                }
            }
            return b_fail(b, "%s: parsing \"%.*s\": %s", "strconv.ParseFloat", STR_FMT(val_text(v)),
                          "invalid syntax");
        }
        n.text = n.text.p != NULL ? arena_str(b->a, n.text) : n.text;
        return b_out(b, val_num(b->a, n));
    default:
        return b_type(b, 1, "one of {null, boolean, number, string}");
    }
}

static enum b_status cast(struct bcall *b, enum vtype t)
{
    return b_is(b, 1, t) ? b_out(b, b->args[0]) : B_ERROR;
}

static enum b_status b_cast_string(struct bcall *b)
{
    return cast(b, V_STRING);
}
static enum b_status b_cast_boolean(struct bcall *b)
{
    return cast(b, V_BOOL);
}
static enum b_status b_cast_null(struct bcall *b)
{
    return cast(b, V_NULL);
}
static enum b_status b_cast_object(struct bcall *b)
{
    return cast(b, V_OBJECT);
}

static enum b_status cast_list(struct bcall *b, bool to_set)
{
    struct val v = b->args[0];
    if (!val_is(v, V_ARRAY) && !val_is(v, V_SET)) {
        return b_type(b, 1, "one of {array, set}");
    }
    struct vlist l = {.a = b->a};
    for (uint32_t i = 0; i < val_len(v); i++) {
        vlist_add(&l, val_nth(v, i));
    }
    return b_out(b, to_set ? vlist_set(&l) : vlist_array(&l));
}

static enum b_status b_cast_array(struct bcall *b)
{
    return cast_list(b, false);
}
static enum b_status b_cast_set(struct bcall *b)
{
    return cast_list(b, true);
}

static enum b_status b_trace(struct bcall *b)
{
    return b_is(b, 1, V_STRING) ? b_out(b, VAL_TRUE) : B_ERROR;
}

static enum b_status b_print(struct bcall *b)
{
    return b_out(b, VAL_TRUE);
}

static enum b_status b_internal_print(struct bcall *b)
{
    return b_is(b, 1, V_ARRAY) ? b_out(b, VAL_TRUE) : B_ERROR;
}

static enum b_status b_test_case(struct bcall *b)
{
    if (!b_is(b, 1, V_ARRAY)) {
        return B_ERROR;
    }
    b_tell_test_case(b, b->args[0]);
    return b_out(b, VAL_TRUE);
}

/* internal.template_string: what the compiler of upstream makes of a template. */
static enum b_status b_template(struct bcall *b)
{
    if (!b_is(b, 1, V_ARRAY)) {
        return B_ERROR;
    }
    struct buf text;
    buf_init(&text, 64 << 20);
    for (uint32_t i = 0; i < val_len(b->args[0]); i++) {
        struct val v = val_arr(b->args[0])->v[i];
        if (val_is(v, V_SET)) {
            v = val_len(v) == 0 ? VAL_UNDEF : val_tab(v)->v[0];
        }
        if (val_undef(v)) {
            buf_puts(&text, S("<undefined>"));
        } else if (val_is(v, V_STRING)) {
            buf_puts(&text, val_text(v));
        } else {
            val_to_rego(&text, v);
        }
    }
    return b_buf(b, &text);
}

const struct builtin builtins_core[] = {
    {"equal", 2, b_equal, BF_CHEAP},
    {"neq", 2, b_neq, BF_CHEAP},
    {"lt", 2, b_lt, BF_CHEAP},
    {"lte", 2, b_lte, BF_CHEAP},
    {"gt", 2, b_gt, BF_CHEAP},
    {"gte", 2, b_gte, BF_CHEAP},
    {"eq", 2, b_equal, 0},
    {"assign", 2, b_equal, 0},
    {"is_array", 1, b_is_array, BF_CHEAP},
    {"is_boolean", 1, b_is_boolean, BF_CHEAP},
    {"is_null", 1, b_is_null, BF_CHEAP},
    {"is_number", 1, b_is_number, BF_CHEAP},
    {"is_object", 1, b_is_object, BF_CHEAP},
    {"is_set", 1, b_is_set, BF_CHEAP},
    {"is_string", 1, b_is_string, BF_CHEAP},
    {"type_name", 1, b_type_name, BF_CHEAP},
    {"internal.member_2", 2, b_member_2, BF_CHEAP},
    {"internal.member_3", 3, b_member_3, BF_CHEAP},
    {"to_number", 1, b_to_number, BF_CHEAP},
    {"cast_string", 1, b_cast_string, BF_DEPRECATED},
    {"cast_boolean", 1, b_cast_boolean, BF_DEPRECATED},
    {"cast_null", 1, b_cast_null, BF_DEPRECATED},
    {"cast_object", 1, b_cast_object, BF_DEPRECATED},
    {"cast_array", 1, b_cast_array, BF_DEPRECATED},
    {"cast_set", 1, b_cast_set, BF_DEPRECATED},
    {"trace", 1, b_trace, 0},
    {"print", 0, b_print, BF_VOID},
    {"internal.print", 1, b_internal_print, BF_VOID},
    {"internal.test_case", 1, b_test_case, BF_VOID},
    {"internal.template_string", 1, b_template, 0},
    {0},
};
