// Registers the engine as operators of libtorch. No Python: any program that opens this library can run archives
// that use them. See larmlreco/sparse/native.py for what each operator means to its callers.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <pthread.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "engine.h"
#include "kernel_map.h"

namespace {

using at::Tensor;
using larmlreco::BadInput;
using larmlreco::BlockMap;
using larmlreco::Buffer;
using larmlreco::Coordinates;
using larmlreco::InstructionSet;
using larmlreco::Kernel;
using larmlreco::kBlockRows;
using larmlreco::kMaxDims;
using larmlreco::MapView;

// ------------------------------------------------------------------------------------ instruction sets
std::vector<std::string> instruction_sets() {
  std::vector<std::string> names;
  for (const InstructionSet* set : larmlreco::instruction_sets()) names.emplace_back(set->name);
  return names;
}

std::string use_instruction_set(std::string name) {
  const std::string previous = larmlreco::instruction_set()->name;
  for (const InstructionSet* set : larmlreco::instruction_sets())
    if (name == set->name) {
      larmlreco::use_instruction_set(set);
      return previous;
    }
  std::string names;
  for (const std::string& valid : instruction_sets()) names += (names.empty() ? "" : ", ") + valid;
  TORCH_CHECK_VALUE(false, "unknown instruction set '", name, "': valid here: ", names);
}

double fma_peak_gflops(double seconds) {
  const InstructionSet* set = larmlreco::instruction_set();
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::duration<double>(seconds);
  double best = 0;
  do {
    const auto start = Clock::now();
    const double flops = set->fma_flops(100000);
    best = std::max(best, flops / std::chrono::duration<double>(Clock::now() - start).count() * 1e-9);
  } while (Clock::now() < end);
  return best;
}

// --------------------------------------------------------------------------------------------- threads
std::atomic<bool> forked{false};
std::atomic<int64_t> alone_until{0};  // on the monotonic clock, nanoseconds

int64_t nanoseconds(clockid_t clock) {
  timespec time;
  clock_gettime(clock, &time);
  return int64_t{1000000000} * time.tv_sec + time.tv_nsec;
}

// libtorch's threads take the next piece when they are done with one: pieces differ in cost.
//
// Such a loop ends when the last of its threads has come to the end of it, even one that found nothing left to do. On
// a machine with more work than cores it may take a tenth of a second until the system lets that thread run, and
// every loop would pay that. So a loop that took longer than all its work together is followed by loops on the
// caller's thread alone, for long enough that the time lost in this way stays small. In the child of a fork the threads
// of its parent do not exist, and waiting for them would never end: there, too, the caller's thread does everything.
void parallel(int64_t n, const std::function<void(int64_t)>& work) {
  constexpr int64_t kWorthNoting = 1000000, kPatience = 50, kLongest = 2000000000;
  static const int watched = pthread_atfork(nullptr, nullptr, [] { forked = true; });
  const int64_t threads = std::min<int64_t>(n, at::get_num_threads()), begin = nanoseconds(CLOCK_MONOTONIC);
  if (threads <= 1 || watched != 0 || forked || begin < alone_until || at::in_parallel_region())
    return larmlreco::serial(n, work);
  std::atomic<int64_t> next{0}, spent{0};
  at::parallel_for(0, threads, 1, [&](int64_t first, int64_t last) {
    const int64_t start = nanoseconds(CLOCK_THREAD_CPUTIME_ID);
    for (int64_t worker = first; worker < last; ++worker)
      for (int64_t i = next++; i < n; i = next++) work(i);
    spent += nanoseconds(CLOCK_THREAD_CPUTIME_ID) - start;
  });
  const int64_t end = nanoseconds(CLOCK_MONOTONIC), lost = end - begin - spent;
  if (lost > kWorthNoting) alone_until = end + std::min(kPatience * lost, kLongest);
}

// ----------------------------------------------------------------------------------------------- sites
template <class T>
Tensor as_tensor(Buffer<T>&& buffer, at::IntArrayRef sizes, at::ScalarType type) {
  auto owner = std::make_shared<Buffer<T>>(std::move(buffer));
  return at::from_blob(owner->begin(), sizes, [owner](void*) {}, at::TensorOptions().dtype(type));
}

template <class F>
auto checked(const F& f) {
  try {
    return f();
  } catch (const BadInput& error) {
    TORCH_CHECK_VALUE(false, error.what());
  } catch (const std::bad_alloc&) {
    TORCH_CHECK(false, "out of memory: the machine cannot hold the kernel map of so many voxels");
  }
}

Coordinates coordinates_of(const Tensor& sites) {
  return {sites.const_data_ptr<int64_t>(), sites.size(0), static_cast<int>(sites.size(1)) - 1};
}

Tensor check_sites(const Tensor& sites, const char* name) {
  TORCH_CHECK_TYPE(sites.scalar_type() == at::kLong, name, ": expected coordinates of type int64, got ",
                   sites.scalar_type());
  TORCH_CHECK_VALUE(sites.dim() == 2 && (sites.size(1) == 3 || sites.size(1) == 4), name,
                    ": expected coordinates (N, 3) or (N, 4): the batch item and 2 or 3 axes, got ", sites.sizes());
  TORCH_CHECK_VALUE(sites.device().is_cpu(), name, ": expected coordinates on the CPU, got ", sites.device());
  return sites.contiguous();
}

std::array<int64_t, kMaxDims> per_axis(at::IntArrayRef values, int dims, const char* name) {
  TORCH_CHECK_VALUE(static_cast<int>(values.size()) == dims, name, ": expected ", dims, " values, one an axis, got ",
                    values);
  std::array<int64_t, kMaxDims> result{1, 1, 1};
  for (int a = 0; a < dims; ++a) {
    TORCH_CHECK_VALUE(values[a] >= 1 && values[a] <= (int64_t{1} << 31), name, ": expected positive values, got ",
                      values);
    result[a] = values[a];
  }
  return result;
}

Kernel kernel_of(int dims, at::IntArrayRef size, at::IntArrayRef stride, at::IntArrayRef dilation) {
  constexpr int64_t kMostTaps = 4096;
  Kernel kernel;
  kernel.dims = dims;
  kernel.size = per_axis(size, dims, "kernel_size");
  kernel.stride = per_axis(stride, dims, "stride");
  kernel.dilation = per_axis(dilation, dims, "dilation");
  int64_t taps = 1;
  for (int a = 0; a < dims; ++a) taps = kernel.size[a] <= kMostTaps ? taps * kernel.size[a] : kMostTaps + 1;
  TORCH_CHECK_VALUE(taps <= kMostTaps, "kernel_size: expected at most ", kMostTaps, " taps, got ", size);
  return kernel;
}

Tensor widened(const Buffer<int32_t>& numbers) {
  return checked([&] {
    Buffer<int64_t> wide(numbers.size);
    std::copy_n(numbers.begin(), numbers.size, wide.begin());
    return as_tensor(std::move(wide), {numbers.size}, at::kLong);
  });
}

std::tuple<Tensor, Tensor, Tensor> distinct_sites(const Tensor& coordinates) {
  const Tensor rows = check_sites(coordinates, "distinct_sites");
  auto unique = checked([&] { return larmlreco::unique_sites(coordinates_of(rows), parallel); });
  return {as_tensor(std::move(unique.coordinates), {unique.n, rows.size(1)}, at::kLong),
          widened(unique.first), widened(unique.inverse)};
}

void append(std::vector<Tensor>& list, BlockMap&& map) {
  const int64_t pairs = map.input.size, lists = map.begin.size, rows = map.output_rows.size;
  list.push_back(as_tensor(std::move(map.input), {pairs}, at::kInt));
  list.push_back(as_tensor(std::move(map.output), {pairs}, at::kByte));
  list.push_back(as_tensor(std::move(map.begin), {lists}, at::kLong));
  list.push_back(as_tensor(std::move(map.output_rows), {rows}, at::kInt));
}

// A map is four tensors for the direction fine to coarse (see BlockMap) and four for the way back. A kernel that is
// its own mirror image needs no second four: the way back is the same with the taps reversed.
std::vector<Tensor> joining_map(const Tensor& fine, const Tensor& coarse, at::IntArrayRef kernel_size,
                                at::IntArrayRef stride, at::IntArrayRef dilation) {
  const Tensor input = check_sites(fine, "joining_map"), output = check_sites(coarse, "joining_map");
  TORCH_CHECK_VALUE(input.size(1) == output.size(1), "joining_map: expected fine and coarse coordinates of one width, got ",
                    input.sizes(), " and ", output.sizes());
  const Coordinates in = coordinates_of(input);
  const Kernel kernel = kernel_of(in.dims, kernel_size, stride, dilation);
  auto pair = checked([&] { return larmlreco::relation_map(in, coordinates_of(output), kernel, parallel); });
  std::vector<Tensor> list;
  append(list, std::move(pair.forward));
  append(list, std::move(pair.transposed));
  return list;
}

std::tuple<Tensor, std::vector<Tensor>> strided_sites(const Tensor& sites, at::IntArrayRef kernel_size,
                                                      at::IntArrayRef stride) {
  const Tensor rows = check_sites(sites, "strided_sites");
  const Coordinates fine = coordinates_of(rows);
  const Kernel kernel = kernel_of(fine.dims, kernel_size, stride, std::vector<int64_t>(fine.dims, 1));
  auto strided = checked([&] { return larmlreco::strided_sites(fine, kernel, parallel); });
  std::vector<Tensor> list;
  append(list, std::move(strided.map.forward));
  append(list, std::move(strided.map.transposed));
  const int64_t n = strided.coarse.n;
  return {as_tensor(std::move(strided.coarse.coordinates), {n, rows.size(1)}, at::kLong), list};
}

std::vector<Tensor> submanifold_map(const Tensor& sites, at::IntArrayRef kernel_size, at::IntArrayRef dilation) {
  const Tensor rows = check_sites(sites, "submanifold_map");
  const Coordinates coordinates = coordinates_of(rows);
  const std::vector<int64_t> ones(coordinates.dims, 1);
  const Kernel kernel = kernel_of(coordinates.dims, kernel_size, ones, dilation);
  for (int a = 0; a < kernel.dims; ++a)
    if (kernel.size[a] % 2 == 0) return joining_map(rows, rows, kernel_size, ones, dilation);
  std::vector<Tensor> list;
  append(list, checked([&] { return larmlreco::submanifold_map(coordinates, kernel, parallel); }));
  return list;
}

// --------------------------------------------------------------------------------------------- kernel maps
struct Direction {
  MapView view;
  int64_t n_in;
};

bool is_mirrored(at::TensorList map) { return map.size() == 4; }

Direction direction_of(at::TensorList map, bool transposed, int64_t taps) {
  TORCH_CHECK_VALUE(map.size() == 4 || map.size() == 8, "expected a kernel map of 4 or 8 tensors, got ", map.size());
  const at::ScalarType types[4] = {at::kInt, at::kByte, at::kLong, at::kInt};
  for (size_t i = 0; i < map.size(); ++i)
    TORCH_CHECK_VALUE(map[i].scalar_type() == types[i % 4] && map[i].dim() == 1 && map[i].is_contiguous() &&
                          map[i].device().is_cpu(),
                      "tensor ", i, " of a kernel map: expected ", types[i % 4], " in one dimension on the CPU, got ",
                      map[i].scalar_type(), " ", map[i].sizes(), " on ", map[i].device());
  const size_t own = transposed && !is_mirrored(map) ? 4 : 0, other = is_mirrored(map) ? 0 : 4 - own;
  const int64_t n_out = map[own + 3].size(0), blocks = larmlreco::blocks_of(n_out);
  TORCH_CHECK_VALUE(map[own].size(0) == map[own + 1].size(0) && map[own + 2].size(0) == blocks * taps + 1,
                    "expected a kernel map of ", taps, " taps (as the weight has), got one with lists for ",
                    blocks > 0 ? (map[own + 2].size(0) - 1) / blocks : 0);
  return {{map[own].const_data_ptr<int32_t>(), map[own + 1].const_data_ptr<uint8_t>(),
           map[own + 2].const_data_ptr<int64_t>(), map[own + 3].const_data_ptr<int32_t>(), taps, n_out},
          map[other + 3].size(0)};
}

// The pairs of the direction fine to coarse in the order of the taps: input rows, output rows, pairs of each tap.
std::vector<Tensor> map_pairs(at::TensorList map) {
  TORCH_CHECK_VALUE(map.size() == 4 || map.size() == 8, "expected a kernel map of 4 or 8 tensors, got ", map.size());
  const int64_t blocks = larmlreco::blocks_of(map[3].size(0));
  const int64_t taps = blocks > 0 ? (map[2].size(0) - 1) / blocks : 0;
  const MapView view = direction_of(map, false, taps).view;
  const int64_t pairs = map[0].size(0);
  Buffer<int64_t> input(pairs), output(pairs), counts(taps);
  int64_t to = 0;
  for (int64_t k = 0; k < taps; ++k) {
    const int64_t first = to;
    for (int64_t block = 0; block < blocks; ++block)
      for (int64_t p = view.begin[block * taps + k]; p < view.begin[block * taps + k + 1]; ++p, ++to) {
        input[to] = view.input[p];
        output[to] = view.output_rows[block * kBlockRows + view.output[p]];
      }
    counts[k] = to - first;
  }
  return {as_tensor(std::move(input), {pairs}, at::kLong), as_tensor(std::move(output), {pairs}, at::kLong),
          as_tensor(std::move(counts), {taps}, at::kLong)};
}

void check_features(const Tensor& features, const char* name, int64_t rows, int64_t channels, at::ScalarType type) {
  TORCH_CHECK_VALUE(features.dim() == 2 && features.size(0) == rows && features.size(1) == channels, name,
                    ": expected ", rows, " rows (one a site) of ", channels, " channels, got ", features.sizes());
  TORCH_CHECK_TYPE(features.scalar_type() == type, name, ": expected type ", type, ", got ", features.scalar_type());
  TORCH_CHECK_VALUE(features.device().is_cpu(), name, ": expected a tensor on the CPU, got ", features.device());
}

void check_bias(const Tensor& bias, int64_t channels, at::ScalarType type) {
  TORCH_CHECK_VALUE(bias.dim() == 1 && bias.size(0) == channels && bias.scalar_type() == type, "bias: expected ",
                    channels, " values of the features' type, got ", bias.sizes(), " of ", bias.scalar_type());
}

void check_type(const Tensor& features) {
  TORCH_CHECK_TYPE(features.scalar_type() == at::kFloat || features.scalar_type() == at::kDouble ||
                       features.scalar_type() == at::kBFloat16,
                   "features: expected float32, float64 or bfloat16, got ", features.scalar_type());
}

// The last axis padded with zeros to whole units of channels.
Tensor pad_channels(const Tensor& tensor) {
  const int64_t unit = larmlreco::kUnitBytes / tensor.element_size(), channels = tensor.size(-1);
  const int64_t padding = (unit - channels % unit) % unit;
  return padding == 0 ? tensor.contiguous() : at::constant_pad_nd(tensor, {0, padding});
}

template <class T>
void run_convolve(const Direction& direction, const Tensor& features, const Tensor& weight, const Tensor& bias,
                  const Tensor& residual, double negative_slope, Tensor& out) {
  larmlreco::ConvolveTask<T> task;
  task.map = direction.view;
  task.features = features.const_data_ptr<T>();
  task.weight = weight.const_data_ptr<T>();
  task.bias = bias.defined() ? bias.const_data_ptr<T>() : nullptr;
  task.residual = residual.defined() ? residual.const_data_ptr<T>() : nullptr;
  task.out = out.mutable_data_ptr<T>();
  task.c_in = features.size(1);
  task.c_out = out.size(1);
  task.padded = weight.size(2);
  task.negative_slope = static_cast<T>(negative_slope);
  larmlreco::convolve(task, parallel);
}

// Uninitialised (rows, channels) from the engine's own memory, see Buffer.
Tensor new_features(int64_t rows, int64_t channels, const Tensor& like) {
  const auto make = [&](auto zero) {
    return as_tensor(Buffer<decltype(zero)>(rows * channels), {rows, channels}, like.scalar_type());
  };
  try {
    if (like.scalar_type() == at::kBFloat16) return make(uint16_t{0});
    return like.scalar_type() == at::kFloat ? make(0.0f) : make(0.0);
  } catch (const std::bad_alloc&) {
    TORCH_CHECK(false, "out of memory: the machine cannot hold ", channels, " channels of ", rows, " voxels");
  }
}

// Without arithmetic for bfloat16 the same is computed in float32 and rounded.
void run_bfloat16(const Direction& direction, const Tensor& features, const Tensor& weight, const Tensor& bias,
                  const Tensor& residual, double negative_slope, Tensor& out) {
  const int64_t c_in = features.size(1), channels = out.size(1);
  if (!larmlreco::has_bfloat16() || c_in % 2 != 0) {
    const auto wide = [](const Tensor& tensor) { return tensor.defined() ? tensor.to(at::kFloat) : tensor; };
    Tensor wide_out = at::empty(out.sizes(), out.options().dtype(at::kFloat));
    run_convolve<float>(direction, wide(features), pad_channels(wide(weight)), wide(bias), wide(residual),
                        negative_slope, wide_out);
    out.copy_(wide_out);
    return;
  }
  constexpr int64_t unit = larmlreco::unit_width<float>();
  const int64_t padded = (channels + unit - 1) / unit * unit;
  const Tensor packed = at::constant_pad_nd(weight, {0, padded - channels})
                            .view({weight.size(0), c_in / 2, 2, padded})
                            .transpose(2, 3)
                            .contiguous();
  const Tensor wide_bias = bias.defined() ? bias.to(at::kFloat) : bias;
  const auto bits = [](const Tensor& tensor) {
    return tensor.defined() ? static_cast<const uint16_t*>(tensor.const_data_ptr()) : nullptr;
  };
  larmlreco::Bfloat16Task task;
  task.map = direction.view;
  task.features = bits(features);
  task.weight = bits(packed);
  task.bias = bias.defined() ? wide_bias.const_data_ptr<float>() : nullptr;
  task.residual = bits(residual);
  task.out = static_cast<uint16_t*>(out.mutable_data_ptr());
  task.c_in = c_in;
  task.c_out = channels;
  task.padded = padded;
  task.negative_slope = static_cast<float>(negative_slope);
  larmlreco::convolve(task, parallel);
}

Tensor convolve_cpu(const Tensor& features, const Tensor& weight, const std::optional<Tensor>& bias,
                    at::TensorList map, int64_t n_out, bool transposed, const std::optional<Tensor>& residual,
                    double negative_slope) {
  check_type(features);
  TORCH_CHECK_VALUE(weight.dim() == 3, "weight: expected (taps, C_in, C_out), got ", weight.sizes());
  TORCH_CHECK_TYPE(weight.scalar_type() == features.scalar_type(), "weight: expected the type of the features, ",
                   features.scalar_type(), ", got ", weight.scalar_type());
  const Direction direction = direction_of(map, transposed, weight.size(0));
  check_features(features, "features", direction.n_in, weight.size(1), features.scalar_type());
  TORCH_CHECK_VALUE(n_out == direction.view.n_out, "n_out: expected ", direction.view.n_out,
                    ", the output sites of the kernel map, got ", n_out);
  const int64_t channels = weight.size(2);
  Tensor own_bias, own_residual;
  if (bias.has_value()) {
    check_bias(*bias, channels, features.scalar_type());
    own_bias = bias->contiguous();
  }
  if (residual.has_value()) {
    check_features(*residual, "residual", n_out, channels, features.scalar_type());
    own_residual = residual->contiguous();
  }
  Tensor out = new_features(n_out, channels, features);
  if (out.numel() == 0) return out;
  const Tensor own_features = features.contiguous();
  const Tensor ordered = transposed && is_mirrored(map) ? weight.flip(0) : weight;
  if (features.scalar_type() == at::kBFloat16) {
    run_bfloat16(direction, own_features, ordered.contiguous(), own_bias, own_residual, negative_slope, out);
    return out;
  }
  const Tensor own_weight = pad_channels(ordered);
  if (features.scalar_type() == at::kFloat)
    run_convolve<float>(direction, own_features, own_weight, own_bias, own_residual, negative_slope, out);
  else
    run_convolve<double>(direction, own_features, own_weight, own_bias, own_residual, negative_slope, out);
  return out;
}

// What torch does as well, but into the engine's own memory: the heap, from which torch takes it, has about as many
// holes as content between the arrays of one network.
Tensor join_cpu(const Tensor& left, const Tensor& right) {
  check_type(left);
  TORCH_CHECK_VALUE(left.dim() == 2 && right.dim() == 2, "join: expected features (sites, channels), got ",
                    left.sizes(), " and ", right.sizes());
  check_features(right, "join", left.size(0), right.size(1), left.scalar_type());
  Tensor out = new_features(left.size(0), left.size(1) + right.size(1), left);
  return at::cat_out(out, {left, right}, 1);
}

Tensor linear_cpu(const Tensor& features, const Tensor& weight, const std::optional<Tensor>& bias) {
  check_type(features);
  TORCH_CHECK_VALUE(features.dim() == 2 && weight.dim() == 2, "linear: expected features (sites, C_in) and weight ",
                    "(C_out, C_in), got ", features.sizes(), " and ", weight.sizes());
  check_features(features, "linear", features.size(0), weight.size(1), weight.scalar_type());
  if (bias.has_value()) check_bias(*bias, weight.size(0), features.scalar_type());
  Tensor out = new_features(features.size(0), weight.size(0), features);
  return bias.has_value() ? at::addmm_out(out, *bias, features, weight.t()) : at::mm_out(out, features, weight.t());
}

template <class T>
void run_weight_gradient(const Direction& direction, const Tensor& features, const Tensor& gradient, Tensor& out,
                         int64_t blocks_per_segment) {
  larmlreco::WeightGradientTask<T> task;
  task.map = direction.view;
  task.features = features.const_data_ptr<T>();
  task.gradient = gradient.const_data_ptr<T>();
  task.out = out.mutable_data_ptr<T>();
  task.c_in = features.size(1);
  task.padded = gradient.size(1);
  task.blocks_per_segment = blocks_per_segment;
  larmlreco::weight_gradient(task, parallel);
}

// The gradient of the weights: for each tap the products of input features and output gradients over its pairs.
// Segments of blocks are summed on their own and added in order: their number depends on the data alone.
Tensor weight_gradient_cpu(const Tensor& features, const Tensor& gradient, at::TensorList map, int64_t taps,
                           bool transposed) {
  check_type(features);
  const Direction direction = direction_of(map, transposed, taps);
  TORCH_CHECK_VALUE(features.dim() == 2 && gradient.dim() == 2, "weight_gradient: expected features and gradient ",
                    "(sites, channels), got ", features.sizes(), " and ", gradient.sizes());
  check_features(features, "features", direction.n_in, features.size(1), features.scalar_type());
  check_features(gradient, "gradient", direction.view.n_out, gradient.size(1), features.scalar_type());
  const int64_t channels = gradient.size(1);
  if (features.numel() == 0 || gradient.numel() == 0)
    return at::zeros({taps, features.size(1), channels}, features.options());
  if (features.scalar_type() == at::kBFloat16)
    return weight_gradient_cpu(features.to(at::kFloat), gradient.to(at::kFloat), map, taps, transposed)
        .to(at::kBFloat16);
  const int64_t per_segment = larmlreco::blocks_per_segment(direction.view.n_out);
  const int64_t segments = (larmlreco::blocks_of(direction.view.n_out) + per_segment - 1) / per_segment;
  const Tensor own_gradient = pad_channels(gradient), own_features = features.contiguous();
  Tensor parts = at::empty({segments, taps, features.size(1), own_gradient.size(1)}, features.options());
  if (features.scalar_type() == at::kFloat)
    run_weight_gradient<float>(direction, own_features, own_gradient, parts, per_segment);
  else
    run_weight_gradient<double>(direction, own_features, own_gradient, parts, per_segment);
  const Tensor sum = parts[0].narrow(2, 0, channels);
  return transposed && is_mirrored(map) ? sum.flip(0) : sum.clone(at::MemoryFormat::Contiguous);
}

// ----------------------------------------------------------------------------------------------- autograd
Tensor convolve(const Tensor& features, const Tensor& weight, const std::optional<Tensor>& bias, at::TensorList map,
                c10::SymInt n_out, bool transposed, const std::optional<Tensor>& residual, double negative_slope) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("larmlreco::convolve", "")
                             .typed<Tensor(const Tensor&, const Tensor&, const std::optional<Tensor>&, at::TensorList,
                                           c10::SymInt, bool, const std::optional<Tensor>&, double)>();
  return op.call(features, weight, bias, map, std::move(n_out), transposed, residual, negative_slope);
}

