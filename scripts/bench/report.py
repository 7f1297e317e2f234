"""Turns the results into one line a cell, and into the tables and plots of docs/performance.md."""

import os
import platform
import statistics
from datetime import date

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def median(outcomes, *path):
    def value(outcome):
        for key in path:
            outcome = outcome[key]
        return outcome
    return statistics.median(value(outcome) for outcome in outcomes)


def cpu_per_gb(outcomes):
    return statistics.median(o["server_cpu_s"] / o["gb"] for o in outcomes)


def cores(outcomes):
    """How many cores the server kept busy: well below one, the client was what was measured."""
    return statistics.median(o["server_cpu_s"] / o["seconds"] for o in outcomes)


def throughput(row, step):
    by_server = row["steps"][step]
    speed = {name: median(runs, "mb_per_second") for name, runs in by_server.items()}
    cpu = {name: cpu_per_gb(runs) for name, runs in by_server.items()}
    peak = {name: median(runs, "server_peak_kib") / 1024 for name, runs in by_server.items()}
    busy = {name: cores(runs) for name, runs in by_server.items()}
    return speed, cpu, peak, busy


def transactions(row, step):
    """Transactions a second, their latency in ms and the server's cores, by name of the server."""
    def of(runs):
        return {"rate": median(runs, "transactions_per_second"),
                "cores": median(runs, "server_cores"),
                "client": median(runs, "client_cores"),
                **{key: median(runs, "latency", f"{key}_us") / 1000 for key in ("p50", "p99")}}
    return {name: of(runs) for name, runs in row["steps"][step].items()}


def is_transactions(row, step):
    return all("transactions" in run for runs in row["steps"][step].values() for run in runs)


def transactions_line(step, found):
    ratel, kafka = found["ratel"], found["kafka"]
    return (f"{step} {ratel['rate']:.0f} : {kafka['rate']:.0f} transactions/s "
            f"= {ratel['rate'] / kafka['rate']:.2f}, latency "
            f"{ratel['p50']:.2f}/{ratel['p99']:.2f} : {kafka['p50']:.2f}/{kafka['p99']:.2f} ms, "
            f"cores {ratel['cores']:.2f} : {kafka['cores']:.2f}, "
            f"client {ratel['client']:.2f} : {kafka['client']:.2f}")


def transaction_rows(outcome):
    for row in outcome["cells"]:
        for step in row["steps"]:
            if is_transactions(row, step):
                found = transactions(row, step)
                ratel, kafka = found["ratel"], found["kafka"]
                yield [row["cell"], f"{ratel['rate']:.0f}", f"{kafka['rate']:.0f}",
                       f"**{ratel['rate'] / kafka['rate']:.2f}**",
                       *(f"{of['p50']:.2f} / {of['p99']:.2f}" for of in (ratel, kafka)),
                       *(f"{of['cores']:.2f}" for of in (ratel, kafka))]


def line(row):
    words = []
    for step in row["steps"]:
        if is_transactions(row, step):
            words.append(transactions_line(step, transactions(row, step)))
        elif step == "latency":
            for kind in ("ack", "end_to_end"):
                for name, runs in row["steps"][step].items():
                    p50, p99, p999 = (median(runs, kind, key) for key in
                                      ("p50_us", "p99_us", "p999_us"))
                    words.append(f"{kind} {name} {p50:.0f}/{p99:.0f}/{p999:.0f} us")
        else:
            speed, cpu, peak, busy = throughput(row, step)
            words.append(
                f"{step} {speed['ratel']:.0f} : {speed['kafka']:.0f} MB/s "
                f"= {speed['ratel'] / speed['kafka']:.2f}, cpu/GB {cpu['ratel']:.2f} : "
                f"{cpu['kafka']:.2f}, cores {busy['ratel']:.2f} : {busy['kafka']:.2f}, "
                f"peak {peak['ratel']:.0f} : {peak['kafka']:.0f} MiB")
    return f"{row['cell']}: " + "; ".join(words)


def table(header, rows):
    yield "| " + " | ".join(header) + " |"
    yield "|" + "---|" * len(header)
    for row in rows:
        yield "| " + " | ".join(row) + " |"


