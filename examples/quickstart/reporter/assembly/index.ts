// A guest that looks at a page and tells whoever listens: `report` takes a URL, asks for it over the binding `web`, and
// publishes what came of it on the topic `reports.ok` or `reports.failed` of the binding `events`.

import { handleAbort, handleCall, hostCall, register, Result } from "@wapc/as-guest";
import { Codec, Decoder, toArrayBuffer, Writer } from "@wapc/as-msgpack";

register("report", (payload: ArrayBuffer): Result<ArrayBuffer> => {
  const url = String.UTF8.decode(payload).trim();
  const reply = hostCall("web", "", "request", toArrayBuffer(new Request(url)));
  if (!reply.isOk) return reply;

  const answer = new Answer();
  const decoder = new Decoder(reply.get());
  answer.decode(decoder);
  if (decoder.error() != null) return failure("cannot read the answer of `request`");

  const report = String.UTF8.encode(url + " answers with status " + answer.status.toString());
  const topic = answer.status < 400 ? "reports.ok" : "reports.failed";
  const published = hostCall("events", "", "publish", toArrayBuffer(new Message(topic, report)));
  return published.isOk ? Result.ok<ArrayBuffer>(report) : published;
});

// What `request` takes: { url: str }, and more that is left out here.
class Request implements Codec {
  constructor(private url: string) {}

  encode(writer: Writer): void {
    writer.writeMapSize(1);
    writer.writeString("url");
    writer.writeString(this.url);
  }

  decode(_decoder: Decoder): void {}
}

// What `request` answers: { status: int, ... }, of which this guest reads the status only.
class Answer implements Codec {
  status: i32 = 0;

  decode(decoder: Decoder): void {
    for (let fields = decoder.readMapSize(); fields > 0; fields--) {
      if (decoder.readString() == "status") this.status = decoder.readInt32();
      else decoder.skip();
    }
  }

  encode(_writer: Writer): void {}
}

// What `publish` takes: { topic: str, payload: bytes }.
class Message implements Codec {
  constructor(private topic: string, private payload: ArrayBuffer) {}

  encode(writer: Writer): void {
    writer.writeMapSize(2);
    writer.writeString("topic");
    writer.writeString(this.topic);
    writer.writeString("payload");
    writer.writeByteArray(this.payload);
  }

  decode(_decoder: Decoder): void {}
}

function failure(message: string): Result<ArrayBuffer> {
  return Result.error<ArrayBuffer>(new Error(message));
}

// The entry point of every call; the SDK finds the operation.
export function __guest_call(operationSize: usize, payloadSize: usize): bool {
  return handleCall(operationSize, payloadSize);
}

// Called for an uncaught error: reports it to the host before the guest traps.
function abort(message: string | null, file: string | null, line: u32, column: u32): void {
  handleAbort(message, file, line, column);
}
