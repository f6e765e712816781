/* UUIDs, the runtime, modules as data. */
#include "authz/rego/builtin/builtin.h"
#include "authz/rego/eval/eval_priv.h"
#include "authz/rego/syntax/ast_json.h"

#include "lib/base/codec.h"

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Plain, in braces, behind urn:uuid:, or without dashes. */
static bool uuid_bytes(struct str s, uint8_t out[16])
{
    if (s.n == 45 && str_starts_nocase(s, S("urn:uuid:"))) {
        s = str_sub(s, 9, s.n);
    } else if (s.n == 38) {
        s = str_sub(s, 1, 37);
    }
    bool dashes = s.n == 36;
    if (!dashes && s.n != 32) {
        return false;
    }
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        bool dash = dashes && (i == 8 || i == 13 || i == 18 || i == 23);
        if (dash) {
            if (s.p[i] != '-') {
                return false;
            }
            continue;
        }
        int d = hex_digit(s.p[i]);
        if (d < 0) {
            return false;
        }
        out[n / 2] = (uint8_t)(n % 2 == 0 ? d << 4 : out[n / 2] | d);
        n++;
    }
    return true;
}

static const char *variant_of(uint8_t b)
{
    return (b & 0xc0) == 0x80   ? "RFC4122"
           : (b & 0xe0) == 0xc0 ? "Microsoft"
           : (b & 0xe0) == 0xe0 ? "Future"
                                : "Reserved";
}

static uint64_t be(const uint8_t *p, int n)
{
    uint64_t v = 0;
    for (int i = 0; i < n; i++) {
        v = v << 8 | p[i];
    }
    return v;
}

static void put_node(struct vlist *l, const uint8_t *u)
{
    struct str s = STR_EMPTY;
    for (int i = 10; i < 16; i++) {
        s = arena_printf(l->a, "%.*s%s%02x", STR_FMT(s), i > 10 ? "-" : "", u[i]);
    }
    vlist_put(l, "nodeid", val_str(l->a, s));
    bool local = (u[10] & 2) != 0, multicast = (u[10] & 1) != 0;
    vlist_put(l, "macvariables",
              val_str(l->a, arena_printf(l->a, "%s:%s", local ? "local" : "global",
                                         multicast ? "multicast" : "unicast")));
}

static void put_time(struct vlist *l, const uint8_t *u)
{
    uint64_t t = be(u, 4) | be(u + 4, 2) << 32 | (be(u + 6, 2) & 0xfff) << 48;
    int64_t ns = ((int64_t)t - INT64_C(122192928000000000)) * 100;
    vlist_put(l, "time", val_int(l->a, ns));
    vlist_put(l, "clocksequence", val_int(l->a, (int64_t)(be(u + 8, 2) & 0x3fff)));
    put_node(l, u);
}

static enum b_status b_uuid_parse(struct bcall *b)
{
    struct str s;
    uint8_t u[16] = {0};
    struct vlist l = {.a = b->a};
    if (!b_string(b, 1, &s)) {
        return B_ERROR;
    }
    if (!uuid_bytes(s, u)) {
        return B_UNDEF;
    }
    int version = u[6] >> 4;
    vlist_put(&l, "version", val_int(b->a, version));
    vlist_put(&l, "variant", val_str(b->a, str_of(variant_of(u[8]))));
    if (version == 1 || version == 2) {
        put_time(&l, u);
    }
    if (version == 2) {
        static const char *const domains[] = {"Person", "Group", "Org"};
        vlist_put(&l, "id", val_int(b->a, (int64_t)be(u, 4)));
        vlist_put(
            &l, "domain",
            val_str(b->a, u[9] < 3 ? str_of(domains[u[9]]) : arena_printf(b->a, "Domain%u", u[9])));
    }
    return b_out(b, vlist_object(&l));
}

static enum b_status b_uuid(struct bcall *b)
{
    char text[UUID_TEXT];
    if (!b_is(b, 1, V_STRING)) {
        return B_ERROR;
    }
    uuid4(text);
    return b_str(b, str_of(text));
}

static enum b_status b_runtime(struct bcall *b)
{
    struct val v = b->ev->o->runtime;
    return b_out(b, v.w == 0 || val_undef(v) ? val_empty_object() : v);
}

static enum b_status b_parse_module(struct bcall *b)
{
    struct str name, text;
    if (!b_string(b, 1, &name) || !b_string(b, 2, &text)) {
        return B_ERROR;
    }
    struct rego_errors errors = {.a = b->a};
    struct parse_options o = {.version = REGO_V1};
    struct module *m;
    struct buf out;
    buf_init(&out, 64 << 20);
    if (!rego_parse_module(b->a, name, text, &o, &errors, &m)) {
        rego_errors_write(&out, &errors);
        struct str why = arena_str(b->a, buf_str(&out));
        buf_release(&out);
        return b_fail(b, "%.*s", STR_FMT(why));
    }
    struct val v;
    ast_to_json(&out, m, NULL);
    struct err e = val_from_json(b->a, buf_str(&out), &v);
    buf_release(&out);
    return failed(e) ? b_fail_err(b, e) : b_out(b, v);
}

/* In rules the compiler replaces these calls; elsewhere there is nothing to tell. */
static enum b_status b_metadata(struct bcall *b)
{
    return b_fail(b, "the %s function must only be called within the scope of a rule", b->fn->name);
}

const struct builtin builtins_misc[] = {
    {"uuid.parse", 1, b_uuid_parse, 0},
    {"uuid.rfc4122", 1, b_uuid, BF_NONDET},
    {"opa.runtime", 0, b_runtime, BF_NONDET},
    {"rego.metadata.chain", 0, b_metadata, 0},
    {"rego.metadata.rule", 0, b_metadata, 0},
    {"rego.parse_module", 2, b_parse_module, 0},
    {0},
};
