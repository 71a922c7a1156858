# SPDX-License-Identifier: MIT
"""Stands between a program and the engine of DSB_TEST_ENDPOINT: each connection goes on to it, through on_data()."""
import contextlib
import os
import re
import resource
import socket
import struct
import threading

import cli_harness
from cli_harness import BACKEND, ENDPOINT

ENGINE = ENDPOINT.removeprefix("unix://")


class EngineProxy:
    def __init__(self):
        if BACKEND == "podman":
            self.take_limit()
        self.path = os.path.join(cli_harness.WORK.path, "proxy.sock")
        with contextlib.suppress(OSError):
            os.unlink(self.path)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        os.chmod(self.path, 0o666)
        self.listener.listen(64)
        threading.Thread(target=self.serve, daemon=True).start()

    @staticmethod
    def take_limit():
        """The backend takes the limit on processes from the process behind the socket, and so do its children."""
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as engine:
            engine.connect(ENGINE)
            (pid,) = struct.unpack("3i", engine.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[:1]
        with open(f"/proc/{pid}/limits", encoding="utf-8") as limits:  # those of another user name space, too
            words = re.search(r"Max processes +(\S+) +(\S+)", limits.read()).groups()
        resource.setrlimit(resource.RLIMIT_NPROC, tuple(resource.RLIM_INFINITY if w == "unlimited" else int(w) for w in words))

    def env(self):
        return {"CONTAINER_HOST" if BACKEND == "podman" else "DOCKER_HOST": "unix://" + self.path}

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                client, engine = self.listener.accept()[0], socket.socket(socket.AF_UNIX)
                try:
                    engine.connect(ENGINE)
                except OSError:  # it is dead
                    client.close()
                    continue
                seen = []  # what a connection remembers
                for source, sink, to_engine in ((client, engine, True), (engine, client, False)):
                    threading.Thread(target=self.pump, args=(source, sink, to_engine, seen), daemon=True).start()

    def pump(self, source, sink, to_engine, seen):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if self.on_data(data, to_engine, source, seen):
                    sink.sendall(data)
        if to_engine and seen:
            return  # that its client has gone is not known to an engine that works
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)
        if not to_engine:
            for end in (source, sink):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def on_data(self, data, to_engine, source, seen):
        """Whether it goes on."""
        raise NotImplementedError

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
