"""What the workers of the main job wrote down, held against what a queue promises.

usage: check.py work JOB KILLED REJECTED WORKER...   once the queue is empty: the table
       check.py home JOB REJECTED WORKER...          once the dead letters are home

JOB is the directory of the job. It holds `input` (a line for each record: package, tab, number,
space, text), each worker's diary (see worker.py) as WORKER.diary, and `dead.json`, the dead-letter
topic as `kcat -J` reads it. KILLED is the worker that was killed, REJECTED the package whose
records are rejected. It ends with 1 and a sentence for each promise that is not kept.
"""

import collections
import json
import pathlib
import sys

TOPIC, GROUP, DEAD_TOPIC = "packages", "workers", "packages.dead"
PREFIX = "__dlq.errors."
REJECTED_MESSAGE = "Offset rejected by client."
SENTENCES_MAX = 10

Note = collections.namedtuple("Note", "worker verb partition offset count number package")

broken = []


def expect(is_kept, sentence):
    if not is_kept:
        broken.append(sentence)


def read_input(job):
    """The package of each number."""
    packages = {}
    with open(job / "input", encoding="utf-8", errors="replace") as lines:
        for line in lines:
            package, rest = line.split("\t", 1)
            packages[int(rest.split(" ", 1)[0])] = package
    return packages


def read_diary(job, worker):
    notes = []
    for line in (job / f"{worker}.diary").read_text(encoding="utf-8").splitlines():
        verb, *rest = line.split("\t")
        if verb != "holding":
            *numbers, package = rest
            notes.append(Note(worker, verb, *map(int, numbers), package))
    return notes


def by_number(notes, *verbs):
    found = collections.defaultdict(list)
    for note in notes:
        if note.verb in verbs:
            found[note.number].append(note)
    return found


def names(notes):
    return ", ".join(f"{note.worker} (delivery {note.count})" for note in notes) or "nobody"


def check_settled(packages, notes, rejected):
    """Each record was settled once, as its package wants it, and was not handed out after that."""
    settled = by_number(notes, "accepted", "rejected")
    took = by_number(notes, "took")
    for number, package in packages.items():
        verb = "rejected" if package == rejected else "accepted"
        ends = settled.get(number, [])
        expect([note.verb for note in ends] == [verb],
               f"record {number} should be {verb} by one worker; it was settled by {names(ends)}")
        places = {note[2:4] for note in took.get(number, [])}
        expect(len(places) == 1, f"record {number} was handed out from {len(places)} places")
        counts = sorted(note.count for note in took.get(number, []))
        expect(counts == list(range(1, len(counts) + 1)),
               f"the deliveries of record {number} were counted {counts}")
        expect(all(note.count <= ends[0].count for note in took.get(number, []) if ends),
               f"record {number} was handed out again after it was settled")
    unknown = set(took) - set(packages)
    expect(not unknown, f"{len(unknown)} records were handed out that nobody sent")


def why_again(notes, killed):
    """Why records were handed out again: the reasons with their counts."""
    took, ends = {}, {}
    for note in notes:
        (took if note.verb == "took" else ends)[note.number, note.count] = note
    reasons = collections.Counter()
    for note in took.values():
        if note.count == 1:
            continue
        before = took.get((note.number, note.count - 1))
        end = ends.get((note.number, note.count - 1))
        if end and end.verb == "released":
            reasons["released"] += 1
        elif before and before.worker == killed and end is None:
            reasons["killed"] += 1
        else:
            reasons["other"] += 1
            expect(False, f"record {note.number} was handed out again, and no diary says why")
    return reasons


def read_dead(job):
    """The dead letters, each with its headers as a dictionary."""
    letters = []
    for line in (job / "dead.json").read_text(encoding="utf-8").splitlines():
        letter = json.loads(line)
        pairs = letter.get("headers", [])
        letter["headers"] = dict(zip(pairs[::2], pairs[1::2]))
        letters.append(letter)
    return letters


