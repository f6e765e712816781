#include "eval.h"

#include "lib/json/json.h"

void netpol_end_put(struct buf *out, const struct netpol_end *e)
{
    if (e->pod != NULL) {
        buf_printf(out, "%.*s/%.*s", STR_FMT(e->pod->ns), STR_FMT(e->pod->name));
        return;
    }
    ip_put(out, &e->ip);
}

static void put_peer(struct buf *out, const struct netpol_peer *p)
{
    if (p->is_block) {
        buf_puts(out, S("ipBlock "));
        ip_put(out, &p->block.addr);
        buf_printf(out, "/%u", p->block.len);
        return;
    }
    if (!p->any_pod_ns) {
        buf_puts(out, S("namespaces "));
        selector_put(out, &p->namespaces);
    }
    if (p->has_pods) {
        buf_puts(out, p->any_pod_ns ? S("pods ") : S(" and pods "));
        selector_put(out, &p->pods);
    }
}

static void put_port(struct buf *out, const struct netpol_port *p)
{
    if (p->name.n > 0) {
        buf_printf(out, "%.*s/%s", STR_FMT(p->name), netpol_proto_name(p->proto));
    } else if (p->first == 0) {
        buf_printf(out, "every %s port", netpol_proto_name(p->proto));
    } else if (p->first == p->last) {
        buf_printf(out, "%u/%s", p->first, netpol_proto_name(p->proto));
    } else {
        buf_printf(out, "%u-%u/%s", p->first, p->last, netpol_proto_name(p->proto));
    }
}

static void put_policy(struct buf *out, const struct netpol_policy *p)
{
    buf_printf(out, "NetworkPolicy %.*s/%.*s", STR_FMT(p->ns), STR_FMT(p->name));
}

static void put_rule(struct buf *out, enum netpol_direction dir, const struct netpol_side *s)
{
    const struct netpol_rule *r = &s->policy->rules[dir][s->rule];
    put_policy(out, s->policy);
    buf_printf(out, ", %s rule %zu", dir == NETPOL_INGRESS ? "ingress" : "egress", s->rule);
    if (s->policy->place.file.n > 0) {
        buf_printf(out, " (%.*s:%u)", STR_FMT(s->policy->place.file), r->line);
    }
    buf_puts(out, S(": "));
    if (s->peer == SIZE_MAX) {
        buf_puts(out, dir == NETPOL_INGRESS ? S("from anywhere") : S("to anywhere"));
    } else {
        put_peer(out, &r->peers[s->peer]);
    }
    buf_puts(out, S(", "));
    if (s->port == SIZE_MAX) {
        buf_puts(out, S("any port"));
    } else {
        put_port(out, &r->ports[s->port]);
    }
}

static void put_side(struct buf *out, enum netpol_direction dir, const struct netpol_end *own,
                     const struct netpol_side *s)
{
    const char *word = dir == NETPOL_INGRESS ? "ingress" : "egress";
    buf_printf(out, "  %-8s", word);
    if (own->pod == NULL) {
        buf_printf(out, "not filtered: %s is not a pod\n",
                   dir == NETPOL_INGRESS ? "the destination" : "the source");
    } else if (!s->isolated) {
        buf_printf(out, "allowed: no policy isolates ");
        netpol_end_put(out, own);
        buf_printf(out, " for %s\n", word);
    } else if (s->allowed) {
        buf_puts(out, S("allowed by "));
        put_rule(out, dir, s);
        buf_putc(out, '\n');
    } else {
        buf_puts(out, S("denied: "));
        put_policy(out, s->policy);
        if (s->policy->place.file.n > 0) {
            buf_printf(out, " (%.*s:%u)", STR_FMT(s->policy->place.file), s->policy->place.line);
        }
        buf_puts(out, S(" isolates "));
        netpol_end_put(out, own);
        buf_printf(out, " for %s, and no %s rule of any policy allows this\n", word, word);
    }
}

void netpol_explain_text(struct buf *out, const struct netpol_end *src,
                         const struct netpol_end *dst, enum netpol_proto proto, uint16_t port,
                         const struct netpol_decision *d)
{
    netpol_end_put(out, src);
    buf_puts(out, S(" -> "));
    netpol_end_put(out, dst);
    buf_printf(out, " %u/%s: %s\n", port, netpol_proto_name(proto),
               d->allowed ? "ALLOWED" : "DENIED");
    if (d->self) {
        buf_puts(out, S("  a pod always reaches itself\n"));
        return;
    }
    if (d->unknown) {
        buf_puts(out,
                 S("  neither end is a pod of the manifests; such traffic is not forwarded\n"));
        return;
    }
    put_side(out, NETPOL_EGRESS, src, &d->egress);
    put_side(out, NETPOL_INGRESS, dst, &d->ingress);
}

static void json_side(struct jw *w, enum netpol_direction dir, const struct netpol_side *s)
{
    jw_key(w, dir == NETPOL_INGRESS ? S("ingress") : S("egress"));
    jw_obj(w);
    jw_key_bool(w, S("isolated"), s->isolated);
    jw_key_bool(w, S("allowed"), s->allowed);
    if (s->policy != NULL) {
        jw_key(w, S("policy"));
        jw_obj(w);
        jw_key_str(w, S("namespace"), s->policy->ns);
        jw_key_str(w, S("name"), s->policy->name);
        jw_key_str(w, S("file"), s->policy->place.file);
        jw_key_int(w, S("line"),
                   s->allowed ? s->policy->rules[dir][s->rule].line : s->policy->place.line);
        jw_end(w);
    }
    if (s->isolated && s->allowed) {
        jw_key_int(w, S("rule"), (int64_t)s->rule);
        if (s->peer != SIZE_MAX) {
            jw_key_int(w, S("peer"), (int64_t)s->peer);
        }
        if (s->port != SIZE_MAX) {
            jw_key_int(w, S("port"), (int64_t)s->port);
        }
    }
    jw_end(w);
}

static void json_end(struct jw *w, struct str key, const struct netpol_end *e)
{
    struct buf text;
    buf_init(&text, 1024);
    netpol_end_put(&text, e);
    jw_key_str(w, key, buf_str(&text));
    buf_release(&text);
}

void netpol_explain_json(struct buf *out, const struct netpol_end *src,
                         const struct netpol_end *dst, enum netpol_proto proto, uint16_t port,
                         const struct netpol_decision *d)
{
    struct jw w;
    jw_init(&w, out);
    jw_obj(&w);
    json_end(&w, S("source"), src);
    json_end(&w, S("destination"), dst);
    jw_key_int(&w, S("port"), port);
    jw_key_str(&w, S("protocol"), str_of(netpol_proto_name(proto)));
    jw_key_bool(&w, S("allowed"), d->allowed);
    jw_key_bool(&w, S("self"), d->self);
    jw_key_bool(&w, S("unknown"), d->unknown);
    json_side(&w, NETPOL_EGRESS, &d->egress);
    json_side(&w, NETPOL_INGRESS, &d->ingress);
    jw_end(&w);
}
