"""Answers the host calls of wapcd guests: a `process` binding in Python, with the standard library alone.

    from wapcd_binding import HostError, serve

    def greet(payload, call):
        return b"hello " + payload

    serve({"greet": greet})

A function is given the payload as bytes, and the facts about the call as a dictionary (`module`, `instance`, `call`, `namespace`,
`operation`, `deadline_ms`). It answers with bytes, or raises `HostError`; any other exception is `internal`, and its
traceback is in the daemon's log. Several calls run at once, each on a thread.
"""

import struct
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor

PROTOCOL = 1


class HostError(Exception):
    """What the guest reads as `kind: message`. The kind is one of wapcd's: not_found, bad_request, conflict, ..."""

    def __init__(self, kind, message):
        super().__init__(message)
        self.kind = kind


def pack(value):
    """MessagePack of what messages are made of."""
    if value is None:
        return b"\xc0"
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        if value >= 0:
            return bytes([value]) if value < 128 else b"\xcf" + struct.pack(">Q", value)
        return b"\xd3" + struct.pack(">q", value)
    if isinstance(value, float):
        return b"\xcb" + struct.pack(">d", value)
    if isinstance(value, str):
        text = value.encode()
        return b"\xdb" + struct.pack(">I", len(text)) + text
    if isinstance(value, (bytes, bytearray)):
        return b"\xc6" + struct.pack(">I", len(value)) + bytes(value)
    if isinstance(value, (list, tuple)):
        return b"\xdd" + struct.pack(">I", len(value)) + b"".join(map(pack, value))
    if isinstance(value, dict):
        items = [pack(key) + pack(item) for key, item in value.items()]
        return b"\xdf" + struct.pack(">I", len(items)) + b"".join(items)
    raise TypeError(f"no MessagePack for {type(value).__name__}")


def unpack(data):
    """The value that some MessagePack holds."""
    at = 0

    def take(count):
        nonlocal at
        at += count
        return data[at - count : at]

    def number(form):
        return struct.unpack(">" + form, take(struct.calcsize(form)))[0]

    numbers = dict(zip(range(0xCA, 0xD4), "fdBHIQbhiq"))
    lengths = dict(zip((0xC4, 0xC5, 0xC6, 0xD9, 0xDA, 0xDB, 0xDC, 0xDD, 0xDE, 0xDF), "BHIBHIHIHI"))

    def value():
        tag = take(1)[0]
        if tag < 0x80:
            return tag
        if tag >= 0xE0:
            return tag - 0x100
        if tag in (0xC0, 0xC2, 0xC3):
            return {0xC0: None, 0xC2: False, 0xC3: True}[tag]
        if tag in numbers:
            return number(numbers[tag])
        if 0xA0 <= tag < 0xC0:
            return take(tag & 0x1F).decode()
        length = number(lengths[tag]) if tag in lengths else tag & 0x0F
        if tag in (0xC4, 0xC5, 0xC6):
            return bytes(take(length))
        if tag in (0xD9, 0xDA, 0xDB):
            return take(length).decode()
        if tag in (0xDC, 0xDD) or 0x90 <= tag < 0xA0:
            return [value() for _ in range(length)]
        if tag in (0xDE, 0xDF) or tag < 0x90:
            return {value(): value() for _ in range(length)}
        raise ValueError(f"no MessagePack that is used here: {tag:#04x}")

    return value()


def read(pipe):
    """The next message; None at the end."""
    head = pipe.read(4)
    if len(head) < 4:
        return None
    return unpack(pipe.read(struct.unpack(">I", head)[0]))


def serve(operations, threads=8):
    """Answers host calls until the daemon closes the input."""
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    # What is printed must not come between messages: it goes to the daemon's log.
    sys.stdout = sys.stderr
    lock, wanted = threading.Lock(), set()

    def write(message):
        data = pack(message)
        with lock:
            answers.write(struct.pack(">I", len(data)) + data)
            answers.flush()

    def answer(request):
        number = request["id"]
        if number not in wanted:
            # It was cancelled before its turn; such a request need not be answered.
            return
        try:
            message = {"id": number, "ok": operations[request["operation"]](request["payload"], request)}
        except HostError as error:
            message = {"id": number, "error": {"kind": error.kind, "message": str(error)}}
        except Exception as error:
            traceback.print_exc()
            message = {"id": number, "error": {"kind": "internal", "message": repr(error)}}
        wanted.discard(number)
        write(message)

    hello = read(requests)["hello"]
    if hello["protocol"] != PROTOCOL:
        sys.exit(f"the daemon speaks protocol {hello['protocol']}, this program {PROTOCOL}")
    write({"ready": True, "operations": list(operations)})
    with ThreadPoolExecutor(threads) as pool:
        while (message := read(requests)) is not None:
            if "ping" in message:
                write({"pong": message["ping"]})
            elif "cancel" in message:
                wanted.discard(message["cancel"])
            else:
                wanted.add(message["id"])
                pool.submit(answer, message)
