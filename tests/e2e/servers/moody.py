"""A LiteLLM with moods: it passes every request on to the real one, unless its mood forbids it.

Usage: moody.py <port> <real host> <real port>. PUT /mood/<mood> sets the mood: fine, 429, 500, 503, silent (no answer),
deaf (the request is passed on, and its answer is lost), shut (the connection ends at once). Reads are passed on in
every mood but silent and shut.
"""

import http.client
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

port, real_host, real_port = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
mood = "fine"


class Moody(BaseHTTPRequestHandler):
    """Answers by its mood."""

    protocol_version = "HTTP/1.1"

    def answer(self, status: int, body: bytes) -> None:
        """Send a JSON answer."""
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def handle_one(self) -> None:
        """Pass a request on, unless the mood forbids it."""
        global mood
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.startswith("/mood/"):
            mood = self.path.removeprefix("/mood/")
            return self.answer(200, b"{}")
        now, reads = mood, self.command == "GET"
        if now == "silent":
            time.sleep(70)
            return None
        if now == "shut":
            self.close_connection = True
            return None
        if now.isdigit() and not reads:
            return self.answer(int(now), b'{"error": {"message": "in no mood", "type": "internal_server_error"}}')
        real = http.client.HTTPConnection(real_host, real_port, timeout=60)
        headers = {
            name: value
            for name, value in self.headers.items()
            if name.lower() not in ("host", "connection", "accept-encoding")
        }
        real.request(self.command, self.path, body, headers)
        response = real.getresponse()
        content = response.read()
        if now == "deaf" and not reads:
            self.close_connection = True
            return None
        return self.answer(response.status, content)

    do_GET = do_POST = do_PUT = handle_one

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: a request has a key in it."""


ThreadingHTTPServer(("", port), Moody).serve_forever()