Tensor weight_gradient(const Tensor& features, const Tensor& gradient, at::TensorList map, c10::SymInt taps,
                       bool transposed) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("larmlreco::weight_gradient", "")
                             .typed<Tensor(const Tensor&, const Tensor&, at::TensorList, c10::SymInt, bool)>();
  return op.call(features, gradient, map, std::move(taps), transposed);
}

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

class Convolve : public torch::autograd::Function<Convolve> {
 public:
  static Tensor forward(AutogradContext* context, const Tensor& features, const Tensor& weight,
                        const std::optional<Tensor>& bias, at::TensorList map, const c10::SymInt& n_out,
                        bool transposed, const std::optional<Tensor>& residual, double negative_slope) {
    at::AutoDispatchBelowADInplaceOrView guard;
    Tensor out = convolve(features, weight, bias, map, n_out, transposed, residual, negative_slope);
    variable_list saved{features, weight, negative_slope == 1.0 ? Tensor() : out};
    saved.insert(saved.end(), map.begin(), map.end());
    context->save_for_backward(saved);
    context->saved_data["transposed"] = transposed;
    context->saved_data["negative_slope"] = negative_slope;
    context->saved_data["biased"] = bias.has_value();
    context->saved_data["residual"] = residual.has_value();
    return out;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const Tensor &features = saved[0], &weight = saved[1];
    const std::vector<Tensor> map(saved.begin() + 3, saved.end());
    const bool transposed = context->saved_data["transposed"].toBool();
    const double slope = context->saved_data["negative_slope"].toDouble();
    Tensor gradient = gradients[0];
    // The leaky rectifier keeps the sign, so the sign of its output tells where it was active.
    if (slope == 0.0)
      gradient = at::threshold_backward(gradient, saved[2], 0);
    else if (slope != 1.0)
      gradient = at::leaky_relu_backward(gradient, saved[2], slope, /*self_is_result=*/slope > 0);
    gradient = gradient.contiguous();
    variable_list result(7 + map.size());  // one for every input tensor; a list counts each of its tensors
    if (context->needs_input_grad(0))
      result[0] = convolve(gradient, weight.transpose(1, 2), std::nullopt, map, features.sym_size(0), !transposed,
                           std::nullopt, 1.0);
    if (context->needs_input_grad(1))
      result[1] = weight_gradient(features, gradient, map, weight.sym_size(0), transposed);
    if (context->saved_data["biased"].toBool()) result[2] = gradient.sum(0);
    if (context->saved_data["residual"].toBool()) result[5 + map.size()] = gradient;
    return result;
  }
};

