// `metrics`: what this guest counts, among the metrics of the daemon.

import { Result } from "@wapc/as-guest";
import { ask, done, words } from "./host";
import { Request } from "./json";

// `NAME KIND`: counts one more of a kind.
export function counter(payload: ArrayBuffer): Result<ArrayBuffer> {
  const word = words(payload, 2);
  const labels = new Request().text("kind", word[1]);
  return done(ask("metrics", "counter", new Request().text("name", word[0]).object("labels", labels).int("by", 1)));
}

// `NAME NUMBER`: says how much there is now.
export function gauge(payload: ArrayBuffer): Result<ArrayBuffer> {
  const word = words(payload, 2);
  return done(ask("metrics", "gauge", new Request().text("name", word[0]).int("set", I64.parseInt(word[1]))));
}

// `NAME NUMBER`: adds a measurement, which is counted in one of four buckets.
export function histogram(payload: ArrayBuffer): Result<ArrayBuffer> {
  const word = words(payload, 2);
  const request = new Request().text("name", word[0]).int("value", I64.parseInt(word[1]));
  return done(ask("metrics", "histogram", request.json("buckets", "[1,10,100]")));
}
