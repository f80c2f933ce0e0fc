// Whole convolutions: choice of the instruction set, pieces of work for the threads.
#pragma once

#include <vector>

#include "convolve.h"
#include "parallel.h"

namespace larmlreco {

// Those that this machine runs, best first; the first is in use until another is chosen.
std::vector<const InstructionSet*> instruction_sets();
const InstructionSet* instruction_set();
void use_instruction_set(const InstructionSet* set);

template <class T>
void convolve(const ConvolveTask<T>& task, const Parallel& parallel);

// Whether the machine, with the instruction set in use, has arithmetic for bfloat16.
bool has_bfloat16();
void convolve(const Bfloat16Task& task, const Parallel& parallel);

// Blocks that one partial sum of a weight gradient covers: depends on the data alone, so that the result does not
// depend on threads.
int64_t blocks_per_segment(int64_t n_out);

// Leaves the sum in the first segment's place.
template <class T>
void weight_gradient(const WeightGradientTask<T>& task, const Parallel& parallel);

}  // namespace larmlreco