def throughput_rows(outcome):
    for row in outcome["cells"]:
        for step in row["steps"]:
            if step == "latency" or is_transactions(row, step):
                continue
            speed, cpu, peak, busy = throughput(row, step)
            yield [row["cell"], step, f"{speed['ratel']:.0f}", f"{speed['kafka']:.0f}",
                   f"**{speed['ratel'] / speed['kafka']:.2f}**", f"{cpu['ratel']:.2f}",
                   f"{cpu['kafka']:.2f}", f"{busy['ratel']:.2f}", f"{busy['kafka']:.2f}",
                   f"{peak['ratel']:.0f}", f"{peak['kafka']:.0f}"]


def latency_rows(outcome):
    for row in outcome["cells"]:
        for name, runs in row["steps"].get("latency", {}).items():
            values = [median(runs, kind, key) for kind in ("ack", "end_to_end")
                      for key in ("p50_us", "p99_us", "p999_us")]
            yield [row["cell"], name, *(f"{value / 1000:.2f}" for value in values)]


def start_rows(outcome):
    for name, measured in outcome["start"].items():
        large = outcome["large"].get(name, {})
        yield [name, f"{statistics.median(measured['ready_ms']):.0f}",
               f"{statistics.median(measured['idle_mib']):.1f}",
               *(f"{large[key]:.0f}" if key in large else "-"
                 for key in ("clean_ms", "killed_ms"))]


def floor(outcome):
    if outcome["floor"]:
        yield from ("The machine's floor, measured before:", "", "```text")
        yield from outcome["floor"].strip().splitlines()
        yield from ("```", "")


def plot(outcome, folder):
    import matplotlib
    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "ratel"
    from matplotlib import pyplot
    rows = [(row["cell"], throughput(row, "produce")) for row in outcome["cells"]
            if "produce" in row["steps"]]
    for index, (what, unit) in enumerate((("throughput", "MB/s"), ("cpu", "CPU seconds per GB"))):
        figure, axes = pyplot.subplots(figsize=(9, 0.42 * len(rows) + 1))
        for shift, name in ((-0.2, "ratel"), (0.2, "kafka")):
            axes.barh([at + shift for at in range(len(rows))],
                      [values[index][name] for _, values in rows], 0.38, label=name)
        axes.set_yticks(range(len(rows)), [cell for cell, _ in rows])
        axes.invert_yaxis()
        axes.set_xlabel(f"produce, {unit}")
        axes.legend()
        figure.tight_layout()
        figure.savefig(folder / f"performance-{what}.svg", metadata={"Date": None})
        pyplot.close(figure)


def write(outcome, folder):
    plot(outcome, folder)
    lines = [
        BEGIN, "",
        f"Measured on {date.today()}: {os.cpu_count()} cores, Linux {platform.release()}, both "
        "servers and the client on the same machine; medians; ratios are what to read.", "",
        *table(["cell", "step", "ratel MB/s", "Kafka MB/s", "ratio", "ratel CPU s/GB",
                "Kafka CPU s/GB", "ratel cores", "Kafka cores", "ratel peak MiB",
                "Kafka peak MiB"], throughput_rows(outcome)),
        "", "![throughput](performance-throughput.svg)", "", "![cpu](performance-cpu.svg)", "",
        "Latency in ms at a fixed rate, counted from the moment a record was due:", "",
        *table(["cell", "server", "ack p50", "p99", "p99.9", "end to end p50", "p99", "p99.9"],
               latency_rows(outcome)),
        "", "Transactions, of librdkafka, committed one after another by each producer:", "",
        *table(["cell", "ratel transactions/s", "Kafka transactions/s", "ratio",
                "ratel p50 / p99 ms", "Kafka p50 / p99 ms", "ratel cores", "Kafka cores"],
               transaction_rows(outcome)),
        "", "Start:", "",
        *table(["server", "ready on an empty directory, ms", "idle MiB",
                "large log, clean stop, ms", "large log, kill -9, ms"], start_rows(outcome)),
        "", *floor(outcome), END,
    ]
    page = folder / "performance.md"
    text = page.read_text() if page.exists() else f"# Performance\n\n{BEGIN}\n{END}\n"
    head, tail = text.split(BEGIN)[0], text.split(END)[-1]
    page.write_text(head + "\n".join(lines) + tail)
