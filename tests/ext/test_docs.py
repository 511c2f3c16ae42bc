"""docs/extension-authors.md: its C compiles, as C11 and as C++17, with both variants and without a warning."""

import re
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
THREE_LINES, MORE = re.findall(r"^```c\n(.*?)^```", (ROOT / "docs/extension-authors.md").read_text(), re.M | re.S)[:2]

FRAME = """
%(include)s
static int lib_init(void) { return 0; }
static void lib_exit(void) {}
static int raise_error(void) { return -1; }
static int my_exec(PyObject *module) { (void)module; return 0; }
static void device_exit(void) {}
static int device_init(void *arg) { (void)arg; return 0; }
static void free_model(const char *key, void *value) { (void)key; (void)value; }
static int load_model(const char *key, void *arg, void **value) { (void)key; *value = arg; return 0; }
#ifdef OBJTUNNEL_H
static void xml_exit(void) {}
#endif
%(three_lines)s
PyMODINIT_FUNC PyInit_my(void) { return PyModuleDef_Init(&def); }
void more(void *arg);
void more(void *arg)
{
    void *value;
%(more)s
}
"""


@pytest.mark.parametrize("header", ["objtunnel.h", "objtunnel_global.h"])
@pytest.mark.parametrize("language", ["c11", "c++17"])
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_documented_examples_compile(header, language, compiler, tmp_path):
    program = {"gcc": "g++", "clang": "clang++"}[compiler] if language == "c++17" else compiler
    if shutil.which(program) is None:
        pytest.skip(f"no {program} here")
    more = MORE
    if header == "objtunnel_global.h":
        more = "\n".join(line for line in more.splitlines() if "ot_global_named" not in line)
    else:
        more += "\n(void)xml;\n"
    lines = THREE_LINES.replace('#include "objtunnel_global.h"', "")
    assert lines != THREE_LINES
    source = tmp_path / ("source.cc" if language == "c++17" else "source.c")
    source.write_text(FRAME % {"include": f'#include "{header}"', "three_lines": lines, "more": more})
    flags = ["-Wno-unused-parameter", "-Wno-unused-variable"]  # a page need not use all that it shows
    flags += ["-Wconversion"] if compiler == "clang" else []
    subprocess.run([program, f"-std={language}", "-Wall", "-Wextra", "-Werror", *flags, f"-I{ROOT / 'include'}",
                    "-isystem", sysconfig.get_path("include"), "-isystem", sysconfig.get_config_var("INCLUDEPY"),
                    "-fsyntax-only", source], check=True)


@pytest.mark.parametrize("language", ["c11", "c++17"])
@pytest.mark.parametrize("header", ["objtunnel.h", "objtunnel_global.h", "objtunnel.hpp"])
def test_headers_are_free_of_silent_conversions(header, language, tmp_path):
    program = "clang++" if language == "c++17" else "clang"
    if shutil.which(program) is None or (language == "c11" and header.endswith("hpp")):
        pytest.skip("not here")
    source = tmp_path / ("source.cc" if language == "c++17" else "source.c")
    source.write_text(f'#include "{header}"\n')
    subprocess.run([program, f"-std={language}", "-Wall", "-Wextra", "-Wconversion", "-Wsign-conversion", "-Werror",
                    f"-I{ROOT / 'include'}", "-isystem", sysconfig.get_path("include"), "-isystem",
                    sysconfig.get_config_var("INCLUDEPY"), "-fsyntax-only", source], check=True)


@pytest.mark.parametrize("header", ["objtunnel.h", "objtunnel_global.h"])
def test_limited_api_is_refused(header, tmp_path):
    if shutil.which("gcc") is None:
        pytest.skip("no gcc here")
    source = tmp_path / "source.c"
    source.write_text(f'#define Py_LIMITED_API 0x030d0000\n#include "{header}"\n')
    result = subprocess.run(["gcc", f"-I{ROOT / 'include'}", f"-I{sysconfig.get_path('include')}", "-fsyntax-only",
                             source], capture_output=True, text=True)
    assert result.returncode != 0 and "do not define Py_LIMITED_API" in result.stderr
