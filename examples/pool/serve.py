"""A server that offloads: asyncio answers requests, a pool does what would block its loop.

    python serve.py [--processes]

Only the import differs. The program is its own client: it sends JSON lines and prints the answers.
"""

import asyncio
import json
import sys

if "--processes" in sys.argv:
    from concurrent.futures import ProcessPoolExecutor as Pool
else:
    from objtunnel import InterpreterPoolExecutor as Pool


def answer(line):
    """The work of one request; runs in a worker."""
    request = json.loads(line)
    n = request["primes below"]
    sieve = bytearray([1]) * n
    for i in range(2, int(n ** 0.5) + 1):
        if sieve[i]:
            sieve[i * i::i] = bytes(len(range(i * i, n, i)))
    return {"primes below": n, "count": sum(sieve[2:])}


async def serve(reader, writer, pool):
    loop = asyncio.get_running_loop()
    async for line in reader:
        try:
            reply = await loop.run_in_executor(pool, answer, line)
        except (ValueError, KeyError) as error:
            reply = {"error": type(error).__name__}
        writer.write(json.dumps(reply).encode() + b"\n")
        await writer.drain()
    writer.write_eof()  # a forked worker may hold the connection open, too
    writer.close()
    await writer.wait_closed()


async def ask(port, lines):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"".join(line + b"\n" for line in lines))
    writer.write_eof()
    text = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    return text


async def main(pool):
    server = await asyncio.start_server(lambda r, w: serve(r, w, pool), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    requests = [[b'{"primes below": %d}' % n, b"{}", b"no JSON"] for n in (100, 10_000, 200_000)]
    for text in await asyncio.gather(*(ask(port, lines) for lines in requests)):
        print(text, end="")
    server.close()
    await server.wait_closed()


if __name__ == "__main__":
    with Pool(2) as pool:
        asyncio.run(main(pool))
