/* test_checks.c: a check that cannot fail is none: structures without Python are broken on purpose. */
#include "check_world.h"
#include "support.h"

#include "objects/dict/map.h"
#include "objects/file/file.h"
#include "objects/list/list.h"
#include "objects/sync/sync.h"
#include "tunnel/channel.h"
#include "runtime/bigblock.h"
#include "runtime/mix.h"
#include "tunnel/ptrmap.h"

#include <fcntl.h>
#include <sys/mman.h>

TestSuite(checks, .timeout = 60);

static const ot_patience_t at_once = {.deadline = OT_DONT_WAIT};

/* ---- lines of sleepers, pokes --------------------------------------------------------------------- */

static ot_waitlist_t line;
static ot_waiter_t first, second;

static void
two_wait(void)
{
    ot_waiter_enter_locked(&line, &first, false);
    ot_waiter_enter_locked(&line, &second, false);
    ot_waitlist_check_locked(&line);
}

static void
line_without_its_end(void)
{
    two_wait();
    line.last = &first;
    ot_waitlist_check_locked(&line);
}

static void
line_with_a_wrong_way_back(void)
{
    two_wait();
    second.prev = NULL;
    ot_waitlist_check_locked(&line);
}

static void
one_who_was_woken_stays_in_line(void)
{
    two_wait();
    second.outcome = 1;
    BY(ot_wake_one_locked(&line, 1),
       (line.first = &second, second.prev = NULL, ot_waitlist_check_locked(&line)));
}

Test(checks, a_broken_line_of_sleepers)
{
    reports(line_without_its_end, "list->last == before");
    reports(line_with_a_wrong_way_back, "w->prev == before");
    reports(one_who_was_woken_stays_in_line, "w->outcome == 0");
}

static void
freed_while_it_sleeps(void)
{
    static ot_pokeable_t self;
    static ot_parker_t parker;
    ot_pokeable_init(&self);
    self.parked = &parker;
    BY(ot_pokeable_destroy(&self), ot_pokeable_check_awake(&self));
}

Test(checks, a_thread_that_seems_to_sleep)
{
    reports(freed_while_it_sleeps, "self->parked == NULL");
}

/* ---- locks and the like ----------------------------------------------------------------------------- */

static void
lock_held_twice(void)
{
    ot_lock_t *lock = ot_lock_new(&ot_lock_kind);
    CHECK(ot_lock_acquire(lock, 0, &at_once) == OT_SYNC_OK);
    lock->depth = 3;
    BY(ot_lock_release(lock), ot_lock_check_locked(lock));
}

static void
lock_held_by_nobody(void)
{
    ot_lock_t *lock = ot_lock_new(&ot_rlock_kind);
    CHECK(ot_lock_acquire(lock, 0, &at_once) == OT_SYNC_OK);
    lock->thread = 0;
    BY(ot_lock_state(lock), ot_lock_check_locked(lock));
}

static void
lock_abandoned_though_free(void)
{
    ot_lock_t *lock = ot_lock_new(&ot_lock_kind);
    lock->abandoned = true;
    BY(ot_lock_acquire(lock, 0, &at_once), ot_lock_check_locked(lock));
}

static void
somebody_waits_for_an_abandoned_lock(void)
{
    ot_lock_t *lock = ot_lock_new(&ot_lock_kind);
    CHECK(ot_lock_acquire(lock, 0, &at_once) == OT_SYNC_OK);
    ot_waiter_enter_locked(&lock->waiters, &first, false);
    lock->abandoned = true;
    BY(ot_lock_acquire(lock, 0, &at_once), ot_lock_check_locked(lock));
}

Test(checks, a_broken_lock)
{
    reports(lock_held_twice, "lock->depth <= 1");
    reports(lock_held_by_nobody, "lock->thread != 0");
    reports(lock_abandoned_though_free, "lock->depth > 0");
    reports(somebody_waits_for_an_abandoned_lock, "lock->waiters.first == NULL");
}

