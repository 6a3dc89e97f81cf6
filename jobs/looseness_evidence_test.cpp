// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/looseness_evidence.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "props/impl_engine_mutants.h"

namespace lockstep::jobs {
namespace {

namespace fs = std::filesystem;

Program read(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  const std::string text(std::istreambuf_iterator<char>(stream), {});
  auto program = parse(text);
  EXPECT_TRUE(program) << file;
  return program ? std::move(*program) : Program{};
}

/// Programs of the corpus that need the looseness: what to write into the table.
std::string candidates(spec::Looseness looseness) {
  std::string text;
  for (const auto& file : fs::recursive_directory_iterator(LOCKSTEP_CORPUS_DIR)) {
    if (file.path().extension() != ".lockstep") continue;
    const auto needed = loosenesses_needed(read(file.path()))[static_cast<std::size_t>(looseness)];
    if (needed == 0) continue;
    text += fmt::format("\n  {} needs it {} times",
                        file.path().lexically_relative(LOCKSTEP_CORPUS_DIR).string(), needed);
  }
  return text.empty() ? "\n  no program of the corpus needs it" : text;
}

TEST(LoosenessEvidence, EachIsNeededByItsProgram) {
  ASSERT_EQ(looseness_evidence().size(), spec::looseness_count);
  for (std::size_t i = 0; i < spec::looseness_count; ++i) {
    const LoosenessEvidence& row = looseness_evidence()[i];
    ASSERT_EQ(static_cast<std::size_t>(row.looseness), i);
    const fs::path file = fs::path(LOCKSTEP_CORPUS_DIR) / row.program;
    const bool there = !row.program.empty() && fs::exists(file);
    EXPECT_TRUE(there && loosenesses_needed(read(file))[i] != 0)
        << spec::name(row.looseness) << " is not needed by '" << row.program << "'"
        << candidates(row.looseness);
  }
}

TEST(LoosenessEvidence, EachNamesADefectThatItMustNotHide) {
  const auto of_impl = props::impl_mutants();
  for (const LoosenessEvidence& row : looseness_evidence()) {
    const auto named = [&](const auto& mutant) { return mutant.name == row.mutant; };
    EXPECT_TRUE(std::ranges::any_of(of_impl, named))
        << spec::name(row.looseness) << ": no mutant '" << row.mutant << "'";
  }
}

// The table would prove nothing if every program needed everything.
TEST(LoosenessEvidence, AProgramWithoutFreedomNeedsNone) {
  Program program;
  program.steps.push_back({SlotAdd{.size = 0x100000}, std::nullopt, {}, {}});
  program.steps.push_back({Peek{.gpa = 0x2000}, std::nullopt, {}, {}});
  for (const std::uint64_t needed : loosenesses_needed(program)) EXPECT_EQ(needed, 0u);
}

}  // namespace
}  // namespace lockstep::jobs
