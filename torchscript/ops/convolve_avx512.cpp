#include "convolve.h"

#if defined(__AVX512F__) && defined(__FMA__)
namespace larmlreco {
namespace {
constexpr int kVectorBytes = 64;
constexpr int kRegisters = 32;
constexpr const char* kName = "avx512";
}  // namespace
}  // namespace larmlreco
#include "convolve_kernels.h"

const larmlreco::InstructionSet* larmlreco::avx512_set() { return &kSet; }
#else
const larmlreco::InstructionSet* larmlreco::avx512_set() { return nullptr; }
#endif
