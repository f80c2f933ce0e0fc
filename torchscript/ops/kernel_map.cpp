#include "kernel_map.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <limits>
#include <memory>
#include <numeric>
#include <vector>

namespace larmlreco {
namespace {

// ---------------------------------------------------------------------------------------------- keys
// A key holds the batch item above the interleaved bits of the axes (Morton order), so that sites near in space
// are near in order, and a brick of 4^3 (3D) or 8^2 (2D) sites is a run of 64 keys.

constexpr int kBrickBits = 6;
constexpr int64_t kMargin = 64;  // room around all sites, so that the key of a neighbouring brick never wraps

uint64_t spread_bits(uint64_t x, int dims) {
  if (dims == 2) {
    x &= 0xffffffffull;
    x = (x | x << 16) & 0x0000ffff0000ffffull;
    x = (x | x << 8) & 0x00ff00ff00ff00ffull;
    x = (x | x << 4) & 0x0f0f0f0f0f0f0f0full;
    x = (x | x << 2) & 0x3333333333333333ull;
    return (x | x << 1) & 0x5555555555555555ull;
  }
  x &= 0x1fffffull;
  x = (x | x << 32) & 0x001f00000000ffffull;
  x = (x | x << 16) & 0x001f0000ff0000ffull;
  x = (x | x << 8) & 0x100f00f00f00f00full;
  x = (x | x << 4) & 0x10c30c30c30c30c3ull;
  return (x | x << 2) & 0x1249249249249249ull;
}

int bit_width(uint64_t x) {
  int width = 0;
  for (; x != 0; x >>= 1) ++width;
  return width;
}

struct Packing {
  int dims = 0;
  int axis_bits = 0;
  int64_t batch_origin = 0;
  uint64_t batch_count = 0;
  std::array<int64_t, kMaxDims> origin{0, 0, 0};

