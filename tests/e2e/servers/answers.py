"""Answers as in /files/answers.json: ``{path: [status, body]}``. For what can't be real, such as an old release."""

import http.server
import json
from pathlib import Path

ANSWERS = json.loads(Path("/files/answers.json").read_text())


class Fake(http.server.BaseHTTPRequestHandler):
    """Gives the same answer to everybody."""

    def do_GET(self) -> None:
        """Answer."""
        status, body = ANSWERS.get(self.path.partition("?")[0], [404, {"detail": "Not Found"}])
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    do_POST = do_GET

    def log_message(self, *args: object) -> None:
        """Log nothing."""


if __name__ == "__main__":
    http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Fake).serve_forever()
