// Loads a TorchScript archive of larmlreco with libtorch alone and runs it.
#pragma once

#include <string>

#include <torch/script.h>

#include "records.h"

namespace larmlreco {

class Archive {
 public:
  // `device`: cpu, cuda, cuda:N, or auto (a GPU where there is one). `operators`: the operator library, which archives
  // of the native engine need; empty where it is loaded already or not needed. Error for a file that is missing, cut
  // short, altered or no archive, where the device is absent, and where the library is.
  explicit Archive(const std::string& path, const std::string& device = "cpu", const std::string& operators = "");

  // The model card, JSON.
  const std::string& card() const { return card_; }

  // Outputs by key, on the CPU, for coordinates (N, 1+D) of integers and features (N, C); row i of each belongs to row i
  // of the input. Error for input that the network refuses and where memory does not suffice.
  std::map<std::string, at::Tensor> run(const at::Tensor& coords, const at::Tensor& features);

 private:
  std::string path_;
  std::string card_;
  at::Device device_;
  torch::jit::Module module_;
};

// Loads a library of operators into the process; they stay for good. Error where that fails.
void load_operators(const std::string& library);

}  // namespace larmlreco
