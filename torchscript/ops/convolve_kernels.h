// Kernels for the instruction set of the file that includes this one (kVectorBytes, kRegisters are set there).
//
// Vectors are the compiler's own vector types, so one text serves every instruction set. All tile sizes are constants:
// the accumulators of a group of pairs live in registers.
#include "convolve.h"

namespace larmlreco {
namespace {

template <class T>
struct VectorOf {
  typedef T type __attribute__((vector_size(kVectorBytes), aligned(sizeof(T)), may_alias));
};
template <class T>
using Vector = typename VectorOf<T>::type;

constexpr int kUnitVectors = kUnitBytes / kVectorBytes;
constexpr bool kManyRegisters = kRegisters >= 32;

#define LARMLRECO_INLINE inline __attribute__((always_inline))
#define LARMLRECO_UNROLL _Pragma("GCC unroll 16")

template <class T>
constexpr int lanes() {
  return kVectorBytes / static_cast<int>(sizeof(T));
}

template <class T>
LARMLRECO_INLINE Vector<T>& at(T* p) {
  return *reinterpret_cast<Vector<T>*>(p);
}
template <class T>
LARMLRECO_INLINE const Vector<T>& at(const T* p) {
  return *reinterpret_cast<const Vector<T>*>(p);
}

// The pointer, which the compiler then keeps in a register: left to itself it recomputes the address of every element.
template <class T>
LARMLRECO_INLINE const T* kept(const T* p) {
  asm("" : "+r"(p));
  return p;
}

// Rows are gathered in an order that the processor cannot foresee: they are called this many pairs ahead.
constexpr int64_t kAhead = 32;

template <class T, int R>
LARMLRECO_INLINE void fetch_rows(const T* features, int64_t c_in, const int32_t* input) {
  constexpr int64_t line = kUnitBytes / static_cast<int64_t>(sizeof(T));
  LARMLRECO_UNROLL
  for (int r = 0; r < R; ++r) {
    const T* x = features + int64_t{input[r]} * c_in;
    for (int64_t c = 0; c < c_in; c += line) __builtin_prefetch(x + c);
  }
}

// R pairs of one tap: sums of V vectors of output channels a row, over all input channels.
template <class T, int V, int R>
LARMLRECO_INLINE void group(const T* features, int64_t c_in, const int32_t* input, const uint8_t* output, T* scratch,
                            const T* weight, int64_t padded) {
  constexpr int L = lanes<T>();
  const T* x[R];
  Vector<T> sum[R][V];
  LARMLRECO_UNROLL
  for (int r = 0; r < R; ++r) {
    x[r] = kept(features + int64_t{input[r]} * c_in);
    LARMLRECO_UNROLL
    for (int v = 0; v < V; ++v) sum[r][v] = at<T>(scratch + (int64_t{output[r]} * V + v) * L);
  }
  for (int64_t c = 0; c < c_in; ++c) {
    Vector<T> w[V];
    LARMLRECO_UNROLL
    for (int v = 0; v < V; ++v) w[v] = at<T>(weight + c * padded + v * L);
    LARMLRECO_UNROLL
    for (int r = 0; r < R; ++r) {
      LARMLRECO_UNROLL
      for (int v = 0; v < V; ++v) sum[r][v] += w[v] * x[r][c];
    }
  }
  LARMLRECO_UNROLL
  for (int r = 0; r < R; ++r) {
    LARMLRECO_UNROLL
    for (int v = 0; v < V; ++v) at<T>(scratch + (int64_t{output[r]} * V + v) * L) = sum[r][v];
  }
}

// The same for one vector of output channels, with the weights of 16 input channels held in registers.
constexpr int kHeld = 16;

template <class T, int R>
LARMLRECO_INLINE void held_group(const T* features, int64_t c_in, const int32_t* input, const uint8_t* output,
                                 T* scratch, const Vector<T>* w) {
  constexpr int L = lanes<T>();
  const T* x[R];
  Vector<T> sum[R];
  LARMLRECO_UNROLL
  for (int r = 0; r < R; ++r) {
    x[r] = kept(features + int64_t{input[r]} * c_in);
    sum[r] = at<T>(scratch + int64_t{output[r]} * L);
  }
  LARMLRECO_UNROLL
  for (int c = 0; c < kHeld; ++c) {
    LARMLRECO_UNROLL
    for (int r = 0; r < R; ++r) sum[r] += w[c] * x[r][c];
  }
  LARMLRECO_UNROLL
  for (int r = 0; r < R; ++r) at<T>(scratch + int64_t{output[r]} * L) = sum[r];
}

template <class T>
void held_tap(const T* features, int64_t c_in, const int32_t* input, const uint8_t* output, int64_t n, int64_t ahead,
              T* scratch, const T* weight, int64_t padded) {
  for (int64_t c = 0; c < c_in; c += kHeld) {
    Vector<T> w[kHeld];
    LARMLRECO_UNROLL
    for (int i = 0; i < kHeld; ++i) w[i] = at<T>(weight + (c + i) * padded);
    int64_t p = 0;
    for (; p + 8 <= n; p += 8) {
      if (c == 0 && p + kAhead + 8 <= ahead) fetch_rows<T, 8>(features, c_in, input + p + kAhead);
      held_group<T, 8>(features + c, c_in, input + p, output + p, scratch, w);
    }
    if (n - p >= 4) {
      held_group<T, 4>(features + c, c_in, input + p, output + p, scratch, w);
      p += 4;
    }
    if (n - p >= 2) {
      held_group<T, 2>(features + c, c_in, input + p, output + p, scratch, w);
      p += 2;
    }
    if (n - p >= 1) held_group<T, 1>(features + c, c_in, input + p, output + p, scratch, w);
  }
}

template <class T, int V, int R>
void tap_pairs(const T* features, int64_t c_in, const int32_t* input, const uint8_t* output, int64_t n, int64_t ahead,
               T* scratch, const T* weight, int64_t padded) {
  int64_t p = 0;
  for (; p + R <= n; p += R) {
    if (p + kAhead + R <= ahead) fetch_rows<T, R>(features, c_in, input + p + kAhead);
    group<T, V, R>(features, c_in, input + p, output + p, scratch, weight, padded);
  }
  if constexpr (R > 4) {
    if (n - p >= 4) {
      group<T, V, 4>(features, c_in, input + p, output + p, scratch, weight, padded);
      p += 4;
    }
  }
  if constexpr (R > 2) {
    if (n - p >= 2) {
      group<T, V, 2>(features, c_in, input + p, output + p, scratch, weight, padded);
      p += 2;
    }
  }
  for (; p < n; ++p) group<T, V, 1>(features, c_in, input + p, output + p, scratch, weight, padded);
}

template <class T, int V, int R>
void convolve_tile(const ConvolveTask<T>& task, int64_t block, int64_t first_unit, T* scratch) {
  constexpr int L = lanes<T>();
  const MapView& map = task.map;
  const int64_t column = first_unit * unit_width<T>();
  const int64_t columns = task.c_out - column < V * L ? task.c_out - column : V * L;
  const int64_t first = block * kTaskRows;
  const int64_t rows = map.n_out - first < kTaskRows ? map.n_out - first : kTaskRows;

  T start[V * L];
  for (int64_t c = 0; c < V * L; ++c) start[c] = task.bias != nullptr && c < columns ? task.bias[column + c] : T(0);
  for (int64_t r = 0; r < rows; ++r) {
    LARMLRECO_UNROLL
    for (int v = 0; v < V; ++v) at<T>(scratch + (r * V + v) * L) = at<T>(start + v * L);
  }
  const int64_t pairs_end = map.begin[(block + 1) * map.taps];
  for (int64_t k = 0; k < map.taps; ++k) {
    const int64_t begin = map.begin[block * map.taps + k], n = map.begin[block * map.taps + k + 1] - begin;
    if (n == 0) continue;
    const T* weight = task.weight + k * task.c_in * task.padded + column;
    const int64_t ahead = first_unit == 0 ? pairs_end - begin : 0;  // the lists of the next taps follow this one
    if constexpr (V == 1 && kManyRegisters) {
      if (task.c_in % kHeld == 0) {
        held_tap<T>(task.features, task.c_in, map.input + begin, map.output + begin, n, ahead, scratch, weight,
                    task.padded);
        continue;
      }
    }
    tap_pairs<T, V, R>(task.features, task.c_in, map.input + begin, map.output + begin, n, ahead, scratch, weight,
                       task.padded);
  }
  const T slope = task.negative_slope;
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t to = int64_t{map.output_rows[first + r]} * task.c_out + column;
    const T* sum = scratch + r * V * L;
    const T* residual = task.residual != nullptr ? task.residual + to : nullptr;
    T* out = task.out + to;
    int64_t c = 0;
    for (; c + L <= columns; c += L) {
      Vector<T> y = at<T>(sum + c);
      if (residual != nullptr) y += at<T>(residual + c);
      if (slope != T(1)) y = y > T(0) ? y : y * slope;
      at<T>(out + c) = y;
    }
    for (; c < columns; ++c) {
      T y = sum[c];
      if (residual != nullptr) y += residual[c];
      if (slope != T(1)) y = y > T(0) ? y : y * slope;
      out[c] = y;
    }
  }
}

template <class T>
void convolve(const ConvolveTask<T>& task, int64_t block, int64_t first_unit, int64_t units, T* scratch) {
  if constexpr (kManyRegisters) {
    switch (units) {
      case 1: return convolve_tile<T, 1, 8>(task, block, first_unit, scratch);
      case 2: return convolve_tile<T, 2, 8>(task, block, first_unit, scratch);
      case 3: return convolve_tile<T, 3, 8>(task, block, first_unit, scratch);
      default: return convolve_tile<T, 4, 6>(task, block, first_unit, scratch);
    }
  } else {
    convolve_tile<T, kUnitVectors, kUnitVectors == 2 ? 6 : 2>(task, block, first_unit, scratch);
  }
}

// C input channels of one tap: products of input and output gradient of n pairs, added to the weight gradient.
template <class T, int V, int C>
LARMLRECO_INLINE void gradient_group(const T* features, int64_t c_in, const T* gradient, int64_t padded,
                                     const int32_t* input, const uint8_t* output, const int32_t* rows, int64_t n,
                                     int64_t ahead, T* out) {
  constexpr int L = lanes<T>();
  Vector<T> sum[C][V];
  LARMLRECO_UNROLL
  for (int c = 0; c < C; ++c) {
    LARMLRECO_UNROLL
    for (int v = 0; v < V; ++v) sum[c][v] = at<T>(out + c * padded + v * L);
  }
  for (int64_t p = 0; p < n; ++p) {
    if (p + kAhead < ahead) {
      fetch_rows<T, 1>(features, c_in, input + p + kAhead);
      fetch_rows<T, 1>(gradient, padded, rows + output[p + kAhead]);
    }
    const T* x = kept(features + int64_t{input[p]} * c_in);
    const T* g = kept(gradient + int64_t{rows[output[p]]} * padded);
    Vector<T> row[V];
    LARMLRECO_UNROLL
    for (int v = 0; v < V; ++v) row[v] = at<T>(g + v * L);
    LARMLRECO_UNROLL
    for (int c = 0; c < C; ++c) {
      LARMLRECO_UNROLL
      for (int v = 0; v < V; ++v) sum[c][v] += row[v] * x[c];
    }
  }
  LARMLRECO_UNROLL
  for (int c = 0; c < C; ++c) {
    LARMLRECO_UNROLL
    for (int v = 0; v < V; ++v) at<T>(out + c * padded + v * L) = sum[c][v];
  }
}

template <class T, int V, int C>
void gradient_tile(const WeightGradientTask<T>& task, int64_t block, int64_t tap, int64_t column, T* out) {
  const MapView& map = task.map;
  const int64_t begin = map.begin[block * map.taps + tap], n = map.begin[block * map.taps + tap + 1] - begin;
  const int32_t* rows = map.output_rows + block * kTaskRows;
  const T* gradient = task.gradient + column;
  int64_t ahead = column == 0 ? map.begin[(block + 1) * map.taps] - begin : 0;
  int64_t c = 0;
  for (; c + C <= task.c_in; c += C, ahead = 0)
    gradient_group<T, V, C>(task.features + c, task.c_in, gradient, task.padded, map.input + begin,
                            map.output + begin, rows, n, ahead, out + c * task.padded + column);
  if constexpr (C > 4) {
    for (; c + 4 <= task.c_in; c += 4)
      gradient_group<T, V, 4>(task.features + c, task.c_in, gradient, task.padded, map.input + begin,
                              map.output + begin, rows, n, 0, out + c * task.padded + column);
  }
  for (; c < task.c_in; ++c)
    gradient_group<T, V, 1>(task.features + c, task.c_in, gradient, task.padded, map.input + begin,
                            map.output + begin, rows, n, 0, out + c * task.padded + column);
}

// Block after block, so that the rows of a block serve all taps from the nearest cache.
template <class T>
void weight_gradient(const WeightGradientTask<T>& task, int64_t segment, int64_t first_tap, int64_t last_tap) {
  const MapView& map = task.map;
  const int64_t blocks = (map.n_out + kTaskRows - 1) / kTaskRows, size = task.c_in * task.padded;
  const int64_t first = segment * task.blocks_per_segment;
  const int64_t last = first + task.blocks_per_segment < blocks ? first + task.blocks_per_segment : blocks;
  T* out = task.out + segment * map.taps * size;
  for (int64_t i = first_tap * size; i < last_tap * size; ++i) out[i] = 0;
  const int64_t units = task.padded / unit_width<T>();
  constexpr int64_t kMost = kManyRegisters ? 3 : 1;
  for (int64_t block = first; block < last; ++block)
    for (int64_t tap = first_tap; tap < last_tap; ++tap) {
      if (map.begin[block * map.taps + tap] == map.begin[block * map.taps + tap + 1]) continue;
      for (int64_t unit = 0; unit < units;) {
        const int64_t left = units - unit, width = left == 4 && kMost > 2 ? 2 : left < kMost ? left : kMost;
        const int64_t column = unit * unit_width<T>();
        if constexpr (kManyRegisters) {
          switch (width) {
            case 1: gradient_tile<T, 1, 16>(task, block, tap, column, out + tap * size); break;
            case 2: gradient_tile<T, 2, 8>(task, block, tap, column, out + tap * size); break;
            default: gradient_tile<T, 3, 8>(task, block, tap, column, out + tap * size); break;
          }
        } else {
          gradient_tile<T, kUnitVectors, kUnitVectors == 2 ? 6 : 2>(task, block, tap, column, out + tap * size);
        }
        unit += width;
      }
    }
}

double fma_flops(int64_t rounds) {
  constexpr int N = kManyRegisters ? 24 : 12;
  Vector<float> sum[N];
  for (int i = 0; i < N; ++i) sum[i] = Vector<float>{} + static_cast<float>(i);
  const Vector<float> scale = Vector<float>{} + 0.999f, shift = Vector<float>{} + 0.001f;
  for (int64_t round = 0; round < rounds; ++round) {
    LARMLRECO_UNROLL
    for (int i = 0; i < N / 2; ++i) sum[i] = sum[i] * scale + shift;
    LARMLRECO_UNROLL
    for (int i = N / 2; i < N; ++i) sum[i] = sum[i] * scale + shift;
  }
  volatile float kept = 0;
  for (int i = 0; i < N; ++i) kept = kept + sum[i][0];
  return 2.0 * N * lanes<float>() * static_cast<double>(rounds);
}

constexpr int64_t kTileUnits = kManyRegisters ? kScratchUnits : 1;
constexpr InstructionSet kSet{kName,
                              {kTileUnits, convolve<float>, weight_gradient<float>},
                              {kTileUnits, convolve<double>, weight_gradient<double>},
                              fma_flops};

}  // namespace
}  // namespace larmlreco
