"""A client that calls a proxy all the time with the key in its mounted Secret, as an agent's tools would.

Usage: caller.py <key file> <base URL> [<calls per second>]. Each call opens a connection of its own. Without a number
it makes the next call 0.2 s after the last. Prints a line of JSON every second: the numbers of calls, keys, failed calls
and refused calls, the seconds, and the first failures.
"""

import http.client
import json
import os
import sys
import threading
import time
import traceback
import urllib.error
import urllib.request
from pathlib import Path

key_file, url, *rate = sys.argv[1:]
body = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}).encode()
calls, keys, failures = 0, set(), []
lock = threading.Lock()


def call() -> None:
    global calls
    key = Path(key_file).read_text()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/v1/chat/completions", body, headers)
    failure = None
    try:
        urllib.request.urlopen(request, timeout=60).read()
    except urllib.error.HTTPError as error:
        failure = [error.code, error.read().decode(errors="replace")[:200]]
    except (OSError, http.client.HTTPException) as error:
        failure = [0, repr(error)]
    with lock:
        calls += 1
        keys.add(hash(key))
        if failure:
            failures.append(failure)


def call_each_second() -> None:
    due = time.monotonic()
    while True:
        call()
        now = time.monotonic()
        due = max(due + 1, now)
        time.sleep(due - now)


def call_after_the_last() -> None:
    while True:
        call()
        time.sleep(0.2)


def end(raised: threading.ExceptHookArgs) -> None:
    """Callers that end unnoticed would see no refused call."""
    traceback.print_exception(raised.exc_value)
    os._exit(1)


threading.excepthook = end
callers = int(rate[0]) if rate else 1
for number in range(callers):
    threading.Timer(number / callers, call_each_second if rate else call_after_the_last).start()
began = time.monotonic()
while True:
    time.sleep(1)
    with lock:
        refused = sum(1 for status, _ in failures if status)
        counts = {"calls": calls, "keys": len(keys), "failed": len(failures), "refused": refused}
        seconds = round(time.monotonic() - began, 1)
        print(json.dumps({**counts, "seconds": seconds, "failures": failures[:20]}), flush=True)
