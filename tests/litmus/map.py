"""objects/dict/map*.{h,c}: what readers of LockingDict's table see without a lock."""

from epoch import LOCK
from explorer import ACQ, ACQ_REL, FREED, REL, RLX, SC, cas, check, fence, load, lock, peek, poke, store, unlock, update
from protocols import Order, Protocol

HEADER, SOURCE, TABLE = "objects/dict/map.h", "objects/dict/map.c", "objects/dict/map_table.c"

# ---- the list ------------------------------------------------------------------------------------

FOLLOW = Order("follow", ACQ, RLX, True, HEADER, "ot_map_next_link", "atomic_load_explicit(&node->next, memory_order_acquire)")
LINKING = (
    Order("next of the new link", REL, RLX, False, TABLE, "ot_link_in_locked",
          "atomic_store_explicit(&link->next, ot_map_next_link(after), memory_order_release)",
          "it is not in the list yet: the store that puts it there releases both"),
    Order("link in", REL, RLX, True, TABLE, "ot_link_in_locked", "atomic_store_explicit(&after->next, link, memory_order_release)"),
    Order("link out", REL, RLX, True, TABLE, "ot_link_out_locked",
          "atomic_store_explicit(&before->next, ot_map_next_link(link), memory_order_release)"),
)


def list_threads(o):
    """head -> a -> end: b comes behind a, a leaves, a reader walks from the head. `newest` is plain memory of the shard."""
    def links_in():
        yield poke("b", "complete")
        yield lock("shard", o["lock"])
        yield poke("newest", "b")
        after = yield load("gone", RLX)
        yield store("b.next", "end", o["next of the new link"])
        yield store("head.next" if after else "a.next", "b", o["link in"])
        yield unlock("shard", o["unlock"])

    def links_out():
        yield lock("shard", o["lock"])
        if (yield peek("newest")) == "a":
            yield poke("newest", None)
        behind = yield load("a.next", o["follow"])
        yield store("head.next", behind, o["link out"])
        yield store("gone", 1, RLX)
        yield unlock("shard", o["unlock"])

    def walks():
        found = []
        link = yield load("head.next", o["follow"])
        while link != "end":
            content = yield peek(link)
            check(content == "complete", f"{link} is linked before it is complete")
            found.append(link)
            link = yield load(f"{link}.next", o["follow"])
            check(link != 0, "an entry's next pointer is not set")
        return "".join(found)
    return links_in, links_out, walks


LIST = Protocol("map_list", (*LOCK, FOLLOW, *LINKING), list_threads,
                initial={"head.next": "a", "a.next": "end", "a": "complete", "newest": "a"},
                reaches=tuple(lambda i, o, found, want=want: found == want for want in ("", "a", "b", "ab")))

# ---- an entry's word -----------------------------------------------------------------------------


def word_threads(o):
    """Values are handed over by the word: who reads one has it complete, who replaces one has it alone."""
    def replaces_first():
        yield poke("1", "complete")
        old = yield cas("word", 0, 1, o["replace"], o["found another"])
        if old == 2:
            check((yield peek("2")) == "complete", "another's value is there before it is complete")
        return old

    def replaces_second():
        yield poke("2", "complete")
        old = yield cas("word", 1, 2, o["replace"], o["found another"])
        if old == 1:
            check((yield peek("1")) == "complete", "a value is replaced before it is complete")
        return old

    def reads():
        word = yield load("word", o["read"])
        if word:
            check((yield peek(str(word))) == "complete", "a value is read before it is complete")
        return word

    def tries():
        old = yield cas("word", 7, 8, o["replace"], o["found another"])
        if old:
            check((yield peek(str(old))) == "complete", "a value is found before it is complete")
        return old
    return replaces_first, replaces_second, reads, tries


