/* What Envoy asks as an input, and decisions as answers: the shapes of OPA's Envoy plugin. */
#include "test/unit.h"

#include "envoy.h"
#include "lib/grpc/grpc.h"

static struct arena a;

static int set_up(void **state)
{
    arena_init(&a, 16 << 20);
    return 0;
}

static int tear_down(void **state)
{
    arena_release(&a);
    return 0;
}

static struct val json(const char *text)
{
    struct val v;
    assert_ok(val_from_json(&a, str_of(text), &v));
    return v;
}

static void assert_json(struct val got, const char *want)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    val_to_json(&b, got, false);
    if (!val_eq(got, json(want))) {
        fail_msg("got  %.*s\nwant %s", STR_FMT(buf_str(&b)), want);
    }
    buf_release(&b);
}

struct request {
    Extauthz__CheckRequest check;
    Extauthz__AttributeContext context;
    Extauthz__Request request;
    Extauthz__HttpRequest http;
    Extauthz__HttpRequest__HeadersEntry entries[8], *headers[8];
};

static void request_init(struct request *r, const char *path)
{
    extauthz__check_request__init(&r->check);
    extauthz__attribute_context__init(&r->context);
    extauthz__request__init(&r->request);
    extauthz__http_request__init(&r->http);
    r->check.attributes = &r->context;
    r->context.request = &r->request;
    r->request.http = &r->http;
    r->http.path = (char *)(uintptr_t)path;
    r->http.method = (char *)(uintptr_t) "POST";
    r->http.headers = r->headers;
}

static void add_header(struct request *r, const char *name, const char *value)
{
    size_t i = r->http.n_headers++;
    extauthz__http_request__headers_entry__init(&r->entries[i]);
    r->entries[i].key = (char *)(uintptr_t)name;
    r->entries[i].value = (char *)(uintptr_t)value;
    r->headers[i] = &r->entries[i];
}

static struct val input(struct request *r)
{
    struct val v;
    assert_ok(envoy_input(&a, &r->check, &v));
    return v;
}

static void test_whole_input(void **state)
{
    struct request r;
    Extauthz__Peer source = EXTAUTHZ__PEER__INIT;
    Extauthz__Address address = EXTAUTHZ__ADDRESS__INIT;
    Extauthz__SocketAddress socket = EXTAUTHZ__SOCKET_ADDRESS__INIT;
    Extauthz__Timestamp time = EXTAUTHZ__TIMESTAMP__INIT;
    request_init(&r, "/api/v1/cars%2Fx/?a=1&a=2&b=%20");
    socket.address = (char *)(uintptr_t) "10.0.0.1";
    socket.port_value = 4242;
    address.socket_address = &socket;
    source.address = &address;
    source.principal = (char *)(uintptr_t) "spiffe://td/a";
    r.context.source = &source;
    time.seconds = 1605865667;
    time.nanos = 722473000;
    r.request.time = &time;
    r.http.size = -1;
    add_header(&r, "content-type", "application/json");
    add_header(&r, "x-empty", "");
    r.http.body = (char *)(uintptr_t) "{\"k\":[1]}";
    assert_json(
        input(&r),
        "{\"attributes\":{\"source\":{\"address\":{\"socketAddress\":{\"address\":\"10.0.0.1\","
        "\"portValue\":4242}},\"principal\":\"spiffe://td/a\"},\"request\":{\"time\":"
        "\"2020-11-20T09:47:47.722473Z\",\"http\":{\"method\":\"POST\",\"path\":"
        "\"/api/v1/cars%2Fx/?a=1&a=2&b=%20\",\"size\":\"-1\",\"body\":\"{\\\"k\\\":[1]}\","
        "\"headers\":{\"content-type\":\"application/json\",\"x-empty\":\"\"}}}},"
        "\"parsed_path\":[\"api\",\"v1\",\"cars\",\"x\",\"\"],\"parsed_query\":{\"a\":[\"1\","
        "\"2\"],\"b\":[\" \"]},\"parsed_body\":{\"k\":[1]},\"truncated_body\":false,"
        "\"source_principal\":\"spiffe://td/a\",\"version\":{\"ext_authz\":\"v3\","
        "\"encoding\":\"protojson\"}}");
}

static void test_bodies(void **state)
{
    struct request r;
    request_init(&r, "/");
    assert_json(val_get_str(input(&r), "parsed_body"), "null");
    assert_json(val_get_str(input(&r), "parsed_path"), "[\"\"]");
    add_header(&r, "content-type", "application/x-www-form-urlencoded; charset=utf-8");
    r.http.body = (char *)(uintptr_t) "a=1&b=x+y&a=2";
    assert_json(val_get_str(input(&r), "parsed_body"), "{\"a\":[\"1\",\"2\"],\"b\":[\"x y\"]}");
    add_header(&r, "content-length", "14");
    assert_json(val_get_str(input(&r), "parsed_body"), "null");
    assert_json(val_get_str(input(&r), "truncated_body"), "true");
    request_init(&r, "/");
    add_header(&r, "content-type", "multipart/form-data; boundary=XX");
    r.http.body =
        (char *)(uintptr_t) "--XX\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n"
                            "--XX\r\nContent-Disposition: form-data; name=\"a\"\r\n"
                            "Content-Type: application/json\r\n\r\n{\"j\":true}\r\n--XX--\r\n";
    assert_json(val_get_str(input(&r), "parsed_body"), "{\"a\":[\"1\",{\"j\":true}]}");
}

