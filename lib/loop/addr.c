/* Addresses as text: "host:port", "[v6]:port", "unix:/path". */
#include "loop_priv.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static struct err split_host_port(struct str text, struct str *host, struct str *port)
{
    if (text.n > 0 && text.p[0] == '[') {
        size_t close = str_find_char(text, ']');
        ENSURE(close != STR_NPOS && close + 1 < text.n && text.p[close + 1] == ':', ERR_SYNTAX,
               "'%.*s' is not an address such as [::1]:8181", STR_FMT(text));
        *host = str_sub(text, 1, close);
        *port = str_sub(text, close + 2, text.n);
        return OK;
    }
    size_t colon = str_rfind_char(text, ':');
    ENSURE(colon != STR_NPOS && str_find_char(text, ':') == colon, ERR_SYNTAX,
           "'%.*s' is not an address such as 127.0.0.1:8181, [::1]:8181 or unix:/path",
           STR_FMT(text));
    *host = str_sub(text, 0, colon);
    *port = str_sub(text, colon + 1, text.n);
    return OK;
}

struct err address_parse(struct str text, struct address *out)
{
    struct address a = {.is_unix = str_starts(text, S("unix:"))};
    if (a.is_unix) {
        a.path = str_sub(text, 5, text.n);
        ENSURE(a.path.n > 0, ERR_SYNTAX, "'unix:' needs a path after it");
        ENSURE(a.path.n < 108, ERR_LIMIT, "the socket path '%.*s' is longer than 107 bytes",
               STR_FMT(a.path));
        *out = a;
        return OK;
    }
    struct str host, port;
    uint64_t number;
    TRY(split_host_port(text, &host, &port));
    ENSURE(!failed(str_to_u64(port, &number)) && number < 65536, ERR_SYNTAX,
           "'%.*s' in '%.*s' is not a port (0 to 65535)", STR_FMT(port), STR_FMT(text));
    ENSURE(host.n > 0, ERR_SYNTAX, "'%.*s' has no host before the port", STR_FMT(text));
    TRY(str_to_cstr(host, a.host, sizeof(a.host)));
    a.port = (uint16_t)number;
    *out = a;
    return OK;
}

bool address_literal(const struct address *a, struct sockaddr_storage *out)
{
    const char *host = strcmp(a->host, "localhost") == 0 ? "127.0.0.1" : a->host;
    memset(out, 0, sizeof(*out));
    return uv_ip4_addr(host, a->port, (struct sockaddr_in *)out) == 0 ||
           uv_ip6_addr(host, a->port, (struct sockaddr_in6 *)out) == 0;
}

size_t address_format(const struct sockaddr_storage *sa, char *out, size_t cap)
{
    char host[INET6_ADDRSTRLEN] = "";
    int n;
    if (sa->ss_family == AF_INET6) {
        const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)sa;
        if (IN6_IS_ADDR_V4MAPPED(&six->sin6_addr)) {
            inet_ntop(AF_INET, &six->sin6_addr.s6_addr[12], host, sizeof(host));
            n = snprintf(out, cap, "%s:%u", host, ntohs(six->sin6_port));
        } else {
            inet_ntop(AF_INET6, &six->sin6_addr, host, sizeof(host));
            n = snprintf(out, cap, "[%s]:%u", host, ntohs(six->sin6_port));
        }
    } else {
        const struct sockaddr_in *four = (const struct sockaddr_in *)sa;
        inet_ntop(AF_INET, &four->sin_addr, host, sizeof(host));
        n = snprintf(out, cap, "%s:%u", host, ntohs(four->sin_port));
    }
    return n > 0 ? MIN((size_t)n, cap - 1) : 0;
}
