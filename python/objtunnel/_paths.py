"""Where in a tree does an object lie? For error messages of free-threaded builds: $[3]['rows']."""


def path_to(root, target):
    """The path to the first place where target is found, '$...' if nowhere. Walks built-in containers and attributes."""
    entered, todo = {id(root)}, [(root, "$")]
    while todo:
        o, path = todo.pop()
        if o is target:
            return path
        for child, step in _children(o):
            if id(child) not in entered:
                entered.add(id(child))
                todo.append((child, path + step))
    return "$..."


def _children(o):
    if type(o) in (list, tuple):
        return [(child, f"[{i}]") for i, child in enumerate(o)]
    if type(o) is dict:
        return [(child, f"[{key!r}]") for key, child in o.items()]
    if isinstance(getattr(o, "__dict__", None), dict) and not isinstance(o, type):
        return [(child, f".{name}") for name, child in vars(o).items()]
    return []
