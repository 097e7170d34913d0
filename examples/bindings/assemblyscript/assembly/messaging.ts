// `messaging`: messages to whoever listens to a topic.

import { Result } from "@wapc/as-guest";
import { ask, bytes, done, utf8, words } from "./host";
import { Request } from "./json";

// `TOPIC TEXT`: publishes a message, whether somebody hears it or not.
export function publish(payload: ArrayBuffer): Result<ArrayBuffer> {
  const word = words(payload, 2);
  return done(ask("messaging", "publish", new Request().text("topic", word[0]).bytes("payload", utf8(word[1]))));
}

// `TOPIC TEXT`: asks and waits a second for the reply; the error `not_found` where nobody listens.
export function request(payload: ArrayBuffer): Result<ArrayBuffer> {
  const word = words(payload, 2);
  const request = new Request().text("topic", word[0]).bytes("payload", utf8(word[1])).text("timeout", "1s");
  const answer = ask("messaging", "request", request);
  return answer.failed ? answer.failure : bytes(answer.get("payload").bytes);
}
