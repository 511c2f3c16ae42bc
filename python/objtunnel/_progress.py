"""A progress bar for what takes long, on a terminal that has tqdm or rich beside it; nothing elsewhere."""

import sys


def progress(items, text):
    """The items, one after the other, with a bar on stderr that goes away at the end.

    items: a sequence. text: what is being done. Without a terminal, or without tqdm and rich, just the items: neither
    is required.
    """
    if sys.stderr is None or not sys.stderr.isatty():
        return iter(items)
    try:
        from tqdm import tqdm
        return iter(tqdm(items, desc=text, leave=False, file=sys.stderr))
    except ImportError:
        pass
    try:
        from rich.console import Console
        from rich.progress import track
        return iter(track(items, description=text, console=Console(stderr=True), transient=True))
    except ImportError:
        return iter(items)
