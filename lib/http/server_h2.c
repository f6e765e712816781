#include "http_priv.h"
bool h2_server_start(struct http_conn *hc) { return false; }
void h2_server_data(struct http_conn *hc, struct str bytes) {}
void h2_server_free(struct http_conn *hc) {}
void h2_server_flush(struct http_conn *hc) {}
bool h2_server_idle(const struct http_conn *hc) { return true; }
void h2_server_goaway(struct http_conn *hc) {}
void h2_begin(struct http_exchange *x, int status, struct str content_type, const struct http_header *headers, size_t n, bool whole, size_t length) {}
void h2_chunk(struct http_exchange *x, struct str bytes) {}
void h2_end(struct http_exchange *x) {}
void h2_trailers(struct http_exchange *x, const struct http_header *trailers, size_t n) {}
void h2_abort(struct http_exchange *x) {}
