/*
 * Looks into a TLS ClientHello without taking it (RFC 8446 section 4.1.2): in PERMISSIVE mode the
 * protocols it offers tell a sidecar's connection, which ends here, from a workload's own TLS, which passes.
 */
#include "mesh.h"

struct reader {
    const unsigned char *p;
    size_t n;
    bool bad;
};

static size_t take_number(struct reader *r, size_t bytes)
{
    size_t v = 0;
    if (r->n < bytes) {
        r->bad = true;
        return 0;
    }
    for (size_t i = 0; i < bytes; i++) {
        v = v << 8 | r->p[i];
    }
    r->p += bytes;
    r->n -= bytes;
    return v;
}

static struct reader take_part(struct reader *r, size_t n)
{
    struct reader part = {r->p, n, false};
    if (r->n < n) {
        r->bad = true;
        part.n = 0;
        return part;
    }
    r->p += n;
    r->n -= n;
    return part;
}

static bool offers_mesh(struct reader alpn)
{
    struct reader list = take_part(&alpn, take_number(&alpn, 2));
    while (list.n > 0 && !list.bad) {
        struct reader name = take_part(&list, take_number(&list, 1));
        if (!list.bad && str_starts(str_n(name.p, name.n), S("istio"))) {
            return true;
        }
    }
    return false;
}

static enum hello look_at_extensions(struct reader body)
{
    take_part(&body, 2 + 32);                /* version, random */
    take_part(&body, take_number(&body, 1)); /* session id */
    take_part(&body, take_number(&body, 2)); /* cipher suites */
    take_part(&body, take_number(&body, 1)); /* compression */
    struct reader all = take_part(&body, take_number(&body, 2));
    while (all.n > 0 && !all.bad && !body.bad) {
        size_t type = take_number(&all, 2);
        struct reader ext = take_part(&all, take_number(&all, 2));
        if (type == 16 && !all.bad && offers_mesh(ext)) {
            return HELLO_MESH;
        }
    }
    return HELLO_OTHER;
}

enum hello hello_look(struct str bytes)
{
    enum { RECORD = 5, HANDSHAKE = 4 };
    const unsigned char *p = (const unsigned char *)bytes.p;
    if (bytes.n > 0 && p[0] != 0x16) {
        return HELLO_NONE;
    }
    if (bytes.n > 1 && p[1] != 0x03) {
        return HELLO_NONE;
    }
    if (bytes.n < RECORD + HANDSHAKE) {
        return HELLO_PARTIAL;
    }
    struct reader r = {p, bytes.n, false};
    take_part(&r, 3);
    size_t record = take_number(&r, 2);
    if (p[RECORD] != 1 || record < HANDSHAKE) {
        return HELLO_OTHER;
    }
    if (r.n < record) {
        return HELLO_PARTIAL;
    }
    struct reader in_record = take_part(&r, record);
    take_number(&in_record, 1);
    /* A hello over several records is rare and not a sidecar's; what is here is read as far as it goes. */
    size_t length = take_number(&in_record, 3);
    return look_at_extensions(take_part(&in_record, MIN(length, in_record.n)));
}
