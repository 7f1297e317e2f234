"""The servers under test: start, stop, kill, and what the system says of them."""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

KAFKA_PROPERTIES = """
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
log.dirs={data}
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
"""

# What Kafka's own start script gives the JVM.
JVM = [
    "-Xmx1G", "-Xms1G", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExplicitGCInvokesConcurrent",
    "-Djava.awt.headless=true",
]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A server process on a directory of its own."""

    def __init__(self, name, work):
        self.name = name
        self.home = Path(work).resolve() / name
        self.data = self.home / "data"
        self.port = free_port()
        self.process = None

    @property
    def servers(self):
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self):
        return self.process.pid

    def fresh(self):
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(parents=True)
        self.prepare()

    def prepare(self):
        """What has to be done once on an empty directory."""

    def command(self):
        raise NotImplementedError

    def start(self, timeout_s=120):
        """Start and wait until the server answers. Returns the seconds that it took."""
        log = open(self.home / "log", "ab")
        began = time.monotonic()
        self.process = subprocess.Popen(
            self.command(), stdout=log, stderr=subprocess.STDOUT, cwd=self.home
        )
        while not self.answers():
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} ended at start: see {self.home / 'log'}")
            if time.monotonic() - began > timeout_s:
                self.stop(signal.SIGKILL)
                raise RuntimeError(f"{self.name} did not answer within {timeout_s} s")
            time.sleep(0.002)
        return time.monotonic() - began

    def answers(self):
        """Whether an ApiVersions request is answered: a port alone says too little."""
        request = bytes.fromhex("0000000a" "0012" "0000" "00000007" "ffff")
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as peer:
                peer.sendall(request)
                return len(peer.recv(8)) == 8
        except OSError:
            return False

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        self.process.wait(timeout=60)

    def cpu_s(self):
        """CPU seconds so far, of ended threads too. The process's own clock counts nanoseconds;
        /proc counts ticks of 10 ms, a fifth of what a short run takes."""
        process_clock = (~self.pid << 3) | 2
        return time.clock_gettime(process_clock)

    def rss_mib(self, field="VmRSS"):
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(field + ":"):
                return int(line.split()[1]) / 1024
        return 0.0

    def reset_peak(self):
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")


class Ratel(Server):
    def __init__(self, binary, work, settings=()):
        super().__init__("ratel", work)
        self.binary = str(Path(binary).resolve())
        self.settings = settings

    def command(self):
        return [
            self.binary, "serve",
            "--set", f"listeners=PLAINTEXT://127.0.0.1:{self.port}",
            "--set", f"log.dirs={self.data}",
            "--set", f"http.listen=127.0.0.1:{free_port()}",
            *(word for setting in self.settings for word in ("--set", setting)),
        ]


class Kafka(Server):
    def __init__(self, libs, work, settings=()):
        super().__init__("kafka", work)
        self.settings = settings
        self.classes = str(Path(libs).resolve()) + "/*"
        self.controller = free_port()
        self.properties = self.home / "server.properties"

    def prepare(self):
        properties = KAFKA_PROPERTIES.format(
            port=self.port, controller=self.controller, data=self.data)
        self.properties.write_text(properties + "\n".join(self.settings) + "\n")
        subprocess.run(
            ["java", "-cp", self.classes, "kafka.tools.StorageTool", "format", "--standalone",
             "-t", "MkU3OEVBNTcwNTJENDM2Qk", "-c", str(self.properties)],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)

    def command(self):
        return ["java", *JVM, "-cp", self.classes, "kafka.Kafka", str(self.properties)]
