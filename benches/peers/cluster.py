"""A running cluster of real processes, each on a host of its own, and what its members say of each other."""
import contextlib
import ctypes
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

from agents import UP
from network import Net, libc

PR_SET_PDEATHSIG = 1
now = time.monotonic


def _pdeath():
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


class Cluster:
    def __init__(self, ad, n):
        self.ad, self.n = ad, n
        self.names = [f"n{i}" for i in range(n)]
        self.procs = [None] * n
        self.clients = [None] * n
        self.net = Net(n)
        self.dir = tempfile.mkdtemp(prefix=f"peers-{os.getpid()}-")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        for c in self.clients:
            if c:
                c.close()
        for p in self.procs:
            if p and p.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    p.kill()
        for p in self.procs:
            if p:
                with contextlib.suppress(Exception):
                    p.wait(10)
        self.net.close()
        if not self.ad.opt.keep:
            shutil.rmtree(self.dir, ignore_errors=True)

    def logfile(self, i):
        return f"{self.dir}/n{i}.log"

    def start(self, i, seeds=None):
        data = f"{self.dir}/n{i}"
        os.makedirs(data, exist_ok=True)
        if seeds is None:
            seeds = [] if i == 0 else [self.net.ip(0)]
        argv = self.ad.argv(self.names[i], self.net.ip(i), seeds, data)
        with open(self.logfile(i), "ab") as out, self.net.inside(self.net.ns[i]):
            t = now()
            self.procs[i] = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                             cwd=data, preexec_fn=_pdeath)
        self.drop(i)
        return t

    def drop(self, i):
        if self.clients[i]:
            self.clients[i].close()
        self.clients[i] = None

    def client(self, i):
        if not self.clients[i]:
            s = self.net.socket(i)
            try:
                self.clients[i] = self.ad.client(s)
            except Exception:
                s.close()
                raise
        return self.clients[i]

    def ask(self, i, what, *a):
        """what(*a) on node i's client, or None when it does not answer (reconnects later)."""
        for again in ((False, True) if self.clients[i] else (True,)):
            try:
                return getattr(self.client(i), what)(*a)
            except ConnectionError:     # an API without keep-alive: once more, freshly connected
                self.drop(i)
                if again:
                    return None
            except (OSError, ValueError, KeyError, TypeError, IndexError):
                self.drop(i)
                return None

    def kill(self, i):
        t = now()
        self.procs[i].kill()
        self.procs[i].wait(10)
        self.drop(i)
        return t

    def up(self, timeout=90, stagger=0.0):
        """Seed first (until its API answers), then all others at once. Returns times."""
        self.start(0)
        end = now() + 20
        while self.ask(0, "alive_count") is None:
            if now() > end:
                raise RuntimeError("seed does not answer; log:\n" + self.tail(0))
            time.sleep(0.005)
        t_first = now()
        t_last = t_first
        for i in range(1, self.n):
            t_last = self.start(i)
        done, _ = self.wait_alive(range(self.n), timeout, interval=0.01)
        return t_first, t_last, done

    def wait_alive(self, nodes, timeout, interval=0.02, want=None):
        """{node: moment it first listed all `want` (default n) members alive}; and last counts."""
        want = want or self.n
        done, last = {}, {}
        end = now() + timeout
        while now() < end:
            t = now()
            for i in nodes:
                if i in done:
                    continue
                c = self.ask(i, "alive_count")
                last[i] = c
                if c == want:
                    done[i] = now()
            if len(done) == len(list(nodes)):
                # whoever was ready first may have changed its mind: confirm with the full list
                bad = [i for i in nodes if sum(s in UP for s in
                       (self.ask(i, "members") or {}).values()) != want]
                if not bad:
                    break
                for i in bad:
                    done.pop(i)
            time.sleep(max(0.001, interval - (now() - t)))
        return done, last

    def wait_status(self, nodes, name, wanted, timeout, interval=0.02):
        """{node: seconds-moment it first listed `name` with a status in wanted}"""
        done = {}
        self.first_status = {}
        end = now() + timeout
        nodes = list(nodes)
        while now() < end and len(done) < len(nodes):
            t = now()
            for i in nodes:
                if i not in done:
                    st = self.ask(i, "status", name)
                    self.first_status.setdefault(st, now())
                    if st in wanted:
                        done[i] = now()
            time.sleep(max(0.001, interval - (now() - t)))
        return done

    def tail(self, i, n=1500):
        with contextlib.suppress(OSError):
            with open(self.logfile(i), errors="replace") as f:
                return f.read()[-n:]
        return ""

    def log_marks(self):
        return [os.path.getsize(self.logfile(i)) if os.path.exists(self.logfile(i)) else 0
                for i in range(self.n)]

    def log_events(self, marks):
        """([(observer, subject) failed events], [suspicions]) from the logs, or (None, None)."""
        if not self.ad.fail_re:
            return None, None
        f, s = [], []
        for i, m in enumerate(marks):
            with open(self.logfile(i), errors="replace") as fh:
                fh.seek(m)
                txt = fh.read()
            f += [(i, x) for x in self.ad.fail_re.findall(txt)]
            if self.ad.suspect_re:
                s += [(i, x) for x in self.ad.suspect_re.findall(txt)]
        return f, s

    def cpu(self, i):
        """CPU seconds so far: (from stat ticks, from schedstat nanoseconds, of the ticks those in the kernel)."""
        pid = self.procs[i].pid
        with open(f"/proc/{pid}/stat") as f:
            v = f.read().rsplit(")", 1)[1].split()
        ns = 0
        with contextlib.suppress(OSError):
            for t in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{t}/schedstat") as f:
                    ns += int(f.read().split()[0])
        user, kernel = (int(x) / os.sysconf("SC_CLK_TCK") for x in v[11:13])
        return user + kernel, ns / 1e9, kernel

    def mem(self, i):
        with open(f"/proc/{self.procs[i].pid}/smaps_rollup") as f:
            d = dict(re.findall(r"^(\w+): +(\d+) kB", f.read(), re.M))
        return int(d["Rss"]), int(d["Pss"]), int(d.get("Private_Dirty", 0))

    def threads(self, i):
        return len(os.listdir(f"/proc/{self.procs[i].pid}/task"))


class Watch:
    """Polls full member lists, noting every change into 'failed' and the last non-alive view."""

    def __init__(self, cl):
        self.cl = cl
        self.prev = {}
        self.events = []      # (t, observer, subject)
        self.last_bad = None  # last moment any observer listed anyone (but `ignore`) non-alive
        self.pair_s = 0.0     # observer x subject seconds listed failed
        self.t = None

    def once(self, observers, subjects=None):
        t = now()
        dt = 0 if self.t is None else t - self.t
        self.t = t
        for i in observers:
            m = self.cl.ask(i, "members")
            if m is None:
                continue
            for name in self.cl.names:
                st = m.get(name, "missing")
                if subjects is None or name in subjects:
                    if st not in UP:
                        self.last_bad = now()
                    if st in ("failed", "missing"):
                        self.pair_s += dt
                k = (i, name)
                if st == "failed" and self.prev.get(k) != "failed":
                    self.events.append((now(), i, name))
                self.prev[k] = st

    def run(self, observers, seconds, interval, subjects=None):
        end = now() + seconds
        while now() < end:
            t = now()
            self.once(observers, subjects)
            time.sleep(max(0.001, interval - (now() - t)))
