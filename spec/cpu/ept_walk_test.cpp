// SPDX-License-Identifier: GPL-2.0-or-later
#include "spec/cpu/ept_walk.h"

#include <gtest/gtest.h>

#include <array>
#include <map>

namespace lockstep::spec {
namespace {

constexpr std::uint64_t rwx = 7;
constexpr std::uint64_t write_back = 6u << 3;

/// Frames 0x100.. are tables; no guest memory is needed.
class Tables final : public PhysicalMemory {
 public:
  std::uint64_t* table(Hfn frame) override {
    const auto found = tables.find(frame);
    return found == tables.end() ? nullptr : found->second.data();
  }
  std::uint64_t load(Hfn, unsigned, unsigned) override { return 0; }
  void store(Hfn, unsigned, unsigned, std::uint64_t) override {}
  /// Four levels that map guest physical 0x5000 to frame 0x20.
  void map(std::uint64_t leaf_bits) {
    for (Hfn level = 4; level > 1; --level) tables[0x104 - level][0] = (0x105 - level) << 12 | rwx;
    tables[0x103][5] = 0x20ull << 12 | write_back | leaf_bits;
  }
  std::map<Hfn, std::array<std::uint64_t, 512>> tables;
};

HostWalk walk(Tables& tables, bool write = false, bool accessed_dirty = false) {
  return walk_ept(tables, 0x100, 4, 0x5123, write, accessed_dirty, 46);
}

TEST(EptWalk, CombinesRights) {
  Tables tables;
  tables.map(rwx);
  tables.tables[0x101][0] &= ~2ull;
  const auto leaf = std::get<HostLeaf>(walk(tables));
  EXPECT_EQ(leaf.frame, 0x20u);
  EXPECT_FALSE(leaf.translation.rights.writable);
  EXPECT_TRUE(leaf.translation.rights.user);
  EXPECT_TRUE(leaf.translation.rights.executable);
}

TEST(EptWalk, FourLevelsReach48Bits) {
  Tables tables;
  tables.map(rwx);
  const auto at = [&](std::uint64_t address) {
    return walk_ept(tables, 0x100, 4, address, false, false, 52);
  };
  EXPECT_TRUE(std::holds_alternative<HostLeaf>(at(0x5123)));
  for (const unsigned bit : {48u, 51u}) {
    const auto miss = std::get<HostMiss>(at(1ull << bit | 0x5123));
    EXPECT_FALSE(miss.reserved);
    EXPECT_FALSE(miss.rights.user);
  }
}

TEST(EptWalk, ExecuteOnlyIsNoMisconfiguration) {
  Tables tables;
  tables.map(4);
  const auto leaf = std::get<HostLeaf>(walk(tables));
  EXPECT_FALSE(leaf.translation.rights.user);
  EXPECT_TRUE(leaf.translation.rights.executable);
}

TEST(EptWalk, WriteWithoutReadIsMisconfigured) {
  Tables tables;
  tables.map(6);
  EXPECT_TRUE(std::get<HostMiss>(walk(tables)).reserved);
  tables.map(rwx | 1ull << 51);
  EXPECT_TRUE(std::get<HostMiss>(walk(tables)).reserved);
  tables.map(0);
  EXPECT_FALSE(std::get<HostMiss>(walk(tables)).reserved);
}

TEST(EptWalk, FlagsOnlyWhenEnabled) {
  Tables tables;
  tables.map(rwx);
  (void)walk(tables, true);
  EXPECT_EQ(tables.tables[0x103][5] & 0x300, 0u);
  (void)walk(tables, false, true);
  EXPECT_EQ(tables.tables[0x103][5] & 0x300, 0x100u);
  (void)walk(tables, true, true);
  EXPECT_EQ(tables.tables[0x103][5] & 0x300, 0x300u);
}

/// SDM "Page-Modification Logging": a dirty flag that becomes set is noted once, with the
/// 4-KiB page of the access, and the index counts down past 0.
TEST(EptWalk, LogsPagesThatBecomeDirty) {
  Tables tables;
  tables.map(rwx);
  tables.tables[0x200] = {};
  PageModificationLog log{.page = 0x200, .index = 1};
  const auto write = [&](std::uint64_t address) {
    return walk_ept(tables, 0x100, 4, address, true, true, 46, &log);
  };
  (void)walk_ept(tables, 0x100, 4, 0x5123, false, true, 46, &log);
  EXPECT_EQ(log.index, 1);  // a read makes nothing dirty
  EXPECT_TRUE(std::holds_alternative<HostLeaf>(write(0x5123)));
  EXPECT_EQ(log.index, 0);
  EXPECT_EQ(tables.tables[0x200][1], 0x5000u);
  EXPECT_TRUE(std::holds_alternative<HostLeaf>(write(0x5123)));
  EXPECT_EQ(log.index, 0);  // it is dirty already
  tables.tables[0x103][5] &= ~0x200ull;
  tables.tables[0x103][6] = tables.tables[0x103][5];
  EXPECT_TRUE(std::holds_alternative<HostLeaf>(write(0x5ff8)));
  EXPECT_EQ(log.index, 0xffff);
  EXPECT_EQ(tables.tables[0x200][0], 0x5000u);
  // Nothing is set, and the access does not happen, once there is no room.
  tables.tables[0x103][6] &= ~0x300ull;
  EXPECT_TRUE(std::get<HostMiss>(write(0x6000)).log_full);
  EXPECT_EQ(tables.tables[0x103][6] & 0x300, 0u);
  EXPECT_TRUE(
      std::get<HostMiss>(walk_ept(tables, 0x100, 4, 0x6000, false, true, 46, &log)).log_full);
  EXPECT_TRUE(std::holds_alternative<HostLeaf>(write(0x5123)));
  EXPECT_EQ(log.index, 0xffff);
  // What is written through a large page is logged as the 4 KiB that the access is in.
  log.index = 7;
  tables.tables[0x102][0] = 0x400ull << 12 | rwx | write_back | 0x80;
  (void)write(0x7123);
  EXPECT_EQ(tables.tables[0x200][7], 0x7000u);
  // Without A and D flags nothing is logged; neither is a write that faults.
  tables.tables[0x102][0] &= ~0x300ull;
  (void)walk_ept(tables, 0x100, 4, 0x5000, true, false, 46, &log);
  tables.tables[0x102][0] &= ~2ull;
  (void)write(0x5000);
  EXPECT_EQ(log.index, 6);
  tables.tables[0x102][0] |= 2;
  tables.tables.erase(0x200);
  EXPECT_EQ(std::get<HostBroken>(write(0x5000)).frame, 0x200u);
}

TEST(EptWalk, LargePagesAndFreedTables) {
  Tables tables;
  tables.map(rwx);
  tables.tables[0x102][0] = 0x400ull << 12 | rwx | write_back | 0x80;
  EXPECT_EQ(std::get<HostLeaf>(walk(tables)).frame, 0x405u);
  tables.tables[0x102][0] |= 1u << 13;
  EXPECT_TRUE(std::get<HostMiss>(walk(tables)).reserved);
  tables.map(rwx);
  tables.tables.erase(0x103);
  EXPECT_EQ(std::get<HostBroken>(walk(tables)).frame, 0x103u);
}

}  // namespace
}  // namespace lockstep::spec
