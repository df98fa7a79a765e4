"""A TLS proxy in front of the real LiteLLM, with the certificate in /files/tls.pem."""

import http.client
import http.server
import ssl


class Door(http.server.BaseHTTPRequestHandler):
    """Passes every request on, and every answer back."""

    protocol_version = "HTTP/1.1"

    def _forward(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        upstream = http.client.HTTPConnection("main-litellm", 4000, timeout=60)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "connection")}
        upstream.request(self.command, self.path, self.rfile.read(length) if length else None, headers)
        answer = upstream.getresponse()
        body = answer.read()
        self.send_response(answer.status)
        for name in ("Content-Type", "Content-Encoding"):
            if value := answer.getheader(name):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        upstream.close()

    do_GET = do_POST = _forward

    def log_message(self, *args: object) -> None:
        """Log nothing."""


if __name__ == "__main__":
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain("/files/tls.pem")
    server = http.server.ThreadingHTTPServer(("0.0.0.0", 8443), Door)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()
