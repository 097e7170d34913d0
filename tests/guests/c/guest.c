// The menu of tests/guests/README.md in C without any library.
#include "arena.h"
#include "menu.h"

int EXPORT(__guest_call)(size_t operation_len, size_t payload_len) {
    text operation, payload;
    request(operation_len, payload_len, &operation, &payload);
    return menu(operation, payload);
}
