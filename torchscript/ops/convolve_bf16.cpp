// Convolution of bfloat16 features, summed in float32, for processors with AVX-512 BF16. See convolve.h.
#include "convolve.h"

#if defined(__AVX512BF16__)
#include <immintrin.h>

namespace larmlreco {
namespace {

constexpr int L = 16;  // float32 sums in a vector
#define LARMLRECO_UNROLL _Pragma("GCC unroll 16")

// A row of 2 L bfloat16 weights: two input channels of L output channels; two features of a row in every lane.
inline __attribute__((always_inline)) __m512bh weights(const uint16_t* p) {
  return (__m512bh)_mm512_loadu_si512(p);
}
inline __attribute__((always_inline)) __m512bh two_features(const uint16_t* p) {
  int32_t two;
  __builtin_memcpy(&two, p, sizeof(two));
  return (__m512bh)_mm512_set1_epi32(two);
}
inline float widened(uint16_t bits) {
  const uint32_t wide = uint32_t{bits} << 16;
  float value;
  __builtin_memcpy(&value, &wide, sizeof(value));
  return value;
}

// R pairs of one tap: sums of V vectors of output channels a row, over all input channels.
template <int V, int R>
inline __attribute__((always_inline)) void group(const Bfloat16Task& task, int64_t begin, const uint16_t* weight,
                                                 float* scratch) {
  const uint16_t* x[R];
  float* to[R];
  __m512 sum[R][V];
  LARMLRECO_UNROLL
  for (int r = 0; r < R; ++r) {
    x[r] = task.features + int64_t{task.map.input[begin + r]} * task.c_in;
    to[r] = scratch + int64_t{task.map.output[begin + r]} * V * L;
    LARMLRECO_UNROLL
    for (int v = 0; v < V; ++v) sum[r][v] = _mm512_loadu_ps(to[r] + v * L);
  }
  for (int64_t c = 0; c < task.c_in; c += 2) {
    __m512bh w[V];
    LARMLRECO_UNROLL
    for (int v = 0; v < V; ++v) w[v] = weights(weight + c * task.padded + 2 * v * L);
    LARMLRECO_UNROLL
    for (int r = 0; r < R; ++r) {
      const __m512bh two = two_features(x[r] + c);
      LARMLRECO_UNROLL
      for (int v = 0; v < V; ++v) sum[r][v] = _mm512_dpbf16_ps(sum[r][v], w[v], two);
    }
  }
  LARMLRECO_UNROLL
  for (int r = 0; r < R; ++r) {
    LARMLRECO_UNROLL
    for (int v = 0; v < V; ++v) _mm512_storeu_ps(to[r] + v * L, sum[r][v]);
  }
}

template <int V, int R>
void tile(const Bfloat16Task& task, int64_t block, int64_t first_unit, float* scratch) {
  const MapView& map = task.map;
  const int64_t column = first_unit * L, first = block * kTaskRows;
  const int64_t columns = task.c_out - column < V * L ? task.c_out - column : V * L;
  const int64_t rows = map.n_out - first < kTaskRows ? map.n_out - first : kTaskRows;
  float start[V * L];
  for (int64_t c = 0; c < V * L; ++c) start[c] = task.bias != nullptr && c < columns ? task.bias[column + c] : 0.0f;
  for (int64_t r = 0; r < rows; ++r)
    for (int v = 0; v < V; ++v) _mm512_storeu_ps(scratch + (r * V + v) * L, _mm512_loadu_ps(start + v * L));

  const int64_t ahead = 32, pairs_end = map.begin[(block + 1) * map.taps];
  for (int64_t k = 0; k < map.taps; ++k) {
    int64_t p = map.begin[block * map.taps + k];
    const int64_t end = map.begin[block * map.taps + k + 1];
    const uint16_t* weight = task.weight + (k * task.c_in * task.padded + 2 * column);
    for (; p + R <= end; p += R) {
      if (p + ahead + R <= pairs_end && first_unit == 0)
        for (int r = 0; r < R; ++r) {
          const uint16_t* x = task.features + int64_t{map.input[p + ahead + r]} * task.c_in;
          for (int64_t c = 0; c < task.c_in; c += 32) __builtin_prefetch(x + c);
        }
      group<V, R>(task, p, weight, scratch);
    }
    for (; p < end; ++p) group<V, 1>(task, p, weight, scratch);
  }

  const __m512 slope = _mm512_set1_ps(task.negative_slope), zero = _mm512_setzero_ps();
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t to = int64_t{map.output_rows[first + r]} * task.c_out + column;
    for (int64_t c = 0; c < columns; c += L) {
      alignas(64) float y[L];
      alignas(32) uint16_t rounded[L];
      const int64_t n = columns - c < L ? columns - c : L;
      __m512 value = _mm512_loadu_ps(scratch + r * V * L + c);
      if (task.residual != nullptr) {
        for (int64_t i = 0; i < L; ++i) y[i] = i < n ? widened(task.residual[to + c + i]) : 0.0f;
        value = _mm512_add_ps(value, _mm512_load_ps(y));
      }
      if (task.negative_slope != 1.0f) {
        const __mmask16 positive = _mm512_cmp_ps_mask(value, zero, _CMP_GT_OQ);
        value = _mm512_mask_blend_ps(positive, _mm512_mul_ps(value, slope), value);
      }
      _mm256_store_si256(reinterpret_cast<__m256i*>(rounded), (__m256i)_mm512_cvtneps_pbh(value));
      __builtin_memcpy(task.out + to + c, rounded, n * sizeof(uint16_t));
    }
  }
}

void convolve(const Bfloat16Task& task, int64_t block, int64_t first_unit, int64_t units, float* scratch) {
  switch (units) {
    case 1: return tile<1, 8>(task, block, first_unit, scratch);
    case 2: return tile<2, 8>(task, block, first_unit, scratch);
    case 3: return tile<3, 8>(task, block, first_unit, scratch);
    default: return tile<4, 6>(task, block, first_unit, scratch);
  }
}

}  // namespace
}  // namespace larmlreco

larmlreco::Bfloat16Convolve larmlreco::avx512_bf16() { return convolve; }
#else
larmlreco::Bfloat16Convolve larmlreco::avx512_bf16() { return nullptr; }
#endif
