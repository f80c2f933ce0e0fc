// The engine without libtorch, against sums by definition over a std::map of sites. Run it in a sanitizer build:
// cmake -DLARMLRECO_SANITIZE=address,undefined (or thread).
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "../engine.h"
#include "../kernel_map.h"

namespace {

using namespace larmlreco;
using Site = std::array<int64_t, kMaxDims + 1>;

int failures = 0;

void check(bool good, const std::string& what) {
  if (good) return;
  ++failures;
  std::fprintf(stderr, "FAILED: %s\n", what.c_str());
}

void two_threads(int64_t n, const std::function<void(int64_t)>& work) {
  std::atomic<int64_t> next{0};
  const auto worker = [&] {
    for (int64_t i = next++; i < n; i = next++) work(i);
  };
  std::thread other(worker);
  worker();
  other.join();
}

std::mt19937_64 generator(20240607);

std::vector<int64_t> cloud(int dims, int64_t n, int64_t low, int64_t high, int64_t items) {
  std::uniform_int_distribution<int64_t> place(low, high), item(0, items - 1);
  std::map<Site, bool> seen;
  std::vector<int64_t> rows;
  for (int64_t i = 0; i < n; ++i) {
    Site site{item(generator), 0, 0, 0};
    for (int a = 0; a < dims; ++a) site[1 + a] = place(generator);
    if (!seen.emplace(site, true).second) continue;
    rows.insert(rows.end(), site.begin(), site.begin() + 1 + dims);
  }
  return rows;
}

Coordinates view(const std::vector<int64_t>& rows, int dims) {
  return {rows.data(), static_cast<int64_t>(rows.size()) / (1 + dims), dims};
}

Site site_at(const Coordinates& sites, int64_t row) {
  Site site{0, 0, 0, 0};
  std::copy(sites.row(row), sites.row(row) + 1 + sites.dims, site.begin());
  return site;
}

using Pairs = std::vector<std::array<int64_t, 3>>;  // tap, input row, output row

Pairs pairs_by_definition(const Coordinates& input, const Coordinates& output, const Kernel& kernel) {
  std::map<Site, int64_t> row;
  for (int64_t i = 0; i < input.n; ++i) row[site_at(input, i)] = i;
  Pairs pairs;
  for (int64_t o = 0; o < output.n; ++o) {
    int64_t tap = 0;
    for (int64_t x = 0; x < kernel.size[0]; ++x)
      for (int64_t y = 0; y < kernel.size[1]; ++y)
        for (int64_t z = 0; z < kernel.size[2]; ++z, ++tap) {
          const int64_t offset[3] = {x, y, z};
          Site at = site_at(output, o);
          for (int a = 0; a < kernel.dims; ++a)
            at[1 + a] = at[1 + a] * kernel.stride[a] + kernel.dilation[a] * (offset[a] - kernel.centre(a));
          const auto found = row.find(at);
          if (found != row.end()) pairs.push_back({tap, found->second, o});
        }
  }
  std::sort(pairs.begin(), pairs.end());
  return pairs;
}

Pairs pairs_of(const BlockMap& map) {
  Pairs pairs;
  for (int64_t block = 0; block < blocks_of(map.output_rows.size); ++block)
    for (int64_t tap = 0; tap < map.taps; ++tap)
      for (int64_t p = map.begin[block * map.taps + tap]; p < map.begin[block * map.taps + tap + 1]; ++p)
        pairs.push_back({tap, map.input[p], map.output_rows[block * kBlockRows + map.output[p]]});
  std::sort(pairs.begin(), pairs.end());
  return pairs;
}

Pairs reversed(Pairs pairs) {
  for (auto& pair : pairs) std::swap(pair[1], pair[2]);
  std::sort(pairs.begin(), pairs.end());
  return pairs;
}

MapView view(const BlockMap& map) {
  return {map.input.begin(), map.output.begin(), map.begin.begin(), map.output_rows.begin(), map.taps,
          map.output_rows.size};
}

template <class T>
std::vector<T> numbers(int64_t n) {
  std::normal_distribution<double> normal;
  std::vector<T> values(n);
  for (T& value : values) value = static_cast<T>(normal(generator));
  return values;
}

template <class T>
double largest_difference(const std::vector<T>& a, const std::vector<double>& b) {
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(static_cast<double>(a[i]) - b[i]));
  return largest;
}

