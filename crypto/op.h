/*
 * op: one request to the Transit API, from its first byte to its reply.
 *
 * An op owns its memory, since its client may go away while the key process, the database or audit are
 * still at work on it. It ends in exactly one of op_reply and op_fail, which leave the audit event
 * first and reply when that is durable.
 */
#ifndef SEXTANT_CRYPTO_OP_H
#define SEXTANT_CRYPTO_OP_H

#include "crypto.h"

#include "lib/http/http.h"
#include "lib/json/json.h"
#include "wire.h"

enum { OP_ARENA_MAX = 256 * 1024 * 1024, OP_REPLY_MAX = 64 * 1024 * 1024 };

struct op {
    struct crypto *c;
    struct http_req *req; /* NULL once the client has gone */
    struct arena arena;
    struct caller caller;
    struct trace trace;
    const struct json *body; /* always an object */
    struct str name;         /* of the key */
    const char *activity;    /* for audit: "sign", "key.rotate" */
    uint32_t count;          /* items of a batch, for audit */
    bool silent;             /* leaves no event */

    /* the reply, while audit has it */
    int status;
    struct buf reply;

    /* transit_crypt.c */
    struct crypt_params params;
    struct crypt_item *items;
    struct str *errors;     /* per item: why it was not sent */
    struct str *references; /* per item: echoed */
    bool batch;
    int partial_status; /* partial_failure_response_code; 0: none */

    /* transit_keys.c */
    struct op *next; /* changes wait for each other */
    void (*put_change)(struct op *op, struct buf *message);
    enum wire_op change_op;
    struct registry_change *change;
    bool existed;
};

/*
 * Reads caller and body; NULL when that failed and the reply is already on its way. `name` comes from
 * the path parameter {name} when the pattern has one.
 */
struct op *op_begin(struct http_req *req, struct crypto *c, const char *activity, bool named);

/* Success. `data` is the JSON value of the envelope's "data"; empty for 204 without a body. */
void op_reply(struct op *op, struct str data);
/* As op_reply with another status (batches with failures). */
void op_reply_status(struct op *op, int status, struct str data, const char *outcome);
/* Failure: status by code, text from err_detail() where it is meant for the client. */
void op_fail(struct op *op, struct err e);

/* Fields of a JSON object as Vault reads them: numbers and booleans may be strings. */
bool field_has(const struct json *o, const char *key);
struct str field_str(const struct json *o, const char *key); /* empty when absent */
struct err field_u32(const struct json *o, const char *key,
                     uint32_t *out);                                     /* untouched when absent */
struct err field_bool(const struct json *o, const char *key, bool *out); /* the same */
/* Base64 (padded standard form). ERR_INVALID "failed to base64-decode KEY". */
struct err field_base64(struct arena *a, const struct json *o, const char *key, struct str *out);

/* Routes, by file. */
void transit_add_crypt_routes(struct crypto *c);
void transit_add_key_routes(struct crypto *c);
void transit_add_misc_routes(struct crypto *c);

#endif
