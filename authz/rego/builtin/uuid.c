#include "authz/rego/builtin/builtin.h"

#include "lib/base/codec.h"

/* uuid.*: RFC 4122 identifiers, taken apart, and random ones that are constant inside a query. */

/* 100 ns steps from 1582-10-15 to 1970-01-01. */
#define GREGORIAN_OFFSET INT64_C(0x01B21DD213814000)

/* The 32 digits of any written form: plain, with dashes, in brackets of any kind, or as a URN. */
static bool digits_of(struct str s, char out[33])
{
    if (str_starts_nocase(s, S("urn:uuid:"))) {
        s = str_sub(s, 9, s.n);
    } else if (s.n == 38) {
        s = str_sub(s, 1, 37);
    }
    if (s.n == 36) {
        if (s.p[8] != '-' || s.p[13] != '-' || s.p[18] != '-' || s.p[23] != '-') {
            return false;
        }
    } else if (s.n != 32) {
        return false;
    }
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.n == 36 && (i == 8 || i == 13 || i == 18 || i == 23)) {
            continue;
        }
        out[n++] = s.p[i];
    }
    out[n] = '\0';
    return n == 32;
}

static const char *variant_name(unsigned char octet)
{
    if ((octet & 0xc0) == 0x80) {
        return "RFC4122";
    }
    if ((octet & 0xe0) == 0xc0) {
        return "Microsoft";
    }
    return (octet & 0xe0) == 0xe0 ? "Future" : "Reserved";
}

static uint64_t be(const unsigned char *p, size_t n)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++) {
        v = v << 8 | p[i];
    }
    return v;
}

static void put_node(struct bcall *b, struct vlist *out, const unsigned char *id)
{
    const unsigned char *node = id + 10;
    vlist_put(out, "nodeid",
              val_str(b->a, arena_printf(b->a, "%02x-%02x-%02x-%02x-%02x-%02x", node[0], node[1],
                                         node[2], node[3], node[4], node[5])));
    vlist_put(out, "macvariables",
              val_str(b->a, arena_printf(b->a, "%s:%s", (node[0] & 2) != 0 ? "local" : "global",
                                         (node[0] & 1) != 0 ? "multicast" : "unicast")));
    vlist_put(out, "clocksequence", val_int(b->a, (int64_t)(be(id + 8, 2) & 0x3fff)));
    int64_t steps = (int64_t)((be(id + 6, 2) & 0x0fff) << 48 | be(id + 4, 2) << 32 | be(id, 4));
    vlist_put(out, "time", val_int(b->a, (steps - GREGORIAN_OFFSET) * 100));
}

static void put_domain(struct bcall *b, struct vlist *out, const unsigned char *id)
{
    static const char *const names[] = {"Person", "Group", "Org"};
    unsigned domain = id[9];
    struct str name =
        domain < ARRAY_LEN(names) ? str_of(names[domain]) : arena_printf(b->a, "Domain%u", domain);
    vlist_put(out, "domain", val_str(b->a, name));
    vlist_put(out, "id", val_int(b->a, (int64_t)be(id, 4)));
}

static enum b_status uuid_parse(struct bcall *b)
{
    char digits[33];
    struct str text, bytes;
    if (!b_string(b, 1, &text)) {
        return B_ERROR;
    }
    if (!digits_of(text, digits) || failed(hex_decode(b->a, str_of(digits), &bytes))) {
        return B_UNDEF;
    }
    const unsigned char *id = (const unsigned char *)bytes.p;
    unsigned version = id[6] >> 4;
    struct vlist out = {.a = b->a};
    vlist_put(&out, "version", val_int(b->a, version));
    vlist_put(&out, "variant", val_str(b->a, str_of(variant_name(id[8]))));
    if (version == 1 || version == 2) {
        put_node(b, &out, id);
    }
    if (version == 2) {
        put_domain(b, &out, id);
    }
    return b_out(b, vlist_object(&out));
}

static enum b_status uuid_rfc4122(struct bcall *b)
{
    struct str key;
    if (!b_string(b, 1, &key)) {
        return B_ERROR;
    }
    char text[UUID_TEXT];
    uuid4(text);
    return b_str(b, str_of(text));
}

const struct builtin builtins_uuid[] = {
    {"uuid.parse", 1, uuid_parse, 0},
    {"uuid.rfc4122", 1, uuid_rfc4122, BF_NONDET},
    {0},
};
