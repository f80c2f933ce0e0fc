// How the engine runs independent pieces of work: the host (libtorch, a test) brings the threads.
#pragma once

#include <cstdint>
#include <functional>

namespace larmlreco {

// Calls work(i) once for every i in [0, n), in any order and on any thread; returns when all are done.
using Parallel = std::function<void(int64_t n, const std::function<void(int64_t)>& work)>;

inline void serial(int64_t n, const std::function<void(int64_t)>& work) {
  for (int64_t i = 0; i < n; ++i) work(i);
}

}  // namespace larmlreco