static void
semaphore_above_its_bound(void)
{
    ot_semaphore_t *semaphore = ot_semaphore_new(&ot_bounded_semaphore_kind, 1);
    semaphore->value = 3;
    BY(ot_semaphore_acquire(semaphore, &at_once), ot_semaphore_check_locked(semaphore));
}

static void
event_that_is_set_and_waited_for(void)
{
    ot_event_t *event = ot_event_new();
    ot_event_set(event);
    ot_waiter_enter_locked(&event->waiters, &first, false);
    BY(ot_event_is_set(event), ot_event_check_locked(event));
}

static void
barrier_that_should_have_opened(void)
{
    ot_barrier_t *barrier = ot_barrier_new(2, -1);
    barrier->count = 2;
    BY(ot_barrier_waiting(barrier), ot_barrier_check_locked(barrier));
}

Test(checks, a_broken_semaphore_event_or_barrier)
{
    reports(semaphore_above_its_bound, "semaphore->value <= semaphore->bound");
    reports(event_that_is_set_and_waited_for, "event->waiters.first == NULL");
    reports(barrier_that_should_have_opened, "barrier->count < barrier->parties");
}

/* ---- lists ----------------------------------------------------------------------------------------- */

static void
drop_nothing(ot_ref_t *item)
{
    (void)item;
}

static ot_list_t *
list_of_three(void)
{
    static ot_ref_t items[3];
    ot_ref_t *in[3] = {&items[0], &items[1], &items[2]};
    ot_list_t *list = ot_list_new(drop_nothing);
    ot_items_t out;
    CHECK(ot_list_splice_locked(list, 0, 0, &(ot_items_t){in, 3}, &out));
    return list;
}

static void
list_longer_than_its_room(void)
{
    ot_list_t *list = list_of_three();
    list->cap = 2;
    BY(ot_list_reverse_locked(list), ot_list_check_locked(list));
}

static void
list_with_a_hole(void)
{
    ot_list_t *list = list_of_three();
    list->items[1] = NULL;
    BY(ot_list_reverse_locked(list), ot_list_check_locked(list));
}

static void
list_with_room_for_nothing(void)
{
    ot_list_t *list = ot_list_new(drop_nothing);
    list->cap = 4;
    BY(ot_list_reverse_locked(list), ot_list_check_locked(list));
}

Test(checks, a_broken_list)
{
    reports(list_longer_than_its_room, "list->len <= list->cap");
    reports(list_with_a_hole, "list->items[i] != NULL");
    reports(list_with_room_for_nothing, "(list->cap == 0)");
}

/* ---- the registry, channels --------------------------------------------------------------------------- */

static void
object_under_another_number(void)
{
    ot_shared_check();
    ot_list_new(drop_nothing)->head.id = 1;
    ot_shared_check();
}

static void
object_beside_nobody(void)
{
    static ot_shared_t gone;
    ot_list_t *list = ot_list_new(drop_nothing);
    list->head.prev = &gone;
    BY(ot_shared_unref(&list->head), ot_shared_check());
}

Test(checks, a_broken_registry)
{
    reports(object_under_another_number, "id");
    reports(object_beside_nobody, "o->prev");
}

static ot_channel_t *
channel_of_two(ot_node_t *nodes)
{
    ot_channel_t *ch = ot_channel_new(0);
    for (int i = 0; i < 2; i++) {
        CHECK(ot_channel_reserve(ch, OT_DONT_WAIT) == OT_CHANNEL_OK);
        ot_channel_commit(ch, &nodes[i]);
    }
    ot_channel_check(ch);
    return ch;
}

static void
message_that_is_cut_off(void)
{
    static ot_node_t nodes[2];
    ot_channel_t *ch = channel_of_two(nodes);
    nodes[0].next = NULL;
    BY(ot_channel_close(ch, false), ot_channel_check(ch));
}

