#include "archive.h"

#include <dlfcn.h>

#include <sstream>

#include <torch/csrc/jit/runtime/graph_executor.h>

namespace larmlreco {
namespace {

constexpr char kCard[] = "extra/card.json";

// The text of a top-level key of the card, which is written with an indent of two spaces.
std::string card_text(const std::string& card, const std::string& key) {
  const std::string start = "\n  \"" + key + "\": \"";
  const size_t begin = card.find(start);
  const size_t end = begin == std::string::npos ? begin : card.find('"', begin + start.size());
  return end == std::string::npos ? "" : card.substr(begin + start.size(), end - begin - start.size());
}

// As larmlreco.archive.digest: every record with its name and size, the card without its hash.
std::string digest(Records records, const std::string& own) {
  std::string& card = records[kCard];
  const size_t at = card.find("\"" + own + "\"");
  if (!own.empty() && at != std::string::npos) card.erase(at + 1, own.size());
  std::string all;
  for (const auto& [name, record] : records) {
    all += name + '\0' + std::to_string(record.size()) + '\0';
    all += record;
  }
  return sha256(all);
}

at::Device choose(const std::string& name, const std::string& path) {
  at::Device device(at::kCPU);
  try {
    device = name == "auto" ? at::Device(at::hasCUDA() ? "cuda" : "cpu") : at::Device(name);
  } catch (const c10::Error&) {
    throw Error("unknown device " + name + "; valid: cpu, cuda, cuda:N, auto");
  }
  if (!device.is_cpu() && !device.is_cuda()) throw Error("unknown device " + name + "; valid: cpu, cuda, cuda:N, auto");
  if (device.is_cuda() && !at::hasCUDA())
    throw Error("archive " + path + ": no CUDA device is available for device " + name + "; valid here: cpu");
  return device;
}

// The message of an error of libtorch without the traces of its interpreter.
std::string reason(const std::string& what, int64_t rows) {
  if (what.find("allocate memory") != std::string::npos || what.find("out of memory") != std::string::npos)
    return "the memory does not suffice for " + std::to_string(rows) + " rows";
  std::istringstream lines(what.substr(0, what.find("\nException raised from")));
  std::string line, last;
  while (std::getline(lines, line))
    if (line.find_first_not_of(" \t") != std::string::npos) last = line;
  const size_t at = last.find("Error: ");
  return at == std::string::npos ? last : last.substr(at + 7);
}

}  // namespace

void load_operators(const std::string& library) {
  // A name without a slash would be searched for where the system keeps its libraries.
  const std::string path = library.find('/') == std::string::npos ? "./" + library : library;
  if (dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL) == nullptr) {
    const char* why = dlerror();
    throw Error("the operator library cannot be loaded: " + std::string(why ? why : path));
  }
}

Archive::Archive(const std::string& path, const std::string& device, const std::string& operators)
    : path_(path), device_(at::kCPU) {
  Records records;
  const std::string content = read_file(path);
  try {
    for (auto& [name, record] : read_zip(content)) records[name.substr(name.find('/') + 1)] = record;
  } catch (const Error&) {
    throw Error("archive " + path + " is no TorchScript archive, or it was cut short or altered");
  }
  const auto card = records.find(kCard);
  if (card == records.end())
    throw Error("archive " + path + " holds no model card (" + kCard + "); larmlreco export writes one");
  card_ = card->second;
  const std::string own = card_text(card_, "sha256");
  if (digest(records, own) != own)
    throw Error("archive " + path + " was altered: its content does not have the SHA-256 that its card names");
  device_ = choose(device, path);
  if (!operators.empty()) load_operators(operators);
  if (card_text(card_, "engine") == "native" &&
      c10::Dispatcher::singleton().findSchema({"larmlreco::convolve", ""}) == c10::nullopt)
    throw Error("archive " + path + " is for the native engine, whose operator library is not loaded\ngive it as --ops " +
                "liblarmlreco_ops.so (CMake and pip install build it), or export the network with --engine portable");
  try {
    std::istringstream stream(content);
    module_ = torch::jit::load(stream, device_);
    module_.eval();
  } catch (const std::exception& error) {
    throw Error("archive " + path + " cannot be loaded by this libtorch: " + reason(error.what(), 0));
  }
}

std::map<std::string, at::Tensor> Archive::run(const at::Tensor& coords, const at::Tensor& features) {
  if (!at::isIntegralType(coords.scalar_type(), /*includeBool=*/false))
    throw Error("archive " + path_ + ": coordinates must be integers; got " + c10::toString(coords.scalar_type()));
  try {
    c10::InferenceMode guard;
    // Profiling and fusion help loops of one shape; every event has another and would pay for them again.
    torch::jit::setGraphExecutorOptimize(false);
    const auto result =
        module_.forward({coords.to(device_, at::kLong), features.to(device_, at::kFloat)}).toGenericDict();
    std::map<std::string, at::Tensor> outputs;
    for (const auto& item : result) outputs[item.key().toStringRef()] = item.value().toTensor().to(at::kCPU).contiguous();
    return outputs;
  } catch (const std::bad_alloc&) {
    throw Error("archive " + path_ + ": the memory does not suffice for " + std::to_string(coords.size(0)) + " rows");
  } catch (const std::exception& error) {
    throw Error("archive " + path_ + ": " + reason(error.what(), coords.dim() > 0 ? coords.size(0) : 0));
  }
}

}  // namespace larmlreco
