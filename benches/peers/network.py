"""Hosts of the machine's own: a network namespace each, joined by a bridge in one more."""
import contextlib
import ctypes
import fcntl
import os
import re
import socket
import struct
import subprocess

libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000


class Net:
    """n node namespaces + one hub namespace with a bridge; ports p0..p{n-1} on the hub side."""

    PORT = 7946

    def __init__(self, n):
        self.n = n
        self.fds = []
        self.orig = os.open("/proc/self/ns/net", os.O_RDONLY)
        try:
            self.hub = self._new_ns()
            self.ns = [self._new_ns() for _ in range(n)]
            pid = os.getpid()
            b = ["link set lo up", "link add br0 type bridge",
                 "link set br0 type bridge mcast_snooping 0 stp_state 0", "link set br0 up"]
            for i in range(n):
                b += [f"link add p{i} type veth peer name eth0 address {self.mac(i)} "
                      f"netns /proc/{pid}/fd/{self.ns[i]}",
                      f"link set p{i} master br0", f"link set p{i} up"]
            self._ip(self.hub, b)
            for i in range(n):
                b = ["link set lo up", f"addr add {self.ip(i)}/16 dev eth0", "link set eth0 up"]
                b += [f"neigh replace {self.ip(j)} lladdr {self.mac(j)} dev eth0 nud permanent"
                      for j in range(n) if j != i]
                self._ip(self.ns[i], b)
                with self.inside(self.ns[i]):
                    self._offload_off("eth0")
            with self.inside(self.hub):
                for i in range(n):
                    self._offload_off(f"p{i}")
            self.rules()
        except BaseException:
            self.close()
            raise

    @staticmethod
    def ip(i):
        return f"10.77.0.{10 + i}"

    @staticmethod
    def mac(i):
        return f"02:77:00:00:00:{10 + i:02x}"

    @contextlib.contextmanager
    def inside(self, fd):
        if libc.setns(fd, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
        try:
            yield
        finally:
            if libc.setns(self.orig, CLONE_NEWNET):
                os._exit(70)

    def _new_ns(self):
        if libc.unshare(CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWNET): root needed")
        try:
            fd = os.open("/proc/self/ns/net", os.O_RDONLY)
            self.fds.append(fd)
            for k in ("all", "default"):
                with contextlib.suppress(OSError):
                    with open(f"/proc/sys/net/ipv6/conf/{k}/disable_ipv6", "w") as f:
                        f.write("1")
        finally:
            if libc.setns(self.orig, CLONE_NEWNET):
                os._exit(70)
        return fd

    def _run(self, fd, argv, text):
        with self.inside(fd):
            r = subprocess.run(argv, input=text, text=True, capture_output=True, timeout=60)
        if r.returncode:
            raise RuntimeError(f"{argv}: {r.stderr.strip()[:500]}")

    def _ip(self, fd, lines):
        self._run(fd, ["ip", "-batch", "-"], "\n".join(lines) + "\n")

    @staticmethod
    def _offload_off(dev):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for cmd in (0x1F, 0x24, 0x2C):  # ETHTOOL_STSO, SGSO, SGRO := 0
            v = ctypes.create_string_buffer(struct.pack("II", cmd, 0), 8)
            ifr = struct.pack("16sP", dev.encode(), ctypes.addressof(v)).ljust(40, b"\0")
            with contextlib.suppress(OSError):
                fcntl.ioctl(s, 0x8946, ifr)
        s.close()

    def rules(self, loss=0, cut=None, isolate=()):
        """Replaces the hub's rules: loss % of IP packets, cut=(side_a, side_b), isolated nodes."""
        r = []
        if cut:
            a, b = ("{" + ",".join(f'"p{i}"' for i in side) + "}" for side in cut)
            r += [f"iifname {a} oifname {b} counter drop", f"iifname {b} oifname {a} counter drop"]
        for i in isolate:
            r += [f'iifname "p{i}" counter drop', f'oifname "p{i}" counter drop']
        if loss:
            r.append(f"ether type ip numgen random mod 1000 < {int(loss * 10)} counter drop")
        r += ["ip protocol udp counter", "ip protocol tcp counter"]
        self._run(self.hub, ["nft", "-f", "-"],
                  "table bridge pb\ndelete table bridge pb\ntable bridge pb {\nchain passing { "
                  "type filter hook forward priority 0; policy accept; " + "; ".join(r) + ";\n}\n}\n")

    def proto_bytes(self):
        with self.inside(self.hub):
            r = subprocess.run(["nft", "list", "table", "bridge", "pb"], text=True,
                               capture_output=True, timeout=20)
        return {p: int(b) for p, b in
                re.findall(r"ip protocol (\w+) counter packets \d+ bytes (\d+)", r.stdout)}

    def counters(self):
        """[(bytes_out, packets_out, bytes_in, packets_in)] per node, Ethernet frames."""
        with self.inside(self.hub), open("/proc/self/net/dev") as f:
            rows = f.read().splitlines()[2:]
        out = {}
        for row in rows:
            k, v = row.split(":", 1)
            v = v.split()
            out[k.strip()] = (int(v[0]), int(v[1]), int(v[8]), int(v[9]))
        return [out[f"p{i}"] for i in range(self.n)]

    def socket(self, i):
        with self.inside(self.ns[i]):
            return socket.socket(socket.AF_INET, socket.SOCK_STREAM)

    def close(self):
        for fd in self.fds:
            with contextlib.suppress(OSError):
                os.close(fd)
        self.fds = []
        with contextlib.suppress(OSError):
            os.close(self.orig)
