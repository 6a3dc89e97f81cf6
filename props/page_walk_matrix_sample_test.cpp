// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/page_walk_matrix_sample.h"

#include <gtest/gtest.h>

#include "props/impl_engine.h"

namespace lockstep::props {
namespace {

using std::chrono::milliseconds;

/// The implementation behind a lie: supervisor fetches of user pages succeed.
class ForgetsSmep final : public Engine {
 public:
  std::string_view name() const override { return "impl"; }
  const Platform& platform() const override { return engine_->platform(); }
  Result<void> begin(const Configuration& configuration, bool fresh) override {
    return engine_->begin(configuration, fresh);
  }
  Result<Observation> execute(const Command& command) override {
    auto shown = engine_->execute(command);
    const auto* access = std::get_if<Access>(&command);
    if (!shown || access == nullptr || access->cpl == Cpl::user) return shown;
    const auto* fault = std::get_if<PageFault>(&*shown);
    if (fault != nullptr && access->kind == AccessKind::fetch) return Observation{Value{0}};
    return shown;
  }
  Result<Observation> end() override { return engine_->end(); }
  const std::map<std::string, std::uint64_t>& reached() const override {
    return engine_->reached();
  }

 private:
  std::unique_ptr<Engine> engine_ = make_impl_engine();
};

TEST(PageWalkSample, ImplementationAsAWholeAgrees) {
  MatrixSampleOptions options;
  options.engine = "impl";
  options.budget = milliseconds(60'000);
  options.max_programs = 24;
  const auto result = run_page_walk_sample(options);
  EXPECT_EQ(result.verdict, Verdict::pass) << text_report(result, options.engine);
  EXPECT_GT(result.cases, 500u);
}

TEST(PageWalkSample, SameSeedSameCases) {
  MatrixSampleOptions options;
  options.engine = "impl";
  options.budget = milliseconds(60'000);
  options.max_programs = 4;
  options.seed = 7;
  const auto once = run_page_walk_sample(options);
  const auto again = run_page_walk_sample(options);
  EXPECT_EQ(once.blocks, again.blocks);
  EXPECT_EQ(once.cases, again.cases);
}

TEST(PageWalkSample, FindsTheCaseOfALyingEngine) {
  MatrixSampleOptions options;
  options.engine = "impl";
  options.budget = milliseconds(60'000);
  options.max_programs = 200;
  options.max_findings = 1;
  options.factory = [](std::string_view, std::uint64_t) -> Result<std::unique_ptr<Engine>> {
    return std::make_unique<ForgetsSmep>();
  };
  const auto result = run_page_walk_sample(options);
  ASSERT_EQ(result.verdict, Verdict::fail);
  ASSERT_EQ(result.findings.size(), 1u);
  const auto& found = result.findings.front();
  EXPECT_TRUE(found.alone);
  EXPECT_TRUE(found.line.starts_with("test ")) << found.line;
  EXPECT_NE(found.line.find(" fetch"), std::string::npos) << found.line;
  EXPECT_FALSE(validate(found.program));
}

TEST(PageWalkSample, EngineThatCannotRunIsNoVerdict) {
  MatrixSampleOptions options;
  options.factory = [](std::string_view, std::uint64_t) -> Result<std::unique_ptr<Engine>> {
    return tl::unexpected(EngineError{"no such device"});
  };
  const auto result = run_page_walk_sample(options);
  EXPECT_EQ(result.verdict, Verdict::no_verdict);
  EXPECT_EQ(result.reason, "kvm: no such device");
}

TEST(PageWalkSample, RealKvmAgrees) {
  if (const auto engine = make_engine("kvm", 1); !engine) GTEST_SKIP() << engine.error().message;
  MatrixSampleOptions options;
  options.budget = milliseconds(1'500);
  const auto result = run_page_walk_sample(options);
  EXPECT_EQ(result.verdict, Verdict::pass) << text_report(result, options.engine);
}

}  // namespace
}  // namespace lockstep::props
