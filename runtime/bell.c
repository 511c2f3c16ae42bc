/* bell.c: see bell.h. */
#include "runtime/bell.h"

#include <fcntl.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

int
ot_bell_open(void)
{
    return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
}

void
ot_bell_close(int fd)
{
    if (fd != OT_NO_BELL) {
        (void)close(fd);
    }
}

void
ot_bell_ring(int fd)
{
    const uint64_t one = 1;
    (void)!write(fd, &one, sizeof one); /* fails only if it can be read from anyway */
}

void
ot_bell_hush(int fd)
{
    uint64_t count;
    (void)!read(fd, &count, sizeof count); /* fails only if it is silent already */
}

int
ot_bell_renew(int fd)
{
    int made = ot_bell_open();
    if (made == OT_NO_BELL) {
        ot_bell_close(fd);
        return OT_NO_BELL;
    }
    int same = dup3(made, fd, O_CLOEXEC);
    ot_bell_close(made);
    return same;
}
