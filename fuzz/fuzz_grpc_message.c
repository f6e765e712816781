/* deps: grpc http loop base */
#include "lib/grpc/grpc.h"
#include "lib/grpc/proto/ext_authz.pb-c.h"
#include "lib/grpc/proto/workload.pb-c.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What can be read can be written, and reads as the same again. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const ProtobufCMessageDescriptor *const kinds[] = {
        &x509_svidresponse__descriptor,       &validate_jwtsvidresponse__descriptor,
        &extauthz__check_request__descriptor, &extauthz__check_response__descriptor,
        &jwtbundles_response__descriptor,     &jwtsvidrequest__descriptor};
    if (size < 1) {
        return 0;
    }
    const ProtobufCMessageDescriptor *d = kinds[data[0] % ARRAY_LEN(kinds)];
    struct arena a;
    ProtobufCMessage *m, *again;
    arena_init(&a, 8 << 20);
    if (!failed(grpc_unpack(&a, d, str_n(data + 1, size - 1), &m))) {
        struct str bytes = grpc_pack(&a, m);
        if (!failed(grpc_unpack(&a, d, bytes, &again)) && !str_eq(grpc_pack(&a, again), bytes)) {
            abort();
        }
    }
    arena_release(&a);
    return 0;
}