  bool holds(const int64_t* site) const {
    if (static_cast<uint64_t>(site[0]) - static_cast<uint64_t>(batch_origin) >= batch_count) return false;
    for (int a = 0; a < dims; ++a)
      if ((static_cast<uint64_t>(site[1 + a]) - static_cast<uint64_t>(origin[a])) >> axis_bits != 0) return false;
    return true;
  }
  uint64_t key(const int64_t* site) const {
    const uint64_t batch = static_cast<uint64_t>(site[0]) - static_cast<uint64_t>(batch_origin);
    uint64_t key = 0;
    for (int a = 0; a < dims; ++a)
      key |= spread_bits(static_cast<uint64_t>(site[1 + a]) - static_cast<uint64_t>(origin[a]), dims) << (dims - 1 - a);
    return dims * axis_bits < 64 ? (batch << (dims * axis_bits)) | key : key;
  }
};

constexpr int64_t kChunkSites = 8192;

// Calls work(chunk, first site, last site) for pieces of n sites.
template <class Work>
void for_chunks(int64_t n, const Parallel& parallel, const Work& work) {
  parallel((n + kChunkSites - 1) / kChunkSites, [&](int64_t chunk) {
    work(chunk, chunk * kChunkSites, std::min(n, (chunk + 1) * kChunkSites));
  });
}

// Calls work(block) for every block, several of them in one piece.
template <class Work>
void for_blocks(int64_t blocks, const Parallel& parallel, const Work& work) {
  constexpr int64_t kTogether = 8;
  parallel((blocks + kTogether - 1) / kTogether, [&](int64_t piece) {
    for (int64_t block = piece * kTogether; block < std::min(blocks, (piece + 1) * kTogether); ++block) work(block);
  });
}

// Numbers the items of [0, n) at which starts(i) is true: calls work(first number of the chunk, first, last) for each
// chunk, after ready(how many there are).
template <class Starts, class Ready, class Work>
void number_starts(int64_t n, const Parallel& parallel, const Starts& starts, const Ready& ready, const Work& work) {
  std::vector<int64_t> before((n + kChunkSites - 1) / kChunkSites + 1, 0);
  for_chunks(n, parallel, [&](int64_t chunk, int64_t first, int64_t last) {
    int64_t count = 0;
    for (int64_t i = first; i < last; ++i) count += starts(i);
    before[chunk + 1] = count;
  });
  std::partial_sum(before.begin(), before.end(), before.begin());
  ready(before.back());
  for_chunks(n, parallel,
             [&](int64_t chunk, int64_t first, int64_t last) { work(before[chunk], first, last); });
}

struct Box {
  std::array<int64_t, kMaxDims + 1> low, high;
};

Box box_of(const Coordinates& sites, const Parallel& parallel) {
  const int columns = sites.dims + 1;
  std::vector<Box> boxes((sites.n + kChunkSites - 1) / kChunkSites);
  for_chunks(sites.n, parallel, [&](int64_t chunk, int64_t first, int64_t last) {
    Box box;
    std::copy(sites.row(first), sites.row(first) + columns, box.low.begin());
    box.high = box.low;
    for (int64_t i = first + 1; i < last; ++i) {
      const int64_t* site = sites.row(i);
      for (int a = 0; a < columns; ++a) {
        box.low[a] = std::min(box.low[a], site[a]);
        box.high[a] = std::max(box.high[a], site[a]);
      }
    }
    boxes[chunk] = box;
  });
  Box all = boxes.front();
  for (const Box& box : boxes)
    for (int a = 0; a < columns; ++a) {
      all.low[a] = std::min(all.low[a], box.low[a]);
      all.high[a] = std::max(all.high[a], box.high[a]);
    }
  return all;
}

Packing choose_packing(const Coordinates& sites, const Parallel& parallel) {
  const int dims = sites.dims;
  Packing packing;
  packing.dims = dims;
  if (sites.n == 0) return packing;
  const auto [low, high] = box_of(sites, parallel);
  packing.batch_origin = low[0];
  packing.batch_count = static_cast<uint64_t>(high[0]) - static_cast<uint64_t>(low[0]) + 1;
  const int batch_bits = packing.batch_count == 0 ? 64 : bit_width(packing.batch_count - 1);
  const int widest = dims == 2 ? 31 : 21;
  const auto fits = [&](int bits) { return bits <= widest && batch_bits + dims * bits <= 64; };

  // Offset binary, where it fits: the order of sites then does not depend on the number of bits and survives the
  // halving of coordinates, so that coarser levels come out sorted without sorting.
  uint64_t reach = 0;
  for (int a = 1; a <= dims; ++a) {
    reach = std::max(reach, high[a] < 0 ? 0 : static_cast<uint64_t>(high[a]));
    reach = std::max(reach, low[a] < 0 ? ~static_cast<uint64_t>(low[a]) : 0);
  }
  if (reach < (1ull << 40)) {
    packing.axis_bits = bit_width(reach + kMargin) + 1;
    if (fits(packing.axis_bits)) {
      for (int a = 0; a < dims; ++a) packing.origin[a] = -(int64_t{1} << (packing.axis_bits - 1));
      return packing;
    }
  }
  uint64_t extent = 0;
  for (int a = 1; a <= dims; ++a) {
    const uint64_t range = static_cast<uint64_t>(high[a]) - static_cast<uint64_t>(low[a]);
    extent = std::max(extent, range);
    const int64_t aligned = low[a] & ~(kMargin - 1);
    packing.origin[a - 1] = static_cast<int64_t>(static_cast<uint64_t>(aligned) - static_cast<uint64_t>(kMargin));
  }
  packing.axis_bits = extent < (1ull << 40) ? bit_width(extent + 3 * kMargin) : 64;
  if (!fits(packing.axis_bits)) {
    std::string message = "sparse coordinates span";
    for (int a = 1; a <= dims; ++a)
      message += " [" + std::to_string(low[a]) + ", " + std::to_string(high[a]) + "]" + (a < dims ? " x" : "");
    message += " in batch items [" + std::to_string(low[0]) + ", " + std::to_string(high[0]) +
               "], which a 64-bit key cannot hold: expected at most 2^" + std::to_string(widest) +
               " voxels along an axis and fewer with many batch items";
    throw BadInput(message);
  }
  return packing;
}

// Sites by key: place p in the order holds row row[p].
struct SortedSites {
  Packing packing;
  Buffer<uint64_t> key;
  Buffer<int32_t> row;
};

// Stable, so the result does not depend on the pieces that the threads take.
void radix_sort(Buffer<uint64_t>& key, Buffer<int32_t>& row, int bits, const Parallel& parallel) {
  constexpr int kDigit = 11;
  constexpr int64_t kValues = 1 << kDigit, kMostPieces = 16;
  const int64_t n = key.size, pieces = std::clamp<int64_t>(n / kChunkSites, 1, kMostPieces);
  Buffer<uint64_t> other_key(n);
  Buffer<int32_t> other_row(n);
  std::vector<int64_t> place(pieces * kValues);
  for (int shift = 0; shift < bits; shift += kDigit) {
    const auto digit = [&](int64_t i) { return static_cast<int64_t>(key[i] >> shift) & (kValues - 1); };
    parallel(pieces, [&](int64_t piece) {
      int64_t* count = place.data() + piece * kValues;
      std::fill(count, count + kValues, 0);
      for (int64_t i = n * piece / pieces; i < n * (piece + 1) / pieces; ++i) ++count[digit(i)];
    });
    int64_t sum = 0;
    for (int64_t value = 0; value < kValues; ++value)
      for (int64_t piece = 0; piece < pieces; ++piece) {
        int64_t& p = place[piece * kValues + value];
        const int64_t count = p;
        p = sum;
        sum += count;
      }
    parallel(pieces, [&](int64_t piece) {
      int64_t* next = place.data() + piece * kValues;
      for (int64_t i = n * piece / pieces; i < n * (piece + 1) / pieces; ++i) {
        const int64_t to = next[digit(i)]++;
        other_key[to] = key[i];
        other_row[to] = row[i];
      }
    });
    std::swap(key, other_key);
    std::swap(row, other_row);
  }
}

SortedSites sort_sites(const Coordinates& sites, const Parallel& parallel) {
  if (sites.n > std::numeric_limits<int32_t>::max())
    throw BadInput("expected at most 2147483647 sites, got " + std::to_string(sites.n));
  SortedSites sorted;
  sorted.packing = choose_packing(sites, parallel);
  sorted.key = Buffer<uint64_t>(sites.n);
  sorted.row = Buffer<int32_t>(sites.n);
  std::atomic<bool> in_order{true};
  std::atomic<uint64_t> used{0};
  for_chunks(sites.n, parallel, [&](int64_t, int64_t first, int64_t last) {
    uint64_t before = first > 0 ? sorted.packing.key(sites.row(first - 1)) : 0, bits = 0;
    bool rising = true;
    for (int64_t i = first; i < last; ++i) {
      const uint64_t key = sorted.packing.key(sites.row(i));
      rising = rising && before <= key;
      before = key;
      bits |= key;
      sorted.key[i] = key;
      sorted.row[i] = static_cast<int32_t>(i);
    }
    if (!rising) in_order = false;
    used |= bits;
  });
  if (!in_order) radix_sort(sorted.key, sorted.row, bit_width(used), parallel);
  return sorted;
}

void require_distinct(const SortedSites& sites, const char* which, const Parallel& parallel) {
  std::atomic<int64_t> twice{sites.key.size};
  for_chunks(sites.key.size, parallel, [&](int64_t, int64_t first, int64_t last) {
    for (int64_t p = std::max<int64_t>(first, 1); p < last; ++p) {
      if (sites.key[p] != sites.key[p - 1]) continue;
      for (int64_t least = twice; p < least && !twice.compare_exchange_weak(least, p);) continue;
      return;
    }
  });
  const int64_t p = twice;
  if (p < sites.key.size)
    throw BadInput(std::string("expected distinct ") + which + " sites, got rows " + std::to_string(sites.row[p - 1]) +
                   " and " + std::to_string(sites.row[p]) + " with the same coordinates");
}

// Open addressing with at least half of the slots free.
class Table {
 public:
  explicit Table(int64_t n) {
    bits_ = std::max(4, bit_width(static_cast<uint64_t>(n)) + 1);
    slots_ = Buffer<Slot>(int64_t{1} << bits_);
    for (int64_t i = 0; i < slots_.size; ++i) slots_[i].value = -1;
  }
  void insert(uint64_t key, int32_t value) {
    uint64_t i = hash(key);
    while (slots_[static_cast<int64_t>(i)].value >= 0) i = (i + 1) & mask();
    slots_[static_cast<int64_t>(i)] = {key, value};
  }
  int32_t find(uint64_t key) const {
    for (uint64_t i = hash(key);; i = (i + 1) & mask()) {
      const Slot& slot = slots_[static_cast<int64_t>(i)];
      if (slot.value < 0 || slot.key == key) return slot.value;
    }
  }

