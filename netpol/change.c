/* What differs between two rulesets: both are sorted, so one walk over each set tells. */
#include "compile.h"
#include "disjoint.h"

struct walk {
    bool add;
    void (*fn)(void *ctx, const struct netpol_change *c);
    void *ctx;
    size_t n;
};

static void tell(struct walk *w, struct netpol_change c)
{
    c.add = w->add;
    w->n++;
    if (w->fn != NULL) {
        w->fn(w->ctx, &c);
    }
}

static void elements_only_in(struct walk *w, const struct netpol_set *a, const struct netpol_set *b,
                             struct netpol_change c)
{
    for (size_t i = 0, k = 0; i < a->n; i++) {
        if (k < b->n && memcmp(&a->items[i], &b->items[k], sizeof(a->items[i])) == 0) {
            k++; /* nearly always; what differs in padding alone is settled below */
            continue;
        }
        while (k < b->n && netpol_elem_cmp(&b->items[k], &a->items[i]) < 0) {
            k++;
        }
        if (k == b->n || netpol_elem_cmp(&b->items[k], &a->items[i]) != 0) {
            c.elem = &a->items[i];
            tell(w, c);
        }
    }
}

/* An address that changes its class leaves and enters the map, but stays a pod. */
static void classes_only_in(struct walk *w, const struct netpol_ruleset *a,
                            const struct netpol_ruleset *b, enum netpol_family family)
{
    for (size_t i = 0, k = 0; i < a->n_classes[family]; i++) {
        const struct netpol_class *e = &a->classes[family][i];
        while (k < b->n_classes[family] && ip_cmp(&b->classes[family][k].ip, &e->ip) < 0) {
            k++;
        }
        bool there = k < b->n_classes[family] && ip_eq(&b->classes[family][k].ip, &e->ip);
        if (!there || b->classes[family][k].class != e->class) {
            tell(w, (struct netpol_change){.what = CHANGE_CLASS, .family = family, .class = e});
        }
        if (!there) {
            tell(w, (struct netpol_change){.what = CHANGE_POD, .family = family, .class = e});
        }
    }
}

static void only_in(struct walk *w, const struct netpol_ruleset *a, const struct netpol_ruleset *b)
{
    for (int family = 0; family < FAMILY_MAX; family++) {
        classes_only_in(w, a, b, (enum netpol_family)family);
        for (int dir = 0; dir < 2; dir++) {
            for (int shape = 0; shape < SHAPE_MAX; shape++) {
                struct netpol_change c = {.what = CHANGE_ELEMENT,
                                          .shape = (enum netpol_shape)shape,
                                          .dir = dir,
                                          .family = (enum netpol_family)family};
                elements_only_in(w, &a->sets[shape][dir][family], &b->sets[shape][dir][family], c);
            }
        }
    }
}

size_t netpol_each_change(const struct netpol_ruleset *from, const struct netpol_ruleset *to,
                          void (*fn)(void *ctx, const struct netpol_change *c), void *ctx)
{
    struct walk w = {.add = false, .fn = fn, .ctx = ctx};
    only_in(&w, from, to);
    w.add = true;
    only_in(&w, to, from);
    return w.n;
}
