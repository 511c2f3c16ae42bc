set -u
v=$1; shift
make BUILD=build-$v PYTHON=/usr/bin/python$v > /dev/null 2>build-$v.err || { tail -5 build-$v.err; exit 1; }
for m in "$@"; do echo "== $v $m"; timeout 900 build-$v/venv/bin/python -X faulthandler -m pytest -q tests/python/test_$m.py 2>&1 | tail -6; done
