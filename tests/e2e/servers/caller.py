"""A client that calls a proxy all the time with the key in its mounted Secret, as an agent's tools would.

Usage: caller.py <key file> <base URL>. Prints a line of JSON every second: the numbers of calls, keys, failed calls and
refused calls, and the first failures.
"""

import json
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

key_file, url = sys.argv[1:]
body = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}).encode()
calls, keys, failures, printed = 0, set(), [], 0.0
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
    if time.monotonic() - printed > 1:
        printed = time.monotonic()
        refused = sum(1 for status, _ in failures if status)
        counts = {"calls": calls, "keys": len(keys), "failed": len(failures), "refused": refused}
        print(json.dumps({**counts, "failures": failures[:20]}), flush=True)
    time.sleep(0.2)