class WeightGradient : public torch::autograd::Function<WeightGradient> {
 public:
  static Tensor forward(AutogradContext* context, const Tensor& features, const Tensor& gradient, at::TensorList map,
                        const c10::SymInt& taps, bool transposed) {
    at::AutoDispatchBelowADInplaceOrView guard;
    variable_list saved{features, gradient};
    saved.insert(saved.end(), map.begin(), map.end());
    context->save_for_backward(saved);
    context->saved_data["transposed"] = transposed;
    return weight_gradient(features, gradient, map, taps, transposed);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const Tensor &features = saved[0], &gradient = saved[1], weight = gradients[0];
    const std::vector<Tensor> map(saved.begin() + 2, saved.end());
    const bool transposed = context->saved_data["transposed"].toBool();
    variable_list result(4 + map.size());
    result[0] = convolve(gradient, weight.transpose(1, 2), std::nullopt, map, features.sym_size(0), !transposed,
                         std::nullopt, 1.0);
    result[1] =
        convolve(features, weight, std::nullopt, map, gradient.sym_size(0), transposed, std::nullopt, 1.0);
    return result;
  }
};

Tensor convolve_autograd(const Tensor& features, const Tensor& weight, const std::optional<Tensor>& bias,
                         at::TensorList map, c10::SymInt n_out, bool transposed,
                         const std::optional<Tensor>& residual, double negative_slope) {
  return Convolve::apply(features, weight, bias, map, n_out, transposed, residual, negative_slope);
}

