// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/child.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <string>

namespace lockstep::props {
namespace {

using namespace std::chrono_literals;

std::string answer(const std::function<std::string()>& body) {
  auto child = Child::start([&](Channel& channel) { (void)channel.send(body()); });
  if (!child) return child.error();
  std::string message;
  const auto end = std::chrono::steady_clock::now() + 60s;
  return child->channel().receive(message, end) == Channel::Status::message ? message : "silent";
}

int grow_to(off_t bytes) {
  signal(SIGXFSZ, SIG_IGN);
  const Descriptor file(memfd_create("grows", MFD_CLOEXEC));
  return ftruncate(file.get(), bytes) == 0 ? 0 : errno;
}

TEST(Child, FilesOfOneThatRunsWildEnd) {
  EXPECT_EQ(answer([] { return std::to_string(grow_to(off_t{1} << 30)); }), "0");
  EXPECT_EQ(answer([] { return std::to_string(grow_to(off_t{1} << 40)); }), std::to_string(EFBIG));
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST(Child, MemoryOfOneThatRunsWildEnds) {
  EXPECT_EQ(answer([] {
              void* const all = mmap(nullptr, 1ull << 40, PROT_READ | PROT_WRITE,
                                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
              return std::string(all == MAP_FAILED ? "none" : "mapped");
            }),
            "none");
}
#endif

}  // namespace
}  // namespace lockstep::props
