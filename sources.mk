# What the extension module and the package are made of. Makefile includes this file and setup.py reads it,
# so that `make` and `pip install .` build the same. One variable a line; words with a * are globs.

CORE_SOURCES := runtime/*.c runtime/*/*.c tunnel/*.c tunnel/*/*.c objects/*.c objects/*/*.c objtunnel/*.c
CORE_HEADERS := threads/*.h runtime/*.h runtime/*/*.h tunnel/*.h tunnel/*/*.h objects/*.h objects/*/*.h objtunnel/*.h atomics/*.h atomics/*/*.h include/*.h
CORE_DEFINES := _GNU_SOURCE
# In addition in builds by LAB_PARTS=1, which pip never makes.
LAB_SOURCES := lab/heap/*.c
LAB_DEFINES := OT_LAB
CORE_CFLAGS := -std=gnu11 -fvisibility=hidden -fno-strict-aliasing -pthread

# The same module of free-threaded builds (PY_FREE_THREADED): what needs no GIL, and threads/ for what differs.
THREADS_SOURCES := threads/*.c runtime/awaited.c runtime/bell.c runtime/control.c runtime/park.c runtime/signals.c runtime/sleepers.c runtime/spin.c runtime/timeout.c runtime/waitlist.c runtime/worker.c tunnel/channel.c tunnel/channel_watch.c tunnel/stuck.c tunnel/temporary.c objtunnel/state.c objtunnel/tunnel_*.c objtunnel/globals.c objects/core/handle.c objects/core/live.c objects/core/repr.c objects/core/value.c runtime/shared.c runtime/import.c runtime/struct_sequence.c objects/array/*.c objects/dict/*.c objects/file/*.c objects/list/*.c objects/sync/*.c
THREADS_DEFINES := _GNU_SOURCE OT_FREE_THREADED

# The heap, linked statically. Hidden, and without MI_MALLOC_OVERRIDE: it exports nothing and takes no call of
# malloc or free from the C library. MI_SKIP_COLLECT_ON_EXIT: a process that ends need not tidy up first.
MIMALLOC_SOURCE := src/static.c
MIMALLOC_FILES := third_party/mimalloc/LICENSE third_party/mimalloc/include/*.h third_party/mimalloc/include/*/*.h third_party/mimalloc/src/*.? third_party/mimalloc/src/*/*.c third_party/mimalloc/src/*/*/*.c
MIMALLOC_DEFINES := MI_STATIC_LIB MI_SKIP_COLLECT_ON_EXIT NDEBUG
MIMALLOC_CFLAGS := -std=gnu11 -O3 -w -fvisibility=hidden -fno-builtin-malloc -ftls-model=initial-exec -pthread

# Beside the modules (*.py) of python/objtunnel.
PACKAGE_DATA := py.typed *.pyi

# What objtunnel_build.get_include() has: our headers with the build tools' files, and atomics/ in a folder of it.
INCLUDE_FILES := include/*.h include/*.hpp include/objtunnel_ffi.c include/pkgconfig/*.pc include/cmake/*.cmake
ATOMICS_FILES := atomics/*.h atomics/*/*.h
