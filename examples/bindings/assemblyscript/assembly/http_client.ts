// `http_client`: requests to HTTP servers.

import { Result } from "@wapc/as-guest";
import { Answer, ask, text, utf8, words } from "./host";
import { Request } from "./json";

// `URL`: answers status and body; any status is an answer.
export function get(payload: ArrayBuffer): Result<ArrayBuffer> {
  const url = words(payload, 1)[0];
  return told(ask("http_client", "request", new Request().text("url", url)));
}

// `URL TEXT`: sends a text, waits two seconds at most, and answers the status and the body.
export function post(payload: ArrayBuffer): Result<ArrayBuffer> {
  const word = words(payload, 2);
  const request = new Request().text("method", "POST").text("url", word[0]);
  request.object("headers", new Request().text("Content-Type", "text/plain"));
  request.bytes("body", utf8(word[1])).text("timeout", "2s");
  return told(ask("http_client", "request", request));
}

function told(answer: Answer): Result<ArrayBuffer> {
  if (answer.failed) return answer.failure;
  return text(answer.get("status").text + " " + String.UTF8.decode(answer.get("body").bytes));
}
