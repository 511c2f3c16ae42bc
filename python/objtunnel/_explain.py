"""What explain() returns: an Explanation, made of what the C side found out (objtunnel/explain.c).

The C side ran a send and undid it. Nothing here decides what moves; here it is said in words, and looked up who
refers to what is held. What is returned are strings and numbers: a reference would hold the tree back, too.
"""

import os
import re
import weakref

from objtunnel import _core, _pickling, _referrers

LIMIT = 20
_OUR_FRAME = os.path.join(os.path.dirname(os.path.abspath(__file__)), "<expression>")  # _referrers leaves it out

# What the C side calls a reason -> what is said of it; {n}: references from outside.
_REASONS = {
    "root": "an immutable root, or one that something can look into, stays with the sender: send a list that holds it",
    "referenced": "{n} from outside of the tree",
    "pinned": "something can look into it, or its type never moves",
    "below": "only the tree refers to it, but what is copied does as well",
    "interned": "a name that this interpreter has interned: each has its own",
    "old": ("its memory is from before objtunnel's heap, and Python has used some of that again: import objtunnel first, or run "
            "python -m objtunnel SCRIPT"),
    "pickled": "the tunnel does not know its type, or cannot copy it (docs/kinds.md)",
    "named": "goes by its name, or by value where it has none",
}
_INDEX = re.compile(r"\[\d+\]")
_FILLERS = {"interned", "named"}  # of no interest one by one
_LEFT_OUT = "more of these, not looked at one by one"


class Finding:
    """One object, or several that are alike, that would not move.

    what: "copied", "pickled" or "refused". path: where the (first) object is, as "$[3]['rows']"; None if it was only
    counted. type: its class. count: how many such objects. why: the reason, as text. references: to each, from outside
    of the tree. holders: who they are, as far as Python can see, a list of str. objects: copies or pickles made
    because of them, what lies below included. bytes: of these.
    """

    __slots__ = ("what", "path", "type", "count", "why", "references", "holders", "objects", "bytes")

    def __init__(self, what, path, type_name, why, references, holders, objects, size, count=1):
        self.what = what
        self.path = path
        self.type = type_name
        self.count = count
        self.why = why
        self.references = references
        self.holders = holders
        self.objects = objects
        self.bytes = size

    def __repr__(self):
        return f"<Finding: {self.what} {self.path or '...'} {self.type}, {self.objects} objects, {self.bytes} bytes>"

    def __str__(self):
        more = f" and {self.count - 1:,} like it" if self.count > 1 and self.path else ""
        place = f"{self.path}{more}" if self.path else f"{self.count:,}"
        lines = [f"{self.what:<8} {place}: {self.type}{self._cost()}", f"         {self.why}"]
        lines += [f"         {holder}" for holder in self.holders]
        return "\n".join(lines)

    def _cost(self):
        if self.what == "refused":
            return ""
        objects = f"{self.objects:,} objects, " if self.objects > 1 else ""
        return f", {objects}{format_size(self.bytes)}"

    def to_dict(self):
        return {name: getattr(self, name) for name in self.__slots__}


class Explanation:
    """What Tunnel.send would do with a tree.

    receipt: the Receipt that send would return; as far as it would come, if something is refused. refused: how many
    objects cannot be pickled: if any, send raises TypeError. copied_bytes, pickled_bytes: how much that is. findings:
    a list of Finding, what is refused first, then by bytes.
    """

    __slots__ = ("copied_bytes", "findings", "pickled_bytes", "receipt", "refused")

    def __init__(self, receipt, refused, copied_bytes, pickled_bytes, findings):
        self.receipt = receipt
        self.refused = refused
        self.copied_bytes = copied_bytes
        self.pickled_bytes = pickled_bytes
        self.findings = findings

    def __repr__(self):
        moved, copied, pickled = self.receipt
        return f"<Explanation: {moved} moved, {copied} copied, {pickled} pickled, {self.refused} refused>"

    def __str__(self):
        moved, copied, pickled = self.receipt
        refused = f"; {self.refused:,} cannot be sent: send raises TypeError" if self.refused else ""
        first = (f"{moved:,} moved, {copied:,} copied ({format_size(self.copied_bytes)}), {pickled:,} pickled "
                 f"({format_size(self.pickled_bytes)}){refused}")
        return "\n".join([first, *map(str, self.findings)])

    def to_dict(self):
        """All of it as dicts, lists, strings and numbers."""
        moved, copied, pickled = self.receipt
        return {"moved": moved, "copied": copied, "pickled": pickled, "refused": self.refused,
                "copied_bytes": self.copied_bytes, "pickled_bytes": self.pickled_bytes,
                "findings": [finding.to_dict() for finding in self.findings]}


