/*
 * envoy: what Envoy asks as an input, and a decision as what Envoy is told. The shapes are those of OPA's Envoy plugin, so
 * that its policies run unchanged.
 */
#ifndef SEXTANT_AUTHZ_ENVOY_H
#define SEXTANT_AUTHZ_ENVOY_H

#include "authz/rego/value/value.h"
#include "lib/grpc/proto/ext_authz.pb-c.h"

enum { ENVOY_HEADERS_MAX = 256, ENVOY_METADATA_DEPTH_MAX = 32 };

/*
 * {attributes, parsed_path, parsed_query, parsed_body, truncated_body, source_principal, version}. ERR_SYNTAX: the path or
 * the body cannot be read, with the detail why.
 */
struct err envoy_input(struct arena *a, const Extauthz__CheckRequest *in, struct val *out);

/*
 * A boolean, or an object with `allowed` and what else is to be done (headers, response_headers_to_add,
 * request_headers_to_remove, query_parameters_to_set, query_parameters_to_remove, body, http_status,
 * dynamic_metadata). Undefined is a denial. Everything is copied into the arena. ERR_INVALID: a part of the decision is of
 * the wrong type; then nothing may be let through.
 */
struct err envoy_reply(struct arena *a, struct val decision, const char *decision_id,
                       Extauthz__CheckResponse **out);
bool envoy_allows(struct val decision);

#endif