 private:
  struct Slot {
    uint64_t key;
    int32_t value;
  };
  uint64_t hash(uint64_t key) const { return (key * 0x9e3779b97f4a7c15ull) >> (64 - bits_); }
  uint64_t mask() const { return (uint64_t{1} << bits_) - 1; }
  int bits_;
  Buffer<Slot> slots_;
};

std::vector<std::array<int64_t, kMaxDims>> tap_offsets(const Kernel& kernel) {
  std::vector<std::array<int64_t, kMaxDims>> offsets;
  for (int64_t x = 0; x < kernel.size[0]; ++x)
    for (int64_t y = 0; y < kernel.size[1]; ++y)
      for (int64_t z = 0; z < kernel.size[2]; ++z)
        offsets.push_back({kernel.dilation[0] * (x - kernel.centre(0)), kernel.dilation[1] * (y - kernel.centre(1)),
                           kernel.dilation[2] * (z - kernel.centre(2))});
  return offsets;
}

// ------------------------------------------------------------------------- pairs in any order into blocks
// `each(block, visit)` calls visit(place of the output site, row of the input site, tap) for every pair of an output
// block, the same each time.
template <class Each>
BlockMap block_pairs(const Each& each, int64_t pairs, const SortedSites& output, int64_t taps,
                     const Parallel& parallel) {
  BlockMap map;
  map.taps = taps;
  const int64_t n = output.key.size, blocks = blocks_of(n), lists = blocks * taps;
  map.begin = Buffer<int64_t>(lists + 1);
  std::fill(map.begin.begin(), map.begin.begin() + lists + 1, 0);
  for_blocks(blocks, parallel, [&](int64_t block) {
    int64_t* count = map.begin.begin() + block * taps + 1;
    each(block, [&](int64_t, int32_t, int64_t tap) { ++count[tap]; });
  });
  std::partial_sum(map.begin.begin(), map.begin.begin() + lists + 1, map.begin.begin());
  map.input = Buffer<int32_t>(pairs);
  map.output = Buffer<uint8_t>(pairs);
  for_blocks(blocks, parallel, [&](int64_t block) {
    std::vector<int64_t> next(map.begin.begin() + block * taps, map.begin.begin() + (block + 1) * taps);
    each(block, [&](int64_t place, int32_t row, int64_t tap) {
      const int64_t to = next[tap]++;
      map.input[to] = row;
      map.output[to] = static_cast<uint8_t>(place % kBlockRows);
    });
  });
  map.output_rows = Buffer<int32_t>(n);
  std::copy(output.row.begin(), output.row.begin() + n, map.output_rows.begin());
  return map;
}

struct Pair {
  int32_t output;  // place of the output site in its order
  int32_t input;   // place of the input site in its order
  int32_t tap;
};

// Every pair of the relation, by a lookup for each output site and tap: any kernel, stride and dilation.
std::vector<Pair> find_pairs(const Coordinates& input, const SortedSites& sorted_input, const Coordinates& output,
                             const SortedSites& sorted_output, const Kernel& kernel, const Parallel& parallel) {
  Table table(input.n);
  for (int64_t p = 0; p < input.n; ++p) table.insert(sorted_input.key[p], static_cast<int32_t>(p));
  const auto offsets = tap_offsets(kernel);
  std::vector<std::vector<Pair>> parts((output.n + kChunkSites - 1) / kChunkSites);
  for_chunks(output.n, parallel, [&](int64_t chunk, int64_t first, int64_t last) {
    std::vector<Pair>& pairs = parts[chunk];
    for (int64_t p = first; p < last; ++p) {
      const int64_t* site = output.row(sorted_output.row[p]);
      for (size_t k = 0; k < offsets.size(); ++k) {
        std::array<int64_t, kMaxDims + 1> at{site[0], 0, 0, 0};
        bool in_range = true;
        for (int a = 0; a < kernel.dims; ++a) {
          int64_t scaled = 0;
          in_range = in_range && !__builtin_mul_overflow(site[1 + a], kernel.stride[a], &scaled) &&
                     !__builtin_add_overflow(scaled, offsets[k][a], &at[1 + a]);
        }
        if (!in_range || !sorted_input.packing.holds(at.data())) continue;
        const int32_t found = table.find(sorted_input.packing.key(at.data()));
        if (found >= 0) pairs.push_back({static_cast<int32_t>(p), found, static_cast<int32_t>(k)});
      }
    }
  });
  size_t all = 0;
  for (const auto& part : parts) all += part.size();
  std::vector<Pair> pairs;
  pairs.reserve(all);
  for (auto& part : parts) {
    pairs.insert(pairs.end(), part.begin(), part.end());
    part = std::vector<Pair>();
  }
  return pairs;
}

// The pairs, gathered by output site or (transposed) by input site.
BlockMap block_pairs(std::vector<Pair> pairs, bool transposed, const SortedSites& input, const SortedSites& output,
                     int64_t taps, const Parallel& parallel) {
  if (transposed)
    std::stable_sort(pairs.begin(), pairs.end(), [](const Pair& a, const Pair& b) { return a.input < b.input; });
  const auto place = [transposed](const Pair& pair) { return transposed ? pair.input : pair.output; };
  const auto from = [&](int64_t block) {
    return std::partition_point(pairs.begin(), pairs.end(),
                                [&](const Pair& pair) { return place(pair) < block * kBlockRows; });
  };
  return block_pairs(
      [&](int64_t block, const auto& visit) {
        const auto end = from(block + 1);
        for (auto pair = from(block); pair != end; ++pair)
          visit(place(*pair), transposed ? output.row[pair->output] : input.row[pair->input], pair->tap);
      },
      static_cast<int64_t>(pairs.size()), transposed ? input : output, taps, parallel);
}

// ------------------------------------------------------------------ submanifold kernels of short reach
// The sites of a brick and of its neighbours fill a small window of rows, in which every tap is one load.
class Bricks {
 public:
  Bricks(const SortedSites& sites, const Parallel& parallel)
      : dims_(sites.packing.dims), side_(dims_ == 2 ? 8 : 4), axis_bits_(sites.packing.axis_bits) {
    const int64_t n = sites.key.size;
    const auto is_first = [&](int64_t p) {
      return p == 0 || sites.key[p] >> kBrickBits != sites.key[p - 1] >> kBrickBits;
    };
    number_starts(
        n, parallel, is_first,
        [&](int64_t bricks) {
          key_ = Buffer<uint64_t>(bricks);
          mask_ = Buffer<uint64_t>(bricks);
          start_ = Buffer<int32_t>(bricks + 1);
          start_[bricks] = static_cast<int32_t>(n);
        },
        [&](int64_t brick, int64_t first, int64_t last) {
          for (int64_t p = first; p < last; ++p) {
            if (!is_first(p)) continue;
            key_[brick] = sites.key[p] >> kBrickBits;
            start_[brick] = static_cast<int32_t>(p);
            uint64_t mask = 0;
            for (int64_t q = p; q < n && (q == p || !is_first(q)); ++q) mask |= uint64_t{1} << (sites.key[q] & 63);
            mask_[brick++] = mask;
          }
        });
    table_.reset(new Table(size()));
    for (int64_t b = 0; b < size(); ++b) table_->insert(key_[b], static_cast<int32_t>(b));
    for (int cell = 0; cell < 64; ++cell)
      for (int a = 0; a < dims_; ++a) {
        int64_t c = 0;
        for (int bit = 0; bit * dims_ < kBrickBits; ++bit) c |= ((cell >> (bit * dims_ + dims_ - 1 - a)) & 1) << bit;
        cell_[cell][a] = c;
      }
  }
  int64_t size() const { return key_.size; }
  int64_t start(int64_t brick) const { return start_[brick]; }
  uint64_t mask(int64_t brick) const { return mask_[brick]; }  // bit c: cell c holds a site
  int64_t brick_at(int64_t place) const {
    return std::upper_bound(start_.begin(), start_.begin() + start_.size, static_cast<int32_t>(place)) -
           start_.begin() - 1;
  }
  int side() const { return side_; }
  int64_t cell(int index, int axis) const { return cell_[index][axis]; }
  int32_t find(uint64_t key) const { return table_->find(key); }

