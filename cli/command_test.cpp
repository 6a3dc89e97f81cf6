// SPDX-License-Identifier: GPL-2.0-or-later
/// The command line as a person types it: usage, suggestions, exit codes, JSON.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "cli/verbs.h"

namespace lockstep::cli {
namespace {

namespace fs = std::filesystem;

class Command : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("lockstep-command-test-" + std::to_string(getpid()));
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string file(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / name) << text;
    return (folder_ / name).string();
  }

  int run(std::vector<std::string> words) {
    words.insert(words.begin(), "lockstep");
    std::vector<const char*> argv;
    for (const auto& word : words) argv.push_back(word.c_str());
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    const int exit = run_command(static_cast<int>(argv.size()), argv.data());
    out_ = testing::internal::GetCapturedStdout();
    err_ = testing::internal::GetCapturedStderr();
    return exit;
  }

  nlohmann::json object() { return nlohmann::json::parse(out_, nullptr, false); }

  fs::path folder_;
  std::string out_, err_;
};

TEST_F(Command, NoVerbIsWrongUsage) {
  EXPECT_EQ(run({}), 2);
  EXPECT_EQ(out_, "");
  EXPECT_NE(err_.find("replay"), std::string::npos);
}

TEST_F(Command, EveryVerbHasHelpWithExamples) {
  for (const auto verb : verb_names()) {
    if (verb == "test") continue;
    EXPECT_EQ(run({std::string(verb), "--help"}), 0) << verb;
    EXPECT_NE(out_.find("Examples:\n  lockstep " + std::string(verb)), std::string::npos) << out_;
    EXPECT_NE(out_.find("Exit: 0"), std::string::npos) << out_;
  }
}

TEST_F(Command, ExplainsAnInvariantByItsNumber) {
  EXPECT_EQ(run({"explain", "23"}), 0);
  EXPECT_EQ(out_.find("23\n  holds      a vCPU keeps no obsolete root"), 0u) << out_;
  EXPECT_NE(out_.find("kept by    kvm_mmu_free_obsolete_roots"), std::string::npos) << out_;
  EXPECT_NE(out_.find("\n  if not     "), std::string::npos) << out_;
  EXPECT_EQ(run({"explain", "13"}), 0);
  EXPECT_EQ(out_.find("13, absent\n"), 0u) << out_;
  EXPECT_EQ(run({"explain", "43"}), 2);
  EXPECT_EQ(run({"explain", "0"}), 2);
  EXPECT_EQ(run({"explain", "x"}), 2);
}

TEST_F(Command, ExplainsEveryInvariant) {
  EXPECT_EQ(run({"explain", "all", "--json", "-"}), 0);
  const auto rows = object()["invariants"];
  ASSERT_EQ(rows.size(), 42u);
  for (unsigned i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(rows[i]["number"], i + 1);
    // Checked, with what failing means, or absent with the reason.
    EXPECT_NE(rows[i]["absent"].is_null(), rows[i]["failure"].is_null()) << rows[i];
  }
}

TEST_F(Command, ProveSaysWhatIsNoTheorem) {
  EXPECT_EQ(run({"prove", "permission-chek"}), 2);
  EXPECT_NE(err_.find("did you mean 'permission-check'?"), std::string::npos) << err_;
}

TEST_F(Command, ProveRefusesADepthThatBoundsNothing) {
  EXPECT_EQ(run({"prove", "error-code-reserved", "--depth", "2"}), 2);
  EXPECT_NE(err_.find("--depth: belongs to --refinement"), std::string::npos) << err_;
}

TEST_F(Command, ProveHasNoVerdictWithoutTime) {
  EXPECT_EQ(run({"prove", "error-code-reserved", "--time-limit", "1ms", "--json", "-"}), 3);
  const auto json = object();
  EXPECT_EQ(json["verdict"], "no-verdict") << out_;
  ASSERT_EQ(json["theorems"].size(), 1u);
  EXPECT_NE(json["theorems"][0]["result"], "proved");
}

TEST_F(Command, ProveWritesTheoremsAsJson) {
  const int exit = run({"prove", "error-code-reserved", "--no-second-opinion", "--json", "-"});
  if (exit == 3) GTEST_SKIP() << err_;
  EXPECT_EQ(exit, 0) << err_;
  const auto row = object()["theorems"][0];
  EXPECT_EQ(row["name"], "error-code-reserved");
  EXPECT_EQ(row["result"], "proved");
  EXPECT_TRUE(row["bound"].is_null());
  EXPECT_GT(row["seconds"], 0);
  EXPECT_EQ(row["twin"]["result"], "refuted");
}

