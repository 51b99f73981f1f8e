"""The circumstances of a measurement: the machine, its load, and who else used it."""
import os
import statistics
import time

now = time.monotonic


def machine():
    """Processor, cores, memory and kernel."""
    with open("/proc/cpuinfo") as f:
        model = next((x.split(": ")[1].strip() for x in f if x.startswith("model name")), None)
    with open("/proc/meminfo") as f:
        kib = next(int(x.split()[1]) for x in f if x.startswith("MemTotal"))
    return {"cpu": model, "cores": len(os.sched_getaffinity(0)), "memory_gib": float(round(kib / 2**20)),
            "kernel": os.uname().release}


class Noise:
    """Load average and the share of both cores used by anything but this harness's tree."""

    def __init__(self, ceiling):
        self.waited = 0
        while os.getloadavg()[0] > ceiling and self.waited < 90:
            time.sleep(3)
            self.waited += 3
        self.load0 = os.getloadavg()[0]
        self.a = self._busy(), sum(os.times()[:4]), now()

    @staticmethod
    def _busy():
        with open("/proc/stat") as f:
            v = [int(x) for x in f.readline().split()[1:]]
        return (sum(v[:8]) - v[3] - v[4]) / os.sysconf("SC_CLK_TCK")

    def end(self):
        b = self._busy(), sum(os.times()[:4]), now()
        w = (b[2] - self.a[2]) * os.cpu_count()
        busy = b[0] - self.a[0]
        foreign = busy - (b[1] - self.a[1])
        return {"load1_start": round(self.load0, 2), "load1_end": round(os.getloadavg()[0], 2),
                "busy_pct": round(100 * busy / w, 1), "foreign_cpu_pct": round(100 * foreign / w, 1),
                "wall_s": round(b[2] - self.a[2], 1)}


def rnd(x, k=3):
    return None if x is None else round(x, k)


def mmm(v, k=3):
    v = [x for x in v if x is not None]
    if not v:
        return None
    return {"min": rnd(min(v), k), "median": rnd(statistics.median(v), k), "max": rnd(max(v), k),
            "n": len(v)}
