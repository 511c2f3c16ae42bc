"""Trees of JSON files: those of Debian's iso-codes package, 16 files of 1 KB to 0.9 MB (names of
languages, countries, their parts, currencies, scripts; and JSON schemas). A machine without them
gets texts that are made here, always the same. SOURCE says which."""

import json
import random
from pathlib import Path

ISO_CODES = Path("/usr/share/iso-codes/json")


def _made_up():
    """Texts of about the sizes of those files."""
    chance = random.Random(4)
    words = ["".join(chance.choices("abcdefghilmnorstu", k=chance.randint(3, 12)))
             for _ in range(3000)]

    def record():
        return {"code": f"{chance.choice('ABCDEF')}-{chance.randint(0, 999):03}",
                "name": " ".join(chance.choices(words, k=3)), "type": chance.choice(words[:40]),
                "weight": chance.random(), "count": chance.randint(0, 10**6),
                "names": chance.choices(words, k=chance.randint(0, 4)),
                "parent": chance.choice([None, {"code": chance.choice(words), "ok": True}])}
    return [json.dumps({f"list {k}": [record() for _ in range(4 ** k)]}, ensure_ascii=False)
            for k in range(7)]


def _texts():
    """The texts, shortest first, and where they are from."""
    files = sorted(ISO_CODES.glob("*.json"), key=lambda path: path.stat().st_size)
    if files:
        return [path.read_text(encoding="utf-8") for path in files], f"{ISO_CODES}/*.json"
    return _made_up(), "made up: no iso-codes package here"


_TEXTS, _FROM = _texts()
SOURCE = f"{_FROM}, {len(_TEXTS)} texts, {sum(map(len, _TEXTS)) / 1e6:.2f} MB"


def make_json(n):
    """A list of the trees of all texts, n times over; of the shortest text for n = 0."""
    return [json.loads(text) for text in _TEXTS * n or _TEXTS[:1]]


def text_of_about(characters):
    """The text whose length is nearest to that."""
    return min(_TEXTS, key=lambda text: abs(len(text) - characters))
