// Arrays of the engine.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <new>
#include <utility>

namespace larmlreco {

// Memory that is not initialised: every user writes it whole. Large arrays come from the system and go back to it at
// once, so that many of different sizes leave no holes in the heap between a network's features.
template <class T>
class Buffer {
 public:
  int64_t size = 0;

  Buffer() = default;
  explicit Buffer(int64_t n) : size(n), bytes_(static_cast<size_t>(n > 0 ? n : 1) * sizeof(T)) {
    if (bytes_ < kLarge) {
      data_ = static_cast<T*>(::operator new(bytes_));
      return;
    }
    void* memory = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    madvise(memory, bytes_, MADV_HUGEPAGE);  // fewer page faults; no matter where it is not granted
    data_ = static_cast<T*>(memory);
  }
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    Buffer moved(std::move(other));
    swap(moved);
    return *this;
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() {
    if (data_ == nullptr) return;
    if (bytes_ < kLarge)
      ::operator delete(data_);
    else
      munmap(data_, bytes_);
  }

  T* begin() { return data_; }
  const T* begin() const { return data_; }
  T& operator[](int64_t i) { return data_[i]; }
  const T& operator[](int64_t i) const { return data_[i]; }

 private:
  static constexpr size_t kLarge = size_t{1} << 22;

  void swap(Buffer& other) noexcept {
    std::swap(size, other.size);
    std::swap(bytes_, other.bytes_);
    std::swap(data_, other.data_);
  }

  size_t bytes_ = 0;
  T* data_ = nullptr;
};

}  // namespace larmlreco
