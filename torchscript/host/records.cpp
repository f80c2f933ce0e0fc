#include "records.h"

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>

namespace larmlreco {
namespace {

constexpr uint32_t kLocalHeader = 0x04034b50, kCentralHeader = 0x02014b50, kEnd = 0x06054b50;
constexpr size_t kEndSize = 22, kCentralSize = 46, kLocalSize = 30;
constexpr size_t kLargest = size_t{1} << 40;  // bytes of one array: beyond it a shape is not meant seriously

[[noreturn]] void broken() { throw Error("it is no zip container, or it was cut short or altered"); }

uint64_t little(const std::string& content, size_t at, int bytes) {
  if (at > content.size() || content.size() - at < static_cast<size_t>(bytes)) broken();
  uint64_t value = 0;
  for (int i = bytes; i-- > 0;) value = value << 8 | static_cast<unsigned char>(content[at + i]);
  return value;
}

void put(std::string& content, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) content.push_back(static_cast<char>(value >> 8 * i & 0xff));
}

uint32_t crc32(const std::string& content) {
  static const auto table = [] {
    std::array<uint32_t, 256> made{};
    for (uint32_t byte = 0; byte < 256; ++byte) {
      uint32_t value = byte;
      for (int bit = 0; bit < 8; ++bit) value = value & 1 ? 0xedb88320u ^ value >> 1 : value >> 1;
      made[byte] = value;
    }
    return made;
  }();
  uint32_t sum = ~0u;
  for (unsigned char byte : content) sum = table[(sum ^ byte) & 0xff] ^ sum >> 8;
  return ~sum;
}

// Deflate (RFC 1951), decoded bit by bit with canonical codes.
class Inflater {
 public:
  Inflater(const std::string& content, size_t begin, size_t end, size_t size)
      : content_(content), at_(begin), end_(end), size_(size) {}

  std::string run() {
    // Deflate cannot shrink more than about 1032 times, so that a header cannot make us reserve what never comes.
    out_.reserve(std::min(size_, (end_ - at_) * 1040 + 64));
    bool last = false;
    while (!last) {
      last = bits(1) != 0;
      switch (bits(2)) {
        case 0: stored(); break;
        case 1: fixed(); break;
        case 2: dynamic(); break;
        default: broken();
      }
    }
    return std::move(out_);
  }

 private:
  struct Code {
    std::array<uint16_t, 16> count{};
    std::vector<uint16_t> symbols;
  };

  uint32_t bits(int n) {
    while (held_ < n) {
      if (at_ >= end_) broken();
      buffer_ |= static_cast<uint32_t>(static_cast<unsigned char>(content_[at_++])) << held_;
      held_ += 8;
    }
    const uint32_t value = buffer_ & ((1u << n) - 1);
    buffer_ >>= n;
    held_ -= n;
    return value;
  }

  static Code code(const std::vector<uint8_t>& lengths) {
    Code made;
    for (uint8_t length : lengths) ++made.count[length];
    made.count[0] = 0;
    std::array<uint16_t, 17> start{};
    for (int length = 1; length < 16; ++length) start[length + 1] = start[length] + made.count[length];
    made.symbols.resize(lengths.size());
    for (size_t symbol = 0; symbol < lengths.size(); ++symbol)
      if (lengths[symbol] != 0) made.symbols[start[lengths[symbol]]++] = static_cast<uint16_t>(symbol);
    return made;
  }

  int symbol(const Code& code) {
    int value = 0, first = 0, index = 0;
    for (int length = 1; length < 16; ++length) {
      value |= static_cast<int>(bits(1));
      const int count = code.count[length];
      if (value - first < count) return code.symbols[index + value - first];
      index += count;
      first = (first + count) << 1;
      value <<= 1;
    }
    broken();
  }

  void emit(char byte) {
    if (out_.size() >= size_) broken();
    out_.push_back(byte);
  }

