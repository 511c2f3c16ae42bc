"""Where objtunnel's headers and build files lie, for those who build extensions with them.

Imports neither objtunnel nor its extension module: a build's Python may be unable to load that.

    python -m objtunnel_build --include      the folder for -I
    python -m objtunnel_build --pkgconfig    the folder for PKG_CONFIG_PATH
    python -m objtunnel_build --cmake        the folder for CMake's objtunnel_DIR
"""

import os
import sys
from importlib.util import find_spec


def get_include() -> str:
    """The folder with objtunnel.h, objtunnel_global.h and atomics/."""
    spec = find_spec("objtunnel")  # runs nothing of it
    if spec is None or not spec.submodule_search_locations:
        raise ImportError("objtunnel is not installed", name="objtunnel")
    return os.path.join(os.path.abspath(spec.submodule_search_locations[0]), "include")


def get_pkgconfig_dir() -> str:
    """The folder with objtunnel.pc."""
    return os.path.join(get_include(), "pkgconfig")


def get_cmake_dir() -> str:
    """The folder with objtunnelConfig.cmake."""
    return os.path.join(get_include(), "cmake")


def main(arguments):
    """Print what the arguments ask for, a line each; the exit status."""
    answers = {"--include": get_include, "--pkgconfig": get_pkgconfig_dir, "--cmake": get_cmake_dir}
    if not arguments or any(argument not in answers for argument in arguments):
        print(__doc__, file=sys.stderr)
        return 2
    for argument in arguments:
        print(answers[argument]())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
