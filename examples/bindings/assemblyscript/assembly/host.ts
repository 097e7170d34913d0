// Host calls with named fields, and what the functions of this guest have in common.

import { hostCall, Result } from "@wapc/as-guest";
import { Reader, Request, Value } from "./json";

// What a binding answered: an object, or an error.
export class Answer {
  constructor(private reply: Result<ArrayBuffer>, private fields: Value) {}

  get failed(): bool {
    return !this.reply.isOk;
  }

  // The error, to be passed on to the caller of this guest.
  get failure(): Result<ArrayBuffer> {
    return this.reply;
  }

  get(name: string): Value {
    return this.fields.get(name);
  }
}

// Asks a binding with an object in JSON and reads its answer, which is one too.
export function ask(binding: string, operation: string, request: Request): Answer {
  const reply = hostCall(binding, "", operation, String.UTF8.encode(request.toString()));
  const fields = reply.isOk ? new Reader(String.UTF8.decode(reply.get())).value() : Value.missing();
  return new Answer(reply, fields);
}

// So many words of a payload; the last one is all that is left, and those that are not there are empty.
export function words(payload: ArrayBuffer, count: i32): string[] {
  const text = String.UTF8.decode(payload);
  const words: string[] = [];
  let start = 0;
  while (words.length < count - 1) {
    const end = text.indexOf(" ", start);
    words.push(end < 0 ? text.substring(start) : text.substring(start, end));
    start = end < 0 ? text.length : end + 1;
  }
  words.push(text.substring(start));
  return words;
}

// The bytes of a text.
export function utf8(text: string): ArrayBuffer {
  return String.UTF8.encode(text);
}

// Answers of this guest.
export function text(answer: string): Result<ArrayBuffer> {
  return Result.ok<ArrayBuffer>(utf8(answer));
}

export function lines(answer: string[]): Result<ArrayBuffer> {
  return text(answer.join("\n"));
}

export function bytes(answer: ArrayBuffer): Result<ArrayBuffer> {
  return Result.ok<ArrayBuffer>(answer);
}

// An empty answer, or the error.
export function done(answer: Answer): Result<ArrayBuffer> {
  return answer.failed ? answer.failure : text("");
}
