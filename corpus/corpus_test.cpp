// SPDX-License-Identifier: GPL-2.0-or-later
/// Every program of the corpus on every engine: a case each, named
/// engine/folder/program, and a case for the text of each program.
///
///   corpus_test --list_content
///   corpus_test --run_test=impl/bugs/*
///
/// An engine that this machine cannot open, and a program that needs what an
/// engine lacks, are preconditions: the case is skipped, and says why.
#define BOOST_TEST_DYN_LINK
#define BOOST_TEST_NO_MAIN
#include <fmt/format.h>

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "props/engine_factory.h"
#include "props/finding.h"
#include "props/lockstep.h"
#include "props/model.h"
#include "spec/program.h"

namespace {

namespace bt = boost::unit_test;
namespace fs = std::filesystem;
using lockstep::Program;
using lockstep::props::Lockstep;
using lockstep::props::Verdict;

constexpr std::string_view engines[] = {"spec", "impl", "kvm"};
/// Fewer files mean that the wrong folder was searched.
constexpr std::size_t least_programs = 20;
constexpr std::size_t mail_columns = 72;
/// The draws of the spec engine: the canonical ones and others beside them.
constexpr std::uint64_t seed = 1;
/// One file, read once and used by its text case and its engines' cases.
struct Entry {
  std::string folder;
  std::string name;
  std::string path;
  std::string text;
  std::optional<Program> program;
};
using EntryPointer = std::shared_ptr<const Entry>;

std::vector<EntryPointer> read_corpus() {
  std::vector<EntryPointer> entries;
  for (const auto& file : fs::recursive_directory_iterator(LOCKSTEP_CORPUS_DIR)) {
    if (!file.is_regular_file() || file.path().extension() != ".lockstep") continue;
    auto entry = std::make_shared<Entry>();
    entry->folder = file.path().parent_path().filename().string();
    entry->name = file.path().stem().string();
    entry->path = file.path().lexically_relative(LOCKSTEP_CORPUS_DIR).string();
    std::ifstream stream(file.path(), std::ios::binary);
    entry->text.assign(std::istreambuf_iterator<char>(stream), {});
    if (auto program = lockstep::parse(entry->text)) entry->program = std::move(*program);
    entries.push_back(std::move(entry));
  }
  std::ranges::sort(entries, {}, [](const EntryPointer& entry) { return entry->path; });
  return entries;
}

bool has_comment(const Program& program, std::string_view head) {
  return std::ranges::any_of(program.header,
                             [head](const auto& line) { return line.starts_with(head); });
}

/// The engines, opened when the first case asks for them.
class Bench {
 public:
  /// The driver with this engine alone, or why it cannot be had.
  tl::expected<Lockstep*, std::string> open(std::string_view name) {
    auto found = open_.find(name);
    if (found == open_.end()) {
      auto made = lockstep::props::make_engine(name, seed);
      if (!made) return tl::unexpected(made.error().message);
      std::vector<std::unique_ptr<lockstep::Engine>> one;
      one.push_back(std::move(*made));
      found =
          open_.emplace(name, Lockstep(std::move(one), lockstep::props::machine_models())).first;
    }
    return &found->second;
  }
  void close(std::string_view name) {
    if (const auto found = open_.find(name); found != open_.end()) open_.erase(found);
  }

