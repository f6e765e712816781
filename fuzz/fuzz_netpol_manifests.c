/* deps: netpol yaml json base */
/*
 * Kubernetes manifests: whatever is accepted must compile, to sets without overlaps, and every pair of pods
 * must be decidable; a change to itself is empty.
 */
#include "lib/yaml/yaml.h"
#include "netpol/compile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool apart(const struct netpol_elem *a, const struct netpol_elem *b)
{
    if (a->class != b->class || a->proto != b->proto || !ip_eq(&a->own, &b->own)) {
        return true;
    }
    bool addresses =
        a->lo.family != 0 && (ip_cmp(&a->hi, &b->lo) < 0 || ip_cmp(&b->hi, &a->lo) < 0);
    return addresses || a->last < b->first || b->last < a->first;
}

static void check_set(const struct netpol_set *s, enum netpol_shape shape)
{
    for (size_t i = 0; i < s->n; i++) {
        for (size_t k = i + 1; k < s->n && k < i + 64; k++) {
            bool ranges = shape == SHAPE_CLASS_RANGE || shape == SHAPE_BLOCK_RANGE;
            bool same = shape == SHAPE_BLOCK && ip_eq(&s->items[i].own, &s->items[k].own);
            BUG_ON(ranges && !apart(&s->items[i], &s->items[k]));
            BUG_ON(same && ip_cmp(&s->items[i].hi, &s->items[k].lo) >= 0);
        }
    }
}

static void check_model(struct arena *a, const struct netpol_model *m)
{
    struct netpol_ruleset *r;
    struct buf text;
    buf_init(&text, 64 << 20);
    if (!failed(netpol_compile(a, m, &r))) {
        for (int shape = 0; shape < SHAPE_MAX; shape++) {
            for (int i = 0; i < 4; i++) {
                check_set(&r->sets[shape][i / 2][i % 2], (enum netpol_shape)shape);
            }
        }
        ignore_err(netpol_put_ruleset(&text, r, &(struct netpol_text_opts){.comment = S("fuzz")}));
        BUG_ON(netpol_change_size(r, r) != 0);
    }
    for (size_t i = 0; i < m->n_pods && i < 8; i++) {
        for (size_t k = 0; k < m->n_pods && k < 8; k++) {
            struct netpol_end src = {m->pods[i], m->pods[i]->ips[0]},
                              dst = {m->pods[k], m->pods[k]->ips[0]};
            struct netpol_decision d = netpol_decide(m, &src, &dst, NETPOL_TCP, 80);
            buf_clear(&text);
            netpol_explain_text(&text, &src, &dst, NETPOL_TCP, 80, &d);
        }
    }
    buf_release(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct json *docs;
    arena_init(&a, 64 << 20);
    struct yaml_limits limits = {.max_bytes = 1 << 16, .max_values = 20000};
    if (!failed(yaml_parse(&a, str_n(data, size), S("fuzz"), &limits, &docs))) {
        struct netpol_model *m = netpol_model_new(&a);
        struct err e = OK;
        for (uint32_t i = 0; i < docs->n && !failed(e); i++) {
            e = netpol_model_add(m, docs->items[i], S("fuzz"));
        }
        if (!failed(e) && !failed(netpol_model_seal(m))) {
            check_model(&a, m);
        }
        netpol_model_release(m);
    }
    arena_release(&a);
    return 0;
}
