// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/save.h"

#include <gtest/gtest.h>
#include <unistd.h>
#include <fstream>
#include <sstream>

#include "props/toy_test_engine.h"

namespace lockstep::props {
namespace {

Finding finding() {
  Finding finding;
  finding.engine = "kvm";
  finding.command_kind = "read";
  finding.title = "read: another value that takes a title of more than seventy-two columns";
  finding.step = 1;
  finding.unique = Value{5};
  return finding;
}

const Program three = toy::program({toy::write(0x1000, 5), toy::read(0x1000), toy::read(0x2000)});

TEST(Save, AnnotatedProgramEndsAtTheFailureAndDemandsWhatIsRight) {
  const auto program = annotated(
      three, finding(), {"kvm cpu: " + std::string(90, 'x'), "kvm kernel: 6.1 \x01 \"odd\""});
  EXPECT_EQ(program.steps.size(), 2u);
  EXPECT_EQ(program.steps[1].expected, (Observation{Value{5}}));
  EXPECT_FALSE(validate(program)) << validate(program)->reason;
  const auto text = print(program);
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 72u) << line;
  const auto back = parse(text);
  ASSERT_TRUE(back.has_value()) << back.error().message("saved", text);
  EXPECT_EQ(*back, program) << text;
}

TEST(Save, NamesFollowTheFailure) {
  auto other = finding();
  EXPECT_EQ(file_stem(finding()), file_stem(other));
  EXPECT_TRUE(file_stem(finding()).starts_with("kvm-refused-read-"));
  other.title = "read: something else";
  EXPECT_NE(file_stem(finding()), file_stem(other));
}

TEST(Save, WritesWholeFilesAndLeavesNoTemporary) {
  const auto directory =
      std::filesystem::temp_directory_path() / ("lockstep-save-" + std::to_string(getpid()));
  const auto path = save(directory / "deep", "x", three);
  ASSERT_TRUE(path.has_value()) << path.error();
  std::ifstream in(*path);
  std::stringstream text;
  text << in.rdbuf();
  EXPECT_EQ(text.str(), print(three));
  const auto files = std::filesystem::directory_iterator(directory / "deep");
  EXPECT_EQ(std::distance(begin(files), end(files)), 1);
  std::filesystem::remove_all(directory);
}

TEST(Save, SaysWhyItCannot) {
  const auto path = save("/proc/no-such-directory", "x", three);
  ASSERT_FALSE(path.has_value());
  EXPECT_NE(path.error().find("/proc/no-such-directory"), std::string::npos);
}

}  // namespace
}  // namespace lockstep::props
