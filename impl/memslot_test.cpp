// SPDX-License-Identifier: GPL-2.0-or-later
#include "impl/memslot.h"

#include <gtest/gtest.h>

#include <optional>
#include <ostream>

#include "impl/test_guest.h"

namespace lockstep::impl {
namespace {

struct Case {
  const char* name;
  MemoryRegion region;
  std::optional<Error> error;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class Regions : public testing::TestWithParam<Case> {};

// Slot 0 exists: gpa 0x10000, 16 pages, hva 0.
const Case cases[] = {
    {"add", {.id = 1, .gpa = 0x100000, .size = 0x1000}, {}},
    {"last id", {.id = 32763, .gpa = 0x100000, .size = 0x1000}, {}},
    {"id past KVM_USER_MEM_SLOTS", {.id = 32764, .gpa = 0x100000, .size = 0x1000}, Error::invalid},
    {"odd size", {.id = 1, .gpa = 0x100000, .size = 0x800}, Error::invalid},
    {"odd gpa", {.id = 1, .gpa = 0x100800, .size = 0x1000}, Error::invalid},
    {"odd hva", {.id = 1, .gpa = 0x100000, .size = 0x1000, .hva = 8}, Error::invalid},
    {"wraps", {.id = 1, .gpa = ~0ull << 12, .size = 0x2000}, Error::invalid},
    {"too many pages", {.id = 1, .gpa = 0, .size = 1ull << 43}, Error::invalid},
    {"past the last gfn", {.id = 1, .gpa = 1ull << 52, .size = 0x1000}, Error::invalid},
    {"overlap in front", {.id = 1, .gpa = 0xf000, .size = 0x2000}, Error::exists},
    {"overlap behind", {.id = 1, .gpa = 0x1f000, .size = 0x2000}, Error::exists},
    {"touches in front", {.id = 1, .gpa = 0xf000, .size = 0x1000}, {}},
    {"touches behind", {.id = 1, .gpa = 0x20000, .size = 0x1000}, {}},
    {"delete", {.id = 0}, {}},
    {"delete nothing", {.id = 1}, Error::invalid},
    {"same again", {.id = 0, .gpa = 0x10000, .size = 0x10000}, {}},
    {"other size", {.id = 0, .gpa = 0x10000, .size = 0x8000}, Error::invalid},
    {"other hva", {.id = 0, .gpa = 0x10000, .size = 0x10000, .hva = 0x1000}, Error::invalid},
    {"becomes read-only",
     {.id = 0, .gpa = 0x10000, .size = 0x10000, .read_only = true},
     Error::invalid},
    {"log on", {.id = 0, .gpa = 0x10000, .size = 0x10000, .log = true}, {}},
    {"move", {.id = 0, .gpa = 0x18000, .size = 0x10000}, {}},
    {"move past the last gfn", {.id = 0, .gpa = 1ull << 52, .size = 0x10000}, Error::invalid},
};

TEST_P(Regions, Errno) {
  test::Guest guest;
  ASSERT_EQ(guest.slot({.id = 0, .gpa = 0x10000, .size = 0x10000}), std::nullopt);
  EXPECT_EQ(guest.slot(GetParam().region), GetParam().error);
}
INSTANTIATE_TEST_SUITE_P(Table, Regions, testing::ValuesIn(cases));

TEST(SlotTable, MoveFindsOverlapWithOthersOnly) {
  test::Guest guest;
  ASSERT_FALSE(guest.slot({.id = 0, .gpa = 0, .size = 0x4000}));
  ASSERT_FALSE(guest.slot({.id = 1, .gpa = 0x8000, .size = 0x4000}));
  EXPECT_EQ(guest.slot({.id = 1, .gpa = 0x3000, .size = 0x4000}), Error::exists);
  EXPECT_FALSE(guest.slot({.id = 1, .gpa = 0x9000, .size = 0x4000}));
  EXPECT_EQ(guest.vm.slots().by_gfn(8), nullptr);
  ASSERT_NE(guest.vm.slots().by_gfn(0xc), nullptr);
  EXPECT_EQ(guest.vm.slots().by_gfn(0xc)->id, 1u);
}

TEST(SlotTable, LookupForgetsADeletedSlot) {
  test::Guest guest;
  ASSERT_FALSE(guest.slot({.id = 0, .gpa = 0, .size = 0x4000}));
  ASSERT_NE(guest.vm.slots().by_gfn(1), nullptr);
  ASSERT_FALSE(guest.slot({.id = 0}));
  EXPECT_EQ(guest.vm.slots().by_gfn(1), nullptr);
}

}  // namespace
}  // namespace lockstep::impl
