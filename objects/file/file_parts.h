/* file_parts.h: what file.c does for file_read.c. */
#ifndef OT_OBJECTS_FILE_PARTS_H
#define OT_OBJECTS_FILE_PARTS_H

#include "objects/file/file.h"

/* Takes the lock for an operation on an open file; leave gives it back, and rc. */
int ot_file_enter(ot_file_t *file, ot_file_caller_t by);
int ot_file_leave(ot_file_t *file, int rc);

/* Before a system call that could block for long: waits until it will not, or patience gives up. */
int ot_file_ready(const ot_file_t *file, short events, const ot_patience_t *patience);

/* After a system call failed with `error`: waits, or asks patience. OK: try again. */
int ot_file_await(const ot_file_t *file, int error, short events, const ot_patience_t *patience);

/* Writes what is in the buffer. */
int ot_file_drain_locked(ot_file_t *file, const ot_patience_t *patience);

/* Puts the calling thread's held line into the buffer. */
int ot_file_put_own_line_locked(ot_file_t *file, const ot_patience_t *patience);

/* Forgets what was read ahead, and moves the kernel's position back by as much. */
int ot_file_forget_ahead_locked(ot_file_t *file);

#endif
