"""What ends the demo with a message instead of a traceback."""


class WrongResult(Exception):
    """Something arrived or was computed that is not what it must be."""


class BadInput(Exception):
    """A file that was asked for cannot be read or is not JSON."""
