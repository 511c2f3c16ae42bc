"""What the workers of test_settings.py run, found there by name."""

import settings


def bump(n, atomically):
    for _ in range(n):
        settings.bump_atomically() if atomically else settings.bump()
    return settings.count


def look():
    return settings.count, settings.unit, getattr(settings, "names", None)


def misbehave():
    raise settings.Error("a class of this interpreter's own")


def set_names(names):
    settings.set_names(names)
    names.append("not seen by others")
