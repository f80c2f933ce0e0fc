// Zip containers and what lies in them: the records of archives, and arrays of numpy. Needs no libtorch.
#pragma once

#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace larmlreco {

// What a user can mend: a message of one or two lines that names what was expected and what came.
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

using Records = std::map<std::string, std::string>;

std::string read_file(const std::string& path);
// Writes beside the path first: whatever happens, a whole file lies there or none of ours.
void write_file(const std::string& path, const std::string& content);

// The records of a zip container by name, stored or deflated. Error where it is none, was cut short, or a record does
// not have its checksum.
Records read_zip(const std::string& content);
// Records, stored.
std::string write_zip(const Records& records);

// SHA-256 as 64 hexadecimal digits.
std::string sha256(const std::string& content);

// An array of numpy: `kind` and `width` as in its descr, for example 'f' and 4.
struct Array {
  char kind = 'f';
  int width = 4;
  bool fortran_order = false;
  std::vector<int64_t> shape;
  std::string data;
};

// Content of an .npy file and back. Error for anything but little-endian numbers (kinds b, i, u, f) and for content
// that is not as long as its shape says.
Array read_npy(const std::string& content);
std::string write_npy(const Array& array);

}  // namespace larmlreco
