"""Compaction: a topic with twice as many records as keys is cleaned, on every server in turn."""

import statistics
import time
from pathlib import Path

from rows import rows, turns
from servers import Kafka, Ratel

CODECS = ("none", "lz4", "zstd")
KEYS = 10_000_000
KEYS_QUICK = 200_000
VALUE_BYTES = 100
SEGMENT_BYTES = 100 << 20
# One thread and Kafka's own default for the memory of keys; and no pause in front of a cleaning,
# so that the time begins when it is allowed.
SETTINGS = (
    "log.cleaner.threads=1",
    "log.cleaner.dedupe.buffer.size=134217728",
    "log.cleaner.backoff.ms=100",
)
# ratel cleans what a checkpoint knows: there is one within five seconds of a segment's end.
CHECKPOINT_S = 8
PATIENCE_S = 1800
LOOK_S = 0.02
TOPIC = "compacted"
# Where the file `cleaned` says how far a log was cleaned (storage/FORMAT.md).
CLEANED_AT = slice(12, 20)


class RatelLog:
    """A log as it lies on the disk."""

    def __init__(self, server):
        # The only topic that holds more than a coordinator's records.
        folders = server.data.glob("topics/*")
        self.folder = max(folders, key=lambda folder: sum(segments(folder).values()))

    def cleaned(self):
        try:
            return int.from_bytes((self.folder / "cleaned").read_bytes()[CLEANED_AT], "big")
        except FileNotFoundError:
            return 0


class KafkaLog:
    def __init__(self, server):
        self.folder = server.data / f"{TOPIC}-0"
        self.checkpoint = server.data / "cleaner-offset-checkpoint"

    def cleaned(self):
        lines = self.checkpoint.read_text().splitlines() if self.checkpoint.exists() else []
        found = [line.split() for line in lines if line.startswith(f"{TOPIC} 0 ")]
        return int(found[0][2]) if found else 0


def segments(folder):
    """Bytes by base offset; a file may go meanwhile."""
    found = {}
    for path in Path(folder).glob("*.log"):
        try:
            found[int(path.stem)] = path.stat().st_size
        except FileNotFoundError:
            pass
    return found


def clean(bench, server, codec, keys):
    """One cleaning from the moment that it is allowed until all but the active segment is clean."""
    server.fresh()
    server.start()
    try:
        bench.load(server, "compaction-fill", topic=TOPIC, records=2 * keys, keys=keys,
                   bytes=VALUE_BYTES, codec=codec,
                   segment_bytes=min(max(keys * 20, 1 << 20), SEGMENT_BYTES))
        time.sleep(CHECKPOINT_S)
        log = RatelLog(server) if isinstance(server, Ratel) else KafkaLog(server)
        before = segments(log.folder)
        active = max(before)
        server.reset_peak()
        cpu_s = server.cpu_s()
        began = time.monotonic()
        bench.load(server, "compaction-begin", topic=TOPIC)
        while log.cleaned() < active:
            if time.monotonic() - began > PATIENCE_S:
                raise RuntimeError(f"{server.name} does not come to an end")
            time.sleep(LOOK_S)
        seconds = time.monotonic() - began
        size = sum(before.values()) - before[active]
        left = sum(bytes for base, bytes in segments(log.folder).items() if base < active)
        return {"seconds": seconds, "mb": size / 1e6, "mb_left": left / 1e6,
                "mb_per_second": size / 1e6 / seconds, "server_cpu_s": server.cpu_s() - cpu_s,
                "peak_mib": server.rss_mib("VmHWM")}
    finally:
        server.stop(9)


def line(row):
    def of(name, key):
        return statistics.median(run[key] for run in row["runs"][name])
    words = [f"{of('ratel', 'mb_per_second'):.0f} : {of('kafka', 'mb_per_second'):.0f} MB/s = "
             f"{of('ratel', 'mb_per_second') / of('kafka', 'mb_per_second'):.2f}"]
    for what, key, form in (("CPU", "server_cpu_s", "{:.1f} s"), ("peak", "peak_mib", "{:.0f} MiB"),
                            ("of", "mb", "{:.0f} MB"), ("left", "mb_left", "{:.0f} MB")):
        shown = " : ".join(form.format(of(name, key)) for name in ("ratel", "kafka"))
        words.append(f"{what} {shown}")
    return f"{row['cell']}: " + ", ".join(words)


def compactions(bench, end):
    """MB of log a second, CPU and the peak of memory, by codec and server. None begins after
    `end`."""
    options = bench.options
    keys = KEYS_QUICK if options.quick else KEYS
    servers = [Ratel(options.ratel, options.work, SETTINGS),
               Kafka(options.kafka, options.work, SETTINGS)]
    cells = [(f"compaction of {keys} keys, {codec}", codec) for codec in CODECS]

    def runs(codec):
        return turns(options.rounds, servers, lambda server: clean(bench, server, codec, keys))
    return rows(cells, runs, line, end)
