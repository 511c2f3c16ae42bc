"""The extension module and the package's files, for pip. sources.mk says what they are; make reads it, too."""

import os
import sysconfig
from glob import glob

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

SOURCES_MK = "sources.mk"
MIMALLOC = "third_party/mimalloc"


def read_variables(path):
    """{name: words} of a file of lines `NAME := words`."""
    with open(path, encoding="utf-8") as file:
        pairs = (line.split(":=") for line in file if ":=" in line and not line.startswith("#"))
        return {name.strip(): words.split() for name, words in pairs}


VARIABLES = read_variables(SOURCES_MK)
CORE = "THREADS" if sysconfig.get_config_var("Py_GIL_DISABLED") else "CORE"


def files(name):
    return sorted(path for pattern in VARIABLES[name] for path in glob(pattern))


def macros(name):
    """As distutils wants them; `-DNAME` means `-DNAME=1`."""
    return [(word, "1") for word in VARIABLES[name]]


def header_folders():
    """{package: folder} of what objtunnel_build.get_include() has."""
    folders = {os.path.dirname(path) for path in files("INCLUDE_FILES")}
    folders |= {f"include/{os.path.dirname(path)}" for path in files("ATOMICS_FILES")}
    return {"objtunnel." + folder.replace("/", "."): folder.removeprefix("include/") if "atomics" in folder else folder
            for folder in folders}


HEADER_FOLDERS = header_folders()


class BuildExt(build_ext):
    """mimalloc has flags of its own, which an Extension cannot say of one of its sources."""

    def build_extension(self, ext):
        if CORE == "THREADS":  # which have no heap of ours
            return super().build_extension(ext)
        ext.extra_objects += self.compiler.compile(
            [os.path.join(MIMALLOC, *VARIABLES["MIMALLOC_SOURCE"])],
            output_dir=self.build_temp,
            macros=macros("MIMALLOC_DEFINES"),
            include_dirs=[f"{MIMALLOC}/include"],
            extra_postargs=VARIABLES["MIMALLOC_CFLAGS"],
        )
        super().build_extension(ext)


setup(
    packages=[*find_packages("python"), *HEADER_FOLDERS],
    py_modules=["objtunnel_build"],
    package_dir={"": "python", **HEADER_FOLDERS},
    package_data={"objtunnel": VARIABLES["PACKAGE_DATA"], **{name: ["*.*"] for name in HEADER_FOLDERS}},
    include_package_data=False,
    ext_modules=[
        Extension(
            "objtunnel._core",
            sources=files(f"{CORE}_SOURCES"),
            # The sources of both kinds of builds, so that an sdist has them.
            depends=[SOURCES_MK, *files("CORE_HEADERS"), *files("CORE_SOURCES"), *files("THREADS_SOURCES"), *files("MIMALLOC_FILES")],
            include_dirs=[".", f"{MIMALLOC}/include"],
            define_macros=macros(f"{CORE}_DEFINES"),
            extra_compile_args=VARIABLES["CORE_CFLAGS"],
            libraries=["pthread"],
            extra_link_args=["-Wl,-z,now"],  # a symbol that a micro version has not is missed at the import
        )
    ],
    cmdclass={"build_ext": BuildExt},
)
