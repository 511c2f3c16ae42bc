"""How far a run is, on stderr."""

from time import monotonic


def say_on(stream):
    """A line that overwrites itself on a terminal; elsewhere one every ten seconds."""
    last = [-10.0]

    def say(text):
        if stream.isatty():
            stream.write(f"\r\033[K{text}")
        elif monotonic() - last[0] >= 10:
            last[0] = monotonic()
            stream.write(f"{text}\n")
        stream.flush()
    return say


def clear(stream):
    """Makes room for other output."""
    if stream.isatty():
        stream.write("\r\033[K")
        stream.flush()
