// Bindings whose payloads have no fields: `log`, `module`, and a `process` whose program wants it so.

import { hostCall, Result } from "@wapc/as-guest";
import { utf8, words } from "./host";

// `LEVEL TEXT`: logs a line at that level: `trace`, `debug`, `info`, `warn` or `error`.
export function logLine(payload: ArrayBuffer): Result<ArrayBuffer> {
  const word = words(payload, 2);
  return hostCall("log", "", word[0], utf8(word[1]));
}

// `TEXT`: calls the operation `hello` of the module `greeter` and answers what it says. The namespace names the module.
export function moduleCall(payload: ArrayBuffer): Result<ArrayBuffer> {
  return hostCall("module", "greeter", "hello", payload);
}

// `WHAT`: counts it and answers how often it was, by the program of `examples/process`, which takes and answers a text here.
export function processCount(payload: ArrayBuffer): Result<ArrayBuffer> {
  return hostCall("process", "", "count", payload);
}
