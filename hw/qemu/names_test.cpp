// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/qemu/names.h"

#include <gtest/gtest.h>

namespace lockstep::hw {
namespace {

TEST(QemuNames, AreParsed) {
  EXPECT_EQ(parse_qemu_name("qemu:6.1"), (QemuName{std::nullopt, "6.1"}));
  EXPECT_EQ(parse_qemu_name("qemu-shadow:6.12"), (QemuName{QemuMode::shadow, "6.12"}));
  EXPECT_EQ(parse_qemu_name("qemu-tdp-mmu:./linux"), (QemuName{QemuMode::tdp_mmu, "./linux"}));
  for (const char* bad : {"qemu", "qemu:", "qemu:linux", "qemu-npt:6.1", "qemushadow:6.1",
                          "qemu-:6.1", "qemu:6..1", "hosted:6.1"}) {
    EXPECT_FALSE(parse_qemu_name(bad)) << bad;
  }
}

TEST(QemuNames, OneNameStandsForEveryMode) {
  EXPECT_EQ(qemu_members("qemu:6.1"),
            (std::vector<std::string>{"qemu-tdp-mmu:6.1", "qemu-direct:6.1", "qemu-shadow:6.1"}));
  EXPECT_EQ(qemu_members("qemu-direct:6.1"), (std::vector<std::string>{"qemu-direct:6.1"}));
  EXPECT_EQ(qemu_members("spec"), (std::vector<std::string>{"spec"}));
  EXPECT_TRUE(same_qemu_kernel("qemu-direct:6.1", "qemu-shadow:6.1"));
  EXPECT_FALSE(same_qemu_kernel("qemu-direct:6.1", "qemu-direct:6.1"));
  EXPECT_FALSE(same_qemu_kernel("qemu-direct:6.1", "qemu-shadow:6.12"));
  EXPECT_FALSE(same_qemu_kernel("hosted:6.1", "qemu-shadow:6.1"));
}

TEST(QemuNames, ModesAreModuleParameters) {
  EXPECT_EQ(kvm_amd_parameters(QemuMode::tdp_mmu), "npt=1");
  EXPECT_EQ(kvm_parameters(QemuMode::direct), "tdp_mmu=0");
  EXPECT_EQ(kvm_amd_parameters(QemuMode::shadow), "npt=0");
}

}  // namespace
}  // namespace lockstep::hw
