// Containers and arrays: what is written reads back; content that was cut short or altered is an error, never a crash.
// Run it in a sanitizer build: cmake -DLARMLRECO_SANITIZE=address,undefined.
#include <cstdio>
#include <cstdlib>

#include "../records.h"

namespace {

using namespace larmlreco;

int failures = 0;

void check(bool good, const std::string& what) {
  if (good) return;
  ++failures;
  std::fprintf(stderr, "FAILED: %s\n", what.c_str());
}

template <class F>
bool refused(F&& work) {
  try {
    work();
    return false;
  } catch (const Error&) {
    return true;
  }
}

// Three records as Python's zipfile writes them: deflated with codes of its own, deflated with fixed codes, stored.
constexpr char kContainer[] =
    "504b03041400000008000000210052ddbb16a0000000940200000700000064796e616d69636dd1b90d03311003c05c555c09"
    "fb699f829c19707670f94e04d2c1654c06e25222d7fdf9bede972cd11375499c684be6445f9a27c6b20de60916039601d60a"
    "260e6641566065606260ae606960b3c1dcc14ac0d4c0b6932558b0e4b064b0e4b0e4164ed260b939498175937149e36d3d60"
    "c9db7c83a98275f2357e40341927d16649b271b0e6bfd5801597acbf25c9ea9135d990094bea63c960c964c926fb01504b03"
    "0414000000080000002100342a6e5a070000000c0000000500000066697865644b4c4a4e842100504b030414000000000000"
    "002100cf62201905000000050000000600000073746f726564706c61696e504b010214031400000008000000210052ddbb16"
    "a00000009402000007000000000000000000000080010000000064796e616d6963504b010214031400000008000000210034"
    "2a6e5a070000000c0000000500000000000000000000008001c50000006669786564504b0102140314000000000000002100"
    "cf62201905000000050000000600000000000000000000008001ef00000073746f726564504b050600000000030003009c00"
    "0000180100000000";

std::string from_hex(const std::string& hex) {
  std::string bytes;
  for (size_t i = 0; i < hex.size(); i += 2)
    bytes.push_back(static_cast<char>(std::strtol(hex.substr(i, 2).c_str(), nullptr, 16)));
  return bytes;
}

std::string lines() {
  std::string text;
  char line[32];
  for (int i = 0; i < 60; ++i) {
    std::snprintf(line, sizeof line, "%02d voxel %d\n", i * i % 97, i % 5);
    text += line;
  }
  return text;
}

// Every prefix of the content, and every byte of it with another bit set: the same records or an error.
void damage(const std::string& content, const Records& records) {
  for (size_t size = 0; size < content.size(); ++size)
    check(refused([&] { read_zip(content.substr(0, size)); }), "a container cut at " + std::to_string(size));
  for (size_t at = 0; at < content.size(); ++at)
    for (int bit = 0; bit < 8; ++bit) {
      std::string altered = content;
      altered[at] = static_cast<char>(altered[at] ^ 1 << bit);
      try {
        const Records found = read_zip(altered);
        // A name may have changed, or their number: what is left must be whole.
        for (const auto& [name, record] : found) {
          bool whole = false;
          for (const auto& [known, content_of] : records) whole = whole || content_of == record;
          check(whole, "a container altered at " + std::to_string(at));
        }
      } catch (const Error&) {
      }
    }
}

void containers() {
  const Records records = {{"dynamic", lines()}, {"fixed", "abcabcabcabc"}, {"stored", "plain"}};
  const std::string container = from_hex(kContainer);
  check(read_zip(container) == records, "a container of zipfile");
  damage(container, records);
  const Records more = {{"a.npy", std::string(1000, '\7')}, {"b", ""}, {"c/d", std::string("\0x\xff", 3)}};
  const std::string written = write_zip(more);
  check(read_zip(written) == more, "a container of ours");
  damage(written, more);
  check(read_zip(write_zip({})).empty(), "no records");
}

void hashes() {
  check(sha256("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "hash of nothing");
  check(sha256("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "hash of abc");
  check(sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
        "hash of two blocks");
  check(sha256(std::string(1000000, 'a')) == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
        "hash of a million letters");
}

void arrays() {
  Array array;
  array.kind = 'i';
  array.width = 8;
  array.shape = {2, 3};
  for (int i = 0; i < 48; ++i) array.data.push_back(static_cast<char>(i));
  const std::string content = write_npy(array);
  check((content.size() - array.data.size()) % 64 == 0, "data begins at a multiple of 64 bytes");
  const Array read = read_npy(content);
  check(read.kind == 'i' && read.width == 8 && !read.fortran_order && read.shape == array.shape &&
            read.data == array.data,
        "an array");
  for (size_t size = 0; size < content.size(); ++size)
    check(refused([&] { read_npy(content.substr(0, size)); }), "an array cut at " + std::to_string(size));
  for (size_t at = 0; at < content.size() - array.data.size(); ++at)
    for (int bit = 0; bit < 8; ++bit) {
      std::string altered = content;
      altered[at] = static_cast<char>(altered[at] ^ 1 << bit);
      try {
        const Array found = read_npy(altered);
        size_t size = static_cast<size_t>(found.width);
        for (int64_t extent : found.shape) size *= static_cast<size_t>(extent);
        check(size == found.data.size(), "an array altered at " + std::to_string(at));
      } catch (const Error&) {
      }
    }
  Array empty;
  empty.shape = {0, 1};
  check(read_npy(write_npy(empty)).shape == empty.shape, "an array without rows");
}

void files() {
  check(refused([] { read_file("/nowhere/at/all"); }), "a file that is absent");
  check(refused([] { write_file("/nowhere/at/all", "x"); }), "a directory that is absent");
}

}  // namespace

int main() {
  containers();
  hashes();
  arrays();
  files();
  if (failures == 0) std::puts("ok");
  return failures == 0 ? 0 : 1;
}