template <class T>
void test_arithmetic(const BlockMap& map, int64_t n_in, int64_t c_in, int64_t c_out, T slope, const std::string& name) {
  const int64_t n_out = map.output_rows.size, unit = unit_width<T>(), padded = (c_out + unit - 1) / unit * unit;
  const auto features = numbers<T>(n_in * c_in), residual = numbers<T>(n_out * c_out), bias = numbers<T>(c_out);
  auto weight = numbers<T>(map.taps * c_in * padded);
  auto gradient = numbers<T>(n_out * padded);
  for (int64_t i = 0; i < static_cast<int64_t>(weight.size()); ++i)
    if (i % padded >= c_out) weight[i] = 0;

  std::vector<double> expected(n_out * c_out), expected_gradient(map.taps * c_in * padded, 0.0);
  for (int64_t o = 0; o < n_out; ++o)
    for (int64_t c = 0; c < c_out; ++c) expected[o * c_out + c] = double(bias[c]) + double(residual[o * c_out + c]);
  for (const auto& [tap, in, out] : pairs_of(map))
    for (int64_t i = 0; i < c_in; ++i) {
      const double x = features[in * c_in + i];
      for (int64_t c = 0; c < c_out; ++c) expected[out * c_out + c] += x * weight[(tap * c_in + i) * padded + c];
      for (int64_t c = 0; c < padded; ++c)
        expected_gradient[(tap * c_in + i) * padded + c] += x * gradient[out * padded + c];
    }
  for (double& y : expected) y = y > 0 ? y : y * slope;

  ConvolveTask<T> task{view(map), features.data(), weight.data(), bias.data(), residual.data(), nullptr,
                       c_in,      c_out,           padded,        slope};
  const int64_t per_segment = blocks_per_segment(n_out), segments = (blocks_of(n_out) + per_segment - 1) / per_segment;
  const double tolerance = std::is_same<T, float>::value ? 1e-3 : 1e-10;
  for (const InstructionSet* set : instruction_sets()) {
    use_instruction_set(set);
    const std::string where = name + " on " + set->name;
    std::vector<T> one(n_out * c_out), two(n_out * c_out);
    task.out = one.data();
    convolve(task, serial);
    check(largest_difference(one, expected) < tolerance, "convolution, " + where);
    task.out = two.data();
    convolve(task, two_threads);
    check(one == two, "threads change a convolution, " + where);

    std::vector<T> parts(segments * map.taps * c_in * padded), other = parts;
    WeightGradientTask<T> backward{view(map), features.data(), gradient.data(), parts.data(), c_in, padded, per_segment};
    weight_gradient(backward, serial);
    backward.out = other.data();
    weight_gradient(backward, two_threads);
    check(parts == other, "threads change a weight gradient, " + where);
    parts.resize(segments > 0 ? map.taps * c_in * padded : 0);
    check(largest_difference(parts, expected_gradient) < 10 * tolerance, "weight gradient, " + where);
  }
  use_instruction_set(instruction_sets().front());
}

void test_maps(int dims, int64_t n, int64_t low, int64_t high) {
  const auto rows = cloud(dims, n, low, high, 3);
  const Coordinates sites = view(rows, dims);
  const std::string name = std::to_string(sites.n) + " sites in " + std::to_string(dims) + "D";
  for (const std::array<int64_t, 3>& size : {std::array<int64_t, 3>{3, 3, 3}, {5, 3, 1}, {1, 1, 1}})
    for (const int64_t dilation : {1, 2, 9}) {
      Kernel kernel{dims, size, {1, 1, 1}, {dilation, dilation, dilation}};
      if (dims == 2) kernel.size[2] = 1;
      const auto map = submanifold_map(sites, kernel, two_threads);
      check(pairs_of(map) == pairs_by_definition(sites, sites, kernel), "submanifold map, " + name);
      if (dilation != 1) continue;
      test_arithmetic<float>(map, sites.n, 1, 16, 1.0f, name);
      test_arithmetic<float>(map, sites.n, 32, 16, 0.0f, name);
      test_arithmetic<float>(map, sites.n, 7, 90, 0.1f, name);
      test_arithmetic<double>(map, sites.n, 6, 21, 0.1, name);
    }
  for (const int64_t size : {2, 3, 4})
    for (const int64_t stride : {1, 2, 3, 4}) {
      Kernel kernel{dims, {size, size, size}, {stride, stride, stride}, {1, 1, 1}};
      if (dims == 2) kernel.size[2] = kernel.stride[2] = 1;
      const auto strided = strided_sites(sites, kernel, two_threads);
      const Coordinates coarse{strided.coarse.coordinates.begin(), strided.coarse.n, dims};
      const auto expected = pairs_by_definition(sites, coarse, kernel);
      check(pairs_of(strided.map.forward) == expected, "strided map, " + name);
      check(pairs_of(strided.map.transposed) == reversed(expected), "transposed map, " + name);
      for (int64_t i = 0; i < sites.n; ++i) {
        Site parent = site_at(sites, i);
        for (int a = 0; a < dims; ++a)
          parent[1 + a] = static_cast<int64_t>(std::floor(static_cast<double>(parent[1 + a]) / double(stride)));
        check(site_at(coarse, strided.coarse.inverse[i]) == parent, "parent of a site, " + name);
      }
      if (sites.n > 0) test_arithmetic<float>(strided.map.transposed, coarse.n, 20, 48, 1.0f, name + ", transposed");
    }
}

template <class T>
bool same(const Buffer<T>& a, const Buffer<T>& b) {
  return a.size == b.size && std::equal(a.begin(), a.begin() + a.size, b.begin());
}

bool same(const BlockMap& a, const BlockMap& b) {
  return a.taps == b.taps && same(a.input, b.input) && same(a.output, b.output) && same(a.begin, b.begin) &&
         same(a.output_rows, b.output_rows);
}

