"""docs/extension-recipes.md: its build files are taken from the page, built and run; objtunnel_build."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PAGE = ROOT / "docs" / "extension-recipes.md"
FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))

pytestmark = pytest.mark.skipif(FREE_THREADED, reason="objtunnel itself does not support free-threaded builds")

SOURCE = """
#include "objtunnel.h"
#include "atomics/cpu.h"

static int live;
static int init(void *module) { (void)module; live = 1; return 0; }
static void give_back(void) { live = 0; }
OT_MODULE_GLOBALS(recipe, init, give_back)
static PyObject *is_live(PyObject *module, PyObject *unused)
{
    (void)module; (void)unused;
    return PyBool_FromLong(live);
}
static PyMethodDef functions[] = {{"is_live", is_live, METH_NOARGS, NULL}, {NULL, NULL, 0, NULL}};
static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, (void *)recipe_enter},
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
    {0, NULL},
};
static PyModuleDef def = {PyModuleDef_HEAD_INIT, .m_name = "recipe", .m_methods = functions,
                          .m_slots = slots, .m_free = recipe_leave};
PyMODINIT_FUNC PyInit_recipe(void) { return PyModuleDef_Init(&def); }
"""


def blocks(title, language):
    """The code blocks of a section of the page."""
    section = re.search(rf"^### {title}\n(.*?)(?=^##|\Z)", PAGE.read_text(), re.M | re.S)[1]
    return re.findall(rf"^```{language}\n(.*?)^```", section, re.M | re.S)


def environment(*path):
    import objtunnel
    lib = str(Path(objtunnel.__file__).parents[1])
    return {**os.environ, "PYTHONPATH": os.pathsep.join([*map(str, path), lib]),
            "PATH": os.pathsep.join([*(str(p / "bin") for p in path), str(Path(sys.executable).parent),
                                     os.environ["PATH"]])}


def use(folder):
    """The extension that lies there is imported in two interpreters, and given back."""
    subprocess.run([sys.executable, "-c", """if True:
        import recipe
        from worlds import World
        w = World()
        w.must("import recipe; assert recipe.is_live()")
        w.end()
        assert recipe.is_live()
        import objtunnel
        assert "recipe" in [g.name for g in objtunnel.process_globals()]
    """], env=environment(folder, HERE), check=True, timeout=120)


def test_objtunnel_build_imports_nothing_of_objtunnel():
    text = subprocess.run([sys.executable, "-c", """if True:
        import os, sys, objtunnel_build as b
        for folder, name in [(b.get_include(), "objtunnel.h"), (b.get_include(), "atomics/lock/ticket.h"),
                             (b.get_pkgconfig_dir(), "objtunnel.pc"), (b.get_cmake_dir(), "objtunnelConfig.cmake")]:
            assert os.path.exists(os.path.join(folder, name)), (folder, name)
        assert not [name for name in sys.modules if name.split(".")[0] == "objtunnel"]
        print(b.get_include())
        import objtunnel
        assert objtunnel.get_include() == b.get_include()
    """], env=environment(), check=True, capture_output=True, text=True).stdout
    assert Path(text.strip(), "objtunnel_global.h").exists()


def test_objtunnel_build_on_the_command_line():
    run = [sys.executable, "-m", "objtunnel_build"]
    lines = subprocess.run([*run, "--include", "--cmake", "--pkgconfig"], env=environment(), check=True,
                           capture_output=True, text=True).stdout.split()
    assert [Path(line).name for line in lines] == ["include", "cmake", "pkgconfig"]
    assert subprocess.run([*run, "--nonsense"], env=environment(), capture_output=True).returncode == 2


def test_versions_agree():
    import objtunnel
    major, minor, micro = objtunnel.__version__.split(".")
    header = (ROOT / "include" / "objtunnel_types.h").read_text()
    for name, value in ("MAJOR", major), ("MINOR", minor), ("MICRO", micro):
        assert f"#define OT_VERSION_{name} {value}\n" in header
    assert f"Version: {objtunnel.__version__}\n" in (ROOT / "include/pkgconfig/objtunnel.pc").read_text()
    cmake = (ROOT / "include/cmake/objtunnelConfigVersion.cmake").read_text()
    assert f'set(PACKAGE_VERSION "{objtunnel.__version__}")' in cmake


@pytest.mark.parametrize("header", sorted(p.name for p in (ROOT / "include").glob("*.h*")))
def test_header_says_its_licence(header):
    assert (ROOT / "include" / header).read_text().startswith("/* SPDX-License-Identifier: MIT.")


def test_by_pkg_config(tmp_path):
    if not shutil.which("pkg-config") or not shutil.which("cc"):
        pytest.skip("no pkg-config or cc here")
    (tmp_path / "recipe.c").write_text(SOURCE)
    (script,) = blocks("Without one of these", "sh")
    subprocess.run(["sh", "-ec", script], cwd=tmp_path, env=environment(), check=True)
    use(tmp_path)


def test_from_rust(tmp_path):
    """The page's Rust, linked with a static library of objtunnel_ffi.c, called with a thread state."""
    if not shutil.which("rustc") or not shutil.which("ar"):
        pytest.skip("no Rust compiler here")
    (source,) = blocks("Rust and Fortran", "rust")
    (script,) = blocks("Rust and Fortran", "sh")
    (tmp_path / "device.rs").write_text(source)
    subprocess.run(["sh", "-ec", script], cwd=tmp_path, env=environment(), check=True)
    subprocess.run([sys.executable, "-c", """if True:
        import ctypes
        lib = ctypes.PyDLL("./libdevice.so")
        assert [lib.device_enter(), lib.device_enter(), lib.device_users()] == [0, 0, 1]
        assert [lib.device_leave(), lib.device_users(), lib.device_leave(), lib.device_users()] == [0, 1, 0, 0]
        assert lib.device_leave() == -1
    """], cwd=tmp_path, env=environment(), check=True, timeout=60)


