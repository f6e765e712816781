/* Request bodies: unpacking them, and reading JSON or YAML as Go's decoders do. */
#include "server.h"

#include "lib/http/gzip.h"
#include "lib/json/json.h"
#include "lib/yaml/yaml.h"

bool body_is_yaml(const struct http_req *req)
{
    return str_find(http_header_get(req, "content-type"), S("yaml")) != STR_NPOS;
}

bool body_read(const struct authz *z, const struct http_req *req, struct arena *a, struct str *out,
               struct str *why)
{
    if (str_find(http_header_get(req, "content-encoding"), S("gzip")) == STR_NPOS) {
        *out = req->body;
        return true;
    }
    struct buf plain;
    buf_init(&plain, (size_t)z->config->gzip_body_max);
    struct err e = gzip_unpack(req->body, &plain);
    if (e.code == ERR_LIMIT) {
        *why = arena_printf(a,
                            "request body too large: decompressed size exceeds limit of %lld bytes "
                            "(server.decoding.gzip.max_length)",
                            (long long)z->config->gzip_body_max);
    } else if (failed(e)) {
        *why = arena_printf(a, "could not decompress the body: %s", err_detail());
    } else {
        *out = arena_str(a, buf_str(&plain));
    }
    buf_release(&plain);
    return !failed(e);
}

static bool yaml_value(struct arena *a, struct str text, struct val *out, struct str *why)
{
    struct json *docs;
    struct buf b;
    if (failed(yaml_parse(a, text, S("yaml"), NULL, &docs))) {
        const char *detail = err_detail();
        *why = arena_printf(a, "%s", detail);
        return false;
    }
    *out = VAL_NULL;
    if (docs->n == 0) {
        return true;
    }
    buf_init(&b, REPLY_MAX);
    json_write(&b, docs->items[0]);
    struct err e = buf_check(&b);
    e = failed(e) ? e : val_from_json(a, buf_str(&b), out);
    buf_release(&b);
    if (failed(e)) {
        *why = arena_printf(a, "%s", err_detail());
    }
    return !failed(e);
}

bool body_parse(struct arena *a, struct str text, bool yaml, struct val *out, struct str *why)
{
    *out = VAL_UNDEF;
    if (text.n == 0) {
        return true;
    }
    if (yaml) {
        return yaml_value(a, text, out, why);
    }
    struct err e = val_from_json(a, text, out);
    if (!failed(e)) {
        return true;
    }
    struct str ours = arena_printf(a, "%s", err_detail()), first;
    *out = VAL_UNDEF;
    if (!go_json_scan(a, text, &first, why)) {
        return str_is(*why, "EOF"); /* blanks alone */
    }
    if (first.n == text.n || failed(val_from_json(a, first, out))) {
        bool big = str_find(ours, S("number too big")) != STR_NPOS;
        *why = big ? S("invalid number: number too big") : ours;
        return false;
    }
    return true;
}

bool json_parse_whole(struct arena *a, struct str text, struct val *out, struct str *why)
{
    struct str first, rest;
    if (!failed(val_from_json(a, text, out))) {
        return true;
    }
    struct str ours = arena_printf(a, "%s", err_detail());
    if (!go_json_scan(a, text, &first, why)) {
        return false;
    }
    *why = ours;
    rest = str_trim(str_sub(text, (size_t)(first.p + first.n - text.p), text.n));
    if (rest.n > 0 && (rest.p[0] == '{' || rest.p[0] == '[')) {
        *why = arena_printf(a, "error: invalid character '%c' after top-level value", rest.p[0]);
    } else if (rest.n > 0 && go_json_scan(a, rest, &first, why)) {
        *why = arena_printf(a, "error: invalid character '%.*s' after top-level value",
                            STR_FMT(first));
    }
    return false;
}
