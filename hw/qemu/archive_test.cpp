// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/qemu/archive.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "hw/kernels/process.h"

namespace lockstep::hw::qemu {
namespace {

TEST(Archive, HasTheFormatThatLinuxUnpacks) {
  const auto archive = write_archive({{"init", "12345", S_IFREG | 0755}});
  EXPECT_TRUE(archive.starts_with("07070100000001000081ED")) << archive.substr(0, 22);
  EXPECT_EQ(archive.size() % 4, 0U);
  // Header of 110 bytes and the name with its NUL, up to a multiple of four.
  EXPECT_EQ(archive.substr(116, 5), "12345");
  EXPECT_NE(archive.find("TRAILER!!!"), std::string::npos);
}

TEST(Archive, CpioReadsTheRootFileSystem) {
  if (!kernels::installed("cpio")) GTEST_SKIP() << "cpio is not installed";
  kernels::Process process;
  process.words = {"cpio", "-t", "--quiet"};
  process.input = initramfs("agent");
  const auto outcome = kernels::run(process);
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->status, 0) << outcome->err;
  EXPECT_EQ(outcome->out, "dev\nproc\nsys\ntmp\ninit\n");
}

}  // namespace
}  // namespace lockstep::hw::qemu