  // The bits of a brick's key along each axis one step back, in place, and one step on.
  std::array<std::array<uint64_t, 3>, kMaxDims> steps(int64_t brick) const {
    const uint64_t key = key_[brick];
    const int bits = dims_ * axis_bits_ - kBrickBits;
    const uint64_t used = (uint64_t{1} << bits) - 1;
    std::array<std::array<uint64_t, 3>, kMaxDims> parts{};
    for (int a = 0; a < dims_; ++a) {
      const uint64_t axis = dims_ == 2 ? 0x5555555555555555ull : 0x1249249249249249ull;
      const uint64_t mask = (axis << (dims_ - 1 - a)) & used;
      parts[a] = {((key & mask) - 1) & mask, key & mask, ((key | ~mask) + 1) & mask};
    }
    for (uint64_t& part : parts[0]) part |= key & ~used;  // the batch item
    return parts;
  }

 private:
  int dims_;
  int side_;
  int axis_bits_;
  Buffer<uint64_t> key_;
  Buffer<uint64_t> mask_;
  Buffer<int32_t> start_;
  std::unique_ptr<Table> table_;
  std::array<std::array<int64_t, kMaxDims>, 64> cell_{};
};

struct Chunk {
  Buffer<int32_t> input;
  Buffer<uint8_t> output;
  int64_t pairs = 0;
  std::vector<int64_t> counts;  // of every (block, tap)
};

BlockMap brick_map(const SortedSites& sites, const Kernel& kernel, int64_t reach, const Parallel& parallel) {
  const int dims = kernel.dims;
  const int64_t n = sites.key.size, taps = kernel.taps();
  const Bricks bricks(sites, parallel);
  const int64_t side = bricks.side(), width = side + 2 * reach;
  std::array<int64_t, kMaxDims> step{};
  int64_t volume = 1;
  for (int a = dims - 1; a >= 0; --a) {
    step[a] = volume;
    volume *= width;
  }
  std::vector<int32_t> tap_step;
  for (const auto& offset : tap_offsets(kernel)) {
    int64_t sum = 0;
    for (int a = 0; a < dims; ++a) sum += offset[a] * step[a];
    tap_step.push_back(static_cast<int32_t>(sum));
  }
  // Where a cell of the neighbour in a direction lies in the window, or -1.
  int directions = 1;
  for (int a = 0; a < dims; ++a) directions *= 3;
  std::vector<std::array<int, kMaxDims>> towards(directions);
  std::vector<std::array<int32_t, 64>> window_place(directions);
  std::vector<uint64_t> reached(directions, 0);   // cells of the neighbour that lie in the window
  std::vector<uint64_t> reaching(directions, 0);  // cells of the brick itself within reach of that neighbour
  for (int d = 0; d < directions; ++d) {
    int rest = d;
    for (int a = dims - 1; a >= 0; --a) {
      towards[d][a] = rest % 3 - 1;
      rest /= 3;
    }
    for (int cell = 0; cell < 64; ++cell) {
      int64_t place = 0;
      bool inside = true, near = true;
      for (int a = 0; a < dims; ++a) {
        const int64_t own_cell = bricks.cell(cell, a), c = own_cell + towards[d][a] * side + reach;
        inside = inside && c >= 0 && c < width;
        near = near && (towards[d][a] == 0 || (towards[d][a] < 0 ? own_cell < reach : own_cell >= side - reach));
        place += c * step[a];
      }
      window_place[d][cell] = static_cast<int32_t>(place);
      if (inside) reached[d] |= uint64_t{1} << cell;
      if (near) reaching[d] |= uint64_t{1} << cell;
    }
  }
  const int own = directions / 2;

  constexpr int64_t kChunkBlocks = 8;
  const int64_t blocks = blocks_of(n), chunks = (blocks + kChunkBlocks - 1) / kChunkBlocks;
  std::vector<Chunk> parts(chunks);
  parallel(chunks, [&](int64_t part) {
    Chunk& chunk = parts[part];
    const int64_t first = part * kChunkBlocks * kBlockRows, last = std::min(n, first + kChunkBlocks * kBlockRows);
    std::vector<int32_t> window(volume, -1), filled;
    Buffer<int32_t> list_input(taps * (kBlockRows + 1));
    Buffer<uint8_t> list_output(taps * (kBlockRows + 1));
    std::vector<int64_t> list_size(taps, 0);
    chunk.input = Buffer<int32_t>((last - first) * taps);
    chunk.output = Buffer<uint8_t>((last - first) * taps);
    const auto flush = [&] {
      for (int64_t k = 0; k < taps; ++k) {
        const int64_t at = k * (kBlockRows + 1);
        std::copy_n(list_input.begin() + at, list_size[k], chunk.input.begin() + chunk.pairs);
        std::copy_n(list_output.begin() + at, list_size[k], chunk.output.begin() + chunk.pairs);
        chunk.pairs += list_size[k];
        chunk.counts.push_back(list_size[k]);
        list_size[k] = 0;
      }
    };
    int64_t place = first;
    for (int64_t brick = bricks.brick_at(first); place < last; ++brick) {
      const auto parts = bricks.steps(brick);
      for (int d = 0; d < directions; ++d) {
        if ((bricks.mask(brick) & reaching[d]) == 0) continue;
        const auto& t = towards[d];
        const int64_t other =
            d == own ? brick : bricks.find(parts[0][t[0] + 1] | parts[1][t[1] + 1] | parts[2][t[2] + 1]);
        if (other < 0) continue;
        const uint64_t mask = bricks.mask(other);
        for (uint64_t rest = mask & reached[d]; rest != 0; rest &= rest - 1) {
          const int cell = __builtin_ctzll(rest);
          const int64_t p = bricks.start(other) + __builtin_popcountll(mask & ((uint64_t{1} << cell) - 1));
          const int32_t at = window_place[d][cell];
          window[at] = sites.row[p];
          filled.push_back(at);
        }
      }
      for (; place < std::min(last, bricks.start(brick + 1)); ++place) {
        const int32_t* centre = window.data() + window_place[own][sites.key[place] & 63];
        const uint8_t output = static_cast<uint8_t>(place % kBlockRows);
        for (int64_t k = 0; k < taps; ++k) {
          const int32_t row = centre[tap_step[k]];
          const int64_t at = k * (kBlockRows + 1) + list_size[k];
          list_input[at] = row;
          list_output[at] = output;
          list_size[k] += row >= 0;
        }
        if ((place + 1) % kBlockRows == 0) flush();
      }
      for (const int32_t at : filled) window[at] = -1;
      filled.clear();
    }
    if (last % kBlockRows != 0) flush();
  });

  BlockMap map;
  map.taps = taps;
  std::vector<int64_t> offset(chunks + 1, 0);
  for (int64_t c = 0; c < chunks; ++c) offset[c + 1] = offset[c] + parts[c].pairs;
  map.input = Buffer<int32_t>(offset[chunks]);
  map.output = Buffer<uint8_t>(offset[chunks]);
  map.begin = Buffer<int64_t>(blocks * taps + 1);
  map.begin[0] = 0;
  parallel(chunks, [&](int64_t c) {
    Chunk& chunk = parts[c];
    std::copy_n(chunk.input.begin(), chunk.pairs, map.input.begin() + offset[c]);
    std::copy_n(chunk.output.begin(), chunk.pairs, map.output.begin() + offset[c]);
    int64_t sum = offset[c], list = c * kChunkBlocks * taps;
    for (const int64_t count : chunk.counts) map.begin[++list] = sum += count;
    chunk = Chunk();
  });
  map.output_rows = Buffer<int32_t>(n);
  std::copy(sites.row.begin(), sites.row.begin() + n, map.output_rows.begin());
  return map;
}

int64_t floor_divide(int64_t value, int64_t by) { return value / by - (value % by < 0 ? 1 : 0); }

UniqueSites distinct(const Coordinates& coordinates, const SortedSites& sorted, const Parallel& parallel) {
  const int64_t rows = coordinates.n;
  const int width = 1 + coordinates.dims;
  const auto is_first = [&](int64_t p) { return p == 0 || sorted.key[p] != sorted.key[p - 1]; };
  UniqueSites unique;
  unique.inverse = Buffer<int32_t>(rows);
  number_starts(
      rows, parallel, is_first,
      [&](int64_t sites) {
        unique.n = sites;
        unique.coordinates = Buffer<int64_t>(sites * width);
        unique.first = Buffer<int32_t>(sites);
      },
      [&](int64_t number, int64_t first, int64_t last) {
        int64_t site = number - 1;
        for (int64_t p = first; p < last; ++p) {
          const int32_t row = sorted.row[p];
          if (is_first(p)) {
            ++site;
            unique.first[site] = row;
            std::copy_n(coordinates.row(row), width, unique.coordinates.begin() + site * width);
          }
          unique.inverse[row] = static_cast<int32_t>(site);
        }
      });
  return unique;
}

// Places of n sites that are in order already.
SortedSites in_order(int64_t n) {
  SortedSites sorted;
  sorted.key = Buffer<uint64_t>(n);
  sorted.row = Buffer<int32_t>(n);
  std::iota(sorted.row.begin(), sorted.row.begin() + n, 0);
  return sorted;
}

}  // namespace

UniqueSites unique_sites(const Coordinates& coordinates, const Parallel& parallel) {
  return distinct(coordinates, sort_sites(coordinates, parallel), parallel);
}

StridedSites strided_sites(const Coordinates& sites, const Kernel& kernel, const Parallel& parallel) {
  const int width = 1 + sites.dims;
  Buffer<int64_t> parents(sites.n * width);
  Buffer<int32_t> tap(sites.n);
  bool tiles = true;  // windows that neither overlap nor leave gaps: every input site has exactly one pair
  for (int a = 0; a < sites.dims; ++a)
    tiles = tiles && kernel.size[a] == kernel.stride[a] && kernel.dilation[a] == 1 && kernel.centre(a) == 0;
  for_chunks(sites.n, parallel, [&](int64_t, int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      const int64_t* site = sites.row(i);
      parents[i * width] = site[0];
      int64_t offset = 0;
      for (int a = 0; a < sites.dims; ++a) {
        const int64_t parent = floor_divide(site[1 + a], kernel.stride[a]);
        parents[i * width + 1 + a] = parent;
        offset = offset * kernel.size[a] + site[1 + a] - parent * kernel.stride[a];
      }
      tap[i] = static_cast<int32_t>(offset);
    }
  });
  const Coordinates all{parents.begin(), sites.n, sites.dims};
  StridedSites result;
  result.coarse = distinct(all, sort_sites(all, parallel), parallel);
  const Coordinates coarse{result.coarse.coordinates.begin(), result.coarse.n, sites.dims};
  if (!tiles) {
    result.map = relation_map(sites, coarse, kernel, parallel);
    return result;
  }
  const SortedSites sorted = sort_sites(sites, parallel);
  require_distinct(sorted, "input", parallel);
  const auto& parent = result.coarse.inverse;
  result.map.transposed = block_pairs(
      [&](int64_t block, const auto& visit) {
        const int64_t end = std::min(sites.n, (block + 1) * kBlockRows);
        for (int64_t p = block * kBlockRows; p < end; ++p) visit(p, parent[sorted.row[p]], tap[sorted.row[p]]);
      },
      sites.n, sorted, kernel.taps(), parallel);
  // Fine sites by parent: as they are where the order of the fine sites survived the division.
  Buffer<int32_t> row(sites.n);
  std::copy_n(sorted.row.begin(), sites.n, row.begin());
  const auto by_parent = [&](int32_t a, int32_t b) { return parent[a] < parent[b]; };
  std::atomic<bool> in_parents_order{true};
  for_chunks(sites.n, parallel, [&](int64_t, int64_t first, int64_t last) {
    if (!std::is_sorted(row.begin() + std::max<int64_t>(first - 1, 0), row.begin() + last, by_parent))
      in_parents_order = false;
  });
  if (!in_parents_order) std::stable_sort(row.begin(), row.begin() + sites.n, by_parent);
  const auto from = [&](int64_t block) {
    return std::partition_point(row.begin(), row.begin() + sites.n,
                                [&](int32_t i) { return parent[i] < block * kBlockRows; });
  };
  result.map.forward = block_pairs(
      [&](int64_t block, const auto& visit) {
        const int32_t* end = from(block + 1);
        for (const int32_t* i = from(block); i != end; ++i) visit(parent[*i], *i, tap[*i]);
      },
      sites.n, in_order(coarse.n), kernel.taps(), parallel);
  return result;
}

