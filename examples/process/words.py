"""Finds words that are written alike: what Python's library has and guests have not.

    similar {"word": str, "among": [str]} -> {"words": [str]}, the most similar first; not_found where there is none
    wait    a number of seconds, as text  -> the same, after so long
"""

import difflib
import json
import time

from wapcd_binding import HostError, serve


def similar(payload, call):
    try:
        request = json.loads(payload)
        word, among = request["word"], request["among"]
    except (ValueError, KeyError, TypeError) as error:
        raise HostError("bad_request", f"expected a word and a list: {error!r}")
    words = difflib.get_close_matches(word, among)
    if not words:
        raise HostError("not_found", f"nothing is like `{word}`")
    return json.dumps({"words": words}).encode()


def wait(payload, call):
    time.sleep(min(float(payload), call["deadline_ms"] / 1000))
    return payload


serve({"similar": similar, "wait": wait})
