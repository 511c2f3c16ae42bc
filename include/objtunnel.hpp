/* SPDX-License-Identifier: MIT. Copyright (c) the objtunnel developers; this file may be copied. */
/* objtunnel.hpp: C++17 classes over objtunnel.h or objtunnel_global.h, whichever is included before
 * (objtunnel.h if none is).
 *
 * Purpose: uses of globals and resources, and locks, that end with a scope.
 * Main invariant: an object that was constructed has its use until it is destroyed; a constructor that
 * throws has none.
 * Threading: `global` and `resource` are made and destroyed with an attached thread state of the same
 * interpreter. Locks are static objects (constinit); std::lock_guard, std::unique_lock,
 * std::scoped_lock and std::shared_lock take them.
 */
#ifndef OBJTUNNEL_HPP
#define OBJTUNNEL_HPP

#if !defined(OBJTUNNEL_H) && !defined(OBJTUNNEL_GLOBAL_H)
#include "objtunnel.h"
#endif

#include <chrono>
#include <exception>
#include <string>

namespace objtunnel
{

/* A Python exception is set: return to Python with it. */
class python_error : public std::exception
{
  public:
    const char *what() const noexcept override
    {
        return "a Python exception is set";
    }
};

/* A use of a global: enters it, and leaves it at the end. What init throws comes out, or python_error. */
class global
{
  public:
    explicit global(ot_global_t &g, ot_init_t init = nullptr, void *arg = nullptr) : g_(&g)
    {
        if (ot_global_enter(g_, init, arg) < 0) {
            throw python_error();
        }
    }
    global(const global &) = delete;
    global &operator=(const global &) = delete;
    ~global()
    {
        (void)ot_global_leave(g_);
    }

  private:
    ot_global_t *g_;
};

/* A use of a registry's resource; get() is its value. */
template <typename T = void> class resource
{
  public:
    resource(ot_registry_t &r, std::string key, ot_create_t create, void *arg = nullptr)
        : r_(&r), key_(std::move(key))
    {
        if (ot_registry_get(r_, key_.c_str(), create, arg, &value_) < 0) {
            throw python_error();
        }
    }
    resource(const resource &) = delete;
    resource &operator=(const resource &) = delete;
    ~resource()
    {
        (void)ot_registry_put(r_, key_.c_str());
    }

    T *get() const
    {
        return static_cast<T *>(value_);
    }

  private:
    ot_registry_t *r_;
    std::string key_;
    void *value_ = nullptr;
};

template <typename Rep, typename Period>
int64_t
nanoseconds(const std::chrono::duration<Rep, Period> &timeout)
{
    int64_t ns = std::chrono::duration_cast<std::chrono::nanoseconds>(timeout).count();
    return ns < 0 ? 0 : ns;
}

/* TimedLockable: static objtunnel::mutex device("device"); */
class mutex
{
  public:
    constexpr explicit mutex(const char *name) : lock_ OT_GLOBAL_LOCK_INIT(name)
    {
    }
    mutex(const mutex &) = delete;
    mutex &operator=(const mutex &) = delete;

    void lock()
    {
        (void)ot_global_lock_acquire(&lock_);
    }

    bool try_lock()
    {
        return ot_global_lock_try_acquire(&lock_) != 0;
    }

    template <typename Rep, typename Period>
    bool try_lock_for(const std::chrono::duration<Rep, Period> &timeout)
    {
        return ot_global_lock_acquire_timed(&lock_, nanoseconds(timeout)) != 0;
    }

    void unlock()
    {
        ot_global_lock_release(&lock_);
    }

  private:
    ot_global_lock_t lock_;
};

/* SharedTimedLockable: static objtunnel::shared_mutex table("table"); */
class shared_mutex
{
  public:
    constexpr explicit shared_mutex(const char *name) : lock_ OT_GLOBAL_RWLOCK_INIT(name)
    {
    }
    shared_mutex(const shared_mutex &) = delete;
    shared_mutex &operator=(const shared_mutex &) = delete;

    void lock()
    {
        (void)ot_global_rwlock_acquire_write(&lock_);
    }

    bool try_lock()
    {
        return ot_global_rwlock_try_acquire_write(&lock_) != 0;
    }

    template <typename Rep, typename Period>
    bool try_lock_for(const std::chrono::duration<Rep, Period> &timeout)
    {
        return ot_global_rwlock_acquire_write_timed(&lock_, nanoseconds(timeout)) != 0;
    }

    void unlock()
    {
        ot_global_rwlock_release(&lock_);
    }

    void lock_shared()
    {
        (void)ot_global_rwlock_acquire_read(&lock_);
    }

    bool try_lock_shared()
    {
        return ot_global_rwlock_try_acquire_read(&lock_) != 0;
    }

    template <typename Rep, typename Period>
    bool try_lock_shared_for(const std::chrono::duration<Rep, Period> &timeout)
    {
        return ot_global_rwlock_acquire_read_timed(&lock_, nanoseconds(timeout)) != 0;
    }

    void unlock_shared()
    {
        ot_global_rwlock_release(&lock_);
    }

  private:
    ot_global_rwlock_t lock_;
};

} // namespace objtunnel
#endif
