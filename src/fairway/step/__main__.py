"""`python -m fairway.step`: the program that runs attempts, on every target.

worker FD HOME                      serve the driver on an inherited socket
zygote FD BELL HOME PARENT MODE     serve a worker; MODE is "fork" or "single"
pod                                 run the attempt that this pod's variables name
pool                                run attempts for a server until it says to leave
fetch | ship                        bring a container step's inputs into its pod | its outputs to the server
rank FILE [RANK]                    be one rank of a gang, as a launcher starts it
run SPEC.json --home HOME [--source FOLDER] [--pdb]   run one attempt here, in the foreground
"""

from __future__ import annotations

import sys


def main(argv: list[str]) -> int:
    """Dispatch; returns the exit status."""
    if argv[:1] == ["worker"] and len(argv) == 3:
        from fairway.step.worker import main as serve

        serve(int(argv[1]), argv[2])
    if argv[:1] == ["zygote"] and len(argv) == 6:
        from fairway.step.zygote import main as warm

        warm(int(argv[1]), int(argv[2]), argv[3], int(argv[4]), forks=argv[5] == "fork")
    if argv[:1] == ["rank"] and len(argv) in (2, 3):
        from fairway.step.gangrank import main as be_rank

        be_rank(argv[1:])
    if argv[:1] == ["run"] and len(argv) >= 4:
        from fairway.step.foreground import main as run

        return run(argv[1:])
    if argv == ["pod"]:
        from fairway.step.pod import main as run_pod

        return run_pod()
    if argv == ["pool"]:
        from fairway.step.pool import main as run_pool

        return run_pool()
    if argv in (["fetch"], ["ship"]):
        from fairway.step import container

        return container.fetch() if argv == ["fetch"] else container.ship()
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
