#include "examples/services/records.h"

#include "lib/base/log.h"
#include "lib/http/client.h"
#include "lib/json/json.h"
#include "lib/store/pg.h"

/*
 * records: service B of the reference system. Keeps payments; the card number is encrypted by the crypto
 * daemon before it reaches the database, and the database role is one that `credentials.c` leases.
 *
 *     records --listen 127.0.0.1:8080 --workload-api unix:/run/sextant/identity/workload.sock
 *             --secrets https://10.77.0.1:8200 --crypto https://10.77.0.1:8210 --database 10.77.4.2
 */

static const char test_card[] = "4111 1111 1111 1111";

struct payment {
    struct records *r;
    struct http_req *req;
    struct arena arena; /* of the pool thread's half */
    struct str team, environment, ciphertext;
    struct str db_user, lease_id; /* of the role that was current when the request came: copies, */
    struct secret db_password;    /* since the lease may be replaced meanwhile */
    struct str count, user;
};

static void finish(struct payment *p)
{
    secret_release(&p->db_password);
    arena_release(&p->arena);
    free(p);
}

/* On the pool: one connection a request keeps the example short; a pool would keep it fast. */
static struct err write_payment(void *ctx)
{
    struct payment *p = ctx;
    struct pg *pg;
    struct pg_rows rows;
    struct pg_params params = {.host = p->r->database,
                               .user = p->db_user,
                               .password = &p->db_password,
                               .dbname = S("records"),
                               .timeout_s = 3};
    TRY(pg_connect(&params, &pg));
    struct str values[] = {p->team, p->environment, p->ciphertext};
    struct err e =
        pg_query(pg, &p->arena, "INSERT INTO payment (team, environment, card) VALUES ($1, $2, $3)",
                 values, 3, &rows);
    if (!failed(e)) {
        e = pg_query(
            pg, &p->arena,
            "SELECT count(*), current_user FROM payment WHERE team = $1 AND environment = $2",
            values, 2, &rows);
    }
    if (!failed(e) && rows.rows == 1) {
        p->count = rows.values[0];
        p->user = rows.values[1];
    }
    pg_close(pg);
    return e;
}

static void written(void *ctx, struct err e)
{
    struct payment *p = ctx;
    if (failed(e)) {
        log_warn("database", {"detail", LOG_CSTR(err_detail())});
        http_reply_text(p->req, 503, S("the database refuses\n"));
        records_renew_now(p->r);
        finish(p);
        return;
    }
    struct buf b;
    struct jw w;
    buf_init(&b, 4096);
    jw_init(&w, &b);
    jw_obj(&w);
    jw_key_str(&w, S("team"), p->team);
    jw_key_str(&w, S("environment"), p->environment);
    jw_key(&w, S("payments")), jw_raw(&w, p->count);
    jw_key_str(&w, S("card"), str_sub(p->ciphertext, 0, 24));
    jw_key_str(&w, S("written_by"), p->user);
    jw_key_str(&w, S("lease"), p->lease_id);
    jw_end(&w);
    http_reply_json(p->req, 200, buf_str(&b));
    buf_release(&b);
    finish(p);
}

static void encrypted(void *ctx, struct err e, const struct http_result *res)
{
    struct payment *p = ctx;
    struct json *v;
    if (failed(e) || res->status != 200 || failed(json_parse(&p->arena, res->body, NULL, &v))) {
        log_warn("crypto", {"status", LOG_INT(failed(e) ? 0 : res->status)},
                 {"detail", LOG_CSTR(failed(e) ? err_detail() : "")});
        http_reply_text(p->req, 503, S("the card number cannot be encrypted\n"));
        finish(p);
        return;
    }
    p->ciphertext = json_str(json_path(v, "data.ciphertext"));
    e = loop_work(http_req_loop(p->req), write_payment, written, p);
    if (failed(e)) {
        http_reply_err(p->req, e);
        finish(p);
    }
}

static void payments(struct http_req *req, void *ctx)
{
    struct records *r = ctx;
    if (!r->lease.valid) {
        http_reply_text(req, 503, S("no database role yet\n"));
        return;
    }
    struct payment *p = calloc(1, sizeof(*p));
    BUG_ON(p == NULL);
    *p = (struct payment){.r = r, .req = req};
    arena_init(&p->arena, 1 << 20);
    p->db_user = arena_str(&p->arena, r->lease.user);
    p->lease_id = arena_str(&p->arena, r->lease.id);
    if (failed(secret_copy(&p->db_password, secret_bytes(&r->lease.password)))) {
        http_reply_status(req, 503);
        finish(p);
        return;
    }
    p->team = arena_str(&p->arena, http_param(req, "team"));
    struct str environment = S("");
    http_query_get(req, "environment", &environment);
    p->environment = arena_str(&p->arena, environment);
    struct buf body;
    buf_init(&body, 256);
    buf_puts(&body, S("{\"plaintext\":\""));
    base64_put(&body, str_of(test_card), BASE64_STD);
    buf_puts(&body, S("\"}"));
    struct http_call call = {
        .method = S("POST"),
        .url = arena_printf(&p->arena, "%s/v1/transit/encrypt/cards", r->crypto_url),
        .body = arena_str(&p->arena, buf_str(&body)),
        .content_type = S("application/json"),
        .trace = req->trace,
        .done = encrypted,
        .ctx = p};
    buf_release(&body);
    http_client_call(r->crypto, &call);
}

static void healthy(struct http_req *req, void *ctx)
{
    struct records *r = ctx;
    http_reply_text(req, r->lease.valid ? 200 : 503, r->lease.valid ? S("ok\n") : S("no role\n"));
}

int main(int argc, char **argv)
{
    struct service s;
    struct records r = {0};
    service_init(&s, "records", argc, argv);
    s.ready_later = true; /* without a database role there is nothing to serve */
    r.service = &s;
    r.loop = s.loop;
    r.database = str_of(service_option(&s, "--database"));
    r.crypto_url = service_option(&s, "--crypto");
    r.secrets_url = service_option(&s, "--secrets");
    router_add(&s.router, "GET", "/healthz", healthy, &r);
    router_add(&s.router, "GET", "/payments/{team}", payments, &r);
    router_add(&s.router, "POST", "/payments/{team}", payments, &r);
    service_must(records_start(&r, str_of(service_option(&s, "--workload-api"))));
    return service_run(&s);
}
