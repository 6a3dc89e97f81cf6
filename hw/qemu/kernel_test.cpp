// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/qemu/kernel.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "hw/qemu/machine.h"

namespace lockstep::hw::qemu {
namespace {

TEST(DebugKernel, FragmentsAskForChecksAndModules) {
  const auto flavour = debug_flavour();
  ASSERT_TRUE(flavour) << flavour.error().message;
  const auto wishes = kernels::merge_fragments(flavour->fragments);
  ASSERT_TRUE(wishes) << wishes.error().message;
  const auto value = [&](std::string_view symbol) {
    const auto found = std::ranges::find(*wishes, symbol, &kernels::Wish::symbol);
    return found == wishes->end() ? std::string("absent") : found->value;
  };
  for (const char* check : {"KASAN", "PROVE_LOCKING", "PROVE_RCU", "DEBUG_ATOMIC_SLEEP",
                            "DEBUG_LIST", "FAULT_INJECTION", "FTRACE", "PVH"}) {
    EXPECT_EQ(value(check), "y") << check;
  }
  EXPECT_EQ(value("KVM"), "m");
  EXPECT_EQ(value("KVM_AMD"), "m");
}

TEST(DebugKernel, WhatKbuildIsToldMakesAnotherFolder) {
  auto flavour = debug_flavour();
  ASSERT_TRUE(flavour);
  const auto key = flavour->key();
  flavour->variables.clear();
  EXPECT_NE(flavour->key(), key);
}

TEST(DebugKernel, OnlyFilesOfTheModulesNeedNoImage) {
  EXPECT_FALSE(
      image_file({"arch/x86/kvm/mmu/mmu.c", "virt/kvm/kvm_main.c", "include/linux/kvm_host.h",
                  "arch/x86/include/asm/kvm_host.h", "Documentation/virt/kvm/locking.rst"}));
  EXPECT_EQ(image_file({"arch/x86/kvm/mmu/mmu.c", "mm/memory.c"}), "mm/memory.c");
  EXPECT_EQ(image_file({"include/linux/mm.h"}), "include/linux/mm.h");
}

TEST(Machine, HasOneCpuNoNetworkAndOurPort) {
  const auto words = qemu_words({.image = "/k/vmlinux", .initramfs = "/k/guest"}, 10);
  const auto after = [&](std::string_view word) {
    const auto found = std::ranges::find(words, word);
    return found == words.end() || found + 1 == words.end() ? std::string() : *(found + 1);
  };
  EXPECT_EQ(after("-smp"), "1");
  EXPECT_EQ(after("-kernel"), "/k/vmlinux");
  EXPECT_EQ(after("-chardev"), "socket,id=port,fd=10");
  EXPECT_TRUE(after("-accel").starts_with("tcg"));
  EXPECT_TRUE(std::ranges::count(words, "-nodefaults") == 1);
  EXPECT_EQ(std::ranges::count(words, "-netdev"), 0);
}

}  // namespace
}  // namespace lockstep::hw::qemu
