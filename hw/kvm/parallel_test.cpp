// SPDX-License-Identifier: GPL-2.0-or-later
// Parallel blocks on real vCPUs.
#include "hw/kvm/test_program.h"

namespace lockstep::hw {
namespace {

constexpr Gva page = 0x40'0000;
constexpr Gpa backing = 0x20'0000;

class ParallelTest : public KvmTest {
 protected:
  void begin_two() {
    Configuration two = configuration();
    two.vcpus = 2;
    begin_with_memory(two);
    map(page, backing, rwu);
    ASSERT_EQ(read(page), Observation(Value{cell_at(backing)}));
    ASSERT_EQ(run(of(1, access(AccessKind::read, page))), Observation(Value{cell_at(backing)}));
  }
  static Access of(unsigned vcpu, Access access) {
    access.vcpu = vcpu;
    return access;
  }
  static Access store(unsigned vcpu, std::uint64_t value) {
    return of(vcpu, access(AccessKind::write, page, Cpl::user, value));
  }
  std::vector<ParallelAnswer> block(const std::vector<ParallelCommand>& commands) {
    auto answers = engine_->execute_parallel(commands);
    EXPECT_TRUE(answers) << answers.error().message;
    return answers ? *answers : std::vector<ParallelAnswer>(commands.size());
  }
};

TEST_F(ParallelTest, CommandsOfAThreadKeepTheirOrder) {
  begin_two();
  const auto answers = block({{0, store(0, 1), 3},
                              {0, of(0, access(AccessKind::read, page))},
                              {1, store(1, 2)},
                              {1, of(1, access(AccessKind::read, page))},
                              {2, Peek{.gpa = backing}}});
  for (const auto& answer : answers) EXPECT_LT(answer.began, answer.ended);
  EXPECT_LT(answers[0].ended, answers[1].began);
  EXPECT_LT(answers[2].ended, answers[3].began);
  EXPECT_EQ(answers[0].observation, Observation(Done{}));
  for (const std::size_t load : {1u, 3u}) {
    const auto* value = std::get_if<Value>(&answers[load].observation);
    ASSERT_NE(value, nullptr);
    EXPECT_TRUE(value->value == 1 || value->value == 2);
  }
  EXPECT_EQ(count("parallel block"), 1u);
}

TEST_F(ParallelTest, ThreadsOverlap) {
  begin_two();
  unsigned overlaps = 0;
  for (std::uint64_t i = 0; i < 200; ++i) {
    const auto answers = block({{0, store(0, i), i + 1}, {1, store(1, i)}});
    overlaps += answers[0].began < answers[1].ended && answers[1].began < answers[0].ended ? 1 : 0;
  }
  EXPECT_GT(overlaps, 0u);
}

TEST_F(ParallelTest, MigrationLosesNoStore) {
  begin_two();
  const HostChange migrate{HostAction::migrate, backing, 0x40'000};
  for (std::uint64_t i = 1; i <= 300; ++i) {
    std::vector<ParallelCommand> commands{{2, migrate, i}};
    for (unsigned n = 0; n < 4; ++n) commands.push_back({0, store(0, 4 * i + n), i});
    for (const auto& answer : block(commands)) {
      ASSERT_EQ(answer.observation, Observation(Done{}));
    }
    ASSERT_EQ(read(page), Observation(Value{4 * i + 3})) << "block " << i;
  }
}

TEST_F(ParallelTest, SlotsChangeBesideAccesses) {
  begin_two();
  ASSERT_EQ(run(SlotAdd{1, 0x4000'0000, 0x1000, 0x10'0000}), Observation(Done{}));
  const auto answers =
      block({{0, store(0, 1), 1}, {1, SlotDelete{1}}, {1, SlotAdd{1, 0x4000'0000, 0x1000, 0}}});
  for (const auto& answer : answers) EXPECT_EQ(answer.observation, Observation(Done{}));
  EXPECT_EQ(read(page), Observation(Value{1}));
  end();
}

}  // namespace
}  // namespace lockstep::hw
