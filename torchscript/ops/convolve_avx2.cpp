#include "convolve.h"

#if defined(__AVX2__) && defined(__FMA__)
namespace larmlreco {
namespace {
constexpr int kVectorBytes = 32;
constexpr int kRegisters = 16;
constexpr const char* kName = "avx2";
}  // namespace
}  // namespace larmlreco
#include "convolve_kernels.h"

const larmlreco::InstructionSet* larmlreco::avx2_set() { return &kSet; }
#else
const larmlreco::InstructionSet* larmlreco::avx2_set() { return nullptr; }
#endif
