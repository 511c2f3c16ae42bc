"""examples/: ODBC connections with one environment for the process, and a table loaded once."""

import configparser
import json
import os
import sysconfig
from pathlib import Path

import pytest

FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


@pytest.fixture(params=["tinyodbc_alone"] if FREE_THREADED else ["tinyodbc", "tinyodbc_alone"])
def odbc(request, ext_folder):
    missing = Path(ext_folder, "odbc.missing")
    if missing.exists():
        pytest.skip(missing.read_text().strip())
    return request.param


@pytest.fixture
def run_counted(run_python, ext_folder, tmp_path):
    """run_counted(source, *args): the same with count_calls.so between the program and the driver
    manager; what it counted."""

    # SQLite's driver goes over its environment's connections without a lock; newer driver managers
    # take it for granted that drivers do better.
    drivers = configparser.ConfigParser()
    drivers.optionxform = str
    drivers.read(Path(os.environ.get("ODBCSYSINI", "/etc"), "odbcinst.ini"))
    drivers["SQLite3"]["Threading"] = "3"  # one call at a time in an environment
    with open(tmp_path / "odbcinst.ini", "w") as f:
        drivers.write(f, space_around_delimiters=False)

    def run(source, *args, **options):
        counts = tmp_path / "counts.json"
        run_python(source, *args, **options, env={
            "ODBCSYSINI": str(tmp_path),
            "LD_PRELOAD": str(Path(ext_folder, "count_calls.so")), "ODBC_COUNTS": str(counts),
            # count_calls.so comes before an instrumented Python's own runtime, and may.
            "ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=0:abort_on_error=1"})
        return json.loads(counts.read_text())

    return run


def test_odbc_values(odbc, run_python, tmp_path):
    run_python("""
        import sys
        odbc = __import__(sys.argv[1])
        db = odbc.connect(f"Driver=SQLite3;Database={sys.argv[2]}")
        assert db.execute("create table t (i integer, r double, s text)") == []
        rows = [(1, 0.5, "x"), (2**62, -1e300, "\\u00fc" * 2000), (None, None, None), (0, 0.0, "")]
        for row in rows:
            db.execute("insert into t values (?, ?, ?)", row)
        assert db.execute("select * from t") == rows, db.execute("select * from t")
        for attempt, error in [(lambda: db.execute("select nonsense"), "no such column"),
                               (lambda: odbc.connect("Driver=nobody's"), "file not found"),
                               (lambda: db.close() or db.execute("select 1"), "is closed")]:
            try:
                attempt()
            except odbc.Error as e:
                assert error in str(e), e
            else:
                raise AssertionError(error)
        try:
            odbc.connect(f"Driver=SQLite3;Database={sys.argv[2]}").execute("select ?", ([],))
        except TypeError:
            pass
    """, odbc, tmp_path / "x.db")


FOUR_AT_ONCE = """
    import sys, threading
    from worlds import World, threads
    name, path, n = sys.argv[1], sys.argv[2], 50
    text = f"Driver=SQLite3;Database={path};Timeout=60000"
    setup = World()
    setup.must(f"import {name} as odbc; db = odbc.connect({text!r}); "
               "db.execute('pragma journal_mode=wal'); "
               "db.execute('create table t (who integer, n integer)')")
    worlds = [World() for _ in range(4)]
    for w in worlds:
        w.must(f"import {name} as odbc; db = odbc.connect({text!r})")
    setup.end()

    def work(who, world):
        world.must(f'''
            for i in range({n}):
                db.execute("insert into t values (?, ?)", ({who}, i))
                rows = db.execute("select n from t where who = ? order by n", ({who},))
                assert rows == [(k,) for k in range(i + 1)], rows
        ''')

    threads(*[lambda i=i, w=w: work(i, w) for i, w in enumerate(worlds)])
    for w in worlds[:3]:
        w.end()
    worlds[3].must(f"assert db.execute('select count(*) from t') == [({4 * n},)]")
    worlds[3].end()
"""


