"""An image provider behind the real LiteLLM: it answers /v1/images/generations as OpenAI does."""

import base64
import http.server
import json
import struct
import zlib


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(size: int = 8) -> bytes:
    """A red square."""
    header = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    pixels = zlib.compress((b"\0" + b"\xff\0\0" * size) * size)
    parts = ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts)


class Painter(http.server.BaseHTTPRequestHandler):
    """Accepts the key that LiteLLM was given for it."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Answer with one picture."""
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        known = self.headers.get("Authorization") == "Bearer the-key-of-the-painter"
        body = {"created": 1, "data": [{"b64_json": base64.b64encode(png()).decode()}]}
        text = json.dumps(body if known else {"error": {"message": "wrong key"}}).encode()
        self.send_response(200 if known else 401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args: object) -> None:
        """Log nothing."""


if __name__ == "__main__":
    http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Painter).serve_forever()
