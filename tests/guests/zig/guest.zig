//! The menu of `tests/guests/README.md` in Zig.

const std = @import("std");
const wapc = @import("wapc");

/// Calls of this instance so far.
var calls: u64 = 0;

export fn __guest_call(operation_len: usize, payload_len: usize) i32 {
    var arena = std.heap.ArenaAllocator.init(std.heap.wasm_allocator);
    defer arena.deinit();
    calls += 1;
    return menu(arena.allocator(), operation_len, payload_len) catch wapc.fail("out of memory");
}

fn menu(allocator: std.mem.Allocator, operation_len: usize, payload_len: usize) !i32 {
    const request = try wapc.request(allocator, operation_len, payload_len);
    const operation = std.meta.stringToEnum(Operation, request.operation) orelse return wapc.fail("no such operation");
    return switch (operation) {
        .echo => wapc.respond(request.payload),
        .fail => wapc.fail(request.payload),
        .host_echo => switch (try wapc.hostCall(allocator, "test", "echo", "echo", request.payload)) {
            .response => |response| wapc.respond(response),
            .failure => |message| wapc.fail(message),
        },
        .log => log(request.payload),
        .spin => while (true) {},
        .trap => @trap(),
        .grow => while (true) {
            _ = std.heap.wasm_allocator.alloc(u8, 1 << 20) catch @panic("out of memory");
        },
        .state => wapc.respond(try std.fmt.allocPrint(allocator, "{d}", .{calls})),
    };
}

const Operation = enum { echo, fail, host_echo, log, spin, trap, grow, state };

fn log(line: []const u8) i32 {
    wapc.log(line);
    return wapc.respond("");
}
