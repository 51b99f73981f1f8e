"""What the measurement must know of an agent, and ours, by its HTTP API."""
import contextlib
import json
import re
import shutil
import signal
import socket
import subprocess
import sys

from network import Net

UP = ("alive", "suspect")   # Serf hides suspicion (lists 'alive'), so nobody is charged for it


class Client:
    """One open connection to one agent's local API."""

    def members(self):
        """{name: 'alive'|'suspect'|'failed'|'left'|'leaving'|other}"""
        raise NotImplementedError

    def status(self, name):
        return self.members().get(name, "missing")

    def alive_count(self):
        return sum(s in UP for s in self.members().values())

    def close(self):
        with contextlib.suppress(OSError):
            self.s.close()


class Adapter:
    """What the harness must know about an agent. Subclass it for a new one."""

    name = "?"
    api_port = 7373
    fail_re = None      # regex over the agent's log: group 1 = member just declared failed
    suspect_re = None   # likewise for suspicions (informative only)
    gone_means_left = False

    def __init__(self, opt):
        self.opt = opt
        self.bin = opt.bin or self.find()

    def find(self):
        raise NotImplementedError

    def version(self):
        return ""

    def argv(self, node, ip, seeds, data):
        raise NotImplementedError

    def client(self, sock):
        """Client over a fresh, unconnected socket of the node's namespace (connects it)."""
        raise NotImplementedError

    def leave(self, cluster, i):
        """Starts a graceful leave of node i; must not block."""
        cluster.procs[i].send_signal(signal.SIGTERM)

    def bench(self, sock):
        """(connected socket, request bytes, function(buffer) -> length of one reply or None)"""
        raise NotImplementedError


class ChronikClient(Client):
    REQUEST = b"GET /v1/members HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"

    def __init__(self, s, port):
        self.s = s
        s.settimeout(2)
        s.connect(("127.0.0.1", port))
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.f = s.makefile("rb", 65536)

    def members(self):
        self.s.sendall(self.REQUEST)
        first = self.f.readline()
        if not first:
            raise ConnectionError("eof")
        n = 0
        while h := self.f.readline().strip().lower():
            if h.startswith(b"content-length:"):
                n = int(h.split(b":")[1])
        body = self.f.read(n)
        if b" 200" not in first:
            raise ConnectionError(first.decode("latin1").strip())
        return {m["name"]: m["status"] for m in json.loads(body)["members"]}


class ChronikAdapter(Adapter):
    """Ours: the members by `GET /v1/members`, a goodbye by SIGTERM, what it called failed from its log too."""

    name = "chronik"
    fail_re = re.compile(r" name=(\S+) .* status=failed")
    suspect_re = re.compile(r" name=(\S+) .* status=suspect")
    gone_means_left = True

    def find(self):
        return shutil.which("chronik-agent") or sys.exit("chronik-agent is not in the PATH: say --bin FILE")

    def version(self):
        return subprocess.run([self.bin, "--version"], capture_output=True, text=True, timeout=5).stdout.strip()

    def argv(self, node, ip, seeds, data):
        a = [self.bin, "--node-name", node, "--bind", f"{ip}:{Net.PORT}", "--http",
             f"127.0.0.1:{self.api_port}", "--state-dir", data]
        return a + (["--join", ",".join(f"{s}:{Net.PORT}" for s in seeds)] if seeds else [])

    def client(self, sock):
        return ChronikClient(sock, self.api_port)

    def bench(self, sock):
        c = ChronikClient(sock, self.api_port)
        c.members()

        def size(buf):
            e = buf.find(b"\r\n\r\n")
            m = re.search(rb"(?i)content-length: *(\d+)", buf[:max(e, 0)])
            n = e + 4 + int(m[1]) if m else 0
            return n if m and len(buf) >= n else None
        return sock, c.REQUEST, size
