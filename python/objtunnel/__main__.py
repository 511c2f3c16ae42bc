"""python -m objtunnel: the demo, information, explanations, and running programs on a process-wide allocator."""

import argparse
import json
import os
import platform
import select
import signal
import sys
import sysconfig

_USAGE = """\
python -m objtunnel demo [--quick] [--repeat N] [--json FILE] [PATH...]
       python -m objtunnel bench [--quick] [--repeat N] [--json FILE]
       python -m objtunnel info [--json]
       python -m objtunnel check [--markdown] PACKAGE...
       python -m objtunnel explain [--strict] [--limit N] [--json] FILE.py:EXPRESSION
       python -m objtunnel [run] SCRIPT [ARG...]
       python -m objtunnel [run] -m MODULE [ARG...]
       python -m objtunnel --version"""

_DESCRIPTION = """\
demo    Two real jobs on all cores: n-body and spectral-norm, then parsing JSON files. Prints how
        long they take in one interpreter and in one per core, the results handed over by tunnel
        and by pickle, and verifies them. PATH: JSON files and folders of them instead of those
        of Debian's iso-codes, or, without that package, of some made of Python's own source.
bench   Half a minute: what handing a tree over costs here, beside pickle and, on 3.14,
        concurrent.interpreters.Queue. --json -: figures to stdout instead of the table.
info    What a bug report needs: versions, builds and settings, the processor, the allocator that
        serves Python objects, the GIL that this thread holds.
check   Which packages can be used in a worker: imports each in interpreters with their own GIL, in a
        process of its own, and names the first extension that refuses. PACKAGE: a module, or what
        pip calls it.
explain What Tunnel.send would do with a value: what moves, what is copied, pickled or refused, how
        much that is, and who refers to what is held. FILE.py is run without what stands under
        `if __name__ == "__main__":`, and EXPRESSION is evaluated there: main.py:load(), or
        "main.py:[1, rows]". --limit: so many objects are looked at one by one (20).
run SCRIPT, run -m MODULE (run may be left out)
        Runs the program as python itself does, in a process whose objects come from one
        allocator for all interpreters from the start (PYTHONMALLOC=mimalloc, or malloc in a
        Python that was built without mimalloc). objtunnel then has no heap of its own to
        install, and moves objects that are older than its import, too. Options for Python stand
        before -m objtunnel, those for the program after it. To run a script that is called demo
        or info, write ./demo or ./info. Child processes inherit PYTHONMALLOC.

Exit status: 0; 1 if a result is wrong, a file cannot be read or written, the value of `explain` cannot be
sent (--strict: or not without copying or pickling), or a package of `check` does not load; 2 for a wrong command
line or a package that is not installed; 141 if the reader of stdout has left, as for a program that SIGPIPE ends. A
program's own otherwise."""

_COMMANDS = ("demo", "bench", "info", "check", "explain", "run")

# Values of PYTHONMALLOC under which interpreters share one allocator already.
_SHARED_ALLOCATORS = {"malloc", "malloc_debug", "mimalloc", "mimalloc_debug"}


def main(argv):
    """Do what the command line asks for; return an exit status, or don't return at all."""
    command = argv[1:] if argv[:1] == ["run"] else argv
    if command and command[0] == "-m" and len(command) > 1:
        return _run_program(command, len(argv))
    if command and not command[0].startswith("-") and (command is not argv or argv[0] not in _COMMANDS):
        if not os.path.exists(command[0]):
            return _no_such_program(command[0], command is argv)
        return _run_program(command, len(argv))
    parser = _make_parser()
    options = parser.parse_args(argv)
    if options.command is None:
        parser.error("-m wants the name of a module" if argv else f"there is nothing to do: {', '.join(_COMMANDS)} or a program")
    return _run_command(options, argv)


def _no_such_program(name, may_be_command):
    commands = f", and no command of that name: {', '.join(_COMMANDS)}" if may_be_command else ""
    print(f"python -m objtunnel: there is no file {name!r}{commands}", file=sys.stderr)
    return 2


