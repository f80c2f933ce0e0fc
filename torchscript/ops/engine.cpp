#include "engine.h"

#include <algorithm>
#include <atomic>

#include "kernel_map.h"

namespace larmlreco {
namespace {

static_assert(kBlockRows == kTaskRows, "maps and kernels agree on the rows of a block");

std::atomic<const InstructionSet*>& chosen() {
  static std::atomic<const InstructionSet*> set{instruction_sets().front()};
  return set;
}

template <class T>
const Arithmetic<T>& arithmetic();
template <>
const Arithmetic<float>& arithmetic<float>() {
  return instruction_set()->single;
}
template <>
const Arithmetic<double>& arithmetic<double>() {
  return instruction_set()->twice;
}

// Channels in tiles of nearly equal width, at most `most` units.
struct Tiles {
  Tiles(int64_t all, int64_t most) : units(all), count((all + most - 1) / most) {}
  int64_t first(int64_t tile) const { return units * tile / count; }
  int64_t width(int64_t tile) const { return first(tile + 1) - first(tile); }
  int64_t units, count;
};

}  // namespace

std::vector<const InstructionSet*> instruction_sets() {
  std::vector<const InstructionSet*> sets;
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("fma") && __builtin_cpu_supports("avx2")) {
    const bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
    if (wide && avx512_set() != nullptr) sets.push_back(avx512_set());
    if (avx2_set() != nullptr) sets.push_back(avx2_set());
  }
#endif
  sets.push_back(baseline_set());
  return sets;
}

const InstructionSet* instruction_set() { return chosen(); }
void use_instruction_set(const InstructionSet* set) { chosen() = set; }

template <class T>
void convolve(const ConvolveTask<T>& task, const Parallel& parallel) {
  const Arithmetic<T>& kernels = arithmetic<T>();
  const Tiles tiles(task.padded / unit_width<T>(), kernels.tile_units);
  parallel(blocks_of(task.map.n_out) * tiles.count, [&](int64_t i) {
    alignas(kUnitBytes) char scratch[kTaskRows * kScratchUnits * kUnitBytes];
    const int64_t tile = i % tiles.count;
    kernels.convolve(task, i / tiles.count, tiles.first(tile), tiles.width(tile), reinterpret_cast<T*>(scratch));
  });
}

bool has_bfloat16() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512bf16") && avx512_bf16() != nullptr && instruction_set() == avx512_set();
#else
  return false;
#endif
}

void convolve(const Bfloat16Task& task, const Parallel& parallel) {
  const Bfloat16Convolve kernel = avx512_bf16();
  const Tiles tiles(task.padded / unit_width<float>(), kScratchUnits);
  parallel(blocks_of(task.map.n_out) * tiles.count, [&](int64_t i) {
    alignas(kUnitBytes) float scratch[kTaskRows * kScratchUnits * unit_width<float>()];
    const int64_t tile = i % tiles.count;
    kernel(task, i / tiles.count, tiles.first(tile), tiles.width(tile), scratch);
  });
}

int64_t blocks_per_segment(int64_t n_out) {
  constexpr int64_t kMostSegments = 32, kLeastBlocks = 4;
  return std::max(kLeastBlocks, (blocks_of(n_out) + kMostSegments - 1) / kMostSegments);
}

template <class T>
void weight_gradient(const WeightGradientTask<T>& task, const Parallel& parallel) {
  const Arithmetic<T>& kernels = arithmetic<T>();
  const int64_t segments = (blocks_of(task.map.n_out) + task.blocks_per_segment - 1) / task.blocks_per_segment;
  const int64_t taps = task.map.taps, groups = std::min<int64_t>(taps, 3);
  parallel(segments * groups, [&](int64_t i) {
    const int64_t group = i % groups;
    kernels.weight_gradient(task, i / groups, taps * group / groups, taps * (group + 1) / groups);
  });
  const int64_t size = task.c_in * task.padded;
  parallel(taps, [&](int64_t tap) {
    T* sum = task.out + tap * size;
    for (int64_t segment = 1; segment < segments; ++segment) {
      const T* part = sum + segment * taps * size;
      for (int64_t j = 0; j < size; ++j) sum[j] += part[j];
    }
  });
}

template void convolve<float>(const ConvolveTask<float>&, const Parallel&);
template void convolve<double>(const ConvolveTask<double>&, const Parallel&);
template void weight_gradient<float>(const WeightGradientTask<float>&, const Parallel&);
template void weight_gradient<double>(const WeightGradientTask<double>&, const Parallel&);

}  // namespace larmlreco
