"""`make soak`: minutes of everything failing by chance, and an audit."""

from __future__ import annotations

import argparse
import random
import sys

from .run import soak


def main() -> int:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=180, help="for each server")
    parser.add_argument("--server", choices=["gunicorn", "uvicorn"], action="append")
    parser.add_argument("--seed", type=int, help="repeat the faults of another run")
    arguments = parser.parse_args()
    seed = random.randrange(10**6) if arguments.seed is None else arguments.seed
    results = []
    for kind in arguments.server or ["gunicorn", "uvicorn"]:
        print(f"{kind}: seed {seed}", flush=True)
        results.append(
            soak(
                kind,
                seconds=arguments.seconds,
                seed=seed,
                say=lambda line: print(line, flush=True),
            )
        )
    for result in results:
        print("\n" + "\n".join(result.table()), flush=True)
    return int(any(result.violations for result in results))


if __name__ == "__main__":
    sys.exit(main())
