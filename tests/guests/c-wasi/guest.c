// The menu of tests/guests/README.md in C with wasi-libc, and operations that use WASI. `_start` runs `main`.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The memory of one call, from malloc: a list of pieces, freed when the next call begins.
struct piece {
    struct piece *next;
};
static struct piece *pieces;

static char *arena_alloc(size_t size) {
    struct piece *piece = malloc(sizeof(struct piece) + size);
    if (piece == NULL) abort();
    piece->next = pieces;
    pieces = piece;
    return (char *)(piece + 1);
}

static void arena_reset(void) {
    while (pieces != NULL) {
        struct piece *next = pieces->next;
        free(pieces);
        pieces = next;
    }
}

#include "menu.h"

static int arg_count;
static char **arg_values;

int main(int argc, char **argv) {
    arg_count = argc;
    arg_values = argv;
    printf("started with %d arguments\n", argc);
    fflush(stdout);
    return 0;
}

static char *terminated(text t) {
    char *copy = arena_alloc(t.len + 1);
    memcpy(copy, t.data, t.len);
    copy[t.len] = '\0';
    return copy;
}

// Writes the payload to a stream, without adding a newline.
static int print(FILE *stream, text payload) {
    fwrite(payload.data, 1, payload.len, stream);
    fflush(stream);
    return respond(TEXT(""));
}

// The arguments, one a line.
static int args(void) {
    size_t len = 0;
    for (int i = 0; i < arg_count; i++) len += strlen(arg_values[i]) + 1;
    char *lines = arena_alloc(len + 1), *end = lines;
    for (int i = 0; i < arg_count; i++) {
        end = stpcpy(end, arg_values[i]);
        *end++ = '\n';
    }
    return respond((text){lines, len});
}

static int env(text name) {
    const char *value = getenv(terminated(name));
    return value ? respond((text){value, strlen(value)}) : fail(TEXT("not set"));
}

// The first 64 KiB of a file.
static int read_file(text path) {
    FILE *file = fopen(terminated(path), "rb");
    if (file == NULL) return fail(TEXT("cannot open"));
    const size_t most = 65536;
    char *content = arena_alloc(most);
    const size_t len = fread(content, 1, most, file);
    fclose(file);
    return respond((text){content, len});
}

int EXPORT(__guest_call)(size_t operation_len, size_t payload_len) {
    text operation, payload;
    request(operation_len, payload_len, &operation, &payload);
    if (is(operation, TEXT("print"))) return print(stdout, payload);
    if (is(operation, TEXT("print_error"))) return print(stderr, payload);
    if (is(operation, TEXT("args"))) return args();
    if (is(operation, TEXT("env"))) return env(payload);
    if (is(operation, TEXT("read"))) return read_file(payload);
    if (is(operation, TEXT("exit"))) exit((int)strtoul(terminated(payload), NULL, 10));
    return menu(operation, payload);
}
