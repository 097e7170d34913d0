//! A guest that links to nothing: `shout` answers its payload in upper case (ASCII letters; other bytes stay).

const std = @import("std");
const wapc = @import("wapc.zig");

/// The entry point of every call: 1 with a response, 0 with an error.
export fn __guest_call(operation_len: usize, payload_len: usize) i32 {
    // Memory for this call, given back at its end.
    var arena = std.heap.ArenaAllocator.init(std.heap.wasm_allocator);
    defer arena.deinit();

    const request = wapc.request(arena.allocator(), operation_len, payload_len) catch return wapc.fail("out of memory");
    if (!std.mem.eql(u8, request.operation, "shout")) return wapc.fail("shout has one operation: shout");

    for (request.payload) |*byte| byte.* = std.ascii.toUpper(byte.*);
    return wapc.respond(request.payload);
}
