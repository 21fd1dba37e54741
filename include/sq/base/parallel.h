// Loops over independent items on several threads. What an item writes may depend on its index
// alone, so results are the same for any thread count.
#pragma once

#include <cstdint>
#include <functional>

namespace sq {

// Threads that ParallelFor uses from now on; 0 means one for each of AvailableProcessors.
void SetThreadCount(int count);
int ThreadCount();

// A function that each thread started by ParallelFor from now on calls once before its first item,
// for the per-thread settings of other libraries; null for none.
void SetWorkerSetup(void (*set_up)());

// Calls body(i) once for each i in [0, count), in no set order; items are handed out one by one, so
// they may differ in cost. Inside another ParallelFor it runs on the calling thread alone. The
// first exception (of the lowest index among those thrown) is rethrown here after all threads are
// done; items not begun by then are dropped.
void ParallelFor(int64_t count, const std::function<void(int64_t)>& body);

}  // namespace sq
