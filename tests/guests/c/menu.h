// The menu of tests/guests/README.md. Whoever includes it defines `arena_alloc` and `arena_reset` first.
#pragma once
#include "wapc.h"

typedef struct {
    const char *data;
    size_t len;
} text;

#define TEXT(literal) ((text){literal, sizeof(literal) - 1})

// Calls of this instance so far.
static unsigned long long calls;

static int is(text operation, text name) {
    if (operation.len != name.len) return 0;
    for (size_t i = 0; i < name.len; i++)
        if (operation.data[i] != name.data[i]) return 0;
    return 1;
}

static int respond(text response) {
    __guest_response(response.data, response.len);
    return 1;
}

static int fail(text message) {
    __guest_error(message.data, message.len);
    return 0;
}

static int host_echo(text payload) {
    const text binding = TEXT("test"), echo = TEXT("echo");
    const int ok = __host_call(binding.data, binding.len, echo.data, echo.len, echo.data, echo.len, payload.data,
                               payload.len);
    const size_t len = ok ? __host_response_len() : __host_error_len();
    char *buffer = arena_alloc(len);
    if (ok) {
        __host_response(buffer);
        return respond((text){buffer, len});
    }
    __host_error(buffer);
    return fail((text){buffer, len});
}

static int state(void) {
    char digits[20];
    char *first = digits + sizeof digits;
    unsigned long long rest = calls;
    do *--first = (char)('0' + rest % 10);
    while (rest /= 10);
    return respond((text){first, (size_t)(digits + sizeof digits - first)});
}

// Reads the request of a call and counts it.
static void request(size_t operation_len, size_t payload_len, text *operation, text *payload) {
    arena_reset();
    calls++;
    char *op = arena_alloc(operation_len), *data = arena_alloc(payload_len);
    __guest_request(op, data);
    *operation = (text){op, operation_len};
    *payload = (text){data, payload_len};
}

static int menu(text operation, text payload) {
    if (is(operation, TEXT("echo"))) return respond(payload);
    if (is(operation, TEXT("fail"))) return fail(payload);
    if (is(operation, TEXT("host_echo"))) return host_echo(payload);
    if (is(operation, TEXT("log"))) {
        __console_log(payload.data, payload.len);
        return respond(TEXT(""));
    }
    if (is(operation, TEXT("spin")))
        for (;;) {}
    if (is(operation, TEXT("trap"))) __builtin_trap();
    if (is(operation, TEXT("grow")))
        for (;;) arena_alloc(1 << 20); // traps in the end
    if (is(operation, TEXT("state"))) return state();
    return fail(TEXT("no such operation"));
}
