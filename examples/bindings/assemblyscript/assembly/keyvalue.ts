// `keyvalue`: values under keys.

import { Result } from "@wapc/as-guest";
import { ask, bytes, done, lines, text, utf8, words } from "./host";
import { quoted, Request } from "./json";

// `KEY VALUE`: keeps a value for ever, in place of what was there.
export function set(payload: ArrayBuffer): Result<ArrayBuffer> {
  const word = words(payload, 2);
  const request = new Request().text("key", word[0]).bytes("value", utf8(word[1]));
  return done(ask("keyvalue", "set", request));
}

// `KEY VALUE`: keeps a value for an hour; the error `conflict` where there is one already. So one of many takes a lock.
export function setOnce(payload: ArrayBuffer): Result<ArrayBuffer> {
  const word = words(payload, 2);
  const request = new Request().text("key", word[0]).bytes("value", utf8(word[1]));
  return done(ask("keyvalue", "set", request.text("ttl", "1h").bool("only_if_absent", true)));
}

// `KEY`: answers its value, or the error `not_found`.
export function get(payload: ArrayBuffer): Result<ArrayBuffer> {
  const key = words(payload, 1)[0];
  const answer = ask("keyvalue", "get", new Request().text("key", key));
  return answer.failed ? answer.failure : bytes(answer.get("value").bytes);
}

// `KEY`: answers whether there is a value.
export function exists(payload: ArrayBuffer): Result<ArrayBuffer> {
  const key = words(payload, 1)[0];
  const answer = ask("keyvalue", "exists", new Request().text("key", key));
  return answer.failed ? answer.failure : text(answer.get("exists").text);
}

// `KEY`: answers whether there was a value.
export function remove(payload: ArrayBuffer): Result<ArrayBuffer> {
  const key = words(payload, 1)[0];
  const answer = ask("keyvalue", "delete", new Request().text("key", key));
  return answer.failed ? answer.failure : text(answer.get("deleted").text);
}

// `PREFIX`: answers all keys that begin so, a line each; asks for two at a time.
export function keys(payload: ArrayBuffer): Result<ArrayBuffer> {
  const prefix = words(payload, 1)[0];
  const all: string[] = [];
  let request = new Request().text("prefix", prefix).int("limit", 2);
  while (true) {
    const answer = ask("keyvalue", "keys", request);
    if (answer.failed) return answer.failure;
    const keys = answer.get("keys").items;
    for (let i = 0; i < keys.length; i++) all.push(keys[i].text);
    const next = answer.get("next");
    if (next.isNull) return lines(all);
    request = new Request().text("prefix", prefix).int("limit", 2).text("after", next.text);
  }
}

// `KEY BY`: adds a number and answers the sum; nobody else's addition is lost.
export function increment(payload: ArrayBuffer): Result<ArrayBuffer> {
  const word = words(payload, 2);
  const request = new Request().text("key", word[0]).int("by", I64.parseInt(word[1]));
  const answer = ask("keyvalue", "increment", request);
  return answer.failed ? answer.failure : text(answer.get("value").text);
}

// `KEY EXPECTED VALUE`: keeps a value if the one that is there is as expected, else the error `conflict`.
export function compareAndSet(payload: ArrayBuffer): Result<ArrayBuffer> {
  const word = words(payload, 3);
  const request = new Request().text("key", word[0]).bytes("expected", utf8(word[1])).bytes("value", utf8(word[2]));
  return done(ask("keyvalue", "compare_and_set", request));
}

// `KEY KEY`: answers `KEY=VALUE` in the order of the keys, a line each; without a value `KEY` alone.
export function getMany(payload: ArrayBuffer): Result<ArrayBuffer> {
  const word = words(payload, 2);
  const keys = "[" + quoted(word[0]) + "," + quoted(word[1]) + "]";
  const answer = ask("keyvalue", "get_many", new Request().json("keys", keys));
  if (answer.failed) return answer.failure;
  const entries = answer.get("values").items;
  const all: string[] = [];
  for (let i = 0; i < entries.length; i++) {
    const key = entries[i].get("key").text;
    const value = entries[i].get("value");
    all.push(value.isNull ? key : key + "=" + String.UTF8.decode(value.bytes));
  }
  return lines(all);
}

// `KEY VALUE KEY VALUE`: keeps both or none.
export function setMany(payload: ArrayBuffer): Result<ArrayBuffer> {
  const word = words(payload, 4);
  const entries = [
    new Request().text("key", word[0]).bytes("value", utf8(word[1])),
    new Request().text("key", word[2]).bytes("value", utf8(word[3])),
  ];
  return done(ask("keyvalue", "set_many", new Request().objects("entries", entries)));
}