  void stored() {
    held_ = 0;
    buffer_ = 0;
    const size_t length = little(content_, at_, 2);
    if (length != (~little(content_, at_ + 2, 2) & 0xffff)) broken();
    at_ += 4;
    if (at_ > end_ || end_ - at_ < length || size_ - out_.size() < length) broken();
    out_.append(content_, at_, length);
    at_ += length;
  }

  void fixed() {
    std::vector<uint8_t> lengths(288, 8);
    for (int symbol = 144; symbol < 256; ++symbol) lengths[symbol] = 9;
    for (int symbol = 256; symbol < 280; ++symbol) lengths[symbol] = 7;
    compressed(code(lengths), code(std::vector<uint8_t>(30, 5)));
  }

  void dynamic() {
    static constexpr int kOrder[] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
    const size_t literals = bits(5) + 257, distances = bits(5) + 1, n = bits(4) + 4;
    if (literals > 286 || distances > 30) broken();
    std::vector<uint8_t> lengths(19, 0);
    for (size_t i = 0; i < n; ++i) lengths[kOrder[i]] = static_cast<uint8_t>(bits(3));
    const Code codes = code(lengths);
    std::vector<uint8_t> all;
    while (all.size() < literals + distances) {
      const int next = symbol(codes);
      if (next < 16) {
        all.push_back(static_cast<uint8_t>(next));
        continue;
      }
      if (next == 16 && all.empty()) broken();
      const uint8_t value = next == 16 ? all.back() : 0;
      const size_t times = next == 16 ? 3 + bits(2) : next == 17 ? 3 + bits(3) : 11 + bits(7);
      all.insert(all.end(), times, value);
    }
    if (all.size() != literals + distances) broken();
    const auto middle = all.begin() + static_cast<std::ptrdiff_t>(literals);
    compressed(code({all.begin(), middle}), code({middle, all.end()}));
  }

  void compressed(const Code& literals, const Code& distances) {
    static constexpr int kLength[] = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                                      31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
    static constexpr int kLengthBits[] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
    static constexpr int kDistance[] = {1,   2,   3,   4,   5,   7,    9,    13,   17,   25,   33,   49,   65,    97,    129,
                                        193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};
    for (;;) {
      const int next = symbol(literals);
      if (next == 256) return;
      if (next < 256) {
        emit(static_cast<char>(next));
        continue;
      }
      if (next > 285) broken();
      const size_t length = kLength[next - 257] + bits(kLengthBits[next - 257]);
      const int slot = symbol(distances);
      if (slot > 29) broken();
      const size_t distance = kDistance[slot] + bits(slot < 4 ? 0 : slot / 2 - 1);
      if (distance > out_.size()) broken();
      for (size_t i = 0; i < length; ++i) emit(out_[out_.size() - distance]);
    }
  }

  const std::string& content_;
  size_t at_, end_, size_;
  uint32_t buffer_ = 0;
  int held_ = 0;
  std::string out_;
};

std::string text_between(const std::string& header, const std::string& key, char open, char close) {
  const size_t named = header.find("'" + key + "'");
  const size_t begin = named == std::string::npos ? named : header.find(open, header.find(':', named));
  const size_t end = begin == std::string::npos ? begin : header.find(close, begin + 1);
  if (end == std::string::npos) throw Error("its header is not that of an .npy file");
  return header.substr(begin + 1, end - begin - 1);
}

}  // namespace

std::string read_file(const std::string& path) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  std::string content{std::istreambuf_iterator<char>(file), {}};
  if (!file.is_open() || file.bad()) throw Error(path + " cannot be read: " + std::strerror(errno));
  return content;
}

void write_file(const std::string& path, const std::string& content) {
  const std::string partial = path + ".partial";
  errno = 0;
  std::ofstream file(partial, std::ios::binary);
  file.write(content.data(), static_cast<std::streamsize>(content.size()));
  file.close();
  if (!file || std::rename(partial.c_str(), path.c_str()) != 0) {
    const std::string reason = std::strerror(errno);
    std::remove(partial.c_str());
    throw Error(path + " cannot be written: " + reason);
  }
}

