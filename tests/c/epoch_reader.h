/* epoch_reader.h: a thread that reads, in an epoch's guard, for as long as a test wants. */
#ifndef OT_TESTS_EPOCH_READER_H
#define OT_TESTS_EPOCH_READER_H

#include "support.h"

#include "objects/dict/epoch.h"

static atomic_int reading;

/* stop: an atomic_bool. */
static void *
read_for_ever(void *stop)
{
    CHECK(ot_epoch_enter());
    atomic_fetch_add(&reading, 1);
    while (!atomic_load((atomic_bool *)stop)) {
        test_sleep(100000);
    }
    ot_epoch_leave();
    return NULL;
}

static bool
somebody_reads(void *unused)
{
    (void)unused;
    return atomic_load(&reading) > 0;
}

#endif
