"""Proxies that would overwhelm an operator: each is healthy at first sight. The first part of the path selects how.

``hang`` answers nothing but its readiness; ``drip`` sends a response that never ends; ``large`` a list of models whose second
half never comes; ``huge`` lists models in 32 MiB of empty lists; ``bomb`` ten megabytes of models in ten kilobytes of gzip;
``utf8`` what is no UTF-8; ``headers`` a thousand of them; ``date`` has a clock beyond all calendars; ``names`` lists thousands of
models that are no names, and a version of a megabyte; ``endless`` says that it has a billion pages of keys; ``marked-<uid>`` lists
keys without end that look like those of the cluster with that uid; ``odd`` and ``forged-<uid>`` list keys that are none;
``stuck`` is a proxy in order until a key is created, which it never answers. After PUT /calm all of them are in order.
"""

import gzip
import hashlib
import http.server
import itertools
import json
import time
import urllib.parse

READY = {"status": "healthy", "db": "connected", "litellm_version": "1.106.2"}
MODELS = {"data": [{"model_name": "gpt-4o", "model_info": {}}]}
NO_KEYS = {"keys": [], "total_pages": 0}
HUGE = b'{"data":[' + b"[]," * (32 * 2**20 // 3) + b"[]]}"
BOMB = gzip.compress(b'{"data":[' + b" " * 10 * 2**20 + b"]}")
ODD = {
    "keys": [None, 1, "x", {"token": 5, "spend": "much", "metadata": {"litclaw": {"generation": "x"}}}],
    "total_pages": "many",
}
NO_NAMES = [
    "${OPENCLAW_GATEWAY_TOKEN}",
    "x/${HOME}",
    "\x1b[31mred\x1b]0;title\x07",
    "a\nb",
    "a\0b",
    "\u202egnp.exe",
    "m" * 5_000,
]
NAMES = {
    "data": [
        *({"model_name": name, "model_info": {"max_tokens": 10**30}} for name in NO_NAMES),
        *({"model_name": f"${{VARIABLE_{number}}}", "model_info": {"id": "x" * 500}} for number in range(3_000)),
        {"model_name": "gpt-4o", "model_info": [1]},
    ]
}
VERSION = {**READY, "litellm_version": "1.106.2\x1b[2J" + "9" * 2**20}
FORGED = {"max_budget": "much", "expires": "never", "models": [["gpt-4o"]], "key_alias": {"a": 1}, "spend": 1e300}
NUMBERS = itertools.count()
KEYS: dict[str, dict[str, object]] = {}
calm = False


def key(cluster: str, **fields: object) -> dict[str, object]:
    """A key that looks like one of the cluster's."""
    number = next(NUMBERS)
    mark = {"cluster": cluster, "agent": f"invented-{number}", "generation": 1}
    return {"token": f"{number:064x}", "metadata": {"litclaw": mark, "note": "n" * 9_000}, **fields}


class Overwhelming(http.server.BaseHTTPRequestHandler):
    """Answers as the path says."""

    def _answer(self) -> None:
        first, _, path = self.path.partition("?")[0].strip("/").partition("/")
        how, _, cluster = first.partition("-")
        if calm:
            return self._usual(path)
        if how == "date":
            return self._usual(path, Date="Tue, 24 Nov 2026 10:00:00 +99999999999999999999")
        if path == "health/readiness":
            self._send(json.dumps(READY).encode())
        elif how == "hang":
            time.sleep(3600)
        elif how == "drip":
            self._drip()
        elif path == "model/info" and how == "large":
            self._drip(b'{"data":[' + b" " * 2**20)
        elif path == "model/info" and how == "huge":
            self._send(HUGE)
        elif path == "model/info" and how == "bomb":
            self._send(BOMB, **{"Content-Encoding": "gzip"})
        elif path == "model/info" and how == "utf8":
            self._send(b'{"data":[{"model_name":"\xff\xfe"}]}')
        elif path == "model/info" and how == "headers":
            self._send(b"{}", **{f"X-{number}": "y" * 8_000 for number in range(1_000)})
        elif path == "model/info" and how == "names":
            self._send(json.dumps(NAMES).encode())
        elif path == "health/readiness/details" and how == "names":
            self._send(json.dumps(VERSION).encode())
        elif path == "key/list" and how == "endless":
            time.sleep(0.2)
            self._send(json.dumps({"keys": [{"token": str(next(NUMBERS))}], "total_pages": 10**9}).encode())
        elif path == "key/list" and how == "marked":
            time.sleep(0.1)
            self._send(json.dumps({"keys": [key(cluster) for _ in range(100)], "total_pages": 2_500}).encode())
        elif path == "key/list" and how == "forged":
            self._send(json.dumps({"keys": [key(cluster, **FORGED)], "total_pages": 1}).encode())
        elif path == "key/list" and how == "odd":
            self._send(json.dumps(ODD).encode())
        elif path.startswith("key/") and path != "key/list" and how == "stuck":
            time.sleep(3600)
        else:
            self._usual(path)
        return None

    do_GET = do_POST = _answer

    def do_PUT(self) -> None:
        """Become calm."""
        global calm
        calm = True
        self._send(b"{}")

    def _usual(self, path: str, **headers: str) -> None:
        """Answer as a proxy in order. It lists no keys, but knows those that were created when it is asked for one."""
        answers = {
            "health/readiness": READY,
            "health/readiness/details": READY,
            "model/info": MODELS,
            "key/list": NO_KEYS,
        }
        body: object = answers.get(path, {})
        status = 200
        if path == "key/generate":
            given = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            token = hashlib.sha256(given.pop("key").encode()).hexdigest()
            body = KEYS[token] = {**given, "token": token}
        elif path == "key/info":
            query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
            known = KEYS.get(query.get("key", [""])[0])
            status, body = (200, {"info": known}) if known else (404, {"error": {"message": "Key not found"}})
        self._send(json.dumps(body).encode(), status, **headers)

    def _drip(self, begin: bytes = b"") -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(begin)
        while True:
            self.wfile.write(b" ")
            time.sleep(1)

    def _send(self, text: bytes, status: int = 200, **headers: str) -> None:
        self.send_response_only(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(text)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args: object) -> None:
        """Log nothing."""


if __name__ == "__main__":
    http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Overwhelming).serve_forever()
