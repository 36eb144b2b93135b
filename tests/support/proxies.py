"""Small real proxies: before a server (below a path, with TLS, redirecting to https), and of an environment."""

import http.client
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "te", "upgrade", "proxy-connection"})


@contextmanager
def reverse_proxy(
    upstream: str, below: str = "", *, strip: bool = True, certificate: Path | None = None, keep_host: bool = True
) -> Iterator[str]:
    """The URL of a proxy that serves a server's paths below its own path `below`.

    With `strip` it takes that path off, as nginx does with `proxy_pass http://server/`. With `certificate` (a PEM file
    with its key) it speaks TLS. Without `keep_host` the server sees its own address as Host, as nginx does by default.
    """
    server = urlsplit(upstream)
    assert server.hostname is not None

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            path = self.path
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if below and not path.startswith(f"{below}/"):
                self._reply(404, [("Content-Type", "text/plain")], b"the proxy has nothing here")
                return
            headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
            if not keep_host:
                headers["Host"] = server.netloc
            headers["X-Forwarded-For"] = self.client_address[0]
            headers["X-Forwarded-Proto"] = "https" if certificate else "http"
            onward = http.client.HTTPConnection(str(server.hostname), server.port, timeout=60)
            onward.request(self.command, path[len(below) :] if strip else path, body, headers)
            response = onward.getresponse()
            self._reply(response.status, response.getheaders(), response.read())
            onward.close()

        def _reply(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
            self.send_response_only(status)
            for name, value in headers:
                if name.lower() not in HOP_BY_HOP | {"content-length"}:
                    self.send_header(name, value)
            if status not in (204, 304):
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = answer

        def log_message(self, format: str, *args: object) -> None:
            pass

    with _listening(Handler, certificate) as port:
        yield f"http{'s' if certificate else ''}://127.0.0.1:{port}{below}"


@contextmanager
def redirecting(to: str, status: int = 308) -> Iterator[str]:
    """The URL of a server that sends every request to the same path of another one."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response_only(status)
            self.send_header("Location", to + self.path)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = answer

        def log_message(self, format: str, *args: object) -> None:
            pass

    with _listening(Handler) as port:
        yield f"http://127.0.0.1:{port}"


@contextmanager
def forward_proxy(hosts: dict[str, str], seen: list[str]) -> Iterator[str]:
    """The URL of a proxy as HTTP_PROXY names it. `hosts` are the servers by name; `seen` gets each URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            target = urlsplit(self.path)
            seen.append(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            server = urlsplit(hosts[target.netloc])
            headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
            headers["Host"] = server.netloc
            onward = http.client.HTTPConnection(str(server.hostname), server.port, timeout=60)
            onward.request(self.command, f"{target.path}?{target.query}".rstrip("?"), body, headers)
            response = onward.getresponse()
            content = response.read()
            self.send_response_only(response.status)
            self.send_header("Content-Type", response.getheader("Content-Type", "text/plain"))
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            onward.close()

        do_GET = do_PUT = do_POST = answer

        def log_message(self, format: str, *args: object) -> None:
            pass

    with _listening(Handler) as port:
        yield f"http://127.0.0.1:{port}"


def make_certificate(folder: Path) -> Path | None:
    """A certificate of 127.0.0.1 with its key in one file; None without openssl."""
    if shutil.which("openssl") is None:
        return None
    key, certificate, both = folder / "key.pem", folder / "certificate.pem", folder / "both.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    both.write_text(certificate.read_text() + key.read_text())
    return both


@contextmanager
def _listening(handler: type[BaseHTTPRequestHandler], certificate: Path | None = None) -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
