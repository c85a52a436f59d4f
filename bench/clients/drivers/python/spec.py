"""What the Python drivers have in common: the language of package spec, its records and sums."""

import hashlib
import json
import os
import queue
import sys
import threading
import time

LETTERS = "abcdefghij" * 12
UNKNOWN = -2
TELL_EVERY = 0.1  # seconds between two reports of progress


class Unsupported(Exception):
    """The client has no such call."""


class Coded(Exception):
    """An error with Kafka's code."""

    def __init__(self, code, text):
        super().__init__(text)
        self.code = code


def record(i, partitions, base):
    """Record number i: partition, key, value, headers, time."""
    key = None if i % 11 == 10 else b"%d" % i
    value = None if i % 53 == 52 and key is not None else b"record %d %s" % (i, LETTERS[: 20 + i * 31 % 100].encode())
    headers = [("n", b"%d" % i)] if i % 3 == 0 else []
    return i % partitions, key, value, headers, base + i


def field(b):
    return b"-1:" if b is None else b"%d:%s" % (len(b), b)


class Summer:
    """Sums up the partitions of a topic."""

    def __init__(self, partitions):
        self.hashes = [hashlib.sha256() for _ in range(partitions)]
        self.counts = [0] * partitions

    def add(self, p, offset, key, value, headers, at):
        if offset != self.counts[p]:
            raise ValueError("partition %d: offset %d came, want %d" % (p, offset, self.counts[p]))
        h = b""
        if headers:
            h = headers[0][0].encode() + b"=" + headers[0][1]
        self.hashes[p].update(b"%s,%s,%s,%d\n" % (field(key), field(value), h, at))
        self.counts[p] += 1

    def sums(self):
        return [
            {"partition": p, "records": n, "sha256": h.hexdigest()}
            for p, (n, h) in enumerate(zip(self.counts, self.hashes))
        ]


class Session:
    """A command that runs."""

    lock = threading.Lock()

    def __init__(self, command):
        self.c = command
        self.stop = threading.Event()

    def __getattr__(self, name):
        zero = {"configs": {}, "offsets": {}, "ops": [], "topic": "", "name": "", "instance": "", "type": ""}
        return self.c.get(name, zero.get(name, 0))

    def tell(self, e, **more):
        more["e"], more["t"] = e, int(time.time() * 1000)
        write(more)


def write(obj):
    with Session.lock:
        sys.stdout.write(json.dumps(obj) + "\n")
        sys.stdout.flush()


class Pace:
    """Holds a loop to a rate."""

    def __init__(self, rate):
        self.rate, self.begin, self.n, self.said = rate, time.monotonic(), 0, 0.0

    def wait(self):
        """Ends a turn, and reports whether it is time to tell of progress."""
        self.n += 1
        left = self.begin + self.n / self.rate - time.monotonic()
        if left > 0.001:
            time.sleep(left)
        if time.monotonic() - self.said < TELL_EVERY:
            return False
        self.said = time.monotonic()
        return True


def answer(handlers, session):
    try:
        handler = handlers.get(session.do)
        if handler is None:
            raise Unsupported("unknown command " + session.do)
        out = handler(session) or {}
        out["done"] = True
    except Unsupported as e:
        out = {"error": str(e) or "the client has no such call", "code": UNKNOWN, "unsupported": True}
    except Exception as e:  # whatever the client raises is the answer
        out = {"error": "%s: %s" % (type(e).__name__, e), "code": code_of(e)}
    write(out)


def code_of(e):
    for c in (getattr(e, "code", None), getattr(e, "errno", None)):
        if isinstance(c, int):
            return c
    return UNKNOWN


def serve(handlers):
    """Runs a driver. Commands are handled one after the other, stop at once."""
    work, last = queue.Queue(), []

    def listen():
        for line in sys.stdin:
            s = Session(json.loads(line))
            if s.do == "stop":
                if last:
                    last[-1].stop.set()
                continue
            last.append(s)
            work.put(s)
        work.put(None)

    threading.Thread(target=listen, daemon=True).start()
    while True:
        s = work.get()
        if s is None:
            os._exit(0)  # some clients leave threads behind that would be waited for
        answer(handlers, s)