bool same(const UniqueSites& a, const UniqueSites& b) {
  return a.n == b.n && same(a.coordinates, b.coordinates) && same(a.first, b.first) && same(a.inverse, b.inverse);
}

// Enough sites for several pieces of work in every loop.
void test_threads() {
  const auto rows = cloud(3, 40000, -30, 30, 2);
  const Coordinates sites = view(rows, 3);
  const auto expect_same = [&](bool good, const std::string& what) { check(good, "threads change " + what); };
  for (const int64_t dilation : {1, 7}) {
    const Kernel around{3, {3, 3, 3}, {1, 1, 1}, {dilation, dilation, dilation}};
    const auto map = submanifold_map(sites, around, two_threads);
    check(pairs_of(map) == pairs_by_definition(sites, sites, around), "submanifold map of many sites");
    expect_same(same(map, submanifold_map(sites, around, serial)), "a submanifold map");
  }
  for (const int64_t size : {2, 3}) {
    const Kernel halving{3, {size, size, size}, {2, 2, 2}, {1, 1, 1}};
    const auto strided = strided_sites(sites, halving, two_threads), other = strided_sites(sites, halving, serial);
    const Coordinates coarse{strided.coarse.coordinates.begin(), strided.coarse.n, 3};
    const auto expected = pairs_by_definition(sites, coarse, halving);
    check(pairs_of(strided.map.forward) == expected, "strided map of many sites");
    check(pairs_of(strided.map.transposed) == reversed(expected), "transposed map of many sites");
    expect_same(same(strided.coarse, other.coarse), "coarse sites");
    expect_same(same(strided.map.forward, other.map.forward), "a strided map");
    expect_same(same(strided.map.transposed, other.map.transposed), "a transposed map");
  }
  auto twice = rows;
  twice.insert(twice.end(), rows.begin(), rows.end());
  const auto unique = unique_sites(view(twice, 3), two_threads);
  check(unique.n == sites.n, "each of many sites is there once");
  bool first = true, found = true;
  for (int64_t i = 0; i < sites.n; ++i) {
    first = first && unique.first[unique.inverse[i]] == i && unique.inverse[i] == unique.inverse[i + sites.n];
    found = found && std::equal(sites.row(i), sites.row(i) + 4, unique.coordinates.begin() + unique.inverse[i] * 4);
  }
  check(first && found, "sites of rows that come twice");
  expect_same(same(unique, unique_sites(view(twice, 3), serial)), "distinct sites");
}

template <class F>
void check_refused(const F& f, const std::string& part, const std::string& what) {
  try {
    f();
  } catch (const BadInput& error) {
    check(std::string(error.what()).find(part) != std::string::npos, what + ": " + error.what());
    return;
  }
  check(false, what + " was not refused");
}

void test_limits() {
  constexpr int64_t most = std::numeric_limits<int64_t>::max(), least = std::numeric_limits<int64_t>::min();
  const Kernel kernel{3, {3, 3, 3}, {1, 1, 1}, {1, 1, 1}};
  for (const int64_t far : {most, least, int64_t{1} << 22}) {
    const std::vector<int64_t> rows{0, 0, 0, 0, 0, far, 0, 0};
    check_refused([&] { submanifold_map(view(rows, 3), kernel, serial); }, "64-bit key", "too wide a box");
  }
  // A far corner of space is no obstacle as long as the box is small.
  const int64_t corner = (int64_t{1} << 61) + 5;
  const std::vector<int64_t> rows{7, corner, -corner, 3, 7, corner + 1, -corner - 1, 2, 9, corner, -corner, 3};
  const auto map = submanifold_map(view(rows, 3), kernel, serial);
  check(pairs_of(map) == pairs_by_definition(view(rows, 3), view(rows, 3), kernel), "far corner");
  const std::vector<int64_t> twice{0, 1, 2, 3, 0, 4, 5, 6, 0, 1, 2, 3};
  check_refused([&] { submanifold_map(view(twice, 3), kernel, serial); }, "rows 0 and 2", "duplicates");
  std::vector<int64_t> line;
  for (int64_t i = 0; i < 30000; ++i) line.insert(line.end(), {0, 0, i == 29999 ? 20000 : i, 0});
  for (const Parallel& parallel : {Parallel(serial), Parallel(two_threads)})
    check_refused([&] { submanifold_map(view(line, 3), kernel, parallel); }, "rows 20000 and 29999", "a late duplicate");
  const auto unique = unique_sites(view(twice, 3), two_threads);
  check(unique.n == 2 && unique.inverse[0] == unique.inverse[2] && unique.first[unique.inverse[0]] == 0, "unique sites");
}

}  // namespace

int main() {
  test_limits();
  test_threads();
  for (const int dims : {2, 3}) {
    test_maps(dims, 0, 0, 1);
    test_maps(dims, 1, 5, 5);
    test_maps(dims, 700, -9, 9);
    test_maps(dims, 200, -100000, 100000);
  }
  if (failures == 0) std::puts("all good");
  return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