Records read_zip(const std::string& content) {
  if (content.size() < kEndSize) broken();
  size_t end = content.size() - kEndSize;
  while (little(content, end, 4) != kEnd)
    if (end-- == 0) broken();
  const size_t n = little(content, end + 10, 2);
  size_t at = little(content, end + 16, 4);
  Records records;
  for (size_t i = 0; i < n; ++i) {
    if (little(content, at, 4) != kCentralHeader) broken();
    const uint64_t method = little(content, at + 10, 2), checksum = little(content, at + 16, 4);
    const size_t packed = little(content, at + 20, 4), size = little(content, at + 24, 4);
    const size_t name_size = little(content, at + 28, 2), local = little(content, at + 42, 4);
    if (packed == 0xffffffff || size == 0xffffffff || local == 0xffffffff)
      throw Error("it holds more than 4 GB, which this program does not read");
    if (content.size() - at < kCentralSize + name_size) broken();
    const std::string name = content.substr(at + kCentralSize, name_size);
    at += kCentralSize + name_size + little(content, at + 30, 2) + little(content, at + 32, 2);
    if (little(content, local, 4) != kLocalHeader) broken();
    const size_t begin = local + kLocalSize + little(content, local + 26, 2) + little(content, local + 28, 2);
    if (begin > content.size() || content.size() - begin < packed) broken();
    if (method != 0 && method != 8) throw Error("its record " + name + " is compressed in a way other than deflate");
    std::string record =
        method == 0 ? content.substr(begin, packed) : Inflater(content, begin, begin + packed, size).run();
    if (record.size() != size || crc32(record) != checksum) broken();
    records[name] = std::move(record);
  }
  return records;
}

std::string write_zip(const Records& records) {
  std::string content, directory;
  for (const auto& [name, record] : records) {
    if (record.size() >= 0xffffffff || content.size() >= 0xffffffff)
      throw Error("the outputs do not fit into a file of 4 GB");
    std::string facts;
    put(facts, 20, 2);          // version that can read it
    put(facts, 0, 4);           // flags; stored
    put(facts, 0x00210000, 4);  // 1980-01-01, the first date there is
    put(facts, crc32(record), 4);
    put(facts, record.size(), 4);
    put(facts, record.size(), 4);
    put(facts, name.size(), 2);
    put(facts, 0, 2);
    put(directory, kCentralHeader, 4);
    put(directory, 20, 2);
    directory += facts;
    put(directory, 0, 6);  // no comment, first disk, binary
    put(directory, 0, 4);  // attributes of the file
    put(directory, content.size(), 4);
    directory += name;
    put(content, kLocalHeader, 4);
    content += facts + name + record;
  }
  const size_t start = content.size();
  if (start >= 0xffffffff) throw Error("the outputs do not fit into a file of 4 GB");
  content += directory;
  put(content, kEnd, 4);
  put(content, 0, 4);
  put(content, records.size(), 2);
  put(content, records.size(), 2);
  put(content, directory.size(), 4);
  put(content, start, 4);
  put(content, 0, 2);
  return content;
}

