"""The scenarios: what is done to a cluster, and what is measured of it."""
import contextlib
import json
import os
import random
import selectors
import signal
import statistics
import sys
import time

from agents import UP
from cluster import Cluster, Watch
from noise import Noise, machine, mmm, rnd

now = time.monotonic


def log(*a):
    print(time.strftime("%H:%M:%S"), *a, file=sys.stderr, flush=True)


class Bench:
    """Every method without an underscore but `emit` and `noise` is a scenario."""

    def __init__(self, opt, adapter):
        self.opt = opt
        self.ad = adapter
        self.base = {"suite": "peers", "agent": self.ad.name, "version": self.ad.version()}
        self.machine = machine()

    def emit(self, scenario, n, noise, **kw):
        print(json.dumps({**self.base, "scenario": scenario, "n": n, **kw, "machine": self.machine,
                          "noise": noise.end(), "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}),
              flush=True)

    def noise(self):
        return Noise(self.opt.max_load)

    def join(self):
        for n in self.opt.sizes:
            z = self.noise()
            reps = []
            for _ in range(self.opt.reps_join):
                with Cluster(self.ad, n) as cl:
                    t1, tl, done = cl.up(timeout=120)
                    full = len(done) == n
                    reps.append({
                        "all_s": rnd(max(done.values()) - tl) if full else None,
                        "median_node_s": rnd(statistics.median(done.values()) - tl) if done else None,
                        "from_first_s": rnd(max(done.values()) - t1) if full else None,
                        "spawn_s": rnd(tl - t1), "complete": len(done),
                        "nodes_over_5s": len([x for x in done.values() if x - tl > 5])})
                    if not full:
                        log("join incomplete", n, len(done), cl.tail(0, 400))
            self.emit("join", n, z, all_s=mmm([r["all_s"] for r in reps]),
                      from_first_s=mmm([r["from_first_s"] for r in reps]), reps=reps)

    def crash(self, host=False):
        for n in self.opt.crash_sizes:
            if host and n > 10:
                continue
            z = self.noise()
            reps = []
            with Cluster(self.ad, n) as cl:
                cl.up(timeout=120)
                time.sleep(self.opt.settle_short)
                for k in range(self.opt.reps):
                    v = 1 + (k * 3 + 1) % (n - 1)
                    rest = [i for i in range(n) if i != v]
                    time.sleep(random.random())
                    if host:   # the whole host falls silent first: no RST, no ICMP
                        t = now()
                        cl.net.rules(isolate=[v])
                        cl.kill(v)
                    else:
                        t = cl.kill(v)
                    iv = 0.02 if n <= 10 else 0.05
                    w = Watch(cl)
                    bad = {"failed", "missing"} if self.ad.gone_means_left else {"failed"}
                    done = cl.wait_status(rest, cl.names[v], bad, 90, iv)
                    reps.append({"first_s": rnd(min(done.values()) - t) if done else None,
                                 "all_s": rnd(max(done.values()) - t) if len(done) == n - 1 else None,
                                 "first_suspect_s": rnd(cl.first_status["suspect"] - t)
                                 if "suspect" in cl.first_status else None,
                                 "seen_by": len(done)})
                    w.once(rest, [x for x in cl.names if x != cl.names[v]])
                    reps[-1]["false_failed"] = len([e for e in w.events if e[2] != cl.names[v]])
                    if host:
                        cl.net.rules()
                    cl.start(v)
                    d, _ = cl.wait_alive(range(n), 90, 0.05)
                    reps[-1]["rejoined_by"] = len(d)
                    time.sleep(2)
            self.emit("crash_host" if host else "crash", n, z, first_s=mmm([r["first_s"] for r in reps]),
                      all_s=mmm([r["all_s"] for r in reps]), reps=reps)

    def crash_host(self):
        self.crash(host=True)

    def leave(self):
        n = 10
        z = self.noise()
        reps = []
        with Cluster(self.ad, n) as cl:
            cl.up(timeout=120)
            time.sleep(self.opt.settle_short)
            for k in range(self.opt.reps):
                v = 1 + (k * 3 + 1) % (n - 1)
                rest = [i for i in range(n) if i != v]
                good = {"left", "missing"} if self.ad.gone_means_left else {"left"}
                t = now()
                self.ad.leave(cl, v)
                done = cl.wait_status(rest, cl.names[v], good, 60)
                ex = None
                end = now() + 15
                while now() < end:
                    if cl.procs[v].poll() is not None:
                        ex = now() - t
                        break
                    time.sleep(0.01)
                reps.append({"first_s": rnd(min(done.values()) - t) if done else None,
                             "all_s": rnd(max(done.values()) - t) if len(done) == n - 1 else None,
                             "exit_s_at_most": rnd(ex)})
                cl.kill(v)
                cl.start(v)
                d, _ = cl.wait_alive(range(n), 90, 0.05)
                reps[-1]["rejoined_by"] = len(d)
                time.sleep(2)
        self.emit("leave", n, z, first_s=mmm([r["first_s"] for r in reps]),
                  all_s=mmm([r["all_s"] for r in reps]), reps=reps)

    def partition(self):
        for n, secs in self.opt.partitions:
            z = self.noise()
            a, b = ([0, 1], [2]) if n == 3 else (list(range(5)), list(range(5, 10)))
            with Cluster(self.ad, n) as cl:
                cl.up(timeout=120)
                # agents have slow timers (Serf: reconnect and push/pull every 30 s) that start
                # with the process: cut and heal at a random phase of them, not at a fixed one
                phase = random.random() * self.opt.phase
                time.sleep(self.opt.settle_short + phase)
                cl.net.rules(cut=(a, b))
                t = now()
                first, done, pairs, wrong = None, {}, {}, set()
                while now() - t < secs:
                    q = now()
                    for i in range(n):
                        other = b if i in a else a
                        m = cl.ask(i, "members")
                        if m is None:
                            continue
                        wrong.update((i, j) for j in range(n) if j not in other and m.get(cl.names[j]) == "failed")
                        f = [j for j in other if m.get(cl.names[j], "missing") in ("failed", "missing")]
                        pairs[i] = len(f)
                        if f and first is None:
                            first = now() - t
                        if len(f) == len(other):
                            done.setdefault(i, now() - t)
                        else:
                            done.pop(i, None)
                    time.sleep(max(0.001, 0.05 - (now() - q)))
                cl.net.rules()
                th = now()
                d, last = cl.wait_alive(range(n), 240, 0.05)
                side = lambda s: rnd(max(done[i] for i in s)) if all(i in done for i in s) else None
                self.emit("partition", n, z, split=f"{len(a)}|{len(b)}", seconds=secs, phase_s=rnd(phase, 1),
                          first_failed_s=rnd(first), side_a_all_failed_s=side(a),
                          side_b_all_failed_s=side(b),
                          pairs_failed_at_heal=f"{sum(pairs.values())}/{2 * len(a) * len(b)}",
                          heal_all_alive_s=rnd(max(d.values()) - th) if len(d) == n else None,
                          heal_first_node_s=rnd(min(d.values()) - th) if d else None,
                          healed_nodes=len(d), false_failed_own_side=len(wrong))

    def pause(self):
        n = 10
        for secs in self.opt.pauses:
            z = self.noise()
            reps = []
            for k in range(self.opt.reps_pause):
                with Cluster(self.ad, n) as cl:
                    cl.up(timeout=120)
                    time.sleep(self.opt.settle_short + random.random())
                    v = 5
                    healthy = [x for i, x in enumerate(cl.names) if i != v]
                    rest = [i for i in range(n) if i != v]
                    w = Watch(cl)
                    w.once(range(n))
                    marks = cl.log_marks()
                    p = cl.procs[v]
                    t = now()
                    p.send_signal(signal.SIGSTOP)
                    try:
                        w.run(rest, secs, 0.1)
                    finally:
                        p.send_signal(signal.SIGCONT)
                    tc = now()
                    w.last_bad = None
                    w.run(range(n), self.opt.pause_tail, 0.1)
                    lf, ls = cl.log_events(marks)
                    vic = cl.names[v]
                    r = {"victim_failed_first_s": rnd(min((e[0] for e in w.events if e[2] == vic),
                                                          default=t) - t) or None,
                         "victim_failed_seen_by": len({e[1] for e in w.events if e[2] == vic}),
                         "fp_by_healthy": len([e for e in w.events if e[2] != vic and e[1] != v]),
                         "fp_by_paused": len([e for e in w.events if e[2] != vic and e[1] == v]),
                         "recover_s": rnd(w.last_bad - tc) if w.last_bad else 0.0,
                         "recovered": w.last_bad is None or now() - w.last_bad > 1}
                    if lf is not None:
                        r["log_fp_by_healthy"] = len([e for e in lf if e[1] != vic and e[0] != v])
                        r["log_fp_by_paused"] = len([e for e in lf if e[1] != vic and e[0] == v])
                        r["log_suspects_of_healthy"] = len([e for e in ls if e[1] != vic])
                    reps.append(r)
            self.emit("pause", n, z, seconds=secs, recover_s=mmm([r["recover_s"] for r in reps]),
                      fp_by_healthy=sum(r["fp_by_healthy"] for r in reps),
                      fp_by_paused=sum(r["fp_by_paused"] for r in reps),
                      victim_failed_seen_by=mmm([r["victim_failed_seen_by"] for r in reps]), reps=reps)

    def loss(self):
        n = 10
        for pct in self.opt.losses:
            z = self.noise()
            with Cluster(self.ad, n) as cl:
                cl.up(timeout=120)
                time.sleep(self.opt.settle_short)
                w = Watch(cl)
                w.once(range(n))
                marks = cl.log_marks()
                c0 = cl.net.counters()
                cl.net.rules(loss=pct)
                t = now()
                w.run(range(n), self.opt.loss_s, 0.2)
                secs = now() - t
                c1 = cl.net.counters()
                cl.net.rules()
                lf, ls = cl.log_events(marks)
                th = now()
                d, _ = cl.wait_alive(range(n), 120, 0.05)
                self.emit("loss", n, z, loss_pct=pct, seconds=round(secs),
                          false_failed_polled=len(w.events),
                          false_failed_log=None if lf is None else len(lf),
                          distinct_victims=len({e[2] for e in w.events}),
                          suspicions_log=None if ls is None else len(ls),
                          pair_seconds_failed=rnd(w.pair_s, 1),
                          out_Bps_per_node=round(sum(b[0] - a[0] for a, b in zip(c0, c1)) / n / secs),
                          all_alive_after_s=rnd(max(d.values()) - th) if len(d) == n else None)

    def steady(self):
        for n in self.opt.steady_sizes:
            z = self.noise()
            with Cluster(self.ad, n) as cl:
                cl.up(timeout=120)
                time.sleep(self.opt.settle)
                p0 = cl.net.proto_bytes()
                c0, u0, t0 = cl.net.counters(), [cl.cpu(i) for i in range(n)], now()
                time.sleep(self.opt.steady_s)
                c1, u1, t1 = cl.net.counters(), [cl.cpu(i) for i in range(n)], now()
                p1 = cl.net.proto_bytes()
                s = t1 - t0
                mem = [cl.mem(i) for i in range(n)]
                al = [cl.ask(i, "alive_count") for i in range(n)]
                bps = [(b[0] - a[0]) / s for a, b in zip(c0, c1)]
                pps = [(b[1] - a[1]) / s for a, b in zip(c0, c1)]
                tot = sum(b[0] - a[0] for a, b in zip(c0, c1)) / n / s
                ticks, kernel = (sum(b[k] - a[k] for a, b in zip(u0, u1)) for k in (0, 2))
                self.emit("steady", n, z, seconds=round(s, 1), settle_s=self.opt.settle,
                          out_Bps=mmm(bps, 1), out_pps=mmm(pps, 2), mean_out_Bps=round(tot, 1),
                          mean_out_pps=round(sum(pps) / n, 2),
                          mean_ip_Bps=round(tot - 14 * sum(pps) / n, 1),
                          udp_Bps_per_node=round((p1.get("udp", 0) - p0.get("udp", 0)) / n / s, 1),
                          tcp_Bps_per_node=round((p1.get("tcp", 0) - p0.get("tcp", 0)) / n / s, 1),
                          cpu_s_per_min=mmm([(b[0] - a[0]) * 60 / s for a, b in zip(u0, u1)]),
                          cpu_s_per_min_sched=mmm([(b[1] - a[1]) * 60 / s for a, b in zip(u0, u1)], 4),
                          cpu_kernel_pct=round(kernel * 100 / ticks) if ticks else None,
                          rss_kB=mmm([m[0] for m in mem], 0), pss_kB=mmm([m[1] for m in mem], 0),
                          private_dirty_kB=mmm([m[2] for m in mem], 0),
                          threads=mmm([cl.threads(i) for i in range(n)], 0),
                          all_alive=al == [n] * n)

    def start(self):
        z = self.noise()
        v = []
        for _ in range(self.opt.reps_start):
            with Cluster(self.ad, 1) as cl:
                t = cl.start(0)
                end = now() + 20
                while now() < end:
                    try:
                        if cl.client(0).members() is not None:
                            v.append((now() - t) * 1000)
                            break
                    except (OSError, ValueError):
                        cl.drop(0)
                    time.sleep(0.0003)
        self.emit("start", 1, z, ms=mmm(v, 1), binary_bytes=os.path.getsize(self.ad.bin))

    def restart(self):
        n = 10
        z = self.noise()
        fast, slow = [], []
        with Cluster(self.ad, n) as cl:
            cl.up(timeout=120)
            time.sleep(self.opt.settle_short)
            for k in range(self.opt.reps):
                v = 1 + (k * 3 + 1) % (n - 1)
                rest = [i for i in range(n) if i != v]
                w = Watch(cl)
                w.once(rest)
                cl.kill(v)
                t = cl.start(v)
                self_full = None
                end = now() + 20     # long enough for a late 'failed' to show
                while now() < end:
                    q = now()
                    w.once(rest)
                    if self_full is None and cl.ask(v, "alive_count") == n:
                        self_full = now() - t
                    time.sleep(max(0.001, 0.03 - (now() - q)))
                seen = {e[1] for e in w.events if e[2] == cl.names[v]}
                fast.append({"self_sees_all_s": rnd(self_full), "others_saw_failed": len(seen),
                             "all_alive_s": rnd(max(w.last_bad - t, self_full or 0)) if w.last_bad
                             else rnd(self_full), "stable": w.last_bad is None or now() - w.last_bad > 2})
                cl.wait_alive(range(n), 60, 0.05)
            for k in range(min(3, self.opt.reps)):   # and back after everybody had given it up
                v = 2 + k
                rest = [i for i in range(n) if i != v]
                cl.kill(v)
                bad = {"failed", "missing"} if self.ad.gone_means_left else {"failed"}
                cl.wait_status(rest, cl.names[v], bad, 90, 0.05)
                time.sleep(1)
                t = cl.start(v)
                d, _ = cl.wait_alive(range(n), 90, 0.02)
                slow.append({"all_alive_s": rnd(max(d.values()) - t) if len(d) == n else None})
        self.emit("restart", n, z, self_sees_all_s=mmm([r["self_sees_all_s"] for r in fast]),
                  all_alive_s=mmm([r["all_alive_s"] for r in fast]),
                  others_saw_failed=sum(r["others_saw_failed"] for r in fast),
                  after_failed_all_alive_s=mmm([r["all_alive_s"] for r in slow]), reps=fast + slow)

    def api(self):
        n = self.opt.api_size
        z = self.noise()
        res = {}
        with Cluster(self.ad, n) as cl:
            cl.up(timeout=120)
            time.sleep(self.opt.settle)
            for conns in (1, 8):
                res[f"c{conns}"] = self._drive(cl, conns, self.opt.api_s)
        self.emit("api", n, z, **res)

    def _drive(self, cl, conns, secs):
        sel = selectors.DefaultSelector()
        lat = []
        cs = []
        for _ in range(conns):
            s, req, size = self.ad.bench(cl.net.socket(0))
            s.settimeout(None)
            s.setblocking(False)
            st = [s, req, size, bytearray(), 0.0]
            cs.append(st)
            sel.register(s, selectors.EVENT_READ, st)
        cpu0 = cl.cpu(0)[0]
        t0 = now()
        for st in cs:
            st[4] = time.perf_counter()
            st[0].send(st[1])
        end = t0 + secs
        bytes_ = 0
        stalled = False
        while now() < end and not stalled:
            ev = sel.select(1.0)
            stalled = not ev
            for key, _ in ev:
                st = key.data
                with contextlib.suppress(BlockingIOError):
                    d = st[0].recv(262144)
                    if not d:
                        raise RuntimeError("API closed the connection")
                    st[3] += d
                k = st[2](st[3])
                if k is not None:
                    q = time.perf_counter()
                    lat.append(q - st[4])
                    bytes_ += k
                    del st[3][:k]
                    st[4] = time.perf_counter()
                    st[0].send(st[1])
        s = now() - t0
        cpu = cl.cpu(0)[0] - cpu0
        for st in cs:
            sel.unregister(st[0])
            st[0].close()
        lat.sort()
        pick = lambda p: round(lat[min(len(lat) - 1, int(len(lat) * p))] * 1e6)
        return {"rps": round(len(lat) / s), "p50_us": pick(.5), "p99_us": pick(.99),
                "reply_bytes": round(bytes_ / max(1, len(lat))), "agent_cpu_pct": round(100 * cpu / s),
                "requests": len(lat), "stalled": stalled}