WORD = Protocol(
    "map_word",
    (Order("replace", ACQ_REL, REL, True, HEADER, "ot_entry_replace",
           "atomic_compare_exchange_strong_explicit(&e->word, expected, word, memory_order_acq_rel,"),
     Order("found another", ACQ, RLX, True, HEADER, "ot_entry_replace", "memory_order_acq_rel, memory_order_acquire)"),
     Order("read", ACQ, RLX, True, HEADER, "ot_entry_load", "atomic_load_explicit(&e->word, memory_order_acquire)")),
    word_threads, reaches=(lambda a, b, read, tried: b == 1 and read == 2, lambda a, b, read, tried: read == 1 and tried == 2))

WORD_RELEASES = Protocol(
    "map_word_releases", (WORD.orders[0]._replace(weaker=ACQ), *WORD.orders[1:]), word_threads, reaches=WORD.reaches)

# ---- len(): all shards at one moment -------------------------------------------------------------


def len_threads(o):
    """One entry comes into shard 0, then another leaves shard 1: never is there none."""
    def changes():
        for shard, live in ((0, 1), (1, 0)):
            yield store(f"version {shard}", 1, o["odd"])
            yield store(f"live {shard}", live, o["live"])
            yield store(f"version {shard}", 2, o["even"])

    def versions():
        first = yield load("version 0", o["version"])
        second = yield load("version 1", o["version"])
        return first, second

    def counts():
        seen = yield from versions()
        if any(v % 2 for v in seen):
            return None
        live = (yield load("live 0", o["count"])) + (yield load("live 1", o["count"]))
        if seen != (yield from versions()):
            return None
        check(live > 0, "there was always an entry, and none was counted")
        return live
    return changes, counts


LEN = Protocol(
    "map_len",
    (Order("odd", RLX, None, False, TABLE, "ot_shard_lock", "&s->version, memory_order_relaxed) + 1, memory_order_relaxed)"),
     Order("even", REL, RLX, True, TABLE, "ot_shard_unlock", "&s->version, memory_order_relaxed) + 1, memory_order_release)"),
     Order("live", REL, RLX, True, SOURCE, "add_live_locked", "&s->live, memory_order_relaxed) + n, memory_order_release)"),
     Order("version", ACQ, RLX, True, SOURCE, "versions", "atomic_load_explicit(&map->shards[i].version, memory_order_acquire)"),
     Order("count", ACQ, RLX, True, SOURCE, "sum_of_live", "atomic_load_explicit(&map->shards[i].live, memory_order_acquire)")),
    len_threads, initial={"live 1": 1},
    reaches=(lambda _, n: n is None, lambda _, n: n == 1, lambda _, n: n == 2))

# ---- the table of entrances ----------------------------------------------------------------------


def grow_threads(o):
    def grows():
        yield poke("entrance", "empty")
        yield store("segment", 1, o["segment"])
        yield store("mask", 15, o["mask"])

    def enters():
        mask = yield load("mask", o["read mask"])
        if mask == 15:
            segment = yield load("segment", o["read segment"])
            check(segment, "the mask leads to a segment that is not there")
            check((yield peek("entrance")) == "empty", "the mask leads to entrances that are not there")
        return mask
    return grows, enters


READ_MASK = Order("read mask", ACQ, RLX, True, HEADER, "ot_map_find", "atomic_load_explicit(&s->mask, memory_order_acquire)")
GROW = Protocol(
    "map_grow",
    (Order("segment", REL, RLX, False, TABLE, "grow", "atomic_store_explicit(&s->segments[k], segment, memory_order_release)",
           "who looks there has the mask, which was released later"),
     Order("mask", REL, RLX, True, TABLE, "grow", "atomic_store_explicit(&s->mask, 2 * mask + 1, memory_order_release)"),
     READ_MASK,
     Order("read segment", ACQ, RLX, False, HEADER, "ot_map_entrance", "atomic_load_explicit(&s->segments[k], memory_order_acquire)",
           "the mask was acquired")),
    grow_threads, initial={"mask": 7}, reaches=(lambda _, mask: mask == 7, lambda _, mask: mask == 15))


