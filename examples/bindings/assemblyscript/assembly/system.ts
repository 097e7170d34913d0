// `system`: clocks, random bytes, identifiers, and who this is.

import { Result } from "@wapc/as-guest";
import { ask, text, words } from "./host";
import { Request } from "./json";

// Answers milliseconds since 1970; this clock may jump.
export function now(_payload: ArrayBuffer): Result<ArrayBuffer> {
  const answer = ask("system", "now", new Request());
  return answer.failed ? answer.failure : text(answer.get("unix_ms").text);
}

// Answers nanoseconds of a clock that never goes back.
export function monotonic(_payload: ArrayBuffer): Result<ArrayBuffer> {
  const answer = ask("system", "monotonic", new Request());
  return answer.failed ? answer.failure : text(answer.get("ns").text);
}

// `LENGTH`: answers so many bytes, fit for keys, as hexadecimal digits.
export function random(payload: ArrayBuffer): Result<ArrayBuffer> {
  const length = I64.parseInt(words(payload, 1)[0]);
  const answer = ask("system", "random", new Request().int("length", length));
  if (answer.failed) return answer.failure;
  const bytes = Uint8Array.wrap(answer.get("bytes").bytes);
  let digits = "";
  for (let i = 0; i < bytes.length; i++) digits += bytes[i].toString(16).padStart(2, "0");
  return text(digits);
}

// Answers an identifier that nothing else has; of version 7, so that later ones are sorted behind it.
export function uuid(_payload: ArrayBuffer): Result<ArrayBuffer> {
  const answer = ask("system", "uuid", new Request().int("version", 7));
  return answer.failed ? answer.failure : text(answer.get("uuid").text);
}

// Answers the name of this module and the generation of its code.
export function identity(_payload: ArrayBuffer): Result<ArrayBuffer> {
  const answer = ask("system", "identity", new Request());
  return answer.failed ? answer.failure : text(answer.get("module").text + " " + answer.get("generation").text);
}
