// What every processor of the architecture has (SSE2 on x86-64, NEON on 64-bit ARM).
#include "convolve.h"

namespace larmlreco {
namespace {
constexpr int kVectorBytes = 16;
constexpr int kRegisters = 16;
constexpr const char* kName = "baseline";
}  // namespace
}  // namespace larmlreco
#include "convolve_kernels.h"

const larmlreco::InstructionSet* larmlreco::baseline_set() { return &kSet; }