TEST_F(Command, UnknownVerbSuggestsTheNearest) {
  EXPECT_EQ(run({"reply"}), 2);
  EXPECT_NE(err_.find("did you mean 'replay'?"), std::string::npos) << err_;
}

TEST_F(Command, UsageErrorsAreInputErrorsAlsoAsJson) {
  EXPECT_EQ(run({"run", "--budgett", "5s", "--json", "-"}), 2);
  EXPECT_EQ(object()["verdict"], "input-error");
  EXPECT_EQ(object()["exit"], 2);
  EXPECT_TRUE(object()["findings"].empty());
  EXPECT_EQ(run({"run", "--budget", "5"}), 2);
  EXPECT_EQ(run({"run", "--engines", "spec,imple"}), 2);
  EXPECT_NE(err_.find("did you mean 'impl'?"), std::string::npos) << err_;
  EXPECT_EQ(run({"run", "--json", (folder_ / "no" / "such.json").string()}), 2);
}

TEST_F(Command, ReplayOfNothingIsAnInputError) {
  EXPECT_EQ(run({"replay", (folder_ / "absent").string()}), 2);
  EXPECT_NE(err_.find("absent: No such file or directory"), std::string::npos) << err_;
  EXPECT_EQ(run({"replay", folder_.string()}), 2);
  EXPECT_EQ(run({"replay"}), 2);
}

TEST_F(Command, ReplayNamesThePlaceOfAParseError) {
  const auto path = file("wrong", "lockstep 1\ntitle  wrong\nslott 0 add gpa=0x0 size=0x1000\n");
  EXPECT_EQ(run({"replay", path}), 2);
  EXPECT_NE(err_.find(path + ":3:1"), std::string::npos) << err_;
  EXPECT_NE(err_.find("slot"), std::string::npos) << err_;
}

TEST_F(Command, ReplayNamesTheIllegalStep) {
  const auto path = file("illegal",
                         "lockstep 1\nslot 0 add gpa=0x0 size=0x1000\n"
                         "v3 cpl3 read 0x400000\n");
  EXPECT_EQ(run({"replay", path}), 2);
  EXPECT_NE(err_.find("step 2"), std::string::npos) << err_;
}

TEST_F(Command, ReplaySurvivesBytesThatAreNoText) {
  const auto path = file("bytes", std::string("lockstep 1\n\xff\xfe\0\x01", 15));
  EXPECT_EQ(run({"replay", path, "--json", "-"}), 2);
  EXPECT_EQ(object()["exit"], 2);
}

TEST_F(Command, ReplayOfAProgramWithoutCommandsIsAnInputError) {
  const auto empty = file("empty.lockstep", "lockstep 1\ntitle  none\nconfig paging=4-level\n");
  EXPECT_EQ(run({"replay", empty}), 2);
  EXPECT_NE(err_.find("without commands"), std::string::npos) << err_;
}

TEST_F(Command, TheSpecAloneHasNoVerdict) {
  const auto failures = (folder_ / "failures").string();
  EXPECT_EQ(run({"run", "--engines", "spec", "--budget", "100ms", "--failures", failures}), 3);
  // A tenth of a second holds so few cases on a slow machine that one undecided is too many.
  EXPECT_EQ(run({"run", "--engines", "spec,impl", "--budget", "2s", "--seed", "7", "--failures",
                 failures}),
            0)
      << out_ << err_;
}

TEST_F(Command, RunChecksFirstWhereItWouldSave) {
  const auto plain = file("plain", "");
  EXPECT_EQ(run({"run", "--engines", "spec,impl", "--failures", plain + "/below"}), 2);
  EXPECT_NE(err_.find("--failures"), std::string::npos) << err_;
}

TEST_F(Command, SeedIsOneWholeNumber) {
  for (const char* wrong : {"-1", "18446744073709551616", "", "0x", "1x"}) {
    EXPECT_EQ(run({"run", "--seed", wrong}), 2) << wrong;
    EXPECT_NE(err_.find("--seed"), std::string::npos) << err_;
  }
}