/* What cannot be read is an error, never an input that lacks a part. */
static void test_unreadable(void **state)
{
    struct request r;
    struct val v;
    request_init(&r, "/a%zz");
    assert_err(envoy_input(&a, &r.check, &v), ERR_SYNTAX);
    request_init(&r, "/");
    add_header(&r, "content-type", "application/json");
    r.http.body = (char *)(uintptr_t) "{";
    assert_err(envoy_input(&a, &r.check, &v), ERR_SYNTAX);
}

static Extauthz__CheckResponse *reply(const char *decision)
{
    Extauthz__CheckResponse *m;
    assert_ok(envoy_reply(&a, json(decision), "id-1", &m));
    return m;
}

static void test_plain_decisions(void **state)
{
    Extauthz__CheckResponse *m = reply("true");
    assert_int_equal(m->status->code, GRPC_OK);
    assert_non_null(m->ok_response);
    assert_string_equal(m->dynamic_metadata->fields[0]->key, "decision_id");
    assert_string_equal(m->dynamic_metadata->fields[0]->value->string_value, "id-1");
    m = reply("false");
    assert_int_equal(m->status->code, GRPC_PERMISSION_DENIED);
    assert_int_equal(m->denied_response->status->code, 403);
    assert_ok(envoy_reply(&a, VAL_UNDEF, "id-1", &m));
    assert_int_equal(m->status->code, GRPC_PERMISSION_DENIED);
}

static void test_allowed_with_all(void **state)
{
    Extauthz__OkHttpResponse *ok =
        reply(
            "{\"allowed\":true,\"headers\":{\"x-a\":\"1\",\"x-b\":[\"2\",\"3\"]},"
            "\"response_headers_to_add\":[{\"x-c\":\"4\"}],\"request_headers_to_remove\":[\"x-d\"],"
            "\"query_parameters_to_set\":{\"q\":\"5\"},\"query_parameters_to_remove\":[\"r\"]}")
            ->ok_response;
    assert_int_equal(ok->n_headers, 3);
    assert_string_equal(ok->headers[2]->header->key, "x-b");
    assert_string_equal(ok->headers[2]->header->value, "3");
    assert_string_equal(ok->response_headers_to_add[0]->header->value, "4");
    assert_string_equal(ok->headers_to_remove[0], "x-d");
    assert_string_equal(ok->query_parameters_to_set[0]->value, "5");
    assert_string_equal(ok->query_parameters_to_remove[0], "r");
}

static void test_denied_with_all(void **state)
{
    Extauthz__CheckResponse *m =
        reply("{\"allowed\":false,\"headers\":{\"x-a\":\"1\"},\"body\":\"no\",\"http_status\":301,"
              "\"dynamic_metadata\":{\"n\":1.5,\"l\":[true,null],\"o\":{\"s\":\"t\"}}}");
    assert_int_equal(m->denied_response->status->code, 301);
    assert_string_equal(m->denied_response->body, "no");
    assert_int_equal(m->denied_response->n_headers, 1);
    assert_int_equal(m->dynamic_metadata->n_fields, 4);
    for (size_t i = 0; i < m->dynamic_metadata->n_fields; i++) {
        const Google__Protobuf__Value *v = m->dynamic_metadata->fields[i]->value;
        if (strcmp(m->dynamic_metadata->fields[i]->key, "n") == 0) {
            assert_true(v->number_value == 1.5);
        } else if (strcmp(m->dynamic_metadata->fields[i]->key, "l") == 0) {
            assert_int_equal(v->list_value->n_values, 2);
        }
    }
}

/* A part of the wrong type is an error: the plugin's callers are denied then, too. */
static void test_wrong_types(void **state)
{
    static const char *const wrong[] = {
        "1",
        "\"yes\"",
        "[true]",
        "{}",
        "{\"allowed\":\"true\"}",
        "{\"allowed\":true,\"headers\":3}",
        "{\"allowed\":true,\"headers\":{\"a\":1}}",
        "{\"allowed\":true,\"request_headers_to_remove\":\"x\"}",
        "{\"allowed\":true,\"query_parameters_to_set\":{\"a\":{}}}",
        "{\"allowed\":false,\"http_status\":\"403\"}",
        "{\"allowed\":false,\"http_status\":99}",
        "{\"allowed\":false,\"body\":{}}",
        "{\"allowed\":true,\"dynamic_metadata\":[]}",
    };
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        Extauthz__CheckResponse *m;
        assert_err(envoy_reply(&a, json(wrong[i]), "id", &m), ERR_INVALID);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_whole_input, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bodies, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_unreadable, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_plain_decisions, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_allowed_with_all, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_denied_with_all, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_wrong_types, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
