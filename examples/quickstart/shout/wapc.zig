//! The waPC functions that a guest imports from its host, and what it needs to answer a call.

const std = @import("std");

extern "wapc" fn __guest_request(operation: [*]u8, payload: [*]u8) void;
extern "wapc" fn __guest_response(response: [*]const u8, len: usize) void;
extern "wapc" fn __guest_error(message: [*]const u8, len: usize) void;
extern "wapc" fn __host_call(
    binding: [*]const u8,
    binding_len: usize,
    namespace: [*]const u8,
    namespace_len: usize,
    operation: [*]const u8,
    operation_len: usize,
    payload: [*]const u8,
    payload_len: usize,
) i32;
extern "wapc" fn __host_response_len() usize;
extern "wapc" fn __host_response(buffer: [*]u8) void;
extern "wapc" fn __host_error_len() usize;
extern "wapc" fn __host_error(buffer: [*]u8) void;
extern "wapc" fn __console_log(line: [*]const u8, len: usize) void;

/// What the caller sent.
pub const Request = struct { operation: []u8, payload: []u8 };

/// Fetches what the caller sent.
pub fn request(allocator: std.mem.Allocator, operation_len: usize, payload_len: usize) !Request {
    const operation = try allocator.alloc(u8, operation_len);
    const payload = try allocator.alloc(u8, payload_len);
    __guest_request(operation.ptr, payload.ptr);
    return .{ .operation = operation, .payload = payload };
}

/// Ends a call with a response.
pub fn respond(response: []const u8) i32 {
    __guest_response(response.ptr, response.len);
    return 1;
}

/// Ends a call with an error.
pub fn fail(message: []const u8) i32 {
    __guest_error(message.ptr, message.len);
    return 0;
}

/// What came of a host call: the binding's response or its error.
pub const Outcome = union(enum) { response: []u8, failure: []u8 };

/// Calls an operation of a binding.
pub fn hostCall(
    allocator: std.mem.Allocator,
    binding: []const u8,
    namespace: []const u8,
    operation: []const u8,
    payload: []const u8,
) !Outcome {
    const ok = __host_call(
        binding.ptr,
        binding.len,
        namespace.ptr,
        namespace.len,
        operation.ptr,
        operation.len,
        payload.ptr,
        payload.len,
    );
    if (ok == 1) {
        const response = try allocator.alloc(u8, __host_response_len());
        __host_response(response.ptr);
        return .{ .response = response };
    }
    const failure = try allocator.alloc(u8, __host_error_len());
    __host_error(failure.ptr);
    return .{ .failure = failure };
}

/// Logs a line.
pub fn log(line: []const u8) void {
    __console_log(line.ptr, line.len);
}