std::string sha256(const std::string& content) {
  // FIPS 180-4.
  static constexpr uint32_t kRounds[64] = {
      0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
      0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
      0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
      0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
      0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
      0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
      0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
      0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};
  uint32_t state[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  const auto turn = [](uint32_t x, int n) { return x >> n | x << (32 - n); };
  const auto block = [&](const char* data) {
    uint32_t w[64];
    for (int i = 0; i < 16; ++i) {
      w[i] = 0;
      for (int b = 0; b < 4; ++b) w[i] = w[i] << 8 | static_cast<unsigned char>(data[4 * i + b]);
    }
    for (int i = 16; i < 64; ++i)
      w[i] = w[i - 16] + w[i - 7] + (turn(w[i - 15], 7) ^ turn(w[i - 15], 18) ^ w[i - 15] >> 3) +
             (turn(w[i - 2], 17) ^ turn(w[i - 2], 19) ^ w[i - 2] >> 10);
    uint32_t a[8];
    std::memcpy(a, state, sizeof a);
    for (int i = 0; i < 64; ++i) {
      const uint32_t one = a[7] + (turn(a[4], 6) ^ turn(a[4], 11) ^ turn(a[4], 25)) + ((a[4] & a[5]) ^ (~a[4] & a[6])) +
                           kRounds[i] + w[i];
      const uint32_t two =
          (turn(a[0], 2) ^ turn(a[0], 13) ^ turn(a[0], 22)) + ((a[0] & a[1]) ^ (a[0] & a[2]) ^ (a[1] & a[2]));
      std::memmove(a + 1, a, 7 * sizeof(uint32_t));
      a[4] += one;
      a[0] = one + two;
    }
    for (int i = 0; i < 8; ++i) state[i] += a[i];
  };
  size_t at = 0;
  for (; content.size() - at >= 64; at += 64) block(content.data() + at);
  std::string rest = content.substr(at) + '\x80';
  while (rest.size() % 64 != 56) rest.push_back('\0');
  for (int i = 7; i >= 0; --i) rest.push_back(static_cast<char>(uint64_t{content.size()} * 8 >> 8 * i & 0xff));
  for (at = 0; at < rest.size(); at += 64) block(rest.data() + at);
  char text[65];
  for (int i = 0; i < 8; ++i) std::snprintf(text + 8 * i, 9, "%08x", state[i]);
  return text;
}

Array read_npy(const std::string& content) {
  if (content.size() < 12 || content.compare(0, 6, "\x93NUMPY") != 0) throw Error("it does not begin as an .npy file");
  const bool first_version = content[6] == 1;
  const size_t begin = first_version ? 10 : 12;
  const size_t header_size = little(content, 8, first_version ? 2 : 4);
  if (content.size() - begin < header_size) throw Error("it was cut short");
  const std::string header = content.substr(begin, header_size);
  const std::string descr = text_between(header, "descr", '\'', '\'');
  Array array;
  const bool known = descr.size() == 3 && (descr[0] == '<' || descr[0] == '|') && std::strchr("biuf", descr[1]) &&
                     std::strchr("1248", descr[2]);
  if (!known) throw Error("its type is " + descr + "; valid: little-endian integers and floating-point numbers");
  array.kind = descr[1];
  array.width = descr[2] - '0';
  array.fortran_order = header.find("'fortran_order': True") != std::string::npos;
  const std::string shape = text_between(header, "shape", '(', ')');
  size_t size = static_cast<size_t>(array.width);
  for (size_t at = 0; at < shape.size();) {
    size_t digits = 0;
    int64_t extent = 0;
    for (; at + digits < shape.size() && shape[at + digits] >= '0' && shape[at + digits] <= '9'; ++digits) {
      extent = extent * 10 + (shape[at + digits] - '0');
      if (static_cast<size_t>(extent) > kLargest) throw Error("its shape (" + shape + ") is too large");
    }
    if (digits == 0) {
      ++at;
      continue;
    }
    at += digits;
    array.shape.push_back(extent);
    if (extent != 0 && size > kLargest / static_cast<size_t>(extent)) throw Error("its shape (" + shape + ") is too large");
    size *= static_cast<size_t>(extent);
  }
  array.data = content.substr(begin + header_size);
  if (array.data.size() != size)
    throw Error("it holds " + std::to_string(array.data.size()) + " bytes; its shape (" + shape + ") needs " +
                std::to_string(size));
  return array;
}

std::string write_npy(const Array& array) {
  std::string shape;
  for (int64_t extent : array.shape) shape += std::to_string(extent) + ", ";
  std::string header = std::string("{'descr': '") + (array.width == 1 ? '|' : '<') + array.kind +
                       std::to_string(array.width) + "', 'fortran_order': " + (array.fortran_order ? "True" : "False") +
                       ", 'shape': (" + shape + "), }";
  while ((10 + header.size() + 1) % 64 != 0) header.push_back(' ');
  header.push_back('\n');
  std::string content("\x93NUMPY\x01\x00", 8);
  put(content, header.size(), 2);
  return content + header + array.data;
}

}  // namespace larmlreco
