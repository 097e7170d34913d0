"""A program that does what it is asked, right or wrong: the operation says what. Its arguments say how it begins and ends."""

import json
import os
import signal
import struct
import subprocess
import sys
import time

from wapcd_binding import pack, read

requests, answers = sys.stdin.buffer, sys.stdout.buffer


def write(message, length=None):
    data = pack(message)
    answers.write(struct.pack(">I", length or len(data)) + data)
    answers.flush()


def raw(data):
    answers.write(data)
    answers.flush()


def die(code):
    sys.stderr.flush()
    os._exit(code)


how = sys.argv[1:]
if "exit" in how:
    print("no way", file=sys.stderr)
    die(3)
if "silent" in how:
    time.sleep(1000)
if "talk" in how:
    raw(b"Hello, I am ready\n")
    time.sleep(1000)
if "stubborn" in how:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
hello = read(requests)["hello"]
assert hello["protocol"] == 1 and hello["max_message"] > 65536, hello
write({"ready": True, **({"operations": ["echo"]} if "few" in how else {})})
if "brief" in how:
    die(4)
cancelled, kept = [], []
while (message := read(requests)) is not None:
    if "ping" in message:
        write({"pong": message["ping"]})
        continue
    if "cancel" in message:
        cancelled.append(message["cancel"])
        continue
    number, payload = message["id"], message["payload"]

    def ok(value):
        write({"id": number, "ok": value if isinstance(value, bytes) else json.dumps(value).encode()})

    match message["operation"]:
        case "echo":
            ok(payload)
        case "facts":
            ok({key: value for key, value in message.items() if key != "payload"})
        case "surroundings":
            group = os.getpgid(0) == os.getpid()
            ok({"env": dict(os.environ), "cwd": os.getcwd(), "args": how, "pid": os.getpid(), "group": group})
        case "fail":
            kind, text = payload.decode().split(":", 1)
            write({"id": number, "error": {"kind": kind, "message": text}})
        case "keep":
            kept.append(number)
        case "reverse":
            while kept:
                write({"id": kept.pop(), "ok": b"kept"})
            ok(b"")
        case "cancelled":
            ok(cancelled)
        case "late":
            for late in cancelled:
                write({"id": late, "ok": b"late"})
            ok(b"")
        case "die":
            print("I die", file=sys.stderr)
            die(5)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "answer_and_die":
            ok(b"last")
            die(0)
        case "hang":
            time.sleep(1000)
        case "garbage":
            raw(b"Traceback (most recent call last):\n")
        case "text":
            raw(struct.pack(">I", 9) + b'{"id": 1}')
        case "half":
            raw(struct.pack(">I", 100) + b"\x82")
            die(6)
        case "huge":
            raw(b"\xff\xff\xff\xff")
        case "twice":
            ok(b"one")
            ok(b"two")
        case "unknown":
            write({"id": 1000000, "ok": b""})
        case "flood":
            while True:
                raw(struct.pack(">I", 1024) + b"\xc0" * 1024)
        case "chatter":
            for line in range(int(payload)):
                print("line", line, file=sys.stderr)
            sys.stderr.flush()
            ok(b"")
        case "grandchild":
            ok(subprocess.Popen(["sleep", "1000"], stdin=subprocess.DEVNULL).pid)
        case "deaf":
            requests.close()
            time.sleep(1000)
        case "mute":
            os.close(1)
            time.sleep(1000)
        case "big":
            ok(b"x" * int(payload))
if "stubborn" in how:
    time.sleep(1000)
if "work" in how:
    for number in kept:
        write({"id": number, "ok": b"done"})
