"""A client that calls a proxy without pause with whatever key its mounted Secret holds, as an agent's tools would.

Usage: caller.py <key file> <base URL>; prints a line of JSON every second: calls so far, how many failed and how many of
these were refused, and the first failures.
"""

import json
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

key_file, url = sys.argv[1:]
body = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}).encode()
calls, keys, failures, told = 0, set(), [], 0.0
while True:
    key = Path(key_file).read_text()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/v1/chat/completions", body, headers)
    try:
        urllib.request.urlopen(request, timeout=60).read()
    except urllib.error.HTTPError as error:
        failures.append([error.code, error.read().decode(errors="replace")[:200]])
    except OSError as error:
        failures.append([0, str(error)])
    calls += 1
    keys.add(hash(key))
    if time.monotonic() - told > 1:
        told = time.monotonic()
        refused = sum(1 for status, _ in failures if status)
        counts = {"calls": calls, "keys": len(keys), "failed": len(failures), "refused": refused}
        print(json.dumps({**counts, "failures": failures[:20]}), flush=True)
    time.sleep(0.2)
