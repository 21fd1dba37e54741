// Parallel loops over independent items. What an item writes may depend only on its index, so that
// results are the same for any number of threads.
#pragma once

#include <cstdint>
#include <functional>

namespace sq {

// The number of threads that ParallelFor uses; 0 means one for each available processor, which is
// the default.
void SetThreadCount(int count);
int ThreadCount();

// A function that each thread started by ParallelFor from now on calls once before its first item,
// for the per-thread settings of other libraries; null for none.
void SetWorkerSetup(void (*set_up)());

// Calls body(i) once for each i in [0, count), in unspecified order. Items are scheduled
// dynamically, one at a time, so they may differ in cost. A nested ParallelFor runs on the calling
// thread. If items throw, the exception of the lowest index is rethrown after all threads have
// finished; items that had not started by then are skipped.
void ParallelFor(int64_t count, const std::function<void(int64_t)>& body);

}  // namespace sq
