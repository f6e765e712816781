/*
 * records: what service B holds, and how it gets it without any static credential.
 *
 * An SVID from the Workload API; with its JWT form a token from secrets; with that a database role that
 * lives five minutes, renewed at half its life and leased anew when it is gone.
 */
#ifndef SEXTANT_EXAMPLES_RECORDS_H
#define SEXTANT_EXAMPLES_RECORDS_H

#include "examples/services/service.h"
#include "lib/base/secret.h"

struct grpc_client;
struct http_client;
struct svid_source;
struct tls_client;
struct timer;

/* A leased role. The password stays valid until the next lease replaces this one. */
struct lease {
    bool valid;
    struct str id, user; /* in the arena of records */
    struct secret password;
    int64_t seconds;
};

struct records {
    struct service *service;
    struct loop *loop;
    struct arena arena; /* of the current lease */
    struct str database;
    const char *secrets_url, *crypto_url;
    struct svid_source *svid;
    struct grpc_client *workload;
    struct tls_client *tls;
    struct http_client *secrets, *crypto;
    struct secret token;
    struct lease lease;
    struct timer *timer;
    bool busy; /* a login or a lease is under way */
    bool has_jwt;
};

struct err records_start(struct records *r, struct str workload_api);
void records_renew_now(struct records *r); /* the role seems gone: get another one */

#endif
