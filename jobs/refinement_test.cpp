// SPDX-License-Identifier: GPL-2.0-or-later
/// That the enumeration is whole, and that it sees a wrong answer.
#include "jobs/refinement.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <fstream>
#include <sstream>

namespace lockstep::jobs {
namespace {

/// impl, which forgets one store of a certain value.
class Liar : public Engine {
 public:
  explicit Liar(std::unique_ptr<Engine> engine) : engine_(std::move(engine)) {}
  std::string_view name() const override { return engine_->name(); }
  const Platform& platform() const override { return engine_->platform(); }
  Result<void> begin(const Configuration& configuration, bool fresh) override {
    stored_ = false;
    return engine_->begin(configuration, fresh);
  }
  Result<Observation> execute(const Command& command) override {
    const bool lies = stored_ && print(command, PagingMode::level4) == "v1 cpl3 read 0x0";
    if (print(command, PagingMode::level4) == "v0 cpl3 write 0x0 = 0x7") stored_ = true;
    auto answer = engine_->execute(command);
    if (lies && answer) return Observation{Value{.value = 0x5}};
    return answer;
  }
  Result<Observation> end() override { return engine_->end(); }
  const std::map<std::string, std::uint64_t>& reached() const override {
    return engine_->reached();
  }

 private:
  std::unique_ptr<Engine> engine_;
  bool stored_ = false;
};

SmallMachine tiny() {
  return {.name = "tiny",
          .setup =
              "lockstep 1\ntitle  tiny\nconfig paging=4-level vcpus=2\n"
              "slot 0 add gpa=0x0 size=0x400000\nmap 0x0 gpa=0x200000 rwxu\n",
          .commands = {"v0 cpl3 read 0x0", "v1 cpl3 read 0x0", "v0 cpl3 write 0x0 = 0x7"}};
}

TEST(Refinement, RunsEveryProgramOfTheDepth) {
  RefinementOptions options;
  options.machines = {tiny()};
  options.depth = 3;
  const auto report = refine(options);
  ASSERT_EQ(report.rows.size(), 1u);
  EXPECT_EQ(verdict_of(report), props::Verdict::pass) << reason_of(report);
  EXPECT_EQ(report.rows[0].programs, 27u);
  // Three words of three, less those without the letter.
  EXPECT_EQ(report.rows[0].by_command.at("write"), 27u - 8u);
  EXPECT_NE(text_row(report, report.rows[0]).find("bounded(3)"), std::string::npos);
}

TEST(Refinement, FindsTheShortestProgramThatIsNotAdmitted) {
  RefinementOptions options;
  options.machines = {tiny()};
  options.factory = [](std::string_view name,
                       std::uint64_t seed) -> Result<std::unique_ptr<Engine>> {
    auto engine = props::make_engine(name, seed);
    if (!engine || name == "spec") return engine;
    return std::make_unique<Liar>(std::move(*engine));
  };
  options.failures = std::filesystem::temp_directory_path() /
                     ("lockstep-refinement-test-" + std::to_string(getpid()));
  const auto report = refine(options);
  EXPECT_EQ(verdict_of(report), props::Verdict::fail);
  const auto& program = report.rows[0].program;
  EXPECT_TRUE(program.ends_with("v0 cpl3 write 0x0 = 0x7\nv1 cpl3 read 0x0\n")) << program;
  std::ostringstream saved;
  saved << std::ifstream(options.failures / "refinement-tiny.lockstep").rdbuf();
  EXPECT_EQ(saved.str(), program);
  EXPECT_NE(text_row(report, report.rows[0]).find("lockstep replay "), std::string::npos);
  std::error_code error;
  std::filesystem::remove_all(options.failures, error);
}

TEST(Refinement, SaysWhatItCannotRun) {
  RefinementOptions options;
  options.machines = {tiny()};
  options.machines[0].commands = {"v0 nonsense"};
  EXPECT_EQ(verdict_of(refine(options)), props::Verdict::no_verdict);
  options.machines.clear();
  EXPECT_EQ(verdict_of(refine(options)), props::Verdict::no_verdict);
}

TEST(Refinement, MachinesAreOfTheSizeTheyClaim) {
  EXPECT_EQ(small_machines().size(), 3u);
  for (const auto& machine : small_machines()) {
    const auto program = parse(machine.setup);
    ASSERT_TRUE(program) << program.error().message(machine.name, machine.setup);
    EXPECT_EQ(program->configuration.vcpus, 2u);
  }
}

}  // namespace
}  // namespace lockstep::jobs
