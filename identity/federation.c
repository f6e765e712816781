#include "federation.h"

#include "lib/x509/own.h"

static void federated_free(struct federated *f)
{
    if (f != NULL) {
        spiffe_bundle_release(&f->bundle);
        str_disown(&f->document);
        free(f);
    }
}

static struct err read_document(struct str trust_domain, struct str document,
                                struct federated **out)
{
    struct spiffe_bundle b;
    TRY(spiffe_bundle_parse(trust_domain, document, &b));
    struct federated *f = calloc(1, sizeof(*f));
    BUG_ON(f == NULL);
    *f = (struct federated){.bundle = b, .document = str_own(document)};
    *out = f;
    return OK;
}

static struct err read_all(struct federation *f)
{
    struct stmt *q;
    TRY(store_stmt(f->store, "SELECT trust_domain, document FROM federated", &q));
    for (bool row = true;;) {
        TRY(stmt_step(q, &row));
        if (!row) {
            return OK;
        }
        struct federated *b;
        struct err e = read_document(stmt_col_str(q, 0), stmt_col_str(q, 1), &b);
        if (failed(e)) {
            stmt_reset(q);
            return e;
        }
        map_set(&f->by_domain, b->bundle.trust_domain, b);
    }
}

struct err federation_open(struct store *s, struct str own_domain, struct federation *out)
{
    *out = (struct federation){.store = s, .own_domain = own_domain};
    map_init(&out->by_domain);
    return read_all(out);
}

void federation_close(struct federation *f)
{
    struct map_entry *e;
    for (size_t i = 0; (e = map_at(&f->by_domain, &i)) != NULL;) {
        federated_free(e->value);
    }
    map_release(&f->by_domain);
}

struct err federation_set(struct federation *f, struct str trust_domain, struct str document)
{
    struct federated *b;
    struct stmt *q;
    ENSURE(!str_eq(trust_domain, f->own_domain), ERR_INVALID, "'%.*s' is our own trust domain",
           STR_FMT(trust_domain));
    ENSURE(map_len(&f->by_domain) < FEDERATION_MAX, ERR_LIMIT, "over %d federated trust domains",
           FEDERATION_MAX);
    TRY(read_document(trust_domain, document, &b));
    struct err e = store_stmt(f->store,
                              "INSERT INTO federated(trust_domain, document) VALUES(?1, ?2) "
                              "ON CONFLICT(trust_domain) DO UPDATE SET document = ?2",
                              &q);
    if (!failed(e)) {
        stmt_bind_str(q, 1, trust_domain);
        stmt_bind_str(q, 2, document);
        e = stmt_run(q);
    }
    if (failed(e)) {
        federated_free(b);
        return e;
    }
    federated_free(map_set(&f->by_domain, trust_domain, b));
    f->revision++;
    return OK;
}

struct err federation_delete(struct federation *f, struct str trust_domain)
{
    struct stmt *q;
    ENSURE(federation_get(f, trust_domain) != NULL, ERR_NOT_FOUND, "no bundle of '%.*s'",
           STR_FMT(str_sub(trust_domain, 0, 200)));
    TRY(store_stmt(f->store, "DELETE FROM federated WHERE trust_domain = ?", &q));
    stmt_bind_str(q, 1, trust_domain);
    TRY(stmt_run(q));
    federated_free(map_del(&f->by_domain, trust_domain));
    f->revision++;
    return OK;
}

const struct federated *federation_get(const struct federation *f, struct str trust_domain)
{
    return map_get(&f->by_domain, trust_domain);
}
