/* From a path below a mount to the route that serves it. */
#include "request_priv.h"

/* Does `pattern` fit `rel`? Fills r->params. */
static bool fits(struct request *r, struct str pattern, struct str rel)
{
    r->n_params = 0;
    for (;;) {
        struct str want = str_split(&pattern, '/');
        if (want.n > 4 && str_ends(want, S("...}"))) {
            r->params[r->n_params++] =
                (struct param){str_sub(want, 1, want.n - 4), rel.p != NULL ? rel : S("")};
            return true;
        }
        if (rel.p == NULL) {
            return false;
        }
        struct str have = str_split(&rel, '/');
        if (want.n > 2 && want.p[0] == '{') {
            if (have.n == 0) {
                return false;
            }
            r->params[r->n_params++] = (struct param){str_sub(want, 1, want.n - 1), have};
        } else if (!str_eq(want, have)) {
            return false;
        }
        if (pattern.p == NULL) {
            return rel.p == NULL;
        }
    }
}

void route_find(struct request *r)
{
    for (const struct route *t = r->mount->engine->routes; t->pattern != NULL; t++) {
        if (fits(r, str_of(t->pattern), r->rel)) {
            r->route = t;
            return;
        }
    }
    r->n_params = 0;
}

handler *route_handler(const struct request *r)
{
    const struct route *t = r->route;
    switch (r->op) {
    case ACL_READ:
        return t->read;
    case ACL_CREATE:
    case ACL_UPDATE:
        return t->write;
    case ACL_PATCH:
        return t->patch;
    case ACL_DELETE:
        return t->del;
    case ACL_LIST:
        return t->list;
    case ACL_SCAN:
    case ACL_HELP:
        return NULL;
    }
    return NULL;
}

struct str request_param(const struct request *r, const char *name)
{
    for (size_t i = 0; i < r->n_params; i++) {
        if (str_is(r->params[i].name, name)) {
            return r->params[i].value;
        }
    }
    BUG_ON("a handler asks for a parameter its pattern does not have");
    return STR_EMPTY;
}
