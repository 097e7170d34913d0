// `config` and `secret`: what the operator gave to this module.

import { Result } from "@wapc/as-guest";
import { ask, lines, text, words } from "./host";
import { Request } from "./json";

// `KEY`: answers the text at that path in `[modules.NAME.config]`, or the error `not_found`.
export function configGet(payload: ArrayBuffer): Result<ArrayBuffer> {
  const key = words(payload, 1)[0];
  const answer = ask("config", "get", new Request().text("key", key));
  return answer.failed ? answer.failure : text(answer.get("value").text);
}

// Answers the keys of `[modules.NAME.config]`, a line each.
export function configAll(_payload: ArrayBuffer): Result<ArrayBuffer> {
  const answer = ask("config", "all", new Request());
  return answer.failed ? answer.failure : lines(answer.get("config").names);
}

// `NAME`: answers how many bytes the secret has, and keeps it to itself.
export function secretGet(payload: ArrayBuffer): Result<ArrayBuffer> {
  const name = words(payload, 1)[0];
  const answer = ask("secret", "get", new Request().text("name", name));
  return answer.failed ? answer.failure : text(answer.get("value").bytes.byteLength.toString());
}
