"""What the Python workers have in common: the protocol, which stands at the head of bench/src/peer.rs, and the clock."""

import sys
import time

PICTURES = 2048


def answer(*words):
    print(*words, flush=True)


def run_for(step, seconds, least=1):
    """Whole steps, for some seconds: how many, and in what time."""
    steps = 0
    start = time.perf_counter()
    while True:
        step()
        steps += 1
        elapsed = time.perf_counter() - start
        if elapsed >= seconds and steps >= least:
            return steps, elapsed


def serve(name, variants, make):
    """Answers until the input ends. `variants(work)` names what there is for a work, a triple (network, kind, batch);
    `make(work, variant)` gives the function that does a step of it."""
    answer("ready", name)
    work, made = None, {}
    for line in sys.stdin:
        words = line.split()
        try:
            match words:
                case ["quit"]:
                    return
                case ["variants", network, kind, batch]:
                    answer("variants", *variants((network, kind, int(batch))))
                case ["run", seconds, variant, network, kind, batch]:
                    asked, seconds = (network, kind, int(batch)), float(seconds)
                    if asked != work:
                        work, made = asked, {}
                    if variant not in made:
                        step = make(work, variant)
                        run_for(step, seconds / 2, least=2)
                        made[variant] = step
                    run_for(made[variant], seconds / 5)
                    steps, elapsed = run_for(made[variant], seconds)
                    answer("result", steps * asked[2] / elapsed)
                case _:
                    answer(f"error not understood: {line.strip()!r}")
        except Exception as failure:  # A compiler that is missing, say: the other variants still work.
            answer("error", " ".join(f"{type(failure).__name__}: {failure}".split())[:200])