def test_from_fortran(tmp_path):
    if not shutil.which("gfortran") or not shutil.which("ar"):
        pytest.skip("no Fortran compiler here")
    (source,) = blocks("Rust and Fortran", "fortran")
    (script, _) = (*blocks("Rust and Fortran", "sh"), None)
    (tmp_path / "counter.f90").write_text(source)
    library = "\n".join(line for line in script.splitlines() if "rustc" not in line)
    subprocess.run(["sh", "-ec", library + "\ngfortran -shared -fPIC counter.f90 -L. -lobjtunnel_ffi -o libcounter.so"],
                   cwd=tmp_path, env=environment(), check=True)
    subprocess.run([sys.executable, "-c", """if True:
        import ctypes
        lib = ctypes.PyDLL("./libcounter.so")
        assert [lib.count_one() for _ in range(3)] == [1, 2, 3]
    """], cwd=tmp_path, env=environment(), check=True, timeout=60)


# ---- build backends, from the package index: slow ------------------------------------------------

@pytest.fixture(scope="session")
def tools(tmp_path_factory):
    """The folder with the build backends."""
    folder = tmp_path_factory.mktemp("tools")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", folder,
               "setuptools>=77", "meson-python", "meson", "ninja", "scikit-build-core", "cmake", "cython",
               "pybind11>=3", "nanobind>=2"]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        pytest.skip(f"the build backends cannot be installed: {result.stderr[-300:]}")
    return folder


def wheel(folder, tools, backend, requires):
    """Builds the recipe in folder, and unpacks it."""
    (folder / "recipe.c").write_text(SOURCE)
    (folder / "pyproject.toml").write_text(
        f'[build-system]\nrequires = {requires}\nbuild-backend = "{backend}"\n'
        '[project]\nname = "recipe"\nversion = "1"\n')
    subprocess.run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-build-isolation", "--no-deps", "--no-index",
                    "--disable-pip-version-check", "-w", folder / "dist", folder],
                   env=environment(tools), check=True)
    (built,) = (folder / "dist").glob("*.whl")
    shutil.unpack_archive(built, folder / "unpacked", "zip")
    use(folder / "unpacked")


