// `blob`: objects under names.

import { Result } from "@wapc/as-guest";
import { ask, bytes, done, lines, text, utf8, words } from "./host";
import { Request } from "./json";

// `NAME TEXT`: keeps an object, in place of what was there; nobody ever sees half of it.
export function put(payload: ArrayBuffer): Result<ArrayBuffer> {
  const word = words(payload, 2);
  const request = new Request().text("name", word[0]).bytes("data", utf8(word[1])).text("content_type", "text/plain");
  return done(ask("blob", "put", request));
}

// `NAME`: answers the object, or the error `not_found`.
export function get(payload: ArrayBuffer): Result<ArrayBuffer> {
  const name = words(payload, 1)[0];
  const answer = ask("blob", "get", new Request().text("name", name));
  return answer.failed ? answer.failure : bytes(answer.get("data").bytes);
}

// `NAME OFFSET LENGTH`: answers a part of the object.
export function getPart(payload: ArrayBuffer): Result<ArrayBuffer> {
  const word = words(payload, 3);
  const request = new Request().text("name", word[0]);
  request.int("offset", I64.parseInt(word[1])).int("length", I64.parseInt(word[2]));
  const answer = ask("blob", "get", request);
  return answer.failed ? answer.failure : bytes(answer.get("data").bytes);
}

// `NAME`: answers the object's size, without reading it.
export function head(payload: ArrayBuffer): Result<ArrayBuffer> {
  const name = words(payload, 1)[0];
  const answer = ask("blob", "head", new Request().text("name", name));
  return answer.failed ? answer.failure : text(answer.get("size").text);
}

// `PREFIX`: answers `NAME SIZE` of all objects whose names begin so, a line each; asks for two at a time.
export function list(payload: ArrayBuffer): Result<ArrayBuffer> {
  const prefix = words(payload, 1)[0];
  const all: string[] = [];
  let request = new Request().text("prefix", prefix).int("limit", 2);
  while (true) {
    const answer = ask("blob", "list", request);
    if (answer.failed) return answer.failure;
    const objects = answer.get("objects").items;
    for (let i = 0; i < objects.length; i++) all.push(objects[i].get("name").text + " " + objects[i].get("size").text);
    const next = answer.get("next");
    if (next.isNull) return lines(all);
    request = new Request().text("prefix", prefix).int("limit", 2).text("after", next.text);
  }
}

// `NAME`: answers whether there was an object.
export function remove(payload: ArrayBuffer): Result<ArrayBuffer> {
  const name = words(payload, 1)[0];
  const answer = ask("blob", "delete", new Request().text("name", name));
  return answer.failed ? answer.failure : text(answer.get("deleted").text);
}

// `FROM TO`: copies an object without fetching it.
export function copy(payload: ArrayBuffer): Result<ArrayBuffer> {
  const word = words(payload, 2);
  return done(ask("blob", "copy", new Request().text("from", word[0]).text("to", word[1])));
}
