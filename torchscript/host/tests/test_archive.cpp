// One archive in several threads at once, and outputs that outlive it: test_archive MODEL.ts [OPERATORS].
#include <cstdio>
#include <memory>
#include <thread>

#include <ATen/Parallel.h>

#include "../archive.h"

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  at::set_num_threads(1);
  auto archive = std::make_unique<larmlreco::Archive>(argv[1], "cpu", argc > 2 ? argv[2] : "");
  const int64_t axes = archive->card().find("\n  \"dimension\": 2") != std::string::npos ? 2 : 3;
  torch::manual_seed(1);
  std::vector<at::Tensor> coords, features, expected;
  for (int64_t event = 0; event < 4; ++event) {
    coords.push_back(torch::randint(-10, 10, {300 + 100 * event, 1 + axes}, at::kLong));
    features.push_back(torch::rand({300 + 100 * event, 1}));
    expected.push_back(archive->run(coords[event], features[event]).at("semantic"));
  }
  std::vector<at::Tensor> found(coords.size());
  std::vector<std::thread> threads;
  for (size_t event = 0; event < coords.size(); ++event)
    threads.emplace_back([&, event] {
      for (int repeat = 0; repeat < 5; ++repeat) found[event] = archive->run(coords[event], features[event]).at("semantic");
    });
  for (auto& thread : threads) thread.join();
  archive.reset();
  coords.clear();
  features.clear();
  for (size_t event = 0; event < found.size(); ++event)
    if (!at::equal(found[event], expected[event])) {
      std::fprintf(stderr, "FAILED: event %zu in threads\n", event);
      return 1;
    }
  return 0;
}
