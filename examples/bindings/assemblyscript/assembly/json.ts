// As much JSON as host calls need: a request that is written, and an answer that is read.

import { decode, encode } from "./base64";

// An object that is written field by field.
export class Request {
  private fields: string[] = [];

  text(name: string, value: string): Request {
    return this.json(name, quoted(value));
  }

  bytes(name: string, value: ArrayBuffer): Request {
    return this.json(name, quoted(encode(value)));
  }

  int(name: string, value: i64): Request {
    return this.json(name, value.toString());
  }

  bool(name: string, value: bool): Request {
    return this.json(name, value.toString());
  }

  object(name: string, value: Request): Request {
    return this.json(name, value.toString());
  }

  objects(name: string, values: Request[]): Request {
    return this.json(name, "[" + values.join(",") + "]");
  }

  // A value that is written in JSON already.
  json(name: string, value: string): Request {
    this.fields.push(quoted(name) + ":" + value);
    return this;
  }

  toString(): string {
    return "{" + this.fields.join(",") + "}";
  }
}

// A text in JSON.
export function quoted(text: string): string {
  let result = '"';
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code == 0x22 || code == 0x5c) result += "\\" + text.charAt(i);
    else if (code < 0x20) result += "\\u" + code.toString(16).padStart(4, "0");
    else result += text.charAt(i);
  }
  return result + '"';
}

// A value that was read. What is not there, or is of another type, is null, empty, 0 or false.
export class Value {
  // A text without its quotes, or a number, `true`, `false` or `null` as it was written.
  text: string = "";
  isNull: bool = false;
  // The names of an object, beside its values; without names these are the items of a list.
  names: string[] = [];
  items: Value[] = [];

  get(name: string): Value {
    const index = this.names.indexOf(name);
    return index < 0 ? Value.missing() : this.items[index];
  }

  get bytes(): ArrayBuffer {
    return decode(this.text);
  }

  get int(): i64 {
    return I64.parseInt(this.text);
  }

  get bool(): bool {
    return this.text == "true";
  }

  static missing(): Value {
    const value = new Value();
    value.isNull = true;
    return value;
  }
}

// Reads what a host has written; what is no JSON ends in a missing value.
export class Reader {
  private at: i32 = 0;

  constructor(private source: string) {}

  value(): Value {
    const value = new Value();
    const first = this.peek();
    if (first == "{" || first == "[") {
      this.at++;
      while (this.at < this.source.length && this.peek() != "}" && this.peek() != "]") {
        if (first == "{") value.names.push(this.string());
        value.items.push(this.value());
      }
      this.at++;
    } else if (first == '"') {
      value.text = this.string();
    } else {
      const start = this.at;
      while (this.at < this.source.length && !",]}".includes(this.source.charAt(this.at))) this.at++;
      value.text = this.source.substring(start, this.at);
      value.isNull = value.text == "null" || value.text == "";
    }
    return value;
  }

  // The next character that is more than a separator.
  private peek(): string {
    while (this.at < this.source.length && " \n\r\t,:".includes(this.source.charAt(this.at))) this.at++;
    return this.source.charAt(this.at);
  }

  private string(): string {
    this.peek();
    let text = "";
    for (this.at++; this.at < this.source.length && this.source.charAt(this.at) != '"'; this.at++) {
      text += this.source.charAt(this.at) == "\\" ? this.escaped() : this.source.charAt(this.at);
    }
    this.at++;
    return text;
  }

  private escaped(): string {
    const escape = this.source.charAt(++this.at);
    if (escape == "n") return "\n";
    if (escape == "r") return "\r";
    if (escape == "t") return "\t";
    if (escape == "b") return "\b";
    if (escape == "f") return "\f";
    if (escape != "u") return escape;
    this.at += 4;
    return String.fromCharCode(<i32>I32.parseInt(this.source.substring(this.at - 3, this.at + 1), 16));
  }
}