def _make_parser():
    parser = argparse.ArgumentParser(
        prog="python -m objtunnel", usage=_USAGE, description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", action=_Version, nargs=0, help="objtunnel's and Python's version")
    # prog: or each command's errors would begin with the usage of all.
    commands = parser.add_subparsers(dest="command", prog=parser.prog, metavar="demo|bench|info|check|explain|run|SCRIPT|-m")
    parser.add_argument("-m", action="store_true", help=argparse.SUPPRESS)  # main() has taken those that name a module
    demo = commands.add_parser("demo", help="run the demo",
                               usage="python -m objtunnel demo [--quick] [--repeat N] "
                                     "[--json FILE] [PATH...]")
    demo.add_argument("--quick", action="store_true", help="small sizes, one run: seconds")
    demo.add_argument("--repeat", type=_positive, metavar="N",
                      help="runs of each kind (3 of the numbers, 5 of the parsing)")
    demo.add_argument("--json", metavar="FILE", help="write all figures, in seconds, to FILE")
    demo.add_argument("paths", nargs="*", metavar="PATH",
                      help="JSON files and folders to parse (Debian's iso-codes, else some that are made)")
    bench = commands.add_parser("bench", help="what handing over costs here",
                                usage="python -m objtunnel bench [--quick] [--repeat N] [--json FILE]")
    bench.add_argument("--quick", action="store_true", help="small sizes, few runs: a second")
    bench.add_argument("--repeat", type=_positive, metavar="N", help="runs of each kind (7)")
    bench.add_argument("--json", metavar="FILE", help="write all figures, in seconds, to FILE; -: to stdout")
    info = commands.add_parser("info", help="versions, allocator, GIL", usage="python -m objtunnel info [--json]")
    info.add_argument("--json", action="store_true", help="as a JSON object")
    check = commands.add_parser("check", help="which packages load in a worker",
                                usage="python -m objtunnel check [--markdown] PACKAGE...")
    check.add_argument("--markdown", action="store_true", help="print a table in Markdown")
    check.add_argument("packages", nargs="+", metavar="PACKAGE", help="a module, or what pip calls it")
    explain = commands.add_parser("explain", help="what send would do with a value", usage="python -m objtunnel "
                                  "explain [--strict] [--limit N] [--json] FILE.py:EXPRESSION")
    explain.add_argument("--strict", action="store_true", help="status 1 if anything is copied or pickled")
    explain.add_argument("--limit", type=_positive, default=20, metavar="N", help="how many objects to look at (20)")
    explain.add_argument("--json", action="store_true", help="as a JSON object")
    explain.add_argument("value", metavar="FILE.py:EXPRESSION")
    run = commands.add_parser("run", help="a program, on a process-wide allocator",
                              usage="python -m objtunnel run SCRIPT [ARG...]\n       "
                                    "python -m objtunnel run -m MODULE [ARG...]")
    run.add_argument("program", metavar="SCRIPT")
    return parser


class _Version(argparse.Action):
    """--version, which loads objtunnel only then."""

    def __call__(self, parser, *_):
        import objtunnel
        print(f"objtunnel {objtunnel.__version__} (Python {platform.python_version()})")
        parser.exit()


def _positive(text):
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number, 1 or more, not {text!r}")
    return int(text)


def _run_command(options, argv):
    if options.command == "info":
        return _print_info(options.json)
    if options.command == "explain":
        return _explain(options)
    if options.command == "check":
        from objtunnel import _check
        return _check.run(options.packages, python_options(sys.orig_argv, len(argv)), options.markdown)
    if options.command == "bench":
        from objtunnel.demo import bench
        return bench.run(options.repeat, options.quick, options.json)
    from objtunnel import demo
    return demo.run(options.paths, options.repeat, options.quick, options.json)


def _print_info(as_json):
    facts = dict(_facts())
    if as_json:
        print(json.dumps(facts, indent=1))
    else:
        print("\n".join(f"{name:<12} {text}" for name, text in facts.items()))
    return 0


def _facts():
    import objtunnel
    from objtunnel import _core
    heap = objtunnel.heap_info()
    build = _core._build_info()
    debug = ", debug build" if hasattr(sys, "gettotalrefcount") else ""
    yield "objtunnel", f"{objtunnel.__version__}, {os.path.dirname(objtunnel.__file__)}"
    yield "extension", (f"{os.path.basename(_core.__file__)}, for Python {build['python']}, C API "
                        f"{build['api_version']} ({build['api_size']} bytes), checks {'on' if build['checks'] else 'off'}, "
                        f"{'with' if build['lab'] else 'without'} the laboratory's parts, "
                        f"compiler {build['compiler']}")
    yield "Python", f"{platform.python_version()} ({platform.python_compiler()}{debug}), {sys.executable}"
    yield "configured", sysconfig.get_config_var("CONFIG_ARGS") or "unknown"
    yield "system", f"{platform.platform()}, {'-'.join(platform.libc_ver()) or 'unknown libc'}"
    yield "cores", f"{len(os.sched_getaffinity(0))} usable of {os.cpu_count()}, {_processor()}"
    settings = [f"{name}={value}" for name, value in sorted(os.environ.items())
                if name.startswith(("PYTHON", "OBJTUNNEL_"))]
    yield "environment", " ".join(settings) or "no PYTHON... or OBJTUNNEL_..."
    yield "cloudpickle", f"{_version_of('cloudpickle')}, NumPy {_version_of('numpy')}"
    version = f" {heap.version}" if heap.installed else ""
    span = f", {heap.span / 2**30:.0f} GiB of addresses reserved" if heap.installed else ""
    yield "objects from", f"{heap.allocator}{version}{span}"
    owner = "the heap" if heap.installed else "the process"
    yield "memory used", f"{heap.in_use / 1e6:.1f} MB by {owner}" if heap.in_use >= 0 else "unknown"
    yield "GIL", repr(objtunnel.current_gil())


def _processor():
    """The processor's name, as the kernel has it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as f:
            names = [line.partition(":")[2].strip() for line in f if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.machine()


def _version_of(distribution):
    from importlib import metadata
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "not installed"


# ---- explain ------------------------------------------------------------------------------------

def _explain(options):
    """What send would do with FILE.py:EXPRESSION. 0: it can be sent, and with --strict moves as a whole."""
    from objtunnel import _explain
    path, _, expression = options.value.partition(":")
    if not expression.strip():
        print(f"python -m objtunnel explain: {options.value!r} is not FILE.py:EXPRESSION", file=sys.stderr)
        return 2
    if not os.path.isfile(path):
        print(f"python -m objtunnel explain: there is no file {path}", file=sys.stderr)
        return 1
    try:
        explanation = _explain.evaluate(_explain.load(path), expression, options.limit)
    except (Exception, SystemExit) as error:
        if isinstance(error, BrokenPipeError) and _is_unread():
            raise
        _print_traceback(error)
        print(f"python -m objtunnel explain: no value for {expression}", file=sys.stderr)
        return 1
    print(json.dumps(explanation.to_dict(), indent=1) if options.json else explanation)
    held = explanation.receipt.copied or explanation.receipt.pickled
    return 1 if explanation.refused or (options.strict and held) else 0


def _print_traceback(error):
    """From the user's file on: ours and the import system's lines say nothing about it."""
    import traceback
    folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "")
    report = traceback.TracebackException.from_exception(error)
    report.stack[:] = [frame for frame in report.stack if not frame.filename.startswith((folder, __file__, "<frozen "))]
    print("".join(report.format()), end="", file=sys.stderr)


# ---- programs -----------------------------------------------------------------------------------

def _run_program(command, trailing):
    """Become a Python that runs the command on a process-wide allocator. Does not return.

    trailing: the number of arguments behind `-m objtunnel`.
    """
    environment = dict(os.environ)
    if environment.get("PYTHONMALLOC") not in _SHARED_ALLOCATORS:
        if sys.flags.ignore_environment:
            print("python -m objtunnel: the options -E and -I make Python ignore PYTHONMALLOC, "
                  "which is how a program gets a process-wide allocator; leave them out",
                  file=sys.stderr)
            return 2
        has_mimalloc = sysconfig.get_config_var("WITH_MIMALLOC")
        environment["PYTHONMALLOC"] = "mimalloc" if has_mimalloc else "malloc"
    options = python_options(sys.orig_argv, trailing)
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, *options, *command], environment)


def python_options(orig_argv, trailing):
    """The options for Python itself in `python OPTIONS -m objtunnel ARGS`.

    orig_argv: sys.orig_argv; trailing: the number of ARGS. -m may be joined with its argument
    (-mobjtunnel) and with options before it (-um objtunnel).
    """
    options = orig_argv[1:len(orig_argv) - trailing]
    last = options.pop()
    if not last.startswith("-"):
        last = options.pop()  # the module's name stood apart
    joined = last[:last.index("m")]
    return options if joined == "-" else [*options, joined]


# ---- a reader that has left ----------------------------------------------------------------------

def _until_nobody_reads(argv):
    """main(argv); where the reader of stdout has left (`| head -1`), end without a word, with the status that a shell shows
    for a program that SIGPIPE has ended."""
    try:
        try:
            return main(argv)
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except BrokenPipeError:
        if not _is_unread():
            raise
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())  # the end of Python flushes it again
        os.close(nowhere)
        return 128 + signal.SIGPIPE


def _is_unread():
    """Whether stdout is a pipe that nobody reads any more: another one may have raised BrokenPipeError."""
    try:
        poll = select.poll()
        poll.register(sys.stdout, 0)  # errors are told without being asked for
        return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
    except (AttributeError, OSError, ValueError):  # none, closed, or no file
        return False


if __name__ == "__main__":
    sys.exit(_until_nobody_reads(sys.argv[1:]))