def shrink_threads(o):
    """One thread lowers the mask, another retires the segment: to readers the mask is the link that is cut."""
    def lowers():
        yield lock("shard", o["lock"])
        yield store("mask", 7, o["lower"])
        yield unlock("shard", o["unlock"])

    def retires():
        yield lock("shard", o["lock"])
        mask = yield load("mask", RLX)
        yield unlock("shard", o["unlock"])
        if mask == 7:
            yield fence(o["retire's barrier"])
            turn = yield load("turn", SC)
            if turn % 2 == 1:
                yield load("turn", SC, where=lambda now: now != turn)
            yield poke("segment", FREED)
        return mask

    def reads():
        yield store("turn", 1, RLX)
        yield fence(SC)
        mask = yield load("mask", o["read mask"])
        if mask == 15:
            check((yield peek("segment")) != FREED, "a reader's mask leads to a segment that was freed")
        yield store("turn", 2, REL)
        return mask
    return lowers, retires, reads


SHRINK = Protocol(
    "map_shrink",
    (*(row._replace(needed=False, why="the load that finds the mask low is enough") for row in LOCK),
     Order("lower", REL, RLX, False, TABLE, "shrink_a_little_locked",
           "atomic_store_explicit(&s->mask, now(&s->mask) / 2, memory_order_release)", "who retires the segment had the lock since"),
     Order("retire's barrier", SC, ACQ_REL, True, "objects/dict/epoch.c", "retire", "ot_full_barrier()"),
     READ_MASK._replace(weaker=None, needed=False)),
    shrink_threads, initial={"mask": 15}, reaches=(lambda _, retired, mask: retired == 7 and mask == 15,))

# ---- the newest entry ----------------------------------------------------------------------------


def newest_threads(o):
    """Shard 0 has x. Whoever finds x after it has inserted y into shard 1 knows that y is newer: x is not popped then."""
    def inserts():
        yield lock("shard 1", o["lock"])
        yield update("next_seq", lambda n: n + 1, o["number"])
        yield store("y", 1, RLX)
        yield unlock("shard 1", o["unlock"])
        return (yield load("x", ACQ))

    def pops():
        seq = yield load("next_seq", o["look"])
        yield lock("shard 0", o["lock"])
        yield unlock("shard 0", o["unlock"])
        yield lock("shard 1", o["lock"])
        newer = yield load("y", RLX)
        yield unlock("shard 1", o["unlock"])
        if newer:
            return "y"
        yield lock("shard 0", o["lock"])
        if o["all locks"]:
            yield lock("shard 1", o["lock"])
        same = (yield load("next_seq", o["look again"])) == seq
        if same:
            yield cas("x", 1, 0, ACQ_REL)
        if o["all locks"]:
            yield unlock("shard 1", o["unlock"])
        yield unlock("shard 0", o["unlock"])
        return "x" if same else None
    return inserts, pops


def newest_is_popped(found, popped):
    check(not (popped == "x" and found), "x is popped, although it was there when y already was")


NEWEST = Protocol(
    "map_newest",
    (*LOCK,
     Order("number", SC, RLX, False, SOURCE, "become_newest_locked", "atomic_fetch_add(&map->next_seq, 1)",
           "the locks order it; seq_cst costs nothing more on x86-64"),
     Order("look", SC, RLX, False, SOURCE, "ot_map_withdraw_newest", "uint64_t seq = atomic_load(&map->next_seq)", "the locks order it"),
     Order("look again", SC, RLX, False, SOURCE, "ot_map_withdraw_newest", "atomic_load(&map->next_seq) == seq && withdraw_whatever_locked",
           "the locks order it"),
     Order("all locks", "locks", None, True, SOURCE, "ot_map_withdraw_newest", "lock_all(map); done =")),
    newest_threads, initial={"x": 1}, final=newest_is_popped,
    reaches=(lambda found, popped: popped == "y", lambda found, popped: popped == "x" and not found,
             lambda found, popped: popped is None))
