"""python -m objtunnel: the demo, information, and running programs on a process-wide allocator."""

import argparse
import os
import platform
import sys
import sysconfig

_USAGE = """\
python -m objtunnel demo [--quick] [--repeat N] [--json FILE] [PATH...]
       python -m objtunnel info
       python -m objtunnel SCRIPT [ARG...]
       python -m objtunnel -m MODULE [ARG...]"""

_DESCRIPTION = """\
demo    Two real jobs on all cores: n-body and spectral-norm, then parsing JSON files. Prints how
        long they take in one interpreter and in one per core, the results handed over by tunnel
        and by pickle, and verifies them. PATH: JSON files and folders of them instead of those
        of Debian's iso-codes.
info    What a bug report needs: versions, builds and settings, the processor, the allocator that
        serves Python objects, the GIL that this thread holds.
SCRIPT, -m MODULE
        Runs the program as python itself does, in a process whose objects come from one
        allocator for all interpreters from the start (PYTHONMALLOC=mimalloc, or malloc in a
        Python that was built without mimalloc). objtunnel then has no heap of its own to
        install, and moves objects that are older than its import, too. Options for Python stand
        before -m objtunnel, those for the program after it. To run a script that is called demo
        or info, write ./demo or ./info. Child processes inherit PYTHONMALLOC."""

# Values of PYTHONMALLOC under which interpreters share one allocator already.
_SHARED_ALLOCATORS = {"malloc", "malloc_debug", "mimalloc", "mimalloc_debug"}


def main(argv):
    """Do what the command line asks for; return an exit status, or don't return at all."""
    if argv and argv[0] == "-m" and len(argv) > 1:
        return _run_program(argv)
    if argv and not argv[0].startswith("-") and argv[0] not in ("demo", "info"):
        return _run_program(argv)
    return _run_command(_make_parser().parse_args(argv))


def _make_parser():
    parser = argparse.ArgumentParser(
        prog="python -m objtunnel", usage=_USAGE, description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True, metavar="demo|info|SCRIPT|-m")
    demo = commands.add_parser("demo", help="run the demo",
                               usage="python -m objtunnel demo [--quick] [--repeat N] "
                                     "[--json FILE] [PATH...]")
    demo.add_argument("--quick", action="store_true", help="small sizes, one run: seconds")
    demo.add_argument("--repeat", type=_positive, metavar="N",
                      help="runs of each kind (3 of the numbers, 5 of the parsing)")
    demo.add_argument("--json", metavar="FILE", help="write all figures, in seconds, to FILE")
    demo.add_argument("paths", nargs="*", metavar="PATH",
                      help="JSON files and folders to parse (Debian's iso-codes)")
    commands.add_parser("info", help="versions, allocator, GIL",
                        usage="python -m objtunnel info")
    return parser


def _positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, not {value}")
    return value


def _run_command(options):
    if options.command == "info":
        return _print_info()
    from objtunnel import demo
    return demo.run(options.paths, options.repeat, options.quick, options.json)


def _print_info():
    import objtunnel
    from objtunnel import _core
    heap = objtunnel.heap_info()
    print(f"objtunnel    {objtunnel.__version__}, {os.path.dirname(objtunnel.__file__)}")
    build = _core._build_info()
    print(f"extension    {os.path.basename(_core.__file__)}, for Python {build['python']}, C API "
          f"{build['api_version']} ({build['api_size']} bytes), checks {'on' if build['checks'] else 'off'}, "
          f"compiler {build['compiler']}")
    debug = ", debug build" if hasattr(sys, "gettotalrefcount") else ""
    print(f"Python       {platform.python_version()} ({platform.python_compiler()}{debug}), "
          f"{sys.executable}")
    print(f"configured   {sysconfig.get_config_var('CONFIG_ARGS') or 'unknown'}")
    print(f"system       {platform.platform()}, {'-'.join(platform.libc_ver()) or 'unknown libc'}")
    print(f"cores        {len(os.sched_getaffinity(0))} usable of {os.cpu_count()}, {_processor()}")
    settings = [f"{name}={value}" for name, value in sorted(os.environ.items())
                if name.startswith(("PYTHON", "OBJTUNNEL_"))]
    print(f"environment  {' '.join(settings) or 'no PYTHON... or OBJTUNNEL_...'}")
    print(f"cloudpickle  {_version_of('cloudpickle')}, NumPy {_version_of('numpy')}")
    version = f" {heap.version}" if heap.installed else ""
    span = f", {heap.span / 2**30:.0f} GiB of addresses reserved" if heap.installed else ""
    print(f"objects from {heap.allocator}{version}{span}")
    owner = "the heap" if heap.installed else "the process"
    in_use = f"{heap.in_use / 1e6:.1f} MB by {owner}" if heap.in_use >= 0 else "unknown"
    print(f"memory used  {in_use}")
    print(f"GIL          {objtunnel.current_gil()!r}")
    return 0


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


# ---- programs -----------------------------------------------------------------------------------

def _run_program(command):
    """Become a Python that runs the command on a process-wide allocator. Does not return."""
    environment = dict(os.environ)
    if environment.get("PYTHONMALLOC") not in _SHARED_ALLOCATORS:
        if sys.flags.ignore_environment:
            print("python -m objtunnel: the options -E and -I make Python ignore PYTHONMALLOC, "
                  "which is how a program gets a process-wide allocator; leave them out",
                  file=sys.stderr)
            return 2
        has_mimalloc = sysconfig.get_config_var("WITH_MIMALLOC")
        environment["PYTHONMALLOC"] = "mimalloc" if has_mimalloc else "malloc"
    options = python_options(sys.orig_argv, len(command))
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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