def format_size(n):
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n >= size:
            return f"{n / size:.1f} {unit}"
    return f"{n} bytes"


# ---- from what the C side found -------------------------------------------------------------------------------------

def make(root, counts, found, limit):
    """The Explanation of root. found: the list of tuples of ot_report_list (tunnel/report.h)."""
    if limit is None:
        limit = LIMIT
    if not isinstance(limit, int) or limit < 0:
        raise ValueError(f"limit must be 0 or more, not {limit!r}")
    copied = pickled = refused = 0
    for _, why, _, _, size, failure in found:
        if failure is not None:
            refused += 1
        elif why in ("pickled", "named"):
            pickled += size
        else:
            copied += size
    found.sort(key=_rank)
    shown = [item for item in found if item[1] not in _FILLERS or item[5] is not None][:limit]
    keys = {id(item) for item in shown}
    counted = [item for item in found if id(item) not in keys]
    findings = _merge(_describe(root, shown, found)) + _count(counted)
    return Explanation(_core.Receipt(counts), refused, copied, pickled, findings)


def _rank(item):
    """What is refused first, then the costliest."""
    return item[5] is None, -item[4]


def _what(why, failure):
    return "refused" if failure is not None else "pickled" if why in ("pickled", "named") else "copied"


def _type_name(o):
    kind = type(o)
    return kind.__qualname__ if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}.{kind.__qualname__}"


def _describe(root, shown, found):
    """A Finding for each of the tuples."""
    objects = tuple(item[0] for item in shown)
    paths = _core._paths(root, objects, -1)
    wanted = tuple(item[0] for item in shown if item[1] in ("referenced", "below"))
    holders = _referrers.find(root, wanted, own=(found, shown, objects, wanted, *found))
    findings = []
    for path, (o, why, references, objects_, size, failure) in zip(paths, shown):
        path = None if why == "root" and path is None else path or "$..."
        findings.append(Finding(_what(why, failure), path, _type_name(o), _reason(o, why, references, failure), references,
                                holders.get(id(o), []), objects_, size))
    return findings


def _reason(o, why, references, failure):
    if failure is not None:
        return f"cannot be pickled: {failure}; {_pickling.remedy(o)}"
    if why == "pinned" and (weak := _weak_references(o)):
        return f"{_plural(weak, 'weak reference')} can look into it"
    if why == "pickled":
        base = _core._immovable_base(type(o))
        if base is not None and base is not type(o):
            return f"its base {base.__name__} keeps its class from moving (docs/kinds.md, register_movable)"
    return _REASONS[why].format(n=_plural(references, "reference"))


def _weak_references(o):
    try:
        return weakref.getweakrefcount(o)
    except TypeError:
        return 0


def _plural(n, noun):
    return f"{n:,} {noun}" + "s" * (n != 1)


def _merge(findings):
    """Those that differ in nothing but their places are one."""
    merged = {}
    for finding in findings:
        key = (finding.what, finding.type, finding.why, *(_INDEX.sub("[*]", holder) for holder in finding.holders))
        first = merged.setdefault(key, finding)
        if first is not finding:
            first.count += finding.count
            first.objects += finding.objects
            first.bytes += finding.bytes
    return list(merged.values())


def _count(items):
    """A Finding for all that are of one type and reason."""
    counted = {}
    for o, why, _, objects, size, failure in items:
        key = (_what(why, failure), _type_name(o), why)
        finding = counted.get(key)
        if finding is None:
            text = _REASONS[why] if why in _FILLERS and failure is None else _LEFT_OUT
            counted[key] = Finding(key[0], None, key[1], text, 0, [], objects, size)
        else:
            finding.count += 1
            finding.objects += objects
            finding.bytes += size
    return list(counted.values())


# ---- python -m objtunnel explain ------------------------------------------------------------------------------------

def load(path):
    """Run a file as workers do, without what stands under `if __name__ == "__main__":`; return its namespace."""
    from importlib import util
    import sys
    name = os.path.splitext(os.path.basename(path))[0]
    sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
    spec = util.spec_from_file_location(name, path)
    if spec is None:
        raise ImportError(f"{path} is no Python file")
    module = util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return vars(module)


def evaluate(namespace, expression, limit=LIMIT):
    """Explain what an expression gives, as an argument of send that nothing else refers to."""
    hidden = "_objtunnel_explain"
    compile(expression, "<expression>", "eval")  # alone: it must be one, and errors show it
    code = compile(f"{hidden}((\n{expression}\n), limit={limit!r})", _OUR_FRAME, "eval")
    namespace[hidden] = _core.explain
    try:
        return eval(code, namespace)
    finally:
        del namespace[hidden]