Tensor weight_gradient_autograd(const Tensor& features, const Tensor& gradient, at::TensorList map, c10::SymInt taps,
                                bool transposed) {
  return WeightGradient::apply(features, gradient, map, taps, transposed);
}

// Gradients are those of torch, which then takes the memory as well.
Tensor join_autograd(const Tensor& left, const Tensor& right) {
  if (at::GradMode::is_enabled() && (left.requires_grad() || right.requires_grad())) return at::cat({left, right}, 1);
  at::AutoDispatchBelowADInplaceOrView guard;
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("larmlreco::join", "")
                             .typed<Tensor(const Tensor&, const Tensor&)>();
  return op.call(left, right);
}

Tensor linear_autograd(const Tensor& features, const Tensor& weight, const std::optional<Tensor>& bias) {
  const bool learns = features.requires_grad() || weight.requires_grad() || (bias.has_value() && bias->requires_grad());
  if (at::GradMode::is_enabled() && learns) return at::linear(features, weight, bias);
  at::AutoDispatchBelowADInplaceOrView guard;
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("larmlreco::linear", "")
                             .typed<Tensor(const Tensor&, const Tensor&, const std::optional<Tensor>&)>();
  return op.call(features, weight, bias);
}

// ------------------------------------------------------------------------------------------------- meta
Tensor join_meta(const Tensor& left, const Tensor& right) { return at::cat({left, right}, 1); }