static void
message_that_is_there_twice(void)
{
    static ot_node_t nodes[2];
    ot_channel_t *ch = channel_of_two(nodes);
    nodes[1].next = &nodes[0];
    BY(ot_channel_close(ch, false), ot_channel_check(ch));
}

static void
end_that_is_not_the_last(void)
{
    static ot_node_t nodes[2], other;
    ot_channel_t *ch = channel_of_two(nodes);
    nodes[0].next = &other;
    BY(ot_channel_close(ch, false), ot_channel_check(ch));
}

Test(checks, a_broken_channel)
{
    reports(message_that_is_cut_off, "n == committed - taken");
    reports(message_that_is_there_twice, "n == committed - taken");
    reports(end_that_is_not_the_last, "last == ch->in.last");
}

/* ---- files ----------------------------------------------------------------------------------------- */

static ot_file_t *
new_file(void)
{
    ot_file_how_t how = {.fd = memfd_create("checks", 0), .writable = true, .readable = true};
    how.seekable = true;
    how.limit = 1000;
    how.name = strdup("checks");
    ot_file_t *file = ot_file_new(&how);
    CHECK(ot_file_write(file, (ot_file_caller_t){0, &at_once}, "some bytes", 10, false) ==
          OT_FILE_OK);
    return file;
}

static void
buffer_longer_than_its_room(void)
{
    ot_file_t *file = new_file();
    file->out.cap = 5;
    file->out.len = 6;
    ot_file_check_locked(file);
}

static void
something_read_ahead_and_something_to_be_written(void)
{
    ot_file_t *file = new_file();
    file->in = (ot_bytes_t){.data = malloc(4), .len = 4, .cap = 4};
    BY(ot_file_write_quick(file, 0, "", 0, false), ot_file_check_locked(file));
}

static void
closed_with_something_left(void)
{
    ot_file_t *file = new_file();
    file->closed = true;
    ot_file_check_locked(file);
}

Test(checks, a_broken_file)
{
    reports(buffer_longer_than_its_room, "bytes->len <= bytes->cap");
    reports(something_read_ahead_and_something_to_be_written, "file->out.at == file->out.len");
    reports(closed_with_something_left, "file->out.cap == 0");
}

/* ---- dicts and their epochs -------------------------------------------------------------------------- */

static void
drop_no_word(ot_word_t word)
{
    (void)word;
}

static ot_entry_t *
put(ot_map_t *map, uint64_t number)
{
    ot_mapkey_t key = {.hash = ot_mix(number) >> 5, .meta = ot_key_meta(sizeof number, 2)};
    key.bytes = &number;
    ot_entry_t *e = ot_entry_new(&key, ot_word_of_int(1));
    CHECK(ot_epoch_reserve(8) && ot_epoch_enter() && ot_map_insert(map, e) == e);
    ot_epoch_leave();
    return e;
}

/* A map of two entries, which come into the same shard. */
static ot_map_t *
new_map(ot_entry_t **first_entry)
{
    ot_map_t *map = ot_map_new(drop_no_word);
    *first_entry = put(map, 1);
    put(map, 2);
    ot_map_check(map);
    return map;
}

static void
shard_that_counts_wrong(void)
{
    ot_entry_t *e;
    ot_map_t *map = new_map(&e);
    atomic_fetch_add(&map->shards[ot_map_shard_number(e->hash)].live, 1);
    BY((void)put(map, 3), ot_map_check(map));
}

static void
entry_that_is_gone_and_there(void)
{
    ot_entry_t *e;
    ot_map_t *map = new_map(&e);
    atomic_store(&e->word, OT_WORD_GONE);
    BY((void)put(map, 3), ot_map_check(map));
}

static void
entry_that_is_newer_than_its_newer_one(void)
{
    ot_entry_t *e;
    ot_map_t *map = new_map(&e);
    atomic_store(&e->seq, 1000);
    BY((void)put(map, 3), ot_map_check(map));
}

