// Tells the thread sanitizer what a contended Swift Mutex orders.
//
// On Linux `Synchronization.Mutex` takes an uncontended lock with an atomic that the sanitizer sees, and a contended one in
// the kernel, from a library that is not instrumented: values that a mutex guards are then reported as races. These
// functions stand in front of the library's slow paths: they call them, and say which mutex was taken or let go. What is
// not under a mutex is reported as before.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>

#define SWIFT __attribute__((swiftcall))
#define SELF __attribute__((swift_context))
#define LOCK_SLOW "$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF"
#define UNLOCK_SLOW "$s15Synchronization12_MutexHandleV11_unlockSlowyyF"

extern void __tsan_acquire(void *address);
extern void __tsan_release(void *address);

typedef SWIFT void (*lock_method)(uint32_t thread, SELF void *self);
typedef SWIFT void (*unlock_method)(SELF void *self);

static void *next(const char *name, void **cache) {
    void *found = __atomic_load_n(cache, __ATOMIC_ACQUIRE);
    if (!found) {
        found = dlsym(RTLD_NEXT, name);
        __atomic_store_n(cache, found, __ATOMIC_RELEASE);
    }
    return found;
}

SWIFT void lock_slow(uint32_t thread, SELF void *self) __asm__(LOCK_SLOW);
SWIFT void unlock_slow(SELF void *self) __asm__(UNLOCK_SLOW);

SWIFT void lock_slow(uint32_t thread, SELF void *self) {
    static void *cache;
    ((lock_method)next(LOCK_SLOW, &cache))(thread, self);
    __tsan_acquire(self);
}

SWIFT void unlock_slow(SELF void *self) {
    static void *cache;
    unlock_method call = (unlock_method)next(UNLOCK_SLOW, &cache);
    __tsan_release(self);
    call(self);
}