Tensor linear_meta(const Tensor& features, const Tensor& weight, const std::optional<Tensor>&) {
  return at::empty_symint({features.sym_size(0), weight.sym_size(0)}, features.options());
}

Tensor convolve_meta(const Tensor& features, const Tensor& weight, const std::optional<Tensor>&, at::TensorList,
                     c10::SymInt n_out, bool, const std::optional<Tensor>&, double) {
  return at::empty_symint({std::move(n_out), weight.sym_size(2)}, features.options());
}

Tensor weight_gradient_meta(const Tensor& features, const Tensor& gradient, at::TensorList, c10::SymInt taps, bool) {
  return at::empty_symint({std::move(taps), features.sym_size(1), gradient.sym_size(1)}, features.options());
}

// ------------------------------------------------------------------------------------------- other devices
void refuse(const c10::OperatorHandle& op, torch::jit::Stack*) {
  TORCH_CHECK_NOT_IMPLEMENTED(false, op.schema().name(), ": the native engine runs on the CPU, got tensors on a GPU: ",
                              "use the portable engine (or the portable archive) there");
}

}  // namespace

TORCH_LIBRARY(larmlreco, m) {
  m.def("distinct_sites(Tensor coords) -> (Tensor sites, Tensor first_row, Tensor site_of_row)");
  m.def("strided_sites(Tensor sites, int[] kernel_size, int[] stride) -> (Tensor coarse, Tensor[] kernel_map)");
  m.def("submanifold_map(Tensor sites, int[] kernel_size, int[] dilation) -> Tensor[]");
  m.def("joining_map(Tensor fine, Tensor coarse, int[] kernel_size, int[] stride, int[] dilation) -> Tensor[]");
  m.def("map_pairs(Tensor[] kernel_map) -> Tensor[]");
  m.def(
      "convolve(Tensor features, Tensor weight, Tensor? bias, Tensor[] kernel_map, SymInt n_out, bool transposed, "
      "Tensor? residual, float negative_slope) -> Tensor");
  m.def(
      "weight_gradient(Tensor features, Tensor gradient, Tensor[] kernel_map, SymInt taps, bool transposed) -> Tensor");
  m.def("join(Tensor left, Tensor right) -> Tensor");
  m.def("linear(Tensor features, Tensor weight, Tensor? bias) -> Tensor");
  m.def("instruction_sets() -> str[]", instruction_sets);
  m.def("use_instruction_set(str name) -> str", use_instruction_set);
  m.def("fma_peak_gflops(float seconds) -> float", fma_peak_gflops);
}