TEST_F(Command, DangerousProgramsStayOffTheHostsKernel) {
  const auto marked = file("danger.lockstep",
                           "lockstep 1\ntitle  marked\n# Danger: for a test\n"
                           "config paging=4-level\nslot 0 add gpa=0x0 size=0x1000\n");
  EXPECT_EQ(run({"replay", marked, "--engine", "spec", "--engine", "kvm"}), 3);
}

TEST_F(Command, JsonIntoAPipeLeavesThePipe) {
  const auto target = folder_ / "pipe";
  ASSERT_EQ(mkfifo(target.c_str(), 0600), 0);
  const int reader = open(target.c_str(), O_RDWR | O_CLOEXEC);
  EXPECT_EQ(run({"replay", "no-such-file", "--json", target.string()}), 2);
  EXPECT_TRUE(fs::is_fifo(target));
  close(reader);
}

TEST_F(Command, ListOfTheoremsHasThoseOfRefinementAndTheirWidths) {
  EXPECT_EQ(run({"list", "theorems"}), 0);
  EXPECT_NE(out_.find("refines-slot-zap-all-tdp"), std::string::npos);
  EXPECT_NE(out_.find("\n    kernels: 6.1, 6.12, 7.2"), std::string::npos);
}

TEST_F(Command, ListNamesItsTopics) {
  EXPECT_EQ(run({"list", "loosenesses", "--json", "-"}), 0);
  EXPECT_EQ(object()["verdict"], "pass");
  EXPECT_FALSE(object()["list"]["loosenesses"].empty());
  EXPECT_EQ(run({"list", "corpsu"}), 2);
  EXPECT_NE(err_.find("did you mean 'corpus'?"), std::string::npos) << err_;
}

TEST_F(Command, MutantsAreListedAndNamed) {
  EXPECT_EQ(run({"mutants", "--list", "--json", "-"}), 0);
  EXPECT_GE(object()["mutants"].size(), 25u);
  EXPECT_EQ(run({"mutants", "--kernel", "6.1", "cache-overflw"}), 2);
  EXPECT_NE(err_.find("did you mean 'cache-overflow'?"), std::string::npos) << err_;
  EXPECT_EQ(run({"mutants", "role-forgets-acces"}), 2);
  EXPECT_NE(err_.find("role-forgets-access"), std::string::npos) << err_;
  EXPECT_EQ(run({"mutants", "--kernel", "/no/such/tree"}), 2);
}

TEST_F(Command, MutantsOfSchedulesAreFoundAndReplayed) {
  EXPECT_EQ(run({"mutants", "--schedules", "--list", "--json", "-"}), 0);
  EXPECT_GE(object()["mutants"].size(), 40u);
  EXPECT_EQ(run({"mutants", "--schedules", "mising-kvm-lock"}), 2);
  EXPECT_NE(err_.find("did you mean 'missing-kvm-lock'?"), std::string::npos) << err_;
  EXPECT_EQ(run({"mutants", "--schedules", "empty-cache-allocation", "--failures", folder_.string(),
                 "--json", "-"}),
            0);
  const auto row = object()["mutants"][0];
  EXPECT_EQ(row["detected"], true);
  EXPECT_EQ(row["replays"], 100);

  const std::string saved = row["program"];
  EXPECT_EQ(run({"replay", saved}), 1);
  EXPECT_NE(out_.find("thread 0 "), std::string::npos) << out_;
  EXPECT_NE(out_.find("\n>> warning: allocation from an empty cache\n"), std::string::npos) << out_;
  EXPECT_EQ(run({"replay", saved, "--json", "-"}), 1);
  EXPECT_EQ(object()["findings"][0]["kind"], "warning");

  // Without the defect the same schedule is right; of other code it is none.
  std::ifstream stream(saved);
  std::string text(std::istreambuf_iterator<char>(stream), {});
  const auto defect = text.find("defect ");
  text.erase(defect, text.find('\n', defect) - defect + 1);
  const auto turn = text.find("\nat ");
  EXPECT_EQ(run({"replay", file("repaired.schedule", text.substr(0, turn + 1))}), 0);
  EXPECT_EQ(run({"replay",
                 file("gone.schedule", text.substr(0, turn + 1) + "at 0 lock nothing #1 run 1\n")}),
            3);
  EXPECT_EQ(run({"replay", file("wrong.schedule", "lockstep-schedule 1\nsystem caches\n")}), 2);
}

