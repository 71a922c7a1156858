# SPDX-License-Identifier: MIT
"""A way to the service for clients that cannot show a token: each connection is one request, and gets the header field."""
import contextlib
import socket
import threading


class Relay:
    """`address` is HOST:PORT of the service; `url` is for clients."""

    def __init__(self, address, token, path="/mcp"):
        host, _, port = address.rpartition(":")
        self.to = (host, int(port))
        self.field = f"Authorization: Bearer {token}\r\n".encode()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}{path}"
        threading.Thread(target=self.accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                threading.Thread(target=self.serve, args=[client], daemon=True).start()

    def serve(self, client):
        with client, contextlib.suppress(OSError), socket.create_connection(self.to) as service:
            head = b""
            while b"\r\n" not in head:
                piece = client.recv(65536)
                if not piece:
                    return
                head += piece
            first, rest = head.split(b"\r\n", 1)
            service.sendall(first + b"\r\n" + self.field + rest)
            threading.Thread(target=self.copy, args=[client, service], daemon=True).start()
            self.copy(service, client)

    @staticmethod
    def copy(source, target):
        """To the end, which the other side then sees, too."""
        with contextlib.suppress(OSError):
            while piece := source.recv(65536):
                target.sendall(piece)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)
