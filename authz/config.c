#include "authz.h"

#define FIELD(f) offsetof(struct authz_config, f)

const struct config_key authz_keys[] = {
    {"listen", CONFIG_STR, FIELD(listen), .fallback = "127.0.0.1:8181",
     .help = "address of the REST API"},
    {"grpc", CONFIG_STR, FIELD(grpc), .fallback = "127.0.0.1:9191",
     .help = "address of Envoy's ext_authz service; empty switches it off"},
    {"policies", CONFIG_LIST, FIELD(policies), .help = "files and folders of policies (.rego)"},
    {"data", CONFIG_LIST, FIELD(data), .help = "files and folders of data (.json, .yaml)"},
    {"default_decision", CONFIG_STR, FIELD(default_decision), .fallback = "/system/main",
     .help = "what POST / evaluates"},
    {"ext_authz_path", CONFIG_STR, FIELD(ext_authz_path), .fallback = "envoy/authz/allow",
     .help = "decision that ext_authz asks for"},
    {"v0_compatible", CONFIG_BOOL, FIELD(v0_compatible), .fallback = "false",
     .help = "read policies as Rego v0"},
    {"api_writes", CONFIG_BOOL, FIELD(api_writes), .fallback = "false",
     .help = "allow PUT, PATCH and DELETE of policies and data over the API"},
    {"writers", CONFIG_LIST, FIELD(writers), .fallback = "[\"respond\"]", .max = 64,
     .help = "daemons and SPIFFE ids that may write all the same, known by unix socket or SVID"},
    {"poll", CONFIG_DURATION, FIELD(poll_ns), .fallback = "1s", .max = 3600 * INT64_C(1000000000),
     .help = "how often policies and data are looked at for changes; 0: on SIGHUP alone"},
    {"eval_time", CONFIG_DURATION, FIELD(eval_ns), .fallback = "2s",
     .max = 600 * INT64_C(1000000000), .help = "longest evaluation; 0: no limit"},
    {"eval_steps", CONFIG_INT, FIELD(max_steps), .fallback = "50000000", .min = 1000,
     .max = INT64_C(1) << 40, .help = "most steps of one evaluation"},
    {"eval_memory", CONFIG_SIZE, FIELD(eval_memory), .fallback = "256MiB", .min = 1 << 20,
     .max = INT64_C(1) << 36, .help = "most memory of one evaluation"},
    {"body_max", CONFIG_SIZE, FIELD(body_max), .fallback = "256MiB", .min = 1024,
     .max = INT64_C(1) << 30, .help = "largest request body"},
    {0},
};