@pytest.mark.slow
def test_by_setuptools(tools, tmp_path):
    (script,) = blocks("setuptools", "python")
    (tmp_path / "setup.py").write_text(script)
    wheel(tmp_path, tools, "setuptools.build_meta", ["setuptools"])


@pytest.mark.slow
def test_by_meson_python(tools, tmp_path):
    (script,) = blocks("meson-python", "meson")
    (tmp_path / "meson.build").write_text(script)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    wheel(tmp_path, tools, "mesonpy", ["meson-python"])


@pytest.mark.slow
def test_by_scikit_build_core(tools, tmp_path):
    (script,) = blocks("scikit-build-core", "cmake")
    (tmp_path / "CMakeLists.txt").write_text(script)
    wheel(tmp_path, tools, "scikit_build_core.build", ["scikit-build-core"])


@pytest.mark.slow
def test_by_cython(tools, tmp_path):
    (source,) = blocks("Cython", "cython")
    (script,) = blocks("Cython", "sh")
    (tmp_path / "recipe.pyx").write_text(source)
    subprocess.run(["sh", "-ec", script], cwd=tmp_path, env=environment(tools), check=True)
    use(tmp_path)


@pytest.mark.slow
def test_by_pybind11(tools, tmp_path):
    if shutil.which("c++") is None:
        pytest.skip("no C++ compiler here")
    (source,) = blocks("pybind11", r"c\+\+")
    (script,) = blocks("pybind11", "sh")
    (tmp_path / "recipe.cc").write_text(source)
    subprocess.run(["sh", "-ec", script], cwd=tmp_path, env=environment(tools), check=True)
    use(tmp_path)


DEVICE = """
#include <stdio.h>
static int opened;
void device_open(void) { opened++; puts("opened"); fflush(stdout); }
void device_close(void) { opened--; puts("closed"); fflush(stdout); }
int device_is_open(void) { return opened == 1; }
"""
DEVICE_HEADER = """
#ifdef __cplusplus
extern "C" {
#endif
void device_open(void);
void device_close(void);
int device_is_open(void);
#ifdef __cplusplus
}
#endif
"""


@pytest.fixture(scope="session")
def nanobind(tools, tmp_path_factory):
    """The folder with the page's two modules over one library."""
    if shutil.which("c++") is None:
        pytest.skip("no C++ compiler here")
    folder = tmp_path_factory.mktemp("nanobind")
    (cc,) = blocks("nanobind", r"c\+\+")
    (c,) = blocks("nanobind", "c")
    (script,) = blocks("nanobind", "sh")
    for name, text in {"recipe_main.cc": cc, "recipe.c": c, "device.c": DEVICE, "device.h": DEVICE_HEADER}.items():
        (folder / name).write_text(text)
    subprocess.run(["sh", "-ec", "cc -shared -fPIC device.c -o libdevice.so\n" + script], cwd=folder,
                   env=environment(tools), check=True)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("first", ["recipe_main", "recipe"])
def test_by_nanobind(nanobind, first):
    """Workers cannot import the nanobind module; they use the C module, and the library is initialised once."""
    result = subprocess.run([sys.executable, "-c", """if True:
        import gc, importlib, sys
        from objtunnel import Interpreter, process_globals

        def users():
            (device,) = [g for g in process_globals() if g.name == "device"]
            return device.users

        def use():
            import recipe
            assert recipe.is_open()
            try:
                import recipe_main
            except ImportError as error:
                return str(error)

        if sys.argv[1] == "recipe_main":
            import recipe_main
            assert recipe_main.is_open() and users() == {0: 1}
        with Interpreter() as worker:
            said = worker.call(use)
            assert said == "module recipe_main does not support loading in subinterpreters", said
            import recipe_main
            assert recipe_main.is_open() and users()[0] == 1 and len(users()) == 2
        assert recipe_main.is_open() and users() == {0: 1}  # the worker has left, the nanobind module has not
        print("used")
    """, first], env=environment(nanobind, HERE), check=True, timeout=120, capture_output=True, text=True)
    assert result.stdout.splitlines() == ["opened", "used", "closed"]
