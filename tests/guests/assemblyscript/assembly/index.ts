// The menu of tests/guests/README.md, with the AssemblyScript SDK and the compiler's defaults: top-level code runs in
// the wasm start section, and an uncaught error calls the import `env.abort`.

import { consoleLog, handleCall, hostCall, register, Result } from "@wapc/as-guest";

// Calls of this instance so far.
let calls: u64 = 0;

register("echo", (payload: ArrayBuffer): Result<ArrayBuffer> => Result.ok<ArrayBuffer>(payload));

register("fail", (payload: ArrayBuffer): Result<ArrayBuffer> =>
  Result.error<ArrayBuffer>(new Error(String.UTF8.decode(payload))));

register("host_echo", (payload: ArrayBuffer): Result<ArrayBuffer> => hostCall("test", "echo", "echo", payload));

register("log", (payload: ArrayBuffer): Result<ArrayBuffer> => {
  consoleLog(String.UTF8.decode(payload));
  return Result.ok<ArrayBuffer>(new ArrayBuffer(0));
});

register("spin", (payload: ArrayBuffer): Result<ArrayBuffer> => {
  while (true) {}
  return Result.ok<ArrayBuffer>(payload);
});

register("trap", (payload: ArrayBuffer): Result<ArrayBuffer> => {
  unreachable();
  return Result.ok<ArrayBuffer>(payload);
});

// The allocator itself traps once the memory may not grow any more.
register("grow", (payload: ArrayBuffer): Result<ArrayBuffer> => {
  while (true) heap.alloc(1 << 20);
  return Result.ok<ArrayBuffer>(payload);
});

register("state", (_payload: ArrayBuffer): Result<ArrayBuffer> =>
  Result.ok<ArrayBuffer>(String.UTF8.encode(calls.toString())));

// Only here: an uncaught error with the payload as its message.
register("abort", (payload: ArrayBuffer): Result<ArrayBuffer> => {
  throw new Error(String.UTF8.decode(payload));
});

export function __guest_call(operationSize: usize, payloadSize: usize): bool {
  calls++;
  return handleCall(operationSize, payloadSize);
}
