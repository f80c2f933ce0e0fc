// The arithmetic of sparse convolution, once for each instruction set; chosen at run time.
//
// Output-stationary: a task takes a block of output rows and a tile of output channels, keeps the sums in a small
// scratch, adds the pairs of one tap after another, and writes the finished rows once. Every output row is summed by
// one task in the order of the taps, so the result does not depend on threads.
//
// The files with kernels are compiled for instruction sets that the machine may lack: they include nothing but this
// header, so that no inline function of the standard library leaks out of them.
#pragma once

#include <cstdint>

namespace larmlreco {

constexpr int64_t kUnitBytes = 64;     // output channels come in units of this size, the last one padded
constexpr int64_t kScratchUnits = 4;   // widest tile of output channels
constexpr int64_t kTaskRows = 256;     // rows of a block

template <class T>
constexpr int64_t unit_width() {
  return kUnitBytes / static_cast<int64_t>(sizeof(T));
}

// One direction of a kernel map, see kernel_map.h.
struct MapView {
  const int32_t* input;
  const uint8_t* output;
  const int64_t* begin;
  const int32_t* output_rows;
  int64_t taps;
  int64_t n_out;
};

template <class T>
struct ConvolveTask {
  MapView map;
  const T* features;  // (n_in, c_in)
  const T* weight;    // (taps, c_in, padded): padded is c_out rounded up to whole units
  const T* bias;      // (c_out) or null
  const T* residual;  // (n_out, c_out) or null
  T* out;             // (n_out, c_out)
  int64_t c_in;
  int64_t c_out;
  int64_t padded;
  T negative_slope;   // of the leaky rectifier; 1: none
};

template <class T>
struct WeightGradientTask {
  MapView map;
  const T* features;  // (n_in, c_in)
  const T* gradient;  // (n_out, padded)
  T* out;             // (segments, taps, c_in, padded): a partial sum of each segment
  int64_t c_in;
  int64_t padded;
  int64_t blocks_per_segment;
};

template <class T>
struct Arithmetic {
  int64_t tile_units;  // channels a task handles at a time, in units
  void (*convolve)(const ConvolveTask<T>&, int64_t block, int64_t first_unit, int64_t units, T* scratch);
  void (*weight_gradient)(const WeightGradientTask<T>&, int64_t segment, int64_t first_tap, int64_t last_tap);
};

// Inference on bfloat16 features, an even number of them, with sums in float32.
struct Bfloat16Task {
  MapView map;
  const uint16_t* features;  // (n_in, c_in)
  const uint16_t* weight;    // (taps, c_in / 2, padded, 2)
  const float* bias;         // (c_out) or null
  const uint16_t* residual;  // (n_out, c_out) or null
  uint16_t* out;             // (n_out, c_out)
  int64_t c_in;
  int64_t c_out;
  int64_t padded;
  float negative_slope;
};
using Bfloat16Convolve = void (*)(const Bfloat16Task&, int64_t block, int64_t first_unit, int64_t units,
                                  float* scratch);

struct InstructionSet {
  const char* name;
  Arithmetic<float> single;
  Arithmetic<double> twice;
  double (*fma_flops)(int64_t rounds);  // runs rounds of independent multiply-adds and returns their number of operations
};

// Null where the compiler could not build it.
const InstructionSet* avx512_set();
const InstructionSet* avx2_set();
const InstructionSet* baseline_set();
Bfloat16Convolve avx512_bf16();

}  // namespace larmlreco