TORCH_LIBRARY_IMPL(larmlreco, CPU, m) {
  m.impl("distinct_sites", distinct_sites);
  m.impl("strided_sites", strided_sites);
  m.impl("submanifold_map", submanifold_map);
  m.impl("joining_map", joining_map);
  m.impl("map_pairs", map_pairs);
  m.impl("convolve", convolve_cpu);
  m.impl("weight_gradient", weight_gradient_cpu);
  m.impl("join", join_cpu);
  m.impl("linear", linear_cpu);
}

TORCH_LIBRARY_IMPL(larmlreco, Autograd, m) {
  m.impl("convolve", convolve_autograd);
  m.impl("weight_gradient", weight_gradient_autograd);
  m.impl("join", join_autograd);
  m.impl("linear", linear_autograd);
}

TORCH_LIBRARY_IMPL(larmlreco, Meta, m) {
  m.impl("convolve", convolve_meta);
  m.impl("weight_gradient", weight_gradient_meta);
  m.impl("join", join_meta);
  m.impl("linear", linear_meta);
}

TORCH_LIBRARY_IMPL(larmlreco, CUDA, m) {
  for (const char* name : {"distinct_sites", "strided_sites", "submanifold_map", "joining_map", "map_pairs", "convolve",
                           "weight_gradient", "join", "linear"})
    m.impl(name, torch::CppFunction::makeFromBoxedFunction<&refuse>());
}
