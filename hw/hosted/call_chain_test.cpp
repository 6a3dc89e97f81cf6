// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/hosted/call_chain.h"

#include <gtest/gtest.h>

#include <vector>

#include "hw/hosted/test/toy.h"

namespace lockstep::hw::hosted {
namespace {

std::size_t count(const Image& image, const std::vector<std::uint64_t>& stack) {
  std::vector<std::uint64_t> found(16);
  const auto begin = reinterpret_cast<std::uintptr_t>(stack.data());
  return callers(image, begin, begin + stack.size() * sizeof stack[0], found);
}

// The memory behind a stack that the image made is somebody else's, or nobody's.
TEST(CallChain, EndsWhereAStackOfTheImageEnds) {
  constexpr std::uint64_t place = 0x2000'0000;
  TemporaryFolder folder;
  build_toy(folder / "toy", place);
  const auto image = Image::load(folder / "toy");
  ASSERT_TRUE(image) << image.error().message;
  std::uint64_t behind_a_call = 0;
  for (std::uint64_t at = place; at < place + 0x10000 && behind_a_call == 0; ++at) {
    if (count(**image, {at}) == 1) behind_a_call = at;
  }
  ASSERT_NE(behind_a_call, 0u);
  EXPECT_EQ(count(**image, {1, behind_a_call, 2, behind_a_call}), 2u);
  EXPECT_EQ(count(**image, {1, behind_a_call, HOSTED_STACK_END, behind_a_call}), 1u);
}

}  // namespace
}  // namespace lockstep::hw::hosted
