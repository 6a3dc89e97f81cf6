// SPDX-License-Identifier: GPL-2.0-or-later
// Needs an image of a kernel: LOCKSTEP_HOSTED_IMAGE names the file.
#include <gtest/gtest.h>

#include <cstdlib>
#include <utility>

#include "hw/hosted/session.h"

namespace lockstep::hw::hosted {
namespace {

hosted_parameters parameters(bool intel, bool tdp) {
  hosted_parameters wanted{};
  wanted.intel = intel ? 1 : 0;
  wanted.tdp = tdp ? 1 : 0;
  wanted.tdp_mmu = 1;
  return wanted;
}

/// insmod with each place failing once where memory may lack: it fails with an errno or
/// goes on without; nothing is left, nothing is said, and the next insmod works.
TEST(LoadTest, EachAllocationOfInsmodMayFail) {
  const char* const file = std::getenv("LOCKSTEP_HOSTED_IMAGE");
  if (file == nullptr) GTEST_SKIP() << "set LOCKSTEP_HOSTED_IMAGE to an image";
  auto opened = Session::open(file, {.program_bytes = 2ull << 20});
  ASSERT_TRUE(opened) << opened.error().message;
  Session& session = **opened;
  for (const auto& [intel, tdp] : {std::pair(false, false), std::pair(false, true),
                                   std::pair(true, false), std::pair(true, true)}) {
    std::uint64_t refused = 0;
    bool failed = true;
    std::uint64_t failing = 0;
    for (; failed; ++failing) {
      // All of kvm.ko begins anew too.
      ASSERT_TRUE(session.recover());
      session.host().set_faults(FaultPlan::nth(failing));
      const auto loaded = session.load(parameters(intel, tdp));
      failed = session.host().faults().failed() != 0;
      session.host().set_faults({});
      EXPECT_EQ(session.findings(), "") << "site " << failing;
      ASSERT_FALSE(session.host().tainted())
          << "site " << failing << ": " << (loaded ? "" : loaded.error().message);
      if (!loaded) {
        EXPECT_TRUE(failed);
        ++refused;
        EXPECT_NE(loaded.error().message.find("Cannot allocate memory"), std::string::npos)
            << "site " << failing << ": " << loaded.error().message;
      }
      const auto again = session.load(parameters(intel, tdp));
      ASSERT_TRUE(again) << "after site " << failing << ": " << again.error().message;
      EXPECT_EQ(session.findings(), "") << "after site " << failing;
      // Its unload compares what it gives with what it took.
      const auto other = session.load(parameters(intel, !tdp));
      ASSERT_TRUE(other) << "after site " << failing << ": " << other.error().message;
    }
    EXPECT_GT(refused, 3u);
    EXPECT_GT(failing, 5u);
    std::printf("%s tdp=%d: %u of %u sites fail the load\n", intel ? "intel" : "amd", tdp,
                static_cast<unsigned>(refused), static_cast<unsigned>(failing));
  }
}

}  // namespace
}  // namespace lockstep::hw::hosted
