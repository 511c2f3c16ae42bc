"""examples/curl: curl_global_init once for the process, fetches from four interpreters at once."""

import sysconfig
from pathlib import Path

import pytest

FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


@pytest.fixture(params=["tinycurl_alone"] if FREE_THREADED else ["tinycurl", "tinycurl_alone"])
def curl(request, ext_folder):
    missing = Path(ext_folder, "curl.missing")
    if missing.exists():
        pytest.skip(missing.read_text().strip())
    return request.param


SERVER = """
    import http.server, sys, threading
    from worlds import World, threads

    class Answer(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            if self.path == "/missing":
                return self.send_error(404)
            body = self.path.encode() * 1000
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    name, base = sys.argv[1], f"http://127.0.0.1:{server.server_port}"
"""


def test_fetches(curl, run_python):
    run_python(SERVER + """
    curl = __import__(name)
    session = curl.Session()
    for path in "/a", "/b":
        assert session.get(base + path) == (200, path.encode() * 1000)
    status, body = session.get(base + "/missing")
    assert status == 404 and b"404" in body
    server.shutdown()
    server.server_close()
    try:
        curl.Session().get(base + "/")
    except OSError as error:
        assert base in str(error)
    else:
        raise AssertionError("somebody answers")
    assert curl.counts() == (1, 0)
    """, curl)


def test_four_interpreters_at_once_one_libcurl(curl, run_python):
    run_python(SERVER + """
    worlds = [World() for _ in range(4)]

    def work(i, world):
        world.must(f'''
            import {name} as curl
            session = curl.Session()
            for k in range(30):
                path = "/{i}/" + str(k)
                assert session.get({base!r} + path) == (200, path.encode() * 1000)
        ''')
        if i % 2:
            world.end()  # while others fetch

    threads(*[lambda i=i, w=w: work(i, w) for i, w in enumerate(worlds)])
    worlds[0].must(f"assert session.get({base!r} + '/last')[0] == 200; assert curl.counts()[1] < curl.counts()[0]")
    for world in worlds[::2]:
        world.end()
    import gc
    curl = __import__(name)
    inits, exits = curl.counts()
    assert inits == exits + 1 and curl.Session().get(base + "/x")[0] == 200
    """, curl)
