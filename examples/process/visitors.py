"""Greets visitors and counts them, in a database that outlasts this program and the daemon.

    hello  a name, as text -> a greeting
    count  what to count, as text -> how often it was counted, as text
"""

import os
import sqlite3
import threading

from wapcd_binding import HostError, serve

database = sqlite3.connect(os.environ["VISITORS"], check_same_thread=False)
database.execute("CREATE TABLE IF NOT EXISTS counts (what TEXT PRIMARY KEY, number INTEGER NOT NULL)")
# Operations run on several threads at once; this is what they share.
lock = threading.Lock()


def hello(payload, call):
    if not payload.strip():
        raise HostError("bad_request", "expected a name")
    return b"Hello, " + payload.strip() + b"!"


def count(payload, call):
    sql = "INSERT INTO counts VALUES (?, 1) ON CONFLICT DO UPDATE SET number = number + 1 RETURNING number"
    with lock, database:
        ((number,),) = database.execute(sql, (payload.decode(),)).fetchall()
    return str(number).encode()


serve({"hello": hello, "count": count})