TEST_F(Command, RunSearchesSchedules) {
  EXPECT_EQ(run({"run", "--property", "schedules", "--budget", "1s", "--seed", "5", "--failures",
                 folder_.string(), "--json", "-"}),
            0);
  const auto shown = object();
  EXPECT_GE(shown["engines"].size(), 7u);
  for (const auto& engine : shown["engines"]) EXPECT_GE(engine["cases"], 24) << engine;
  EXPECT_EQ(run({"run", "--property", "schedules-exhaustive", "--budget", "1s", "--failures",
                 folder_.string()}),
            3);
}

TEST_F(Command, RunCountsSchedulesOfEachSystem) {
  const std::vector<std::string> all = {"run",        "--property",     "schedules",
                                        "--failures", folder_.string(), "--schedules"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), all.begin(), all.end());
    return run(more);
  };
  EXPECT_EQ(with({"100", "--budget", "10m", "--json", "-"}), 0);
  const auto shown = object();
  for (const auto& engine : shown["engines"]) {
    EXPECT_EQ(engine["cases"], 100) << engine;
    EXPECT_EQ(engine["complete"], true) << engine;
  }
  EXPECT_EQ(with({"1000000000", "--budget", "1s"}), 3);
  EXPECT_EQ(with({"0"}), 2);
  EXPECT_EQ(run({"run", "--property", "parallel", "--schedules", "10"}), 2);
}

TEST_F(Command, RunOfSchedulesRefusesWhatDoesNotApply) {
  const auto refused = [this](const std::vector<std::string>& words) {
    std::vector<std::string> all = {"run", "--property", "schedules", "--budget", "1s"};
    all.insert(all.end(), words.begin(), words.end());
    EXPECT_EQ(run(all), 2);
    return err_;
  };
  EXPECT_NE(refused({"--engines", "imp"}).find("did you mean 'impl'?"), std::string::npos) << err_;
  EXPECT_NE(refused({"--engines", "hosted:6.1,kmv"}).find("did you mean 'kvm'?"), std::string::npos)
      << err_;
  for (const auto* engine : {"kvm", "impl", "spec"}) {
    const auto error = refused({"--engines", std::string("hosted:6.1,") + engine});
    EXPECT_NE(error.find(std::string("do not run on '") + engine), std::string::npos) << error;
  }
  EXPECT_NE(refused({"--engines", "hosted:6.1,hosted:7.2"}).find("one hosted engine at a time"),
            std::string::npos)
      << err_;
  EXPECT_NE(refused({"--jobs", "2"}).find("--jobs"), std::string::npos) << err_;
  EXPECT_EQ(run({"run", "--property", "schedules-exhaustive", "--engines", "kvm"}), 2);
}

TEST_F(Command, ReplayOfAScheduleRefusesWhatDoesNotApply) {
  const auto saved = file("s.schedule", "lockstep-schedule 1\nsystem memslots\n");
  EXPECT_EQ(run({"replay", saved, "--engine", "kvm"}), 2);
  EXPECT_NE(err_.find("--engine does not apply"), std::string::npos) << err_;
  EXPECT_EQ(run({"replay", saved, "--view"}), 2);
  EXPECT_NE(err_.find("--view does not apply"), std::string::npos) << err_;
}

TEST_F(Command, ReviewSaysWhatIsNoPatch) {
  const auto file = [this](const std::string& name, const std::string& text) {
    std::ofstream(folder_ / name) << text;
    return (folder_ / name).string();
  };
  EXPECT_EQ(run({"review"}), 2);
  EXPECT_EQ(run({"review", file("empty.mbox", ""), "--json", "-"}), 2);
  EXPECT_NE(err_.find("no diff"), std::string::npos) << err_;
  EXPECT_EQ(run({"review", "/no/such/file"}), 2);
  const auto binary = file("b.patch", "diff --git a/x b/x\nGIT binary patch\nliteral 1\nA\n");
  EXPECT_EQ(run({"review", binary, "--kernel", "/no/such/tree"}), 2);
  EXPECT_EQ(run({"review", binary, "--budget", "soon"}), 2);
}

TEST_F(Command, JsonFileIsWrittenWhole) {
  const auto path = (folder_ / "list.json").string();
  EXPECT_EQ(run({"list", "properties", "--json", path}), 0);
  std::ifstream stream(path);
  EXPECT_EQ(nlohmann::json::parse(stream, nullptr, false)["exit"], 0);
  EXPECT_FALSE(fs::exists(path + ".new"));
}

}  // namespace
}  // namespace lockstep::cli
