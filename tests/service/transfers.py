# SPDX-License-Identifier: MIT
"""Files on their way in and out: piece by piece, in little memory, whole or not at all. With an engine in memory."""
import contextlib
import hashlib
import http.client
import io
import json
import os
import random
import ssl
import subprocess
import sys
import time

import harness
from fake_pid1 import FakePid1
from framing import Raw
from harness import SANITIZED, Case, UnixConnection, in_threads, scaled, wait_for
from schedule import PLUGIN

sys.path.insert(0, os.path.join(harness.TOP, "bindings/python"))
import dsandbox  # noqa: E402

MIB = 1 << 20
SERVICE_MAX_KIB = 64 << 10


def peak(pid):
    """KiB that a process ever had in memory at once."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))


def noise(size, seed):
    return random.Random(seed).randbytes(size)


def pieces(data, size=50000):
    for at in range(0, len(data), size):
        yield data[at:at + size]


class Transfers(Case):
    """Each test has a session of its own."""
    def setUp(self):
        self.id = self._testMethodName[5:][:50]
        self.dir = os.path.join(self.service.base, self.id)
        self.pid1 = FakePid1(os.path.join(self.service.run, self.id[:20]), self.dir)
        self.addCleanup(self.pid1.close)
        self.addCleanup(self.end)
        self.begin({})

    def begin(self, policy):
        create = {"base_dir": self.service.base, "plugin": PLUGIN, "host": "unix:" + self.pid1.path,
                  "set": {"fsize": "1GiB", **policy}}
        self.assertEqual(self.api.run(self.id, "{}", create=create)["status"], "ok")

    def limit(self, policy):
        """The session again, with another policy."""
        self.end()
        self.begin(policy)

    def end(self):
        with contextlib.suppress(harness.Failure):
            self.api.delete(f"/v1/sessions/{self.id}?files=1")

    def path(self, name=""):
        return f"/v1/sessions/{self.id}/files" + (f"/{name}" if name else "")

    def put(self, name, data):
        return self.api.call("PUT", self.path(name), data)

    def get(self, name):
        return self.api.raw("GET", self.path(name))[2]

    def names(self):
        """What is listed, and what is there."""
        listed = [row["path"] for row in self.api.get(self.path())["files"] if not row["path"].startswith(".dsandbox-")]
        there = [name for name in sorted(os.listdir(self.dir)) if not name.startswith(".dsandbox-")]
        return listed, there

    def head_of(self, name, length):
        return f"PUT {self.path(name)} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n".encode()

    def open(self, name):
        """A download whose head is there."""
        connection = UnixConnection(self.service.socket)
        connection.request("GET", self.path(name))
        return connection.getresponse()

    def write(self, name, data):
        with open(os.path.join(self.dir, name), "wb") as file:
            file.write(data)

    def assert_small(self):
        if not SANITIZED:
            self.assertLess(peak(self.service.pid), SERVICE_MAX_KIB)

    # --- both ways -------------------------------------------------------------

    def test_of_any_size(self):
        for size in (0, 1, 65535, 65536, 65537, 131072, 131073, 262144, MIB + 1, 40 * MIB):
            data = noise(size, size)
            self.assertEqual(self.put("f", data), {"path": "f", "size": size})
            self.assertEqual(self.get("f"), data, size)
            connection = UnixConnection(self.service.socket)  # without a length that is known before
            connection.request("PUT", self.path("g/h"), pieces(data), encode_chunked=True)
            answer = connection.getresponse()
            self.assertEqual((answer.status, json.loads(answer.read())["size"]), (200, size))
            connection.close()
            self.assertEqual(self.get("g/h"), data, size)
        head = f"HEAD {self.path('f')} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
        status, headers, body = Raw(self.service.socket).say(head).answer()
        self.assertEqual((status, headers["content-length"], body), (200, str(40 * MIB), b""))
        self.assertEqual(self.names()[1], ["f", "g"])

    def execute_slowly(self, code, key, accept):
        """The answer's bytes, for somebody who takes his time."""
        connection = UnixConnection(self.service.socket)
        self.addCleanup(connection.close)
        connection.request("POST", f"/v1/sessions/{self.id}/execute", json.dumps({"code": code}),
                           {"Accept": accept, "Idempotency-Key": key})
        answer = connection.getresponse()
        time.sleep(0.5)
        return answer.read()

    def test_large_results(self):
        """As JSON, as the last event, and once more: whole, one line, and never whole in the service."""
        self.limit({"output_limit": "64MiB"})
        text = "x\u2028\u0085é€😀" * 4000
        for times in (25, 800):
            code, result = json.dumps({"out": text, "times": times}), None
            for accept in ("application/json", "text/event-stream"):
                for again in range(2 if times < 800 else 1):  # more is not kept
                    with self.subTest(times=times, accept=accept, again=again):
                        content = self.execute_slowly(code, f"{accept[-4:]}-{times}", accept)
                        if accept != "application/json":
                            head, _, content = content.partition(b"event: result\ndata: ")
                            content, end = content[:-2], content[-2:]
                            self.assertEqual((end, b"event: result" in head, b"\n" in content), (b"\n\n", False, False))
                            self.assertFalse(b"\xc2\x85" in content or b"\xe2\x80\xa8" in content)
                        result = json.loads(content)
                        self.assertTrue(result["stdout"] == text * times)
            if times < 800:
                self.assertTrue(self.api.get(f"/v1/executions/{result['id']}") == result)
                head = f"HEAD /v1/executions/{result['id']} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
                status, headers, body = Raw(self.service.socket).say(head).answer()
                self.assertEqual((status, int(headers["content-length"]) > len(text) * times, body), (200, True, b""))
        self.assert_small()

    def test_reader_of_a_large_result_goes(self):
        self.limit({"output_limit": "64MiB"})
        before, _ = harness.process_size(self.service.pid)
        for accept in ("application/json", "text/event-stream"):
            connection = UnixConnection(self.service.socket)
            body = {"code": json.dumps({"out": "x" * 50000, "times": 200})}
            connection.request("POST", f"/v1/sessions/{self.id}/execute", json.dumps(body), {"Accept": accept})
            connection.getresponse().read(MIB)
            connection.close()
        self.assertEqual(self.api.run(self.id, "{}")["status"], "ok")
        wait_for(lambda: harness.process_size(self.service.pid)[0] <= before)

    def test_slow_readers(self):
        data = noise(100 * MIB, 1)
        self.put("f", data)
        wanted = hashlib.sha256(data).digest()
        answers = [self.open("f") for _ in range(8)]
        time.sleep(1)  # nobody reads
        self.api.get("/v1/version")

        def read(answer):
            found = hashlib.sha256()
            while piece := answer.read(MIB):
                found.update(piece)
                time.sleep(0.002)
            return found.digest()

        self.assertEqual(in_threads([lambda a=a: read(a) for a in answers]), [wanted] * 8)
        self.assert_small()

    def test_slow_writers(self):
        size = 20 * MIB
        sent = [noise(size, number) for number in range(8)]

        def write(number):
            raw = Raw(self.service.socket).say(self.head_of(f"f{number}", size))
            for piece in pieces(sent[number], 100000):
                raw.say(piece)
                time.sleep(0.002)
            return raw.answer()[0]

        self.assertEqual(in_threads([lambda n=n: write(n) for n in range(8)]), [200] * 8)
        for number in range(8):
            self.assertEqual(self.get(f"f{number}"), sent[number])
        self.assert_small()

    def test_clients_that_stand_still_hold_up_nobody(self):
        self.put("f", noise(4 * MIB, 1))
        idle = [Raw(self.service.socket).say(self.head_of(f"new{n}", 10 * MIB) + b"x" * 300000) for n in range(50)]
        readers = [self.open("f") for _ in range(50)]
        begin = time.monotonic()
        for number in range(20):
            self.put("small", str(number).encode())
            self.assertEqual(self.get("small"), str(number).encode())
        self.assertLess(time.monotonic() - begin, scaled(10))
        for raw in idle:
            raw.sock.close()
        for answer in readers:
            answer.close()
        wait_for(lambda: self.names() == (["f", "small"], ["f", "small"]))

    # --- whole or not at all ------------------------------------------------------

    def test_an_upload_that_was_cut_off(self):
        self.put("f", b"old content")
        size = 3 * MIB
        for sent, head in ((size - 1, self.head_of("f", size)), (0, self.head_of("f", size)), (200000, self.head_of("new/g", size))):
            self.assertEqual(Raw(self.service.socket).say(head + b"x" * sent).end().answer()[0], 400)
            raw = Raw(self.service.socket).say(head + b"x" * sent)
            raw.sock.close()
        for rest in (b"xyz\r\n", b"5\r\nabc", b"5\r\nabcdefg\r\n0\r\n\r\n"):
            chunked = f"PUT {self.path('f')} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
            self.assertEqual(Raw(self.service.socket).say(chunked + b"100000\r\n" + b"x" * MIB + b"\r\n" + rest).end().answer()[0], 400)
        self.assertEqual(self.get("f"), b"old content")
        wait_for(lambda: self.names() == (["f"], ["f"]))

    def test_nobody_sees_half_of_it(self):
        self.put("f", b"old content")
        raw = Raw(self.service.socket).say(self.head_of("f", 3 * MIB) + b"x" * (2 * MIB))
        self.assertEqual((self.names(), self.get("f")), ((["f"], ["f"]), b"old content"))
        self.assertEqual(raw.say(b"x" * MIB).answer()[0], 200)
        self.assertEqual(self.get("f"), b"x" * 3 * MIB)

    def test_a_file_that_shrinks(self):
        self.write("f", noise(30 * MIB, 1))
        answer = self.open("f")
        self.assertEqual(answer.getheader("Content-Length"), str(30 * MIB))
        os.truncate(os.path.join(self.dir, "f"), 20 * MIB)
        with self.assertRaises((http.client.IncompleteRead, ConnectionResetError)) as caught:
            answer.read()
        if isinstance(caught.exception, http.client.IncompleteRead):
            self.assertEqual(caught.exception.partial, noise(30 * MIB, 1)[:len(caught.exception.partial)])
            self.assertLessEqual(len(caught.exception.partial), 20 * MIB)

    def test_the_python_package(self):
        """A piece that is missing at the end is an error there, whatever Python's own client says."""
        data, client = noise(30 * MIB, 1), dsandbox.Client(self.service.socket, start=False)
        client.upload_file(self.id, "f", io.BytesIO(data))
        to = io.BytesIO()
        self.assertEqual((client.download_file(self.id, "f", to), to.getvalue() == data), (30 * MIB, True))

        class Shrink(io.BytesIO):
            def write(_, piece):  # pylint: disable=no-self-argument
                os.truncate(os.path.join(self.dir, "f"), 20 * MIB)
                return super().write(piece)

        with self.assertRaisesRegex(dsandbox.UnavailableError, "cut off"):
            client.download_file(self.id, "f", Shrink())

        def source():
            yield b"x" * MIB
            raise OSError("no more")

        with self.assertRaisesRegex(OSError, "^no more$"):
            reader = source()
            client.upload_file(self.id, "f", type("Source", (), {"read": lambda self, size: next(reader)})())
        self.assertEqual(os.stat(os.path.join(self.dir, "f")).st_size, 20 * MIB)

    def test_a_file_that_grows(self):
        data = noise(30 * MIB, 1)
        self.write("f", data)
        answer = self.open("f")
        with open(os.path.join(self.dir, "f"), "ab") as file:
            file.write(b"more")
        self.assertEqual(answer.read(), data)

    # --- which content ---

    def ask(self, method, name, body=None, **headers):
        """(status, ETag) of a request with If-Match or If-None-Match."""
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        status, got, _ = self.api.raw(method, self.path(name), body, headers)
        return status, got["ETag"]

    def test_tags(self):
        status, first = self.ask("PUT", "f", b"one", If_None_Match="*")
        self.assertEqual((status, self.ask("GET", "f")), (200, (200, first)))
        self.assertEqual(self.ask("PUT", "f", b"two", If_None_Match="*"), (412, None))
        self.assertEqual(self.ask("GET", "f", If_None_Match=first), (304, first))
        self.assertEqual(self.ask("GET", "f", If_None_Match=f'"x,y", W/{first}'), (304, first))
        self.assertEqual(self.ask("GET", "f", If_None_Match="*"), (304, first))
        self.assertEqual(self.ask("GET", "f", If_None_Match='"x"', If_Match=f' "y" ,{first}'), (200, first))
        self.assertEqual(self.ask("GET", "f", If_Match=f"W/{first}")[0], 412)  # not the very same
        status, second = self.ask("PUT", "f", b"two", If_Match=first)
        self.assertEqual((status, second != first), (200, True))
        for size in (3, 2 * MIB):
            self.assertEqual(self.ask("PUT", "f", b"x" * size, If_Match=first)[0], 412)
        self.assertEqual(self.ask("GET", "f", If_None_Match=first), (200, second))
        self.assertEqual(self.ask("GET", "f", If_Match=first)[0], 412)
        self.assertEqual(self.ask("DELETE", "f", If_Match=first)[0], 412)
        self.assertEqual(self.get("f"), b"two")
        self.write("f", b"new")  # by the code: in place, of the same size, and with the time of before
        os.utime(os.path.join(self.dir, "f"), ns=(0, 0))
        status, third = self.ask("GET", "f", If_None_Match=second)
        self.assertEqual((status, third != second), (200, True))
        self.assertEqual(self.ask("PUT", "none", b"", If_Match="*")[0], 412)
        self.assertEqual(self.ask("GET", "none", If_Match="*")[0], 404)
        self.assertEqual(self.ask("DELETE", "f", If_Match=third)[0], 200)
        self.assertEqual(self.names(), ([], []))

    def test_a_part_of_a_file(self):
        """Is not looked for: whoever asks for one gets the whole, and is told so by the status."""
        self.put("a", b"0123456789")
        for part in ("bytes=0-1", "bytes=2-", "bytes=-3", "bytes=0-1,4-5", "bytes=100-", "bytes=5-1", "nonsense"):
            status, got, content = self.api.raw("GET", self.path("a"), headers={"Range": part})
            self.assertEqual((status, content, got["Content-Range"], got["Content-Length"]), (200, b"0123456789", None, "10"), part)
        status, _, content = self.api.raw("GET", self.path(), headers={"Range": "bytes=0-1"})
        self.assertEqual((status, json.loads(content)["truncated"]), (200, False))

    def test_tags_that_are_none(self):
        self.put("f", b"one")
        for method in ("GET", "PUT", "DELETE"):
            for value in ("x", '"x', 'x"', "", ",", '"a" "b"', 'w/"x"', '"a b"', '*, "x"', '"x", *'):
                for name in ("If_Match", "If_None_Match"):
                    self.assertEqual(self.ask(method, "f", b"two" if method == "PUT" else None, **{name: value})[0], 400, value)
        self.assertEqual(self.get("f"), b"one")

    def test_one_of_many_who_change_the_same(self):
        _, tag = self.ask("PUT", "f", b"0")
        got = in_threads([lambda n=n: self.ask("PUT", "f", b"%d" % n * (n * 50000), If_Match=tag)[0] for n in range(1, 9)])
        self.assertEqual(sorted(got), [200] + [412] * 7)
        self.assertEqual(self.get("f"), b"%d" % (got.index(200) + 1) * ((got.index(200) + 1) * 50000))

    # --- the limits ---------------------------------------------------------------

    def test_the_disk_of_the_policy(self):
        self.limit({"disk": "2MiB"})
        self.put("f", b"old content")
        for name, size in (("f", 2 * MIB), ("new", 40 * MIB), ("d/e", 2 * MIB + 1)):
            for stream in (noise(size, 1), pieces(noise(size, 1))):
                connection = UnixConnection(self.service.socket)
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    connection.request("PUT", self.path(name), stream, encode_chunked=not isinstance(stream, bytes))
                answer = connection.getresponse()
                error = json.loads(answer.read())["error"]
                self.assertEqual((answer.status, error["code"]), (413, "limit"))
                self.assertIn("disk of 2.0", error["message"])
        self.assertEqual((self.names(), self.get("f")), ((["f"], ["f"]), b"old content"))
        for number in range(15):
            self.put(f"n{number}", noise(128 << 10, number))
        self.refused(413, "limit", self.put, "n15", noise(128 << 10, 15))
        self.api.delete(self.path("n0"))
        self.put("n15", noise(128 << 10, 15))
        self.assertEqual(self.api.run(self.id, "{}")["status"], "ok")

    def test_the_disk_is_shared_by_uploads_at_the_same_time(self):
        self.limit({"disk": "4MiB"})
        open_ones = [Raw(self.service.socket).say(self.head_of(f"f{n}", 3 * MIB) + b"x" * (MIB * 3 // 2)) for n in range(4)]
        got = sorted(in_threads([lambda r=r: r.say(b"x" * (MIB * 3 // 2)).answer()[0] for r in open_ones]))
        self.assertLessEqual(got.count(200), 1)
        self.assertEqual(set(got) - {200}, {413})
        taken = sum(os.stat(os.path.join(self.dir, name)).st_size for name in self.names()[1])
        self.assertLessEqual(taken, 4 * MIB)

    def test_the_inodes_of_the_policy(self):
        self.limit({"disk_inodes": "20"})
        with self.assertRaises(harness.Failure) as caught:
            for number in range(30):
                self.put(f"f{number}", b"x" if number % 2 else b"")
        self.assertEqual((caught.exception.status, caught.exception.code), (413, "limit"))
        self.assertIn("disk_inodes of 20", caught.exception.message)
        self.assertGreater(len(self.names()[1]), 10)

    def test_what_is_refused_at_once(self):
        """Not after a hundred megabytes."""
        for path, status, code in (("/v1/sessions/none/files/f", 404, "not_found"),):
            raw = Raw(self.service.socket).say(f"PUT {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n".encode())
            got, _, body = raw.answer()
            self.assertEqual((got, json.loads(body)["error"]["code"]), (status, code))
        self.put("d/f", b"1")
        self.refused(409, "conflict", self.put, "d", noise(300000, 1))
        self.refused(400, "invalid", self.put, "d/f/g", noise(300000, 1))
        os.symlink("/tmp", os.path.join(self.dir, "link"))
        self.refused(403, "denied", self.put, "link/g", noise(300000, 1))
        self.refused(400, "invalid", self.put, "x" * 256, noise(300000, 1))
        raw = Raw(self.service.socket).say(f"PUT {self.path('f')} HTTP/1.1\r\nHost: a\r\nContent-Length: {1 << 41}\r\n\r\n".encode())
        self.assertEqual(raw.answer()[0], 413)

    # --- ends -----------------------------------------------------------------------

    def transfers(self):
        self.put("f", noise(30 * MIB, 1))
        return (Raw(self.service.socket).say(self.head_of("new", 30 * MIB) + b"x" * MIB), self.open("f"))

    def test_the_end_of_the_session(self):
        upload, download = self.transfers()
        self.end()
        status, _, body = upload.answer()
        self.assertEqual((status, json.loads(body)["error"]["code"]), (409, "cancelled"))
        with self.assertRaises((http.client.IncompleteRead, ConnectionResetError)):
            download.read()
        self.assertFalse(os.path.exists(self.dir))

    def test_the_end_of_the_service(self):
        """It does not wait for slow clients."""
        upload, _ = self.transfers()
        begin = time.monotonic()
        self.assertEqual(self.service.stop(), 0, self.service.said())
        self.assertLess(time.monotonic() - begin, scaled(10))
        self.assertEqual(upload.answer()[0], 503)
        self.service.start()

    def test_a_session_that_has_ended(self):
        """It has its files, and its limits."""
        self.limit({"disk": "2MiB", "idle_timeout": "1s"})
        wait_for(lambda: self.api.get("/v1/version")["sessions"] == 0)
        self.put("f", noise(MIB, 1))
        self.assertEqual(self.get("f"), noise(MIB, 1))
        self.refused(413, "limit", self.put, "g", noise(2 * MIB, 1))


class OverTcp(harness.unittest.TestCase):
    WORD = "correct-horse-battery-staple"

    def check(self, service, connect):
        pid1 = FakePid1(os.path.join(service.run, "p"), os.path.join(service.base, "a"))
        self.addCleanup(pid1.close)
        create = {"base_dir": service.base, "plugin": PLUGIN, "host": "unix:" + pid1.path, "set": {"fsize": "1GiB", "disk": "60MiB"}}
        self.assertEqual(service.api.run("a", "{}", create=create)["status"], "ok")
        data, headers = noise(40 * MIB, 1), {"Authorization": f"Bearer {self.WORD}"}
        for method, path, body, status in (("PUT", "a/files/f", data, 200), ("GET", "a/files/f", None, 200), ("PUT", "a/files/g", data, 413),
                                           ("PUT", "none/files/f", data[:MIB], 404), ("GET", "a/files/g", None, 404)):
            connection = connect()
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.request(method, "/v1/sessions/" + path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
            self.assertEqual((answer.status, content == data), (status, method == "GET" and status == 200), content[:200])
            connection.close()
        connection = connect()
        connection.request("GET", "/v1/sessions/a/files/f", headers=headers)
        answer = connection.getresponse()
        service.api.delete("/v1/sessions/a?files=1")
        with self.assertRaises((http.client.IncompleteRead, OSError)):
            answer.read()
        self.assertTrue(service.stop() == 0 or SANITIZED, service.said())  # LeakSanitizer fails where TLS was

    def test_it(self):
        token, key = harness.WORK.file(self.WORD), os.path.join(harness.WORK.path, "transfers.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", key, "-days", "2", "-subj",
                        "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True, timeout=60)
        os.chown(key, harness.WORK.uid, -1)
        for options in ((), ("--tls-cert", key)):
            service = harness.Service("--listen", "127.0.0.1:0", "--token-file", token, *options)
            line = next(line for line in service.said().splitlines() if "listening on" in line)
            port, context = int(line.partition("port ")[2].split(",")[0]), ssl.create_default_context(cafile=key)

            def connect():
                if options:
                    return http.client.HTTPSConnection("127.0.0.1", port, timeout=scaled(60), context=context)
                return http.client.HTTPConnection("127.0.0.1", port, timeout=scaled(60))

            with self.subTest(options), service:
                self.check(service, connect)


CASES = (Transfers, OverTcp)
