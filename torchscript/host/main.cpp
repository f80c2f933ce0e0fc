// larmlreco_host: runs an archive on the coordinates and features of a file, with libtorch alone.
#include <chrono>
#include <cstdlib>
#include <iostream>

#include <ATen/Parallel.h>

#include "archive.h"

namespace {

using larmlreco::Array;
using larmlreco::Error;

constexpr char kUsage[] =
    "usage: larmlreco_host MODEL.ts [INPUT.npz -o OUTPUT.npz] [--device cpu|cuda|cuda:N|auto] [--threads N] [--ops LIBRARY]\n"
    "Prints the model card of an archive; with an input, runs the archive on its arrays coords (N, 1+D) and feats (N, C)\n"
    "and writes one array for each output.\n"
    "  --threads N    threads of libtorch (default: all cores)\n"
    "  --ops LIBRARY  liblarmlreco_ops.so, which archives of the native engine need\n"
    "example: larmlreco_host segmentation.ts event.npz -o scores.npz --threads 1\n";

struct Options {
  std::string model, input, output, device = "cpu", operators;
  int threads = 0;
};

Options parse(int argc, char** argv) {
  Options options;
  int positional = 0;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const auto value = [&]() -> std::string {
      if (i + 1 == argc) throw Error(argument + " needs a value; see --help");
      return argv[++i];
    };
    if (argument == "-h" || argument == "--help") {
      std::cout << kUsage;
      std::exit(0);
    } else if (argument == "-o" || argument == "--output") {
      options.output = value();
    } else if (argument == "--device") {
      options.device = value();
    } else if (argument == "--ops") {
      options.operators = value();
    } else if (argument == "--threads") {
      const std::string number = value();
      char* end = nullptr;
      const long threads = std::strtol(number.c_str(), &end, 10);
      if (number.empty() || *end != '\0' || threads < 1 || threads > 4096)
        throw Error("--threads must be a number from 1 to 4096; got " + number);
      options.threads = static_cast<int>(threads);
    } else if (argument.size() > 1 && argument[0] == '-') {
      throw Error("unknown option " + argument + "; valid: -o, --device, --threads, --ops, --help");
    } else if (positional < 2) {
      (positional++ == 0 ? options.model : options.input) = argument;
    } else {
      throw Error("unexpected argument " + argument + "; see --help");
    }
  }
  if (options.model.empty()) throw Error("an archive is missing; see --help");
  if (options.input.empty() != options.output.empty())
    throw Error("an input and an output belong together: larmlreco_host MODEL.ts INPUT.npz -o OUTPUT.npz");
  return options;
}

at::ScalarType type_of(const Array& array) {
  switch (array.kind) {
    case 'b': return at::kBool;
    case 'f':
      if (array.width >= 4) return array.width == 4 ? at::kFloat : at::kDouble;
      if (array.width == 2) return at::kHalf;
      break;
    case 'u':
      if (array.width == 1) return at::kByte;
      break;
    default:
      return array.width == 1 ? at::kChar : array.width == 2 ? at::kShort : array.width == 4 ? at::kInt : at::kLong;
  }
  throw Error(std::string("its type is ") + array.kind + std::to_string(array.width) + "; valid: i1 to i8, u1, f2, f4, f8");
}

// A tensor of its own memory.
at::Tensor tensor_of(Array& array) {
  std::vector<int64_t> shape = array.shape;
  if (array.fortran_order) shape = {array.shape.rbegin(), array.shape.rend()};
  at::Tensor tensor = torch::from_blob(array.data.data(), shape, type_of(array)).clone();
  if (!array.fortran_order) return tensor;
  std::vector<int64_t> axes;
  for (int64_t axis = tensor.dim(); axis-- > 0;) axes.push_back(axis);
  return tensor.permute(axes);
}

Array array_of(const at::Tensor& tensor) {
  Array array;
  array.kind = tensor.is_floating_point() ? 'f' : tensor.scalar_type() == at::kBool ? 'b' : 'i';
  array.width = static_cast<int>(tensor.element_size());
  array.shape = tensor.sizes().vec();
  array.data.assign(static_cast<const char*>(tensor.data_ptr()), tensor.nbytes());
  return array;
}

at::Tensor take(const larmlreco::Records& records, const std::string& name, const std::string& path) {
  const auto record = records.find(name + ".npy");
  if (record == records.end()) throw Error("input " + path + " has no array " + name + "; it needs coords and feats");
  try {
    Array array = larmlreco::read_npy(record->second);
    return tensor_of(array);
  } catch (const Error& error) {
    throw Error("input " + path + ", array " + name + ": " + error.what());
  }
}

void run(const Options& options) {
  if (options.threads > 0) at::set_num_threads(options.threads);
  larmlreco::Archive archive(options.model, options.device, options.operators);
  if (options.input.empty()) {
    std::cout << archive.card() << '\n';
    return;
  }
  larmlreco::Records records;
  try {
    records = larmlreco::read_zip(larmlreco::read_file(options.input));
  } catch (const Error& error) {
    throw Error("input " + options.input + ": " + error.what());
  }
  const at::Tensor coords = take(records, "coords", options.input), features = take(records, "feats", options.input);
  const auto begin = std::chrono::steady_clock::now();
  const auto outputs = archive.run(coords, features);
  const std::chrono::duration<double, std::milli> passed = std::chrono::steady_clock::now() - begin;
  larmlreco::Records written;
  std::cout << coords.size(0) << " rows in " << passed.count() << " ms\n";
  for (const auto& [key, tensor] : outputs) {
    written[key + ".npy"] = larmlreco::write_npy(array_of(tensor));
    std::cout << key << ' ' << tensor.sizes() << '\n';
  }
  larmlreco::write_file(options.output, larmlreco::write_zip(written));
}

}  // namespace

int main(int argc, char** argv) {
  try {
    run(parse(argc, argv));
    std::cout.flush();
    return 0;
  } catch (const Error& error) {
    std::cerr << "larmlreco_host: " << error.what() << '\n';
  } catch (const std::exception& error) {
    const std::string what = error.what();
    std::cerr << "larmlreco_host: " << what.substr(0, what.find('\n')) << '\n';
  }
  return 1;
}