 private:
  std::map<std::string, Lockstep, std::less<>> open_;
};

Bench& bench() {
  static Bench the_bench;
  return the_bench;
}

/// Why the engine does not run the program; none if it does.
std::optional<std::string> skip_reason(const Entry& entry, std::string_view engine) {
  const auto opened = bench().open(engine);
  // Only real KVM may be absent; the others fail in their case.
  if (!opened) return engine == "kvm" ? std::optional(opened.error()) : std::nullopt;
  // A file that is no program fails its text case and every other.
  if (!entry.program) return std::nullopt;
  if (auto reason = lockstep::props::lacks((*opened)->engine(0).platform(), *entry.program)) {
    return reason;
  }
  if (engine == "kvm") return lockstep::props::danger(*entry.program);
  return std::nullopt;
}

boost::test_tools::assertion_result runs(const Entry& entry, std::string_view engine) {
  const auto reason = skip_reason(entry, engine);
  boost::test_tools::assertion_result result(!reason);
  if (reason) {
    std::cout << fmt::format("skipped: {} on {}: {}\n", entry.path, engine, *reason);
    result.message() << *reason;
  }
  return result;
}

void replay(const Entry& entry, std::string_view engine) {
  const auto opened = bench().open(engine);
  if (!opened) BOOST_FAIL(engine << ": " << opened.error());
  if (!entry.program) BOOST_FAIL(entry.path << " is no program");
  lockstep::props::RunOptions options;
  options.fresh = true;
  const auto outcome = (*opened)->run(*entry.program, options);
  std::string what = fmt::format("{}: {} on {}", headline(outcome.verdict), entry.path, engine);
  if (!outcome.reason.empty()) what += ": " + outcome.reason;
  if (outcome.finding) {
    what += fmt::format(": {}\n{}", outcome.finding->title, side_by_side(*outcome.finding));
  }
  // Whatever a failure leaves behind is not the next program's business.
  if (outcome.verdict != Verdict::pass) bench().close(engine);
  BOOST_CHECK_MESSAGE(outcome.verdict == Verdict::pass && outcome.ran != 0, what);
}

void check_text(const Entry& entry) {
  const auto parsed = lockstep::parse(entry.text);
  if (!parsed) BOOST_FAIL(parsed.error().message(entry.path, entry.text));
  const auto illegal = lockstep::validate(*parsed);
  if (illegal) BOOST_ERROR(entry.path << ": step " << illegal->step + 1 << ": " << illegal->reason);
  BOOST_TEST(lockstep::print(*parsed) == entry.text,
             entry.path << " is not in the form that it prints in");
  BOOST_TEST(!parsed->title.empty(), entry.path << " has no title");
  BOOST_TEST(has_comment(*parsed, "# Source:"), entry.path << " names no source");
  BOOST_TEST(has_comment(*parsed, "# Shows:"), entry.path << " does not say what it shows");
  std::istringstream lines(entry.text);
  for (std::string line; std::getline(lines, line);) {
    BOOST_TEST(line.size() <= mail_columns, entry.path << ": too wide: " << line);
  }
}

/// The suite of this name in `parent`, made when it is first asked for.
bt::test_suite& suite(bt::test_suite& parent, const std::string& name) {
  if (const auto id = parent.get(name); id != bt::INV_TEST_UNIT_ID) {
    return bt::framework::get<bt::test_suite>(id);
  }
  bt::test_suite* made = BOOST_TEST_SUITE(name);
  parent.add(made);
  return *made;
}

bt::test_case* make_case(const std::string& name, const boost::function<void()>& body) {
  return bt::make_test_case(body, name, __FILE__, __LINE__);
}

bool make_cases() {
  bt::test_suite& all = bt::framework::master_test_suite();
  const auto entries = read_corpus();
  all.add(make_case("enough-programs", [count = entries.size()] {
    BOOST_TEST(count >= least_programs, LOCKSTEP_CORPUS_DIR << " has " << count << " programs");
  }));
  for (const EntryPointer& entry : entries) {
    suite(suite(all, "text"), entry->folder).add(make_case(entry->name, [entry] {
      check_text(*entry);
    }));
    for (const std::string_view engine : engines) {
      bt::test_case* one = make_case(entry->name, [entry, engine] { replay(*entry, engine); });
      one->add_precondition([entry, engine](bt::test_unit_id) { return runs(*entry, engine); });
      suite(suite(all, std::string(engine)), entry->folder).add(one);
    }
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) { return bt::unit_test_main(&make_cases, argc, argv); }
