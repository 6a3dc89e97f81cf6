// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/hosted/host.h"

#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "hw/hosted/test/toy.h"

namespace lockstep::hw::hosted {
namespace {

class HostTest : public testing::Test {
 protected:
  void SetUp() override {
    build_toy(folder / "toy", 0x2000'0000, options);
    auto loaded = Image::load(folder / "toy");
    ASSERT_TRUE(loaded) << loaded.error().message;
    image = std::move(*loaded);
    auto made = Arena::create({.program_bytes = 2ull << 20, .kernel_pages = 16});
    ASSERT_TRUE(made) << made.error().message;
    arena = std::move(*made);
    ASSERT_TRUE(arena->reset(2ull << 20, true));
    processors.emplace(*arena);
    host.emplace(*image, *arena, *processors);
    start();
  }
  void start() {
    ASSERT_EQ(host->enter([&] { return long{image->boundary().start(&host->boundary())}; }), 0);
  }
  std::optional<long> ioctl(unsigned command, unsigned long argument = 0) {
    return host->enter([&] { return image->boundary().ioctl(0, command, argument); });
  }
  Finding only() {
    auto found = host->take_findings();
    EXPECT_EQ(found.size(), 1u);
    return found.empty() ? Finding{} : found.front();
  }
  std::string options;
  TemporaryFolder folder;
  std::unique_ptr<Image> image;
  std::unique_ptr<Arena> arena;
  std::optional<Processors> processors;
  std::optional<Host> host;
};

TEST_F(HostTest, WarningsGoOn) {
  EXPECT_EQ(ioctl(1), 7);
  EXPECT_FALSE(host->tainted());
  EXPECT_EQ(only().message(), "WARN: WARNING at toy.c:1, at toy_warn, called by ioctl");
  EXPECT_FALSE(host->has_findings());
  EXPECT_EQ(ioctl(7, HOSTED_WARNING), 8);
  EXPECT_EQ(only().message(), "WARN: told, at toy_bug, called by ioctl");
}

TEST_F(HostTest, BugsLeaveTheImage) {
  EXPECT_EQ(ioctl(6), 42);
  EXPECT_EQ(ioctl(2), std::nullopt);
  EXPECT_TRUE(host->tainted());
  EXPECT_EQ(only().kind, HOSTED_BUG);
  ASSERT_TRUE(image->reset());
  host->forget();
  start();
  EXPECT_EQ(ioctl(6), 42);
}

TEST_F(HostTest, ToldFindingsLeaveTheImage) {
  for (const auto kind : {HOSTED_STUB, HOSTED_LOCKING, HOSTED_STUCK}) {
    EXPECT_EQ(ioctl(7, kind), std::nullopt);
    EXPECT_EQ(only().kind, kind);
  }
}

TEST_F(HostTest, BadAccessesNameSymbolAndAddress) {
  for (unsigned again = 0; again < 3; ++again) {  // the signal stays unblocked
    EXPECT_EQ(ioctl(3, 0x18), std::nullopt);
    const Finding found = only();
    EXPECT_EQ(found.kind, HOSTED_FAULT);
    EXPECT_EQ(found.text, "access to address 0x18");
    EXPECT_TRUE(found.symbol.starts_with("toy_bad_store")) << found.symbol;
  }
}

class HostWithLinesTest : public HostTest {
 protected:
  HostWithLinesTest() { options = "-g1"; }
};

/// "/toy_image.c:12": where the toy's source first says so.
std::string toy_line(std::string_view words) {
  std::ifstream source(std::filesystem::path(LOCKSTEP_SOURCE_DIR) / "hw/hosted/test/toy_image.c");
  std::string text;
  for (int line = 1; std::getline(source, text); ++line) {
    if (text.find(words) != std::string::npos) return fmt::format("/toy_image.c:{}", line);
  }
  return "no such line";
}

TEST_F(HostWithLinesTest, FindingsNameTheirLine) {
  EXPECT_EQ(ioctl(3, 0x18), std::nullopt);
  const Finding fault = only();
  EXPECT_TRUE(fault.line.ends_with(toy_line("long toy_bad_store("))) << fault.line;
  EXPECT_NE(fault.message().find(toy_line("long toy_bad_store(") + ")"), std::string::npos);
  // What is told comes with an address behind the call, which may be another line's.
  EXPECT_EQ(ioctl(29), std::nullopt);
  const Finding told = only();
  EXPECT_TRUE(told.line.ends_with(toy_line("return toy_tell()"))) << told.line;
  // WARN and BUG have named theirs.
  EXPECT_EQ(ioctl(2), std::nullopt);
  EXPECT_EQ(only().line, "");
  // An address of no code has none.
  EXPECT_FALSE(SourceLines(image->file()).at(1));
  EXPECT_FALSE(SourceLines("/dev/null").at(0x1000));
}

#ifndef __SANITIZE_ADDRESS__
TEST_F(HostWithLinesTest, FaultsInCalledFunctionsNameTheCall) {
  EXPECT_EQ(ioctl(5, 0x18), std::nullopt);
  const Finding found = only();
  EXPECT_TRUE(found.line.ends_with(toy_line("memset_slot(address"))) << found.line;
}
#endif

TEST(SourceLine, IsToldFromTheTopOfTheTree) {
  EXPECT_EQ((SourceLine{"/home/kernel/linux/arch/x86/kvm/mmu/mmu.c", 12}.text()),
            "arch/x86/kvm/mmu/mmu.c:12");
  EXPECT_EQ((SourceLine{"/lib/linux/virt/kvm/kvm_main.c", 3}.text()), "virt/kvm/kvm_main.c:3");
  EXPECT_EQ((SourceLine{"/home/elsewhere.c", 3}.text()), "/home/elsewhere.c:3");
  EXPECT_TRUE((SourceLine{"/home/lockstep/hw/hosted/kernel/locks.c", 3}.of_shim()));
  EXPECT_FALSE((SourceLine{"/home/linux/arch/x86/kvm/x86.c", 3}.of_shim()));
}

/// Symbols that nobody provides are told by name, whether they are read or called.
TEST_F(HostTest, AbsentSymbolsAreNamed) {
  EXPECT_EQ(ioctl(25), std::nullopt);
  Finding found = only();
  EXPECT_EQ(found.kind, HOSTED_STUB);
  EXPECT_EQ(found.text, "the kernel used toy_absent_data, which the shim does not provide");
  EXPECT_TRUE(found.symbol.starts_with("ioctl")) << found.symbol;
  EXPECT_EQ(ioctl(26), std::nullopt);
  found = only();
  EXPECT_EQ(found.text, "the kernel used toy_absent_call, which the shim does not provide");
}

#ifndef __SANITIZE_ADDRESS__
TEST_F(HostTest, FaultsInCalledFunctionsNameTheCaller) {
  EXPECT_EQ(ioctl(5, 0x18), std::nullopt);
  const Finding found = only();
  EXPECT_TRUE(found.symbol.starts_with("toy_bad_call")) << found.symbol;
}
#endif

TEST_F(HostTest, UserAccessesHaveFixups) {
  const long value = 1234;
  EXPECT_EQ(ioctl(4, reinterpret_cast<unsigned long>(&value)), 1234);
  EXPECT_EQ(ioctl(4, 0x18), -EFAULT);
  EXPECT_FALSE(host->has_findings());
}

TEST_F(HostTest, ManyWarningsLeaveRoomForTheFatalOne) {
  for (unsigned i = 0; i < 100; ++i) EXPECT_EQ(ioctl(1), 7);
  EXPECT_EQ(ioctl(2), std::nullopt);
  const auto found = host->take_findings();
  ASSERT_GT(found.size(), 1u);
  EXPECT_EQ(found.back().kind, HOSTED_BUG);
}

TEST_F(HostTest, AllocationsFailAsPlannedAndAreDropped) {
  host->set_faults(FaultPlan::nth(1));
  EXPECT_EQ(ioctl(8, 100), 1);
  EXPECT_EQ(ioctl(8, 100), -12);
  EXPECT_EQ(ioctl(8, 100), 1);
  EXPECT_EQ(host->faults().sites(), 3u);
  host->forget();  // a leak would show at exit
}

TEST_F(HostTest, CorruptBlocksAreFound) {
  EXPECT_EQ(ioctl(9), std::nullopt);
  EXPECT_EQ(only().kind, HOSTED_MEMORY);
}

TEST_F(HostTest, KeepsTheLog) {
  EXPECT_EQ(ioctl(11), 0);
  EXPECT_EQ(host->take_log(), "hello");
  EXPECT_EQ(host->take_log(), "");
}

TEST_F(HostTest, ForeignSignalsGoToTheHandlerBefore) {
  EXPECT_EQ(ioctl(1), 7);  // handlers stand
  EXPECT_DEATH(
      {
        volatile int* nothing = nullptr;
        *nothing = 1;
      },
      "");
  EXPECT_DEATH((void)std::raise(SIGILL), "");
}

}  // namespace
}  // namespace lockstep::hw::hosted
