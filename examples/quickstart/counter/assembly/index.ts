// A guest with two operations: `count` adds 1 to the counter that the payload names and answers its value as text,
// `reset` forgets that counter. The values live in the host's key-value binding, not in the guest: they outlast every
// restart.

import { handleAbort, handleCall, hostCall, register, Result } from "@wapc/as-guest";
import { Codec, Decoder, toArrayBuffer, Writer } from "@wapc/as-msgpack";

register("count", (payload: ArrayBuffer): Result<ArrayBuffer> => {
  const name = String.UTF8.decode(payload).trim();
  if (name.length == 0) return failure("tell me which counter");

  const reply = hostCall("cache", "", "increment", toArrayBuffer(new Increment(name, 1)));
  if (!reply.isOk) return reply;

  const value = new Value();
  const decoder = new Decoder(reply.get());
  value.decode(decoder);
  if (decoder.error() != null) return failure("cannot read the reply of `increment`");
  return text(value.value.toString());
});

register("reset", (payload: ArrayBuffer): Result<ArrayBuffer> => {
  const name = String.UTF8.decode(payload).trim();
  if (name.length == 0) return failure("tell me which counter");

  const reply = hostCall("cache", "", "delete", toArrayBuffer(new Key(name)));
  return reply.isOk ? text("0") : reply;
});

// What `increment` takes: the map { key: str, by: int } in MessagePack.
class Increment implements Codec {
  constructor(private key: string, private by: i64) {}

  encode(writer: Writer): void {
    writer.writeMapSize(2);
    writer.writeString("key");
    writer.writeString(this.key);
    writer.writeString("by");
    writer.writeInt64(this.by);
  }

  decode(_decoder: Decoder): void {}
}

// What `delete` takes: { key: str }.
class Key implements Codec {
  constructor(private key: string) {}

  encode(writer: Writer): void {
    writer.writeMapSize(1);
    writer.writeString("key");
    writer.writeString(this.key);
  }

  decode(_decoder: Decoder): void {}
}

// What `increment` answers: { value: int }, perhaps with more fields one day.
class Value implements Codec {
  value: i64 = 0;

  decode(decoder: Decoder): void {
    for (let fields = decoder.readMapSize(); fields > 0; fields--) {
      if (decoder.readString() == "value") this.value = decoder.readInt64();
      else decoder.skip();
    }
  }

  encode(_writer: Writer): void {}
}

function text(value: string): Result<ArrayBuffer> {
  return Result.ok<ArrayBuffer>(String.UTF8.encode(value));
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
