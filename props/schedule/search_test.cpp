// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/schedule/search.h"

#include <gtest/gtest.h>

namespace lockstep::props::schedule {
namespace {

/// Warns at its end of one thing where a command ran, of another one where two did.
class Counted final : public SystemBody {
 public:
  using SystemBody::SystemBody;
  void tear_down() override {
    if (commands_ != 0) {
      runner().report(FailureKind::warning, commands_ == 1 ? "one ran" : "several ran");
    }
  }

 protected:
  void command(Command) override { ++commands_; }

 private:
  unsigned commands_ = 0;
};

class Search : public testing::Test {
 protected:
  Search() {
    system_.name = "counted";
    system_.verbs = verbs_;
    system_.make = [this](Runner& runner, unsigned defect, const Threads& threads) {
      return std::make_unique<Counted>(system_, runner, defect, threads);
    };
  }
  const std::array<Verb, 1> verbs_{Verb{.name = "run"}};
  System system_;
  Runner runner_;
  Tally tally_;
};

TEST_F(Search, ShrinksToTheSameBugAndNoOtherOfItsKind) {
  const Threads threads(3, {Command{}});
  const auto covered = exhaust(runner_, system_, no_defect, threads, 0, ~0ull, tally_);
  ASSERT_TRUE(covered.found);
  EXPECT_EQ(covered.found->failure.text, "several ran");
  const auto small = shrink(runner_, *covered.found, tally_);
  EXPECT_EQ(small.failure.text, "several ran");
  std::size_t commands = 0;
  for (const auto& thread : small.saved.threads) commands += thread.size();
  EXPECT_EQ(commands, 2u);
}

TEST_F(Search, AnAuditThatCannotBeMadeEndsIt) {
  const System quiet = [&] {
    System made = system_;
    made.verbs = verbs_;
    made.make = [&](Runner& runner, unsigned defect, const Threads& threads) {
      class Quiet final : public SystemBody {
       public:
        using SystemBody::SystemBody;

       protected:
        void command(Command) override {}
      };
      return std::make_unique<Quiet>(system_, runner, defect, threads);
    };
    return made;
  }();
  SearchLimits limits{.schedules = 10'000};
  limits.audit_every = 100;
  limits.audit = [](const Threads&, const Outcome&) -> Audit {
    return tl::unexpected(std::string("no memory"));
  };
  EXPECT_FALSE(search(runner_, quiet, no_defect, 1, limits, tally_));
  EXPECT_EQ(tally_.schedules, 100u);
  EXPECT_EQ(tally_.audits, 0u);
  EXPECT_EQ(tally_.broken, "no memory");
}

}  // namespace
}  // namespace lockstep::props::schedule
