// A guest that calls other guests: `welcome` takes a name, asks `greeter` for a greeting and `counter` for the number
// of the visitor, and answers `Hello, NAME! You are visitor N.`
#include "arena.h"
#include "wapc.h"

typedef struct {
    const char *data;
    size_t len;
} text;

#define TEXT(literal) ((text){literal, sizeof(literal) - 1})

static int equal(text a, text b) {
    if (a.len != b.len) return 0;
    for (size_t i = 0; i < a.len; i++)
        if (a.data[i] != b.data[i]) return 0;
    return 1;
}

static char *append(char *to, text part) {
    for (size_t i = 0; i < part.len; i++) *to++ = part.data[i];
    return to;
}

// Calls an operation of another module through the binding `module`; the namespace is the module's name.
// On failure the host's error becomes the error of this guest.
static int call(text module, text operation, text payload, text *response) {
    const text binding = TEXT("module");
    if (__host_call(binding.data, binding.len, module.data, module.len, operation.data, operation.len,
                    payload.data, payload.len)) {
        const size_t len = __host_response_len();
        char *buffer = arena_alloc(len);
        __host_response(buffer);
        *response = (text){buffer, len};
        return 1;
    }
    const size_t len = __host_error_len();
    char *error = arena_alloc(len);
    __host_error(error);
    __guest_error(error, len);
    return 0;
}

static int welcome(text name) {
    text greeting, visitor;
    if (!call(TEXT("greeter"), TEXT("hello"), name, &greeting)) return 0;
    if (!call(TEXT("counter"), TEXT("count"), TEXT("visitors"), &visitor)) return 0;

    const text middle = TEXT(" You are visitor ");
    char *answer = arena_alloc(greeting.len + middle.len + visitor.len + 1);
    char *end = append(append(append(append(answer, greeting), middle), visitor), TEXT("."));
    __guest_response(answer, end - answer);
    return 1;
}

// The entry point of every call: 1 with a response, 0 with an error.
int EXPORT(__guest_call)(size_t operation_len, size_t payload_len) {
    arena_reset();
    char *operation = arena_alloc(operation_len);
    char *payload = arena_alloc(payload_len);
    __guest_request(operation, payload);

    if (equal((text){operation, operation_len}, TEXT("welcome"))) return welcome((text){payload, payload_len});

    const text unknown = TEXT("relay has one operation: welcome");
    __guest_error(unknown.data, unknown.len);
    return 0;
}
