#include "netpold.h"

#include "denials.h"
#include "flows.h"
#include "nft.h"

#include "lib/base/clock.h"

#include <stdlib.h>

struct err netpol_epoch_load(const char *path, struct netpol_epoch **out)
{
    struct netpol_epoch *e = calloc(1, sizeof(*e));
    BUG_ON(e == NULL);
    arena_init(&e->arena, MANIFEST_ARENA_MAX);
    struct err err = manifests_load(&e->arena, path, &e->model, e->hash);
    err = failed(err) ? err : netpol_compile(&e->arena, e->model, &e->ruleset);
    if (failed(err)) {
        netpol_epoch_free(e);
        return err;
    }
    *out = e;
    return OK;
}

void netpol_epoch_free(struct netpol_epoch *e)
{
    if (e == NULL) {
        return;
    }
    if (e->model != NULL) {
        netpol_model_release(e->model);
    }
    arena_release(&e->arena);
    free(e);
}

static struct err put_and_apply(const struct netpol_epoch *next, const struct netpol_config *cfg,
                                unsigned log_group)
{
    struct buf text;
    struct netpol_text_opts opts = {
        .unrelated = str_is(cfg->unrelated, "accept") ? UNRELATED_ACCEPT : UNRELATED_DROP,
        .table = cfg->table,
        .comment = S("sextant-netpol"),
        .log_group = log_group,
    };
    buf_init(&text, NFT_TEXT_MAX);
    struct err e = netpol_put_ruleset(&text, next->ruleset, &opts);
    e = failed(e) ? e : nft_apply(buf_str(&text));
    buf_release(&text);
    return e;
}

/* A kernel that cannot report denials still enforces them. */
static struct err replace_table(const struct netpol_epoch *next, const struct netpol_config *cfg)
{
    if (cfg->report_denied && !failed(put_and_apply(next, cfg, DENIALS_GROUP))) {
        return OK;
    }
    return put_and_apply(next, cfg, 0);
}

struct difference {
    size_t n;
    bool may_tighten;
};

/* Elements that only allow more cannot make a live connection wrong. */
static void note_change(void *ctx, const struct netpol_change *c)
{
    struct difference *d = ctx;
    bool loosens = c->add && c->what == CHANGE_ELEMENT && c->shape != SHAPE_ISOLATED;
    d->n++;
    d->may_tighten = d->may_tighten || !loosens;
}

/* A change is worth sending as single elements when it is at most a quarter of the table. */
static bool is_small(const struct difference *d, const struct netpol_epoch *next)
{
    return d->n <= MIN((size_t)NETLINK_CHANGES_MAX, next->ruleset->n_elements / 4 + 16);
}

struct err netpol_epoch_apply(struct netlink *nl, const struct netpol_epoch *now,
                              const struct netpol_epoch *next, const struct netpol_config *cfg,
                              struct netpol_applied *out)
{
    struct netpol_applied done = {.elements = next->ruleset->n_elements};
    struct difference d = {.may_tighten = now == NULL};
    int64_t start = clock_mono_ns();
    if (now != NULL) {
        netpol_each_change(now->ruleset, next->ruleset, note_change, &d);
    }
    if (now != NULL && is_small(&d, next) &&
        !failed(netlink_change(nl, now->ruleset, next->ruleset, cfg->table))) {
        done.changed = d.n;
    } else {
        TRY(replace_table(next, cfg));
    }
    if (cfg->cut_connections && d.may_tighten) {
        struct flows_report flows;
        TRY(flows_cut(nl, next->model, &flows));
        done.flows_cut = flows.cut;
    }
    done.ns = clock_mono_ns() - start;
    *out = done;
    return OK;
}

struct err netpol_lock_down(const struct netpol_config *cfg)
{
    struct buf text;
    buf_init(&text, NFT_TEXT_MAX);
    struct err e = nft_list(cfg->table, &text);
    if (e.code == ERR_NOT_FOUND) {
        buf_clear(&text);
        netpol_put_lockdown(&text, cfg->table);
        e = nft_apply(buf_str(&text));
    }
    buf_release(&text);
    return e;
}

struct err netpol_epoch_verify(const struct netpol_epoch *e, const struct netpol_config *cfg,
                               struct arena *a, struct netpol_verify_report *out)
{
    struct json_limits limits = {.max_bytes = NFT_TEXT_MAX};
    struct buf listing;
    struct json *v;
    struct nft_table *t;
    buf_init(&listing, NFT_TEXT_MAX);
    struct err err = nft_list(cfg->table, &listing);
    err = failed(err) ? err : json_parse(a, buf_str(&listing), &limits, &v);
    buf_release(&listing);
    TRY(err);
    TRY(nft_table_read(a, v, &t));
    err = netpol_verify(a, e->model, t, str_is(cfg->unrelated, "accept"), out);
    nft_table_release(t);
    return err;
}