BlockMap submanifold_map(const Coordinates& sites, const Kernel& kernel, const Parallel& parallel) {
  const SortedSites sorted = sort_sites(sites, parallel);
  require_distinct(sorted, "input", parallel);
  int64_t reach = 0;
  for (int a = 0; a < kernel.dims; ++a) {
    const int64_t centre = kernel.centre(a);
    reach = std::max(reach, kernel.dilation[a] * std::max(centre, kernel.size[a] - 1 - centre));
  }
  if (reach <= (kernel.dims == 2 ? 8 : 4)) return brick_map(sorted, kernel, reach, parallel);
  return block_pairs(find_pairs(sites, sorted, sites, sorted, kernel, parallel), false, sorted, sorted, kernel.taps(), parallel);
}

MapPair relation_map(const Coordinates& input, const Coordinates& output, const Kernel& kernel,
                     const Parallel& parallel) {
  const SortedSites sorted_input = sort_sites(input, parallel), sorted_output = sort_sites(output, parallel);
  require_distinct(sorted_input, "input", parallel);
  require_distinct(sorted_output, "output", parallel);
  const auto pairs = find_pairs(input, sorted_input, output, sorted_output, kernel, parallel);
  const int64_t taps = kernel.taps();
  return {block_pairs(pairs, false, sorted_input, sorted_output, taps, parallel),
          block_pairs(pairs, true, sorted_input, sorted_output, taps, parallel)};
}

}  // namespace larmlreco
