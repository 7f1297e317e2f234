"""Starts a server, runs the checks of the ecosystem on it, one by one, and prints a table."""

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "scripts" / "bench"))
import servers  # noqa: E402

CHECKS = ROOT / "integration" / "tests" / "clients" / "ecosystem"
LIMIT_S = 420
LACKS_MEANS = 77
# Checks that need an Apache Kafka beside the server.
BESIDE_KAFKA = ["mirrormaker"]
# One node must do, and the checks start and stop many groups.
BOTH = ["group.initial.rebalance.delay.ms=0"]
KAFKA = [
    "offsets.topic.num.partitions=4",
    "transaction.state.log.num.partitions=4",
    "share.coordinator.state.topic.num.partitions=4",
]


def small_jvm():
    servers.JVM[:] = ["-Xmx512m", "-XX:+UseSerialGC", "-Djava.awt.headless=true"]


class Bench:
    """The server under test and what the checks may ask of it."""

    def __init__(self, options):
        self.options = options
        self.work = Path(options.work).resolve()
        self.control = self.work / "control"
        self.control.mkdir(parents=True, exist_ok=True)
        self.logs = self.work / "logs"
        self.logs.mkdir(exist_ok=True)
        self.server = None
        self.other = None

    def start(self):
        if self.options.at:
            return
        if self.options.on == "kafka":
            self.server = servers.Kafka(self.options.kafka, self.work, BOTH + KAFKA)
        else:
            self.server = servers.Ratel(self.options.ratel, self.work, BOTH)
        self.server.fresh()
        self.server.start()

    def stop(self):
        for server in (self.server, self.other):
            if server is not None and server.process is not None:
                server.stop(signal.SIGKILL)

    def address(self):
        return self.options.at or self.server.servers

    def environment(self, name):
        environment = dict(os.environ)
        if self.server is not None:
            environment["SERVER_CONTROL"] = str(self.control)
            if name.startswith("tools-"):
                environment["DATA_DIR"] = str(self.server.data)
        if name in BESIDE_KAFKA:
            if self.other is None:
                self.other = servers.Kafka(self.options.kafka, self.work / "other", BOTH + KAFKA)
                self.other.fresh()
                self.other.start()
            environment["OTHER"] = self.other.servers
        return environment

    def serve_requests(self):
        """Kill the server and start it again, if the check asks for it."""
        wish = self.control / "restart"
        if wish.exists():
            wish.unlink()
            self.server.stop(signal.SIGKILL)
            self.server.start()
            (self.control / "done").touch()

    def run(self, script):
        """Returns how the check ended and what it took: (word, checks, seconds)."""
        name = script.stem
        log = self.logs / f"{name}.log"
        environment = self.environment(name)
        began = time.monotonic()
        with open(log, "wb") as out:
            process = subprocess.Popen(
                ["bash", str(script), self.address()], stdin=subprocess.DEVNULL, stdout=out,
                stderr=subprocess.STDOUT, env=environment, start_new_session=True)
            while process.poll() is None and time.monotonic() - began < LIMIT_S:
                self.serve_requests()
                time.sleep(0.05)
        try:
            # What the check started and left behind, and itself if it took too long.
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        seconds = time.monotonic() - began
        said = log.read_text(errors="replace").splitlines()
        checks = [line for line in said if line.startswith("ok ")]
        for line in checks:
            print("  " + line)
        if process.wait() == LACKS_MEANS:
            return "SKIPPED", len(checks), seconds
        if process.returncode == 0 and checks:
            return "ok", len(checks), seconds
        for line in said[-30:]:
            print("  | " + line[:300])
        return "FAILED", len(checks), seconds


def main():
    parser = argparse.ArgumentParser(prog="scripts/ecosystem.sh")
    parser.add_argument("--ratel", required=True)
    parser.add_argument("--kafka", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--on", choices=["ratel", "kafka"], default="ratel")
    parser.add_argument("--at", metavar="HOST:PORT")
    parser.add_argument("--only", nargs="+", metavar="NAME", default=[""])
    options = parser.parse_args()
    scripts = sorted(
        script for script in CHECKS.glob("*.sh")
        if not script.stem.endswith("words") and any(word in script.stem for word in options.only))
    if not scripts:
        parser.error(f"no check has one of {' '.join(options.only)} in its name")
    small_jvm()
    bench = Bench(options)
    rows = []
    try:
        bench.start()
        for script in scripts:
            print(f"== {script.stem}", flush=True)
            rows.append((script.stem, *bench.run(script)))
    finally:
        bench.stop()
    print(f"\n{'check':<28} {'seen':>5} {'seconds':>8}")
    for name, word, checks, seconds in rows:
        print(f"{name:<28} {checks:>5} {seconds:>8.1f} {word}")
    count = {word: sum(row[1] == word for row in rows) for word in ("ok", "FAILED", "SKIPPED")}
    print(f"\necosystem: {count['ok']} passed, {count['FAILED']} failed, "
          f"{count['SKIPPED']} skipped; logs in {bench.logs}")
    return 1 if count["FAILED"] else 0


sys.exit(main())
