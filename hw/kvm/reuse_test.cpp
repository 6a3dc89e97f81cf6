// SPDX-License-Identifier: GPL-2.0-or-later
// One program must not see what an earlier one left; engines and processes.
#include <fcntl.h>
#include <sys/wait.h>

#include "hw/kvm/capabilities.h"
#include "hw/kvm/kvm_engine.h"
#include "hw/kvm/test_program.h"

namespace lockstep::hw {
namespace {

constexpr Gva page = 0x40'0000;
constexpr Gpa backing = 0x20'0000;
const Observation done = Done{};

class ReuseTest : public KvmTest {
 protected:
  std::size_t open_files() const {
    std::size_t files = 0;
    for (int fd = 0; fd < 256; ++fd) files += ::fcntl(fd, F_GETFD) >= 0;
    return files;
  }
};

TEST_F(ReuseTest, NothingIsLeftBehind) {
  begin_with_memory(configuration());
  map(page, backing, rwu);
  EXPECT_EQ(write(page, 0xdead), done);
  SetControl control;
  control.bit = ControlBit::efer_nx;
  EXPECT_EQ(run(control), done);
  end();
  begin(configuration());
  EXPECT_EQ(count("vm created"), 1u);
  EXPECT_EQ(count("vm reused"), 1u);
  EXPECT_EQ(peek(backing), Observation(Errno{EFAULT})) << "a slot survived";
  ASSERT_EQ(run(SlotAdd{.size = configuration_.memory}), done);
  EXPECT_EQ(peek(backing), Observation(Value{cell_at(backing)}));
  EXPECT_EQ(peek(root), Observation(Value{cell_at(root)})) << "a table survived";
  EXPECT_EQ(peek(root + 511 * 8), Observation(Value{cell_at(root)})) << "a harness entry survived";
  EXPECT_EQ(read(page), Observation(PageFault{fault::user, page})) << "a translation survived";
  map(page, backing, rwu | entry::no_execute);
  EXPECT_EQ(read(page), Observation(Value{cell_at(backing)})) << "EFER.NX stayed clear";
}

TEST_F(ReuseTest, AbnormalExitsAreForgotten) {
  begin_with_memory(configuration());
  map(page, 0x4000'0000, rwu);
  EXPECT_EQ(fetch(page), Observation(InternalError{1}));
  end();
  begin_with_memory(configuration());
  map(page, backing, rwu);
  EXPECT_EQ(read(page), Observation(Value{cell_at(backing)}));
  EXPECT_EQ(count("vm reused"), 1u);
}

TEST_F(ReuseTest, BeginEndsAProgramThatNobodyEnded) {
  begin_with_memory(configuration());
  begin(configuration());
  EXPECT_EQ(peek(0), Observation(Errno{EFAULT}));
}

TEST_F(ReuseTest, FreshAndOtherConfigurationsMakeNewVms) {
  begin(configuration());
  end();
  begin(configuration(), /*fresh=*/true);
  end();
  Configuration two = configuration();
  two.vcpus = 2;
  begin(two);
  end();
  // What was fresh ended with its program.
  begin(configuration());
  end();
  EXPECT_EQ(count("vm created"), 4u);
  EXPECT_EQ(count("vm reused"), 0u);
  begin(configuration());
  end();
  EXPECT_EQ(count("vm created"), 4u);
  EXPECT_EQ(count("vm reused"), 1u);
}

TEST_F(ReuseTest, FilesStayBounded) {
  const auto churn = [this] {
    for (unsigned bits = 33; bits < 40; ++bits) {
      Configuration with = configuration();
      with.maxphyaddr = bits;
      begin(with);
      end();
    }
  };
  churn();
  const std::size_t before = open_files();
  churn();
  EXPECT_EQ(open_files(), before);
}

TEST_F(ReuseTest, MaxphyaddrReachesTheGuest) {
  Configuration with = configuration();
  with.maxphyaddr = 36;
  begin_with_memory(with);
  map(page, 1ull << 36, rwu);
  if (has(Feature::mmu_tdp)) GTEST_SKIP() << "hardware walks the guest's tables";
  EXPECT_EQ(read(page),
            Observation(PageFault{fault::present | fault::user | fault::reserved, page}));
}

TEST_F(ReuseTest, WorksInAForkedChild) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    auto engine = open_kvm_engine(*probe());
    const bool good = engine && (*engine)->begin(configuration(), false) &&
                      (*engine)->execute(SlotAdd{.size = 1 << 20}) &&
                      (*engine)->execute(Invlpg{}).value_or(Errno{}) == done && (*engine)->end();
    engine = {};
    ::_exit(good ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST_F(ReuseTest, RefusalsNameTheReason) {
  const auto reason = [this](const Configuration& with) {
    const auto begun = engine_->begin(with, false);
    return begun ? std::string() : begun.error().message;
  };
  Configuration with = configuration();
  with.vcpus = 1000;
  EXPECT_NE(reason(with).find("1000 vCPUs"), std::string::npos);
  with = configuration();
  with.maxphyaddr = 99;
  EXPECT_NE(reason(with).find("MAXPHYADDR 99"), std::string::npos);
  with = configuration();
  with.smm = true;
  EXPECT_NE(reason(with).find("SMM"), std::string::npos);
  with = configuration();
  with.memory = 1ull << 50;
  EXPECT_NE(reason(with).find("memory"), std::string::npos);
  EXPECT_FALSE(engine_->execute(Peek{}));
  EXPECT_FALSE(engine_->end());
}

/// The way down to CPL 3 that other hosts use works here too.
TEST_F(ReuseTest, DescentByIret) {
  auto kvm = open_kvm();
  ASSERT_TRUE(kvm);
  auto cpuid = GuestCpuid::supported(kvm->get());
  ASSERT_TRUE(cpuid);
  GuestStyle style = probe()->style;
  style.descent = Descent::iret;
  engine_ = std::make_unique<KvmEngine>(std::move(*kvm), *cpuid, probe()->platform, style,
                                        probe()->pattern);
  begin_with_memory(configuration());
  map(page, backing, rwu);
  EXPECT_EQ(write(page, 0x55), done);
  EXPECT_EQ(read(page), Observation(Value{0x55}));
  EXPECT_EQ(read(0x80'0000), Observation(PageFault{fault::user, 0x80'0000}));
  EXPECT_EQ(fetch(page + 8), Observation(Value{backing >> page_shift}));
  EXPECT_EQ(read(page, 8, Cpl::supervisor), Observation(Value{0x55}));
  EXPECT_EQ(read(page), Observation(Value{0x55}));
}

}  // namespace
}  // namespace lockstep::hw
