// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/kernels/diagnostics.h"

#include <gtest/gtest.h>

namespace lockstep::hw::kernels {
namespace {

TEST(FirstError, QuotesTheCompilerWithTheTreesOwnPath) {
  EXPECT_EQ(first_error("In file included from /src/linux/a.h:1:\n"
                        "/src/linux/arch/x86/kvm/mmu/mmu.c:7:3: warning: odd\n"
                        "/src/linux/arch/x86/kvm/mmu/mmu.c:9:3: error: 'x' undeclared\n"
                        "    9 |   x = 1;\n"
                        "      |   ^\n"
                        "/src/linux/arch/x86/kvm/mmu/mmu.c:11:3: error: second\n"
                        "make[1]: *** [mmu.o] Error 1\n",
                        "/src/linux"),
            "arch/x86/kvm/mmu/mmu.c:9:3: error: 'x' undeclared\n"
            "    9 |   x = 1;\n"
            "      |   ^");
}

TEST(FirstError, KnowsTheAssembler) {
  EXPECT_EQ(first_error("/s/vmenter.S: Assembler messages:\n"
                        "/s/vmenter.S:12: Error: no such instruction: `foo'\n",
                        "/s"),
            "vmenter.S:12: Error: no such instruction: `foo'");
}

TEST(FirstError, ElseTheLastWordsThatAreNotMakes) {
  EXPECT_EQ(first_error("ld: cannot find -lelf\nmake[2]: *** [x] Error 1\n\nmake: *** [y]\n", "/s"),
            "ld: cannot find -lelf");
  EXPECT_EQ(first_error("make: *** No rule to make target 'x'.  Stop.\n", "/s"),
            "make: *** No rule to make target 'x'.  Stop.");
  EXPECT_EQ(first_error("", "/s"), "");
}

TEST(MissingPackage, IsNamedByWhatLacks) {
  EXPECT_EQ(missing_package("/bin/sh: 1: flex: not found\n"), "flex");
  EXPECT_EQ(missing_package("elf.h:8:10: fatal error: gelf.h: No such file or directory\n"),
            "libelf-dev");
  EXPECT_EQ(missing_package("mmu.c:1:1: error: x\n"), "");
}

}  // namespace
}  // namespace lockstep::hw::kernels