static void
entries_out_of_order(void)
{
    ot_entry_t *e;
    ot_map_t *map = new_map(&e);
    e->node.order = 3;
    ot_map_check(map);
}

static void
claim_without_its_entry(void)
{
    ot_entry_t *e;
    ot_map_t *map = new_map(&e);
    static ot_claim_t claim;
    claim = (ot_claim_t){.map = map, .entry = e};
    map->claims = &claim;
    ot_map_check(map);
}

Test(checks, a_broken_dict)
{
    reports(shard_that_counts_wrong, "live == atomic_load(&s->live)");
    reports(entry_that_is_gone_and_there, "ot_entry_load(e) != OT_WORD_GONE");
    reports(entry_that_is_newer_than_its_newer_one, "atomic_load(&e->seq)");
    reports(entries_out_of_order, "order");
    reports(claim_without_its_entry, "ot_word_is_claim(word)");
}

static void
guard_that_is_not_announced(void)
{
    CHECK(ot_epoch_enter());
    atomic_fetch_add(&ot_epoch_mine->turn, 1);
    ot_epoch_check();
}

static void
nothing_retired_but_marked_as_large(void)
{
    CHECK(ot_epoch_reader() != NULL);
    ot_epoch_mine->large = true;
    ot_epoch_check();
}

static void
retired_in_no_room(void)
{
    CHECK(ot_epoch_reader() != NULL);
    ot_epoch_mine->last = ot_epoch_mine->room + 1;
    ot_epoch_check();
}

Test(checks, a_broken_epoch)
{
    reports(guard_that_is_not_announced, "turn");
    reports(nothing_retired_but_marked_as_large, "r->large");
    reports(retired_in_no_room, "r->last <= r->room");
}

/* ---- large blocks ------------------------------------------------------------------------------------ */

enum { MEGABYTES = 1 << 20, SPAN = 64 * MEGABYTES };

static void *
address_range(void)
{
    void *range = mmap(NULL, SPAN, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(range != MAP_FAILED);
    return (void *)(((uintptr_t)range + 4 * MEGABYTES - 1) & ~(uintptr_t)(4 * MEGABYTES - 1));
}

/* A block outside of the range, which the range's own end tells. */
static void
block_outside_of_the_range(void)
{
    uintptr_t start = (uintptr_t)address_range();
    ot_big_init(start, 32 * MEGABYTES);
    CHECK(ot_big_alloc(2 * MEGABYTES) != NULL && ot_big_alloc(2 * MEGABYTES) != NULL);
    ot_big_check();
    ot_big_init(start + 2 * MEGABYTES, 32 * MEGABYTES);
    ot_big_check();
}

Test(checks, broken_large_blocks)
{
    reports(block_outside_of_the_range, "e->start >= end");
}

/* ---- tables by address ------------------------------------------------------------------------------- */

static void
table_that_counts_wrong(void)
{
    static int a, b;
    ot_ptrmap_t map = {0};
    CHECK(ot_ptrmap_add(&map, &a, 1) == 0 && ot_ptrmap_add(&map, &b, 2) == 0);
    ot_ptrmap_check(&map);
    map.len = 1;
    ot_ptrmap_check(&map);
}

static void
table_with_a_key_that_is_not_found(void)
{
    static int a[64];
    ot_ptrmap_t map = {0};
    CHECK(ot_ptrmap_add(&map, &a[0], 1) == 0);
    *ot_ptrmap_slot(&map, &a[0]) = (ot_ptrmap_slot_t){NULL, 0};
    size_t elsewhere = (ot_ptrmap_hash(&a[0]) + 1) & (map.cap - 1);
    map.slots[elsewhere] = (ot_ptrmap_slot_t){&a[0], 1};
    ot_ptrmap_check(&map);
}

Test(checks, a_broken_table)
{
    reports(table_that_counts_wrong, "taken == m->len");
    reports(table_with_a_key_that_is_not_found, "ot_ptrmap_slot");
}
