"""Measures gossip agents side by side on one Linux machine; one line of JSON for each set of figures, on standard output.

Needs Python 3.11, root, iproute2 (`ip`), nftables (`nft`), and the agents to measure.

Every agent is a real process in a network namespace of its own. The namespaces have no names: they vanish with this
process, even after SIGKILL. A veth joins each to a bridge in one more namespace, which leads nowhere. Neighbour tables
are static, and IPv6 and offloading are off, so that the counters of the veth hold the agents' IP packets and nothing
else. Loss and partitions are nft rules on the bridge; the agents' APIs are asked on the 127.0.0.1 of their namespaces.

    python3 benches/peers --agent serf
    python3 benches/peers --agent chronik --bin target/release/chronik-agent
    python3 benches/peers --agent chronik --bin target/release/chronik-agent --scenarios join,crash --sizes 3,10
"""
import argparse
import os
import signal
import sys

from agents import ChronikAdapter
from scenarios import Bench, log
from serf import SerfAdapter

ADAPTERS = {"chronik": ChronikAdapter, "serf": SerfAdapter}
ALL = ["start", "join", "crash", "crash_host", "leave", "restart", "steady", "api", "partition", "pause", "loss"]


def ints(text):
    return [int(x) for x in text.split(",")]


def options():
    p = argparse.ArgumentParser(prog="benches/peers", description=__doc__,
                                formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--agent", required=True, choices=sorted(ADAPTERS))
    p.add_argument("--bin", help="the agent's program; from the PATH otherwise")
    p.add_argument("--scenarios", default=ALL, type=lambda s: s.split(","), help=",".join(ALL))
    p.add_argument("--sizes", type=ints, default=[3, 10, 30, 60], help="members, for join")
    p.add_argument("--crash-sizes", type=ints, default=[10, 60], help="members, for crash and crash_host")
    p.add_argument("--steady-sizes", type=ints, default=[10, 60], help="members, for steady")
    p.add_argument("--api-size", type=int, default=60, help="members, for api")
    p.add_argument("--reps", type=int, default=5, help="repetitions of crash, leave, restart")
    p.add_argument("--reps-join", type=int, default=3)
    p.add_argument("--reps-pause", type=int, default=3)
    p.add_argument("--reps-start", type=int, default=15)
    p.add_argument("--settle", type=float, default=40, help="seconds before steady and api")
    p.add_argument("--settle-short", type=float, default=5, help="seconds before the failures")
    p.add_argument("--steady-s", type=float, default=60, help="seconds of steady")
    p.add_argument("--api-s", type=float, default=10, help="seconds of api, each way")
    p.add_argument("--loss-s", type=float, default=180, help="seconds of loss, each rate")
    p.add_argument("--partitions", default="3:30,3:90,10:30,10:90", help="members:seconds",
                   type=lambda s: [tuple(map(int, x.split(":"))) for x in s.split(",")])
    p.add_argument("--phase", type=float, default=30, help="seconds of random wait before a partition, at most")
    p.add_argument("--pauses", type=lambda s: [float(x) for x in s.split(",")], default=[0.5, 1, 5, 20],
                   help="seconds")
    p.add_argument("--losses", type=ints, default=[10, 25], help="per cent")
    p.add_argument("--pause-tail", type=float, default=30, help="seconds of watching after a pause")
    p.add_argument("--max-load", type=float, default=3.0, help="wait, for 90 s at most, until the load is below")
    p.add_argument("--max-minutes", type=float, default=55, help="the whole run ends then")
    p.add_argument("--keep", action="store_true", help="keep the agents' logs in the folder for temporary files")
    p.add_argument("--serf-profile", default="lan")
    opt = p.parse_args()
    for x in opt.scenarios:
        if x not in ALL:
            p.error(f"--scenarios: there is no scenario {x!r}; these there are: {', '.join(ALL)}")
    if os.geteuid():
        sys.exit("only root may make network namespaces: run this as root")
    return opt


def main():
    opt = options()

    def stop(sig, _):
        raise SystemExit("--max-minutes are over" if sig == signal.SIGALRM else f"signal {sig}")
    for s in (signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
        signal.signal(s, stop)
    signal.setitimer(signal.ITIMER_REAL, opt.max_minutes * 60)
    bench = Bench(opt, ADAPTERS[opt.agent](opt))
    failed = []
    for x in opt.scenarios:
        log(f"{opt.agent}: {x} (load {os.getloadavg()[0]:.2f})")
        try:
            getattr(bench, x)()
        except Exception as e:
            failed.append(x)
            log(f"scenario {x} failed: {type(e).__name__}: {e}")
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
