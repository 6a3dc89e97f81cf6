// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/schedule/failure.h"

#include <gtest/gtest.h>

namespace lockstep::props::schedule {
namespace {

TEST(Failure, GistHasNoNumbersButLines) {
  EXPECT_EQ(gist("WARNING at arch/x86/kvm/mmu/mmu.c:1234 in kvm_mmu_load+0x1c/0x80"),
            "WARNING at arch/x86/kvm/mmu/mmu.c:1234 in kvm_mmu_load+#/#");
  EXPECT_EQ(gist("12 objects (before: 3) at 0xffff88"), "# objects (before: #) at #");
  EXPECT_EQ(gist("the read of kvm.3+c0, page.a3[17] and cache-lock.0"),
            "the read of kvm.#+#, page.#[#] and cache-lock.#");
}

TEST(Failure, OfTheSameKindNeedNotBeTheSameBug) {
  const Failure one{.kind = FailureKind::warning, .text = "WARNING at mmu.c:12, slot 3"};
  EXPECT_TRUE(same_bug(one, {FailureKind::warning, "WARNING at mmu.c:12, slot 0"}));
  EXPECT_FALSE(same_bug(one, {FailureKind::warning, "WARNING at mmu.c:13, slot 3"}));
  EXPECT_FALSE(same_bug(one, {FailureKind::leak, one.text}));
}

TEST(Failure, ADeadlockOfFewerThreadsIsTheSame) {
  const Failure three{.kind = FailureKind::deadlock,
                      .text =
                          "nobody can run: 0 waits at lock a.0, 1 waits at lock b.1, 2 waits "
                          "at wait task.4"};
  const auto with = [](const char* text) { return Failure{FailureKind::deadlock, text}; };
  EXPECT_TRUE(same_bug(three, with("nobody can run: 0 waits at lock b.0, 1 waits at lock a.1")));
  EXPECT_FALSE(same_bug(three, with("nobody can run: 0 waits at lock b.0, 1 waits at lock c.1")));
  EXPECT_FALSE(same_bug(three, with("a.0 is taken by its holder")));
}

}  // namespace
}  // namespace lockstep::props::schedule
