// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/hosted/build/stubs.h"

#include <gtest/gtest.h>

namespace lockstep::hw::hosted {
namespace {

TEST(Stubs, ReadsUndefinedSymbolsOfTheLinker) {
  const auto symbols = undefined_symbols(
      "ld: x.o: in function `f':\nf.c:1: undefined reference to `schedule'\n"
      "ld: f.c:2: undefined reference to `jiffies'\nld: f.c:3: undefined reference to "
      "`schedule'\n");
  EXPECT_EQ(symbols, (std::set<std::string>{"jiffies", "schedule"}));
}

TEST(Stubs, CallsAreToldFromData) {
  const auto called = called_symbols(
      "0000000000000011 R_X86_64_PLT32    schedule-0x0000000000000004\n"
      "0000000000000020 R_X86_64_32S      jiffies\n"
      "0000000000000028 R_X86_64_PLT32    plain\n");
  EXPECT_EQ(called, (std::set<std::string>{"plain", "schedule"}));
}

TEST(Stubs, EachKindOfSymbolGetsItsOwn) {
  const Stubs stubs =
      write_stubs({"__tracepoint_x", "jiffies", "memcpy", "module_uevent", "put_pid", "schedule"},
                  {.called = {"memcpy", "put_pid", "schedule"},
                   .harmless = {"put_pid"},
                   .zero = {"__tracepoint_*", "jiffies"}});
  const std::string& text = stubs.source;
  EXPECT_NE(text.find("char jiffies[4096]"), std::string::npos);
  EXPECT_NE(text.find("char __tracepoint_x[4096]"), std::string::npos);
  EXPECT_EQ(stubs.absent, std::vector<std::string>{"module_uevent"});
  EXPECT_EQ(text.find("module_uevent"), std::string::npos);
  EXPECT_NE(text.find("jmp *hosted_slot_memcpy(%rip)"), std::string::npos);
  EXPECT_NE(text.find("long put_pid(void) { ++hosted_calls_put_pid; return 0; }"),
            std::string::npos);
  EXPECT_NE(text.find("hosted_stub(\"schedule\")"), std::string::npos);
}

TEST(Stubs, WithoutReasonsEveryFunctionIsFatal) {
  const auto text =
      write_stubs({"put_pid"}, {.called = {"put_pid"}, .harmless = {}, .zero = {}}).source;
  EXPECT_NE(text.find("hosted_stub(\"put_pid\")"), std::string::npos);
}

TEST(Stubs, ReasonsStandBesideTheirFunctions) {
  EXPECT_EQ(listed_symbols("# a comment\nput_pid  no process identifiers\n\n"),
            std::set<std::string>{"put_pid"});
}

}  // namespace
}  // namespace lockstep::hw::hosted
