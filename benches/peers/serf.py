"""Serf: how it is started, and its RPC protocol, msgpack over TCP."""
import re
import shutil
import socket
import struct
import subprocess
import sys

from agents import Adapter, Client
from network import Net


def mp_pack(o):
    if isinstance(o, bool):
        return b"\xc3" if o else b"\xc2"
    if o is None:
        return b"\xc0"
    if isinstance(o, int):
        return bytes([o]) if 0 <= o < 128 else b"\xcf" + struct.pack(">Q", o)
    if isinstance(o, str):
        b = o.encode()
        return (bytes([0xA0 | len(b)]) if len(b) < 32 else b"\xda" + struct.pack(">H", len(b))) + b
    if isinstance(o, list):
        return b"\xdc" + struct.pack(">H", len(o)) + b"".join(map(mp_pack, o))
    if isinstance(o, dict):
        return b"\xde" + struct.pack(">H", len(o)) + b"".join(
            mp_pack(k) + mp_pack(v) for k, v in o.items())
    raise TypeError(o)


_NUM = {0xCA: (">f", 4), 0xCB: (">d", 8), 0xCC: (">B", 1), 0xCD: (">H", 2), 0xCE: (">I", 4),
        0xCF: (">Q", 8), 0xD0: (">b", 1), 0xD1: (">h", 2), 0xD2: (">i", 4), 0xD3: (">q", 8)}
_RAW = {0xDA: (">H", 2), 0xDB: (">I", 4), 0xD9: (">B", 1), 0xC4: (">B", 1), 0xC5: (">H", 2),
        0xC6: (">I", 4)}


def mp_read(rd):
    """Reads one object with rd(n) -> bytes."""
    c = rd(1)[0]
    if c < 0x80:
        return c
    if c >= 0xE0:
        return c - 256
    if c < 0x90:
        return {mp_read(rd): mp_read(rd) for _ in range(c & 15)}
    if c < 0xA0:
        return [mp_read(rd) for _ in range(c & 15)]
    if c < 0xC0:
        return rd(c & 31).decode("utf-8", "replace")
    if c in _NUM:
        f, n = _NUM[c]
        return struct.unpack(f, rd(n))[0]
    if c in _RAW:
        f, n = _RAW[c]
        return rd(struct.unpack(f, rd(n))[0]).decode("utf-8", "replace")
    if c == 0xC0:
        return None
    if c in (0xC2, 0xC3):
        return c == 0xC3
    if c in (0xDC, 0xDD, 0xDE, 0xDF):
        n = struct.unpack(">H", rd(2))[0] if c in (0xDC, 0xDE) else struct.unpack(">I", rd(4))[0]
        if c < 0xDE:
            return [mp_read(rd) for _ in range(n)]
        return {mp_read(rd): mp_read(rd) for _ in range(n)}
    raise ValueError(f"msgpack byte {c:#x}")


class SerfClient(Client):
    def __init__(self, s, port):
        self.s = s
        s.settimeout(2)
        s.connect(("127.0.0.1", port))
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.f = s.makefile("rb", 65536)
        self.seq = 0
        self.call("handshake", {"Version": 1})

    def rd(self, n):
        b = self.f.read(n)
        if len(b) != n:
            raise ConnectionError("eof")
        return b

    def call(self, cmd, body=None, reply=False):
        self.seq = (self.seq + 1) & 0x7F
        self.s.sendall(mp_pack({"Command": cmd, "Seq": self.seq}) +
                       (mp_pack(body) if body is not None else b""))
        h = mp_read(self.rd)
        if h.get("Error"):
            raise ConnectionError(h["Error"])
        return mp_read(self.rd) if reply else None

    def members(self):
        return {m["Name"]: m["Status"] for m in self.call("members", None, True)["Members"] or []}

    def status(self, name):
        r = self.call("members-filtered", {"Tags": {}, "Status": "", "Name": name}, True)
        return r["Members"][0]["Status"] if r["Members"] else "missing"

    def alive_count(self):
        st = self.call("stats", None, True)["serf"]
        return int(st["members"]) - int(st["failed"]) - int(st["left"])


class SerfAdapter(Adapter):
    name = "serf"
    fail_re = re.compile(r"serf: EventMemberFailed: (\S+)")
    suspect_re = re.compile(r"memberlist: Suspect (\S+) has failed")

    def find(self):
        return shutil.which("serf") or sys.exit("serf is not in the PATH: install it, or say --bin FILE")

    def version(self):
        v = subprocess.run([self.bin, "version"], capture_output=True, text=True).stdout.split("\n")
        d = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", "serf"], capture_output=True,
                           text=True).stdout
        return f"{v[0]} (Debian {d})" if d else v[0]

    def argv(self, node, ip, seeds, data):
        a = [self.bin, "agent", f"-node={node}", f"-bind={ip}:{Net.PORT}", "-log-level=info",
             f"-rpc-addr=127.0.0.1:{self.api_port}", f"-profile={self.opt.serf_profile}"]
        return a + [f"-retry-join={s}:{Net.PORT}" for s in seeds] + \
            (["-retry-interval=1s"] if seeds else [])

    def client(self, sock):
        return SerfClient(sock, self.api_port)

    def leave(self, cluster, i):
        c = cluster.client(i)
        c.s.sendall(mp_pack({"Command": "leave", "Seq": 99}))

    def bench(self, sock):
        c = SerfClient(sock, self.api_port)
        req = mp_pack({"Command": "members", "Seq": 7})
        sock.sendall(req)
        n = [0]

        def rd(k):
            n[0] += k
            return c.rd(k)
        mp_read(rd), mp_read(rd)
        size = n[0]  # the membership stands still: every reply has this very length
        return sock, req, lambda buf: size if len(buf) >= size else None
