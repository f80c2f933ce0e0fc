// Sites and kernel maps: which input site meets which output site at which tap of a kernel.
//
// The relation of the whole product: input = stride * output + dilation * (tap - centre) on every axis,
// centre (k-1)/2 for odd kernels and 0 for even ones; taps in lexicographic order, the last axis fastest.
#pragma once

#include <array>
#include <cstdint>
#include <stdexcept>
#include <string>

#include "buffer.h"
#include "parallel.h"

namespace larmlreco {

constexpr int kMaxDims = 3;
// Output rows of a block: their accumulators stay in the cache, and a row's place in the block fits a byte.
constexpr int64_t kBlockRows = 256;
constexpr int64_t blocks_of(int64_t sites) { return (sites + kBlockRows - 1) / kBlockRows; }

// Bad input of a caller: the message says what was expected and what came.
class BadInput : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Coordinates of n sites, row-major (n, 1 + dims): batch item, then one column an axis.
struct Coordinates {
  const int64_t* data;
  int64_t n;
  int dims;
  const int64_t* row(int64_t i) const { return data + i * (1 + dims); }
};

struct Kernel {
  int dims;
  std::array<int64_t, kMaxDims> size{1, 1, 1};
  std::array<int64_t, kMaxDims> stride{1, 1, 1};
  std::array<int64_t, kMaxDims> dilation{1, 1, 1};
  int64_t taps() const { return size[0] * size[1] * size[2]; }
  int64_t centre(int axis) const { return size[axis] % 2 == 1 ? (size[axis] - 1) / 2 : 0; }
};

// Pairs of a kernel grouped by blocks of kBlockRows output sites (in space-filling order), in a block by tap.
// Pairs of (block b, tap k) are [begin[b * taps + k], begin[b * taps + k + 1]), in order of the output site.
struct BlockMap {
  int64_t taps = 0;
  Buffer<int32_t> input;        // row of the input site of a pair
  Buffer<uint8_t> output;       // place of the output site of a pair in its block
  Buffer<int64_t> begin;        // blocks * taps + 1
  Buffer<int32_t> output_rows;  // row of the output site at each place, all blocks after another
};

// Distinct sites in space-filling (Morton) order; duplicates are one site, of which the first row counts.
struct UniqueSites {
  Buffer<int64_t> coordinates;  // (n, 1 + dims)
  Buffer<int32_t> first;        // n: row of the first of the duplicates
  Buffer<int32_t> inverse;      // rows of the input: their site
  int64_t n = 0;
};
UniqueSites unique_sites(const Coordinates& coordinates, const Parallel& parallel);

// Stride 1, the output sites are the input sites.
BlockMap submanifold_map(const Coordinates& sites, const Kernel& kernel, const Parallel& parallel);

// The pairs between two sets of sites twice: gathered by output (convolution) and by input (its transpose).
struct MapPair {
  BlockMap forward;
  BlockMap transposed;
};
MapPair relation_map(const Coordinates& input, const Coordinates& output, const Kernel& kernel,
                     const Parallel& parallel);

// The distinct floor(site / stride), in space-filling order, and the pairs between the sites and these.
struct StridedSites {
  UniqueSites coarse;
  MapPair map;
};
StridedSites strided_sites(const Coordinates& sites, const Kernel& kernel, const Parallel& parallel);

}  // namespace larmlreco
