"""Rows as a database yields them."""


def make_rows(n):
    """Dicts of 4 keys, 11 objects each. Nothing but the keys and None is shared between rows, nor
    known beforehand."""
    return [{"id": i + 1000, "name": f"row {i}", "xs": [i / 3, i / 7],
             "t": (i / 11, None, b"%d bytes" % i)} for i in range(n)]


def touch_rows(rows):
    return sum(row["id"] + row["xs"][1] + row["t"][0] + len(row["name"]) for row in rows)


def keep_names(rows):
    """1 % of all objects: the name of every ninth row."""
    return [row["name"] for row in rows[::9]]
