"""Proxies that would overwhelm an operator: each is healthy at first sight. The first part of the path selects how.

``hang`` answers nothing but its readiness; ``drip`` sends a response that never ends; ``huge`` lists models in 32 MiB of empty
lists; ``endless`` says that it has a billion pages of keys; ``odd`` lists keys that are none; ``stuck`` is a proxy in order
until a key is created, which it never answers.
"""

import http.server
import json
import time

READY = {"status": "healthy", "db": "connected", "litellm_version": "1.106.2"}
MODELS = {"data": [{"model_name": "gpt-4o", "model_info": {}}]}
NO_KEYS = {"keys": [], "total_pages": 0}
HUGE = b'{"data":[' + b"[]," * (32 * 2**20 // 3) + b"[]]}"
ODD = {
    "keys": [None, 1, "x", {"token": 5, "spend": "much", "metadata": {"litclaw": {"generation": "x"}}}],
    "total_pages": "many",
}


class Overwhelming(http.server.BaseHTTPRequestHandler):
    """Answers as the path says."""

    def _answer(self) -> None:
        how, _, path = self.path.partition("?")[0].strip("/").partition("/")
        if path == "health/readiness":
            self._send(json.dumps(READY).encode())
        elif how == "hang":
            time.sleep(3600)
        elif how == "drip":
            self._drip()
        elif path == "health/readiness/details":
            self._send(json.dumps(READY).encode())
        elif path == "model/info":
            self._send(HUGE if how == "huge" else json.dumps(MODELS).encode())
        elif path == "key/list" and how == "endless":
            time.sleep(0.2)
            self._send(json.dumps({"keys": [{"token": str(time.monotonic_ns())}], "total_pages": 10**9}).encode())
        elif path == "key/list":
            self._send(json.dumps(ODD if how == "odd" else NO_KEYS).encode())
        else:
            time.sleep(3600)

    do_GET = do_POST = _answer

    def _drip(self) -> None:
        self.send_response(200)
        self.end_headers()
        while True:
            self.wfile.write(b" ")
            time.sleep(1)

    def _send(self, text: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args: object) -> None:
        """Log nothing."""


if __name__ == "__main__":
    http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Overwhelming).serve_forever()
