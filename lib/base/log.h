/*
 * log: structured lines on standard error, one JSON object a line or key=value text.
 *
 * Only daemons and commands log; library code returns errors instead. Values are slices or numbers;
 * there is no way to log a `struct secret`.
 *
 *     log_info("listening", {"address", LOG_STR(addr)}, {"port", LOG_INT(port)});
 */
#ifndef SEXTANT_LOG_H
#define SEXTANT_LOG_H

#include "str.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_TEXT, LOG_JSON };

void log_setup(const char *program, enum log_level least, enum log_format format);

struct log_value {
    enum { LOG_VALUE_END, LOG_VALUE_STR, LOG_VALUE_INT } kind;
    struct str s;
    int64_t i;
};

#define LOG_STR(v) ((struct log_value){LOG_VALUE_STR, (v), 0})
#define LOG_CSTR(v) ((struct log_value){LOG_VALUE_STR, str_of(v), 0})
#define LOG_INT(v) ((struct log_value){LOG_VALUE_INT, STR_EMPTY, (int64_t)(v)})

struct log_pair {
    const char *key;
    struct log_value value;
};

void log_write(enum log_level level, const char *message, const struct log_pair *pairs, size_t n);

/* log_event(LOG_INFO, "listening", {"address", LOG_CSTR(a)}, {"port", LOG_INT(p)}) */
#define log_event(level, message, ...)                                                             \
    do {                                                                                           \
        const struct log_pair log_pairs_[] = {__VA_ARGS__ __VA_OPT__(, ){NULL, LOG_INT(0)}};       \
        log_write((level), (message), log_pairs_, ARRAY_LEN(log_pairs_) - 1);                      \
    } while (0)

#define log_debug(message, ...) log_event(LOG_DEBUG, message, __VA_ARGS__)
#define log_info(message, ...) log_event(LOG_INFO, message, __VA_ARGS__)
#define log_warn(message, ...) log_event(LOG_WARN, message, __VA_ARGS__)
#define log_error(message, ...) log_event(LOG_ERROR, message, __VA_ARGS__)

#endif
