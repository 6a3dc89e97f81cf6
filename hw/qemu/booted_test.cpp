// SPDX-License-Identifier: GPL-2.0-or-later
// The debug kernel that $LOCKSTEP_BOOTED_KERNEL names, booted: .ci/booted-tests.
#include <gtest/gtest.h>

#include <cstdlib>

#include "hw/qemu/engine.h"
#include "hw/qemu/prepare.h"
#include "spec/program.h"

namespace lockstep::hw::qemu {
namespace {

constexpr Gpa root = 0x1000, pdpt = 0x2000, pd = 0x3000;
constexpr std::uint64_t rights = entry::present | entry::writable | entry::user;

/// Tables of one page of 2 MiB at 0, with more bits in its entry.
std::vector<Command> large_page(std::uint64_t bits) {
  return {SlotAdd{.size = 4u << 20},
          EntrySet{.vcpu = {}, .level = TableLevel::pml4, .table = root, .value = pdpt | rights},
          EntrySet{.vcpu = {}, .level = TableLevel::pdpt, .table = pdpt, .value = pd | rights},
          EntrySet{.vcpu = {},
                   .level = TableLevel::pd,
                   .table = pd,
                   .value = rights | entry::page_size | bits}};
}

class BootedTest : public testing::TestWithParam<QemuMode> {
 protected:
  void SetUp() override {
    const char* const kernel = std::getenv("LOCKSTEP_BOOTED_KERNEL");
    if (kernel == nullptr) GTEST_SKIP() << "no LOCKSTEP_BOOTED_KERNEL";
    auto opened = open_qemu_engine(qemu_name(GetParam(), kernel));
    ASSERT_TRUE(opened) << opened.error().message;
    engine_ = std::move(*opened);
  }

  /// What the last command shows.
  Observation run(const std::vector<Command>& commands) {
    Configuration configuration;
    configuration.memory = 4u << 20;
    configuration.roots = {root};
    const auto begun = engine_->begin(configuration, true);
    EXPECT_TRUE(begun) << begun.error().message;
    Observation last = Unexpected{"nothing ran"};
    for (const auto& command : commands) {
      const auto seen = engine_->execute(command);
      EXPECT_TRUE(seen) << seen.error().message;
      if (!seen) return last;
      last = *seen;
    }
    const auto ended = engine_->end();
    EXPECT_TRUE(ended && *ended == Observation(Done{}));
    return last;
  }

  std::uint64_t reached(const std::string& path) const {
    const auto found = engine_->reached().find(path);
    return found == engine_->reached().end() ? 0 : found->second;
  }

  std::unique_ptr<Engine> engine_;
};

TEST_P(BootedTest, RunsProgramsOnKvmsMmu) {
  auto commands = large_page(0);
  commands.push_back(Access{.kind = AccessKind::write, .gva = 0x5000, .value = 0x1234});
  commands.push_back(Access{.kind = AccessKind::read, .gva = 0x5000});
  EXPECT_EQ(print(run(commands)), "value 0x1234");
  // That it was KVM's MMU which did it, its own counters say.
  EXPECT_GT(reached("access pf_fixed"), 0U);
  EXPECT_GT(reached("kvmmmu:kvm_mmu_set_spte") + reached("kvmmmu:kvm_tdp_mmu_spte_changed") +
                reached("kvmmmu:kvm_mmu_get_page"),
            0U);
  EXPECT_EQ(engine_->platform().tdp, GetParam() != QemuMode::shadow);
  EXPECT_EQ(reached("splat"), 0U);
}

TEST_P(BootedTest, AKnownDeviationIsAppliedByNameAndCounted) {
  auto commands = large_page(1ull << 13);
  commands.push_back(Access{.kind = AccessKind::read, .gva = 0});
  const auto seen = run(commands);
  EXPECT_EQ(print(seen), "#PF present user rsvd 0x0");
  const auto& known = engine_->platform().deviations;
  const bool deviates = std::find(known.begin(), known.end(), "tcg-rsvd") != known.end();
  EXPECT_EQ(reached("deviation tcg-rsvd"), deviates ? 1U : 0U);
}

TEST_P(BootedTest, ModulesComeOutAndLeaveNothing) {
  auto commands = large_page(0);
  commands.push_back(Access{.kind = AccessKind::write, .gva = 0x5000, .value = 0x1234});
  run(commands);
  auto* const kernel = dynamic_cast<HasKernelLog*>(engine_.get());
  ASSERT_NE(kernel, nullptr);
  const auto out = kernel->tear_down();
  ASSERT_TRUE(out) << out.error().message;
  EXPECT_EQ(print(*out), "ok") << kernel->complaint();
  // The next program has a kernel again.
  EXPECT_EQ(print(run(commands)), "ok");
  EXPECT_EQ(reached("kernel booted"), 2U);
}

INSTANTIATE_TEST_SUITE_P(Modes, BootedTest, testing::ValuesIn(qemu_modes));

}  // namespace
}  // namespace lockstep::hw::qemu
