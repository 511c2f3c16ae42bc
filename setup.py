"""The extension module, for `pip install .`; `make` builds the same sources by itself."""

import os
import subprocess
import sysconfig
from glob import glob

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

SOURCE_FOLDERS = ["runtime", "tunnel", "tunnel/kinds", "objects", "objects/*", "objtunnel"]


class BuildExt(build_ext):
    def build_extensions(self):
        require_header("mimalloc.h", "libmimalloc-dev")
        super().build_extensions()


def require_header(header, package):
    """Ask the compiler itself: a missing library then has a name, not forty lines of errors."""
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()
    probe = subprocess.run(
        [*compiler, *os.environ.get("CFLAGS", "").split(), "-E", "-"],
        input=f"#include <{header}>\n", text=True, capture_output=True,
    )
    if probe.returncode:
        raise SystemExit(
            f"objtunnel needs {header}, which {compiler[0]} does not find. "
            f"On Debian and Ubuntu: apt-get install {package}"
        )


setup(
    packages=["objtunnel", "objtunnel.demo", "objtunnel.include"],
    package_dir={"": "python", "objtunnel.include": "include"},  # objtunnel.get_include()
    package_data={"objtunnel": ["py.typed", "*.pyi"], "objtunnel.include": ["*.h"]},
    include_package_data=False,
    ext_modules=[
        Extension(
            "objtunnel._core",
            sources=sorted(s for folder in SOURCE_FOLDERS for s in glob(f"{folder}/*.c")),
            depends=sorted(glob("*/*.h") + glob("*/*/*.h")),
            include_dirs=["."],
            define_macros=[("_GNU_SOURCE", "1")],
            libraries=["mimalloc", "pthread"],
            extra_compile_args=["-std=gnu11", "-fvisibility=hidden", "-fno-strict-aliasing"],
        )
    ],
    cmdclass={"build_ext": BuildExt},
)
