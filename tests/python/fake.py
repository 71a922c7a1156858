#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""
A small stand-in for `dsandbox serve`, so that the package can be tested without an engine. It runs code in its own
process, so it is for code of the tests only. As a program it takes `serve --socket PATH`, as the real one does:

    DSB_FAKE_STARTS=FILE    a line is added for each start
    DSB_FAKE_DELAY=SECONDS  before it listens
    DSB_FAKE_BROKEN=TEXT    says this and fails
"""
import base64
import contextlib
import ast
import http.server
import io
import json
import os
import re
import shutil
import socketserver
import sys
import threading
import time
import traceback
from urllib.parse import parse_qs, unquote, urlsplit

RUN = threading.Lock()  # redirecting the standard streams is for one at a time
STATUS = {"invalid": 400, "denied": 403, "not_found": 404, "busy": 409, "conflict": 409, "refused": 422, "unavailable": 503}


class Failure(Exception):
    def __init__(self, code, message):
        super().__init__(message)
        self.code, self.message = code, message


class Stream(io.TextIOBase):
    def __init__(self, name, emit):
        self.name_, self.emit = name, emit

    def writable(self):
        return True

    def write(self, text):
        self.emit(self.name_, text)
        return len(text)


class Session:
    def __init__(self, body, default_base):
        self.body = body
        self.workdir = os.path.join(body.get("base_dir") or default_base, body["id"])
        os.makedirs(self.workdir, exist_ok=True)
        self.space = {"__name__": "__main__"}
        self.lock = threading.Lock()
        self.history = []
        self.saved = {}

    def json(self):
        return {
            "id": self.body["id"],
            "state": "busy" if self.lock.locked() else "idle",
            "backend": self.body.get("backend"),
            "image": self.body.get("image"),
            "workdir": self.workdir,
            "base_dir": os.path.dirname(self.workdir),
            "labels": self.body.get("labels", {}),
            "executions": len(self.history),
            "queued": 0,
            "a member of a later version": 1,
        }


def evaluate(code, space, emit):
    """status, error, value"""
    out, err = Stream("stdout", emit), Stream("stderr", emit)
    with RUN, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            tree = ast.parse(code)
            last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
            exec(compile(tree, "<sandbox>", "exec"), space)
            value = eval(compile(ast.Expression(last.value), "<sandbox>", "eval"), space) if last else None
            return 0, None, value
        except SystemExit as error:
            if isinstance(error.code, str):
                print(error.code, file=sys.stderr)
            return 1 if isinstance(error.code, str) else error.code or 0, None, None
        except Exception as error:
            text = traceback.format_exc()
            err.write(text)
            return 1, {"name": type(error).__name__, "value": str(error), "traceback": text}, None


class Fake(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, path):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        super().__init__(path, Handler)
        os.chmod(path, 0o600)
        self.sessions, self.calls, self.answers = {}, [], []
        self.contexts = None  # what the results of executions for a context have besides
        self.lookups = []  # the answers of complete and inspect
        self.images = {"dsandbox-sandbox:latest"}
        self.failure = None  # of every POST that needs an engine
        self.interrupted = threading.Event()

    def __enter__(self):
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *args):
        self.shutdown()
        self.server_close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.server_address)

    def handle_error(self, request, address):
        pass  # clients that hang up are part of the tests

    def session(self, name):
        if name not in self.sessions:
            raise Failure("not_found", f"there is no session '{name}'")
        return self.sessions[name]

    def create(self, body):
        if self.failure is not None:
            raise self.failure
        found = self.sessions.get(body["id"])
        if found is not None:
            if not body.get("exist_ok"):
                raise Failure("conflict", f"session {body['id']} exists")
            for key in ("image", "base_dir", "set", "mount", "checkpoint"):
                if key in body and body[key] != found.body.get(key):
                    raise Failure("conflict", f"session {body['id']} exists with other settings: {key}")
            return found
        image = body.get("image", "dsandbox-sandbox:latest")
        if image not in self.images:
            raise Failure("not_found", f"no such image: {image}")
        session = self.sessions[body["id"]] = Session(body, self.server_address + ".base")
        return session

    def execute(self, session, body, emit):
        """The result object. `answers` of the test replace what would be run."""
        chunks = {"stdout": "", "stderr": ""}

        def both(stream, text):  # bytes: as a part of a character comes; a number: so many bytes are left out
            if isinstance(text, int):
                emit(stream, text)
                return
            chunks[stream] += text if isinstance(text, str) else " "
            emit(stream, text)

        state = {"outcome": "kept", "reason": None, "point": "taken", "vars": {"created": [{"name": "x", "type": "int"}]}}
        result = {"schema": "dsandbox.result/1", "id": "x-1", "status": "ok", "exit_code": 0, "signal": None,
                  "failure": None, "error": None, "results": [], "state": state if session else None,
                  "session": session.body["id"] if session else None, "backend": "fake", "image": {"ref": "i", "id": "1"},
                  "files": {"created": [{"path": "a.txt", "size": 3}], "modified": [], "deleted": [], "truncated": False},
                  "usage": {"wall_ms": 1, "cpu_ms": 1, "memory_peak_bytes": None, "pids_peak": 2, "oom_kills": 0},
                  "policy": {"sha256": "0" * 64, "controls": [{"name": "memory", "asked": "1", "measured": "1",
                             "source": "inside", "verdict": "enforced"}]}, "timing": {"total": 1.5}}
        answer = self.answers.pop(0) if self.answers and body.get("filename") != "<context>" else None
        if callable(answer):
            answer = answer(both)
        if answer is not None:
            for stream in list(chunks):
                if answer.get(stream) and not chunks[stream]:
                    both(stream, answer[stream])
            result.update(answer)
        else:
            status, error, value = evaluate(body["code"], session.space if session else {"__name__": "__main__"}, both)
            result.update(status="error" if status or error else "ok", exit_code=status, error=error)
            if value is not None:
                result["results"] = [{"text/plain": repr(value)}]
            if body.get("filename") == "<context>":
                result.update(self.contexts or {})
        for stream, text in chunks.items():
            result.setdefault(stream, text)
            result.setdefault(stream + "_bytes", len(text.encode()))
            result.setdefault(stream + "_truncated", False)
            result.setdefault(stream + "_encoding", "utf-8")
            result.setdefault(stream + "_base64", None)
        if session is not None:
            session.history.append({"n": len(session.history) + 1, "id": "x-1", "code": body["code"],
                                    "code_truncated": False, "command": False, "status": result["status"], "started": "2025-01-01T00:00:00Z", "wall_ms": 1})
        return result


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def address_string(self):
        return "unix"

    def log_message(self, *args):
        pass

    def handle_any(self):
        url = urlsplit(self.path)
        self.query = {key: values for key, values in parse_qs(url.query).items()}
        self.data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = [unquote(part) for part in url.path.split("/")[2:]]
        self.server.calls.append((self.command, url.path, self.data))
        self.streaming = False
        try:
            self.route(parts)
        except Failure as failure:
            self.answer(STATUS[failure.code], {"error": {"code": failure.code, "message": failure.message}})

    do_GET = do_POST = do_PUT = do_DELETE = handle_any

    def answer(self, status, value, kind="application/json"):
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def event(self, name, value):
        if not self.streaming:
            self.streaming = True
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
        data = f": a comment\nevent: {name}\ndata: {json.dumps(value)}\n\n".encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def run_code(self, session, body):
        stream = "text/event-stream" in self.headers.get("Accept", "")
        if stream:
            self.event("accepted", {"id": "x-1"})

        def emit(name, text):
            if stream and isinstance(text, int):
                self.event("dropped", {"stream": name, "bytes": text})
            elif stream:
                value = {"base64": base64.b64encode(text).decode()} if isinstance(text, bytes) else {"text": text}
                self.event(name, value)

        result = self.server.execute(session, body, emit)
        if not stream:
            self.answer(200, result)
            return
        self.event("result", result)
        self.wfile.write(b"0\r\n\r\n")

    def route(self, parts):
        server, method = self.server, self.command
        if parts == ["version"]:
            self.answer(200, {"version": "0.1.0", "pid": os.getpid(), "sessions": len(server.sessions)})
        elif parts == ["run"]:
            self.run_code(None, json.loads(self.data))
        elif parts == ["gc"]:
            self.answer(200, {"removed": 0})
        elif parts == ["sessions"] and method == "GET":
            wanted = [item.split("=", 1) for item in self.query.get("label", [])]
            found = [s.json() for s in server.sessions.values()
                     if all(s.body.get("labels", {}).get(key) == value for key, value in wanted)]
            self.answer(200, {"sessions": found})
        elif parts == ["sessions"]:
            self.answer(201, server.create(json.loads(self.data)).json())
        elif parts[0] == "sessions":
            self.in_session(parts[1], parts[2:], method)
        else:
            raise Failure("not_found", "no such path")

    def in_session(self, name, parts, method):
        server = self.server
        if parts == ["execute"]:
            body = json.loads(self.data)
            session = server.sessions.get(name)
            if "create" in body:
                session = server.create({**body["create"], "id": name, "exist_ok": True})
            elif session is None:
                server.session(name)
            if not session.lock.acquire(blocking=body.get("wait", True)):
                raise Failure("busy", f"session {name} is busy")
            with contextlib.ExitStack() as stack:
                stack.callback(session.lock.release)
                self.run_code(session, body)
            return
        session = server.session(name)
        if not parts and method == "DELETE":
            del server.sessions[name]
            if self.query.get("files") == ["1"]:
                shutil.rmtree(session.workdir, ignore_errors=True)
                os.makedirs(session.workdir)
            self.answer(200, {"ended": True})
        elif not parts:
            self.answer(200, session.json())
        elif parts[0] == "files":
            self.files(session, "/".join(parts[1:]), method)
        elif parts == ["vars"]:
            names = [name for name in session.space if not name.startswith("_")]
            self.answer(200, {"vars": [{"name": n, "type": type(session.space[n]).__name__, "size": None,
                                        "repr": repr(session.space[n])} for n in names[:1000]], "truncated": len(names) > 1000})
        elif parts == ["history"]:
            self.answer(200, {"executions": session.history[-1000:], "truncated": len(session.history) > 1000})
        elif parts == ["interrupt"]:
            server.interrupted.set()
            self.answer(200, {"interrupted": session.lock.locked()})
        elif parts in (["complete"], ["inspect"]):
            self.answer(200, server.lookups.pop(0))
        elif parts == ["stdin"]:
            self.answer(200, {"taken": len(self.data)})
        elif parts == ["reset"]:
            session.space = {"__name__": "__main__"}
            self.answer(200, {})
        elif parts == ["save"]:
            kept = {k: v for k, v in session.space.items() if isinstance(v, (int, str, list, dict)) and k[:1] != "_"}
            with open(os.path.join(session.workdir, ".dsandbox-state"), "w") as out:
                json.dump(kept, out)
            lost = [name for name in session.space if name[:1] != "_" and name not in kept]
            self.answer(200, {"saved": list(kept), "not_saved": [{"name": name, "why": "a function"} for name in lost]})
        elif parts == ["restore"]:
            with open(os.path.join(session.workdir, ".dsandbox-state")) as saved:
                kept = json.load(saved)
            session.space.update(kept)
            self.answer(200, {"restored": list(kept), "not_restored": []})
        else:
            raise Failure("not_found", "no such path")

    def files(self, session, name, method):
        path = os.path.join(session.workdir, name)
        if name and ".." in name.split("/"):
            raise Failure("invalid", "the path leads out of the session")
        if name and os.path.realpath(path) != os.path.join(os.path.realpath(session.workdir), name):
            raise Failure("denied", f"{name} is a link")
        if not name:
            found = []
            for top, _, names in os.walk(session.workdir):
                for each in names:
                    full = os.path.join(top, each)
                    kind = "link" if os.path.islink(full) else "file"
                    found.append({"path": os.path.relpath(full, session.workdir), "type": kind, "size": 1, "mtime": 0})
            self.answer(200, {"files": found})
            return
        if method == "PUT":
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as out:
                out.write(self.data)
        elif not os.path.lexists(path):
            raise Failure("not_found", f"no such file: {name}")
        elif os.path.isdir(path) and not self.query.get("recursive"):
            raise Failure("invalid", f"{name} is a directory")
        elif method == "DELETE":
            shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
        else:
            with open(path, "rb") as data:
                self.answer(200, data.read(), "application/octet-stream")
            return
        self.answer(200, {})


def main():
    if os.environ.get("DSB_FAKE_BROKEN"):
        sys.exit(os.environ["DSB_FAKE_BROKEN"])
    if len(sys.argv) != 4 or sys.argv[1:3] != ["serve", "--socket"] or not re.match("/", sys.argv[3]):
        sys.exit("usage: fake.py serve --socket PATH")
    with open(os.environ["DSB_FAKE_STARTS"], "a") as starts:
        starts.write(f"{os.getpid()}\n")
    time.sleep(float(os.environ.get("DSB_FAKE_DELAY", "0")))
    threading.Timer(60, os._exit, [3]).start()  # never longer than the tests
    Fake(sys.argv[3]).serve_forever(poll_interval=0.05)


if __name__ == "__main__":
    main()
