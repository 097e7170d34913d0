// Memory for one call, without a C library: handed out one piece after the other, all of it reused by the next call.
#pragma once
#include <stddef.h>
#include <stdint.h>

extern char __heap_base; // set by the linker: the first byte behind data and stack
static uintptr_t arena_next;

// Starts anew; what was handed out before is no longer valid.
static void arena_reset(void) { arena_next = (uintptr_t)&__heap_base; }

// Hands out `size` bytes, growing the memory as needed; traps when there is no more.
static char *arena_alloc(size_t size) {
    const uint64_t page = 65536;
    const uint64_t end = (uint64_t)arena_next + size;
    const uint64_t have = __builtin_wasm_memory_size(0) * page;
    if (end > UINT32_MAX) __builtin_trap();
    if (end > have && __builtin_wasm_memory_grow(0, (end - have + page - 1) / page) == (size_t)-1) __builtin_trap();
    char *piece = (char *)arena_next;
    arena_next = (uintptr_t)end;
    return piece;
}
