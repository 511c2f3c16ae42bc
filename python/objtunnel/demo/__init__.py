"""The demo: two real jobs on all cores, their results handed over and verified.

    python -m objtunnel demo [--quick] [--repeat N] [--json FILE] [PATH...]
"""

import json
import os
import platform
import sys

import objtunnel
from objtunnel.demo import numeric, parsing
from objtunnel.demo.errors import BadInput, WrongResult
from objtunnel.demo.pool import Pool


def run(paths=(), repeat=None, quick=False, json_file=None):
    """Run both parts, print their tables; return an exit status.

    paths: JSON files and folders to parse; if none, Debian's iso-codes or else files made of the
    standard library's source. repeat: runs of each kind
    (3 of the numbers, 5 of the parsing). quick: small sizes, one run. json_file: where to write
    all figures. 0 if all is right, 1 if a result is wrong, an input cannot be read or json_file
    cannot be written (said on stderr). BrokenPipeError if nobody reads stdout any more.
    """
    cores = len(os.sched_getaffinity(0))
    repeats = (repeat, repeat) if repeat else (1, 1) if quick else (3, 5)
    heap = objtunnel.heap_info()
    print(f"objtunnel {objtunnel.__version__}, Python {platform.python_version()}, {cores} "
          f"core{'s' if cores > 1 else ''}, objects from {heap.allocator}\n")
    try:
        if paths:
            parsing.find_files(list(paths))  # better now than after a minute
        if json_file is not None:
            open(json_file, "a").close()
        with Pool(cores) as pool:
            parts = {
                "numbers": numeric.run(pool, cores, repeats[0], quick),
                "parsing": parsing.run(pool, cores, repeats[1], quick, list(paths)),
            }
    except WrongResult as error:
        print(f"objtunnel demo: WRONG RESULT: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        raise  # of stdout: the command line deals with that
    except (BadInput, OSError) as error:
        print(f"objtunnel demo: {error}", file=sys.stderr)
        return 1
    if json_file is not None:
        _write_json(json_file, cores, heap, parts)
    return 0


def _write_json(path, cores, heap, parts):
    record = {
        "objtunnel": objtunnel.__version__, "python": sys.version, "machine": platform.platform(),
        "cores": cores, "heap": heap.allocator,
        "parts": {name: part.to_dict() for name, part in parts.items()},
    }
    with open(path, "w", encoding="utf-8") as file:
        json.dump(record, file, indent=1)
        file.write("\n")