def check_dead(packages, notes, rejected, letters):
    """Each rejected record lies in the dead-letter topic once, whole, and says where it is from."""
    found = collections.Counter()
    of_number = by_number(notes, "rejected")
    for letter in letters:
        number = int(letter["payload"].split(" ", 1)[0])
        found[number] += 1
        expect(letter["key"] == packages.get(number), f"dead letter {number} lost its key")
        for note in of_number.get(number, []):
            wanted = {"topic": TOPIC, "partition": note.partition, "offset": note.offset,
                      "group": GROUP, "delivery.count": note.count, "message": REJECTED_MESSAGE}
            wanted = {PREFIX + name: str(value) for name, value in wanted.items()}
            expect(letter["headers"] == wanted,
                   f"dead letter {number} says {letter['headers']} instead of {wanted}")
    for number, package in packages.items():
        times = int(package == rejected)
        expect(found[number] == times,
               f"record {number} lies {found[number]} times among the dead letters, not {times}")


def row(name, *columns):
    print(f"{name:<20}" + "".join(f"{column:>10}" for column in columns))


def table(workers, killed, notes):
    verbs = ("took", "accepted", "released", "rejected")
    row("worker", *verbs, "held")
    sums = [0] * (len(verbs) + 1)
    for worker in workers:
        counts = collections.Counter(note.verb for note in notes if note.worker == worker)
        columns = [counts[verb] for verb in verbs]
        columns.append(columns[0] - sum(columns[1:]))
        sums = [a + b for a, b in zip(sums, columns)]
        held = columns[-1] > 0
        expect(held == (worker == killed),
               f"{worker} settled {sum(columns[1:-1])} of the {columns[0]} records that it took")
        row(worker + (" (kill -9)" if worker == killed else ""), *columns)
    row("together", *sums)
    return sums[-1]


def work(job, killed, rejected, *workers):
    packages = read_input(job)
    notes = [note for worker in workers for note in read_diary(job, worker)]
    refused = sum(note.verb == "refused" for note in notes)
    expect(refused == 0, f"{refused} acknowledgements were refused")
    check_settled(packages, notes, rejected)
    held = table(workers, killed, notes)
    accepted = sum(note.verb == "accepted" for note in notes)
    reasons = why_again(notes, killed)
    letters = read_dead(job)
    check_dead(packages, notes, rejected, letters)
    print(f"""
{len(packages):7} records
{accepted:7} accepted, each by exactly one worker
{len(letters):7} rejected and now dead letters: all of package {rejected}

{sum(reasons.values()):7} handed out again
{reasons["killed"]:7} because {killed} held them when it was killed
{reasons["released"]:7} because a worker put them back (every 500th, for later)
{reasons["other"]:7} for any other reason""")
    expect(0 < held == reasons["killed"],
           f"of {held} records that {killed} held {reasons['killed']} were handed out again")
    print(f"\ndead letters in {DEAD_TOPIC}, by package and with the headers of one:")
    for package, count in collections.Counter(letter["key"] for letter in letters).items():
        print(f"{count:7} {package}")
    for name, value in (letters[0]["headers"] if letters else {}).items():
        print(f"        {name:<30} {value}")


def home(job, rejected, *workers):
    dead = {number for number, package in read_input(job).items() if package == rejected}
    notes = [note for worker in workers for note in read_diary(job, worker)]
    for verb in ("took", "accepted"):
        times = collections.Counter(note.number for note in notes if note.verb == verb)
        for number in dead | set(times):
            wanted = int(number in dead)
            expect(times[number] == wanted,
                   f"after the redrive a worker {verb} record {number} {times[number]} times, "
                   f"not {wanted}")
    expect(all(note.count == 1 for note in notes), "what came home was handed out before")
    accepted = collections.Counter(note.worker for note in notes if note.verb == "accepted")
    print(f"{len(dead)} records came home, each once, and each was accepted by one worker:")
    print("  " + ", ".join(f"{worker} {accepted[worker]}" for worker in workers))


def main():
    task, job, *rest = sys.argv[1:]
    {"work": work, "home": home}[task](pathlib.Path(job), *rest)
    for sentence in broken[:SENTENCES_MAX]:
        print(f"not as promised: {sentence}", file=sys.stderr)
    if len(broken) > SENTENCES_MAX:
        print(f"and {len(broken) - SENTENCES_MAX} more", file=sys.stderr)
    sys.exit(1 if broken else 0)


main()