def test_odbc_four_interpreters_at_once(odbc, run_counted, tmp_path):
    assert run_counted(FOUR_AT_ONCE, odbc, tmp_path / "x.db") == {
        "environments_allocated": 1, "environments_freed": 1, "environments_at_once": 1,
        "connections_allocated": 5, "connections_freed": 5, "misuses": 0}


CYCLES = """
    import random, sys, threading
    from worlds import World, threads
    name, path, cycles = sys.argv[1], sys.argv[2], int(sys.argv[3])
    rng = random.Random(7)
    lock, pool, left = threading.Lock(), [], [cycles]

    def step():
        with lock:
            if left[0] == 0:
                return False
            left[0] -= 1
            world = pool.pop(rng.randrange(len(pool))) if pool and rng.random() < 0.6 else None
        if world is None:
            world = World()
            world.must(f"import {name} as odbc, gc; dbs = []")
        world.must(f'''
            dbs.append(odbc.connect("Driver=SQLite3;Database={path};Timeout=60000"))
            assert dbs[-1].execute("select 1") == [(1,)]
            if {rng.random() < 0.3}:
                dbs[0].close()
            if {rng.random() < 0.2}:
                dbs.append(dbs)  # a cycle, for the collector to find at the end
        ''' if rng.random() < 0.9 else "pass")
        if rng.random() < 0.6:
            world.end()
        else:
            with lock:
                pool.append(world)
        return True

    def run():
        while step():
            pass

    threads(run, run, run)
    rng.shuffle(pool)
    for world in pool:
        world.end()
"""


@pytest.mark.parametrize("cycles", [60, pytest.param(2000, marks=pytest.mark.slow)])
def test_odbc_create_and_destroy_in_random_order(odbc, cycles, run_counted, tmp_path):
    if odbc == "tinyodbc":
        cycles //= 5  # an interpreter that imports objtunnel takes longer to make
    counts = run_counted(CYCLES, odbc, tmp_path / "x.db", cycles, timeout=500)
    assert counts["misuses"] == 0 and counts["environments_at_once"] == 1, counts
    assert counts["environments_allocated"] == counts["environments_freed"] >= 1
    assert counts["connections_allocated"] == counts["connections_freed"] > cycles // 2


@pytest.fixture(params=["model_alone"] if FREE_THREADED else ["model", "model_alone"])
def model(request):
    return request.param


def test_model_is_loaded_once(model, run_python, tmp_path):
    run_python("""
        import array, os, sys
        from worlds import World, threads
        name, path, n = sys.argv[1], sys.argv[2], 1 << 20  # 8 MiB
        with open(path, "wb") as f:
            array.array("d", range(n)).tofile(f)
        m = __import__(name)
        worlds = [World() for _ in range(4)]
        addresses = []
        reader, writer = os.pipe()
        # All four at once: one reads the file, the others wait for it.
        threads(*[lambda w=w: w.must(f'''
            import {name} as m, os
            table = m.load({path!r})
            assert len(table) == {n} and table.dot([1, 1, 1]) == 3.0
            os.write({writer}, b"%d\\\\n" % table.address)
        ''') for w in worlds])
        os.close(writer)
        addresses = os.fdopen(reader).read().split()
        assert len(addresses) == 4 and len(set(addresses)) == 1, addresses
        assert m.counts() == (1, 0), m.counts()
        worlds[0].must("view = memoryview(table); del table; assert view[7] == 7.0 and view.readonly")
        for w in worlds[1:]:
            w.end()
        assert m.counts() == (1, 0)
        worlds[0].must(f"assert sum(view[:100]) == 4950 and len(view) == {n}; del view")
        assert m.counts() == (1, 1)
        worlds[0].must(f"again = m.load({path!r})")
        assert m.counts() == (2, 1)
        worlds[0].end()
        assert m.counts() == (2, 2)
        try:
            m.load(path + ".none")
        except FileNotFoundError:
            pass
        else:
            raise AssertionError
    """, model, str(tmp_path / "table.bin"))
