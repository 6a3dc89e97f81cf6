// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/refinement.h"

#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <set>
#include <sstream>

#include "props/lockstep.h"

namespace lockstep::jobs {
namespace {

/// The same for both vCPUs: loads, stores, entries of the page table at `table`,
/// and what forgets translations.
std::vector<std::string> guest_commands(std::string_view table, bool narrow) {
  std::vector<std::string> commands;
  for (const int vcpu : {0, 1}) {
    const std::vector<std::string> texts = {
        "cpl3 read 0x400000",
        "cpl3 write 0x400000 = 0x7",
        "cpl3 write 0x401000 = 0x6",
        "cpl0 write 0x402000 = 0x5",
        "cpl3 read 0x403000",
        fmt::format("entry pt {}[0] = 0x202000 rwxu", table),
        fmt::format("entry pt {}[0] = 0x200000 r-xu", table),
        fmt::format("entry pt {}[0] = 0x0", table),
        "invlpg 0x400000",
        "cr3 0x1000",
        "set cr0.wp=0",
        "set cr0.wp=1",
    };
    for (const auto& text : texts) {
      if (!narrow || !text.starts_with("cr3"))
        commands.push_back(fmt::format("v{} {}", vcpu, text));
    }
  }
  return commands;
}

SmallMachine machine(std::string name, std::string_view config, std::string_view table,
                     bool narrow) {
  SmallMachine made;
  made.name = std::move(name);
  made.setup = fmt::format(
      "lockstep 1\ntitle  refinement: {}\nconfig {} vcpus=2\n"
      "slot 0 add gpa=0x0 size=0x100000\n"
      "slot 1 add gpa=0x200000 size=0x2000 hva=0x200000\n"
      "slot 2 add gpa=0x202000 size=0x2000 hva=0x300000\n"
      "map 0x400000 gpa=0x200000 rwxu\nmap 0x401000 gpa=0x201000 rwxu\n"
      "map 0x402000 gpa=0x202000 r-xu\nmap 0x403000 gpa=0x203000 rwxu\n",
      made.name, config);
  made.commands = guest_commands(table, narrow);
  for (const char* text :
       {"slot 1 delete", "slot 1 add gpa=0x200000 size=0x2000 hva=0x200000", "slot 1 flags log",
        "slot 1 dirty-get", "slot 2 delete", "slot 2 move gpa=0x204000",
        "host migrate hva=0x200000 size=0x1000", "host protect hva=0x200000 size=0x1000",
        "host unprotect hva=0x200000 size=0x1000", "host age hva=0x200000 size=0x1000"}) {
    made.commands.emplace_back(text);
  }
  return made;
}

/// Programs of exactly so many commands, in the order of the alphabet.
class Sequences {
 public:
  Sequences(std::size_t letters, unsigned length) : letters_(letters), at_(length, 0) {}
  const std::vector<std::size_t>& at() const { return at_; }
  /// False after the last one.
  bool next() {
    for (std::size_t i = at_.size(); i-- > 0;) {
      if (++at_[i] < letters_) return true;
      at_[i] = 0;
    }
    return false;
  }

 private:
  std::size_t letters_;
  std::vector<std::size_t> at_;
};

/// "slot delete", "entry", "write": a command without its vCPU and numbers.
std::string kind_of(const std::string& command) {
  std::istringstream words(command);
  std::string word, detail;
  while (words >> word && (word == "v0" || word == "v1" || word.starts_with("cpl"))) {
  }
  if (word == "slot") words >> detail >> detail;
  if (word == "host") words >> detail;
  return detail.empty() ? word : word + " " + detail;
}

class Enumeration {
 public:
  Enumeration(const SmallMachine& machine, const RefinementOptions& options)
      : machine_(machine), options_(options) {
    row_.machine = machine.name;
    row_.commands = machine.commands.size();
  }

  RefinementRow run() {
    const auto started = std::chrono::steady_clock::now();
    if (prepare()) {
      row_.verdict = props::Verdict::pass;
      // Each program judges all that it begins with: only the longest are run. The
      // shortest that fails comes first where shorter ones are tried before.
      for (unsigned length = 1; length <= options_.depth; ++length) {
        if (length > 2 && length < options_.depth) continue;
        if (!all_of(length)) break;
      }
    }
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - started;
    row_.seconds = seconds.count();
    return std::move(row_);
  }

 private:
  bool undecided(std::string reason) {
    row_.verdict = props::Verdict::no_verdict;
    row_.reason = std::move(reason);
    return false;
  }

  /// Parse the alphabet once, each command behind the setup.
  bool prepare() {
    std::vector<std::unique_ptr<Engine>> engines;
    for (const char* name : {"spec", "impl"}) {
      auto engine = options_.factory(name, /*seed=*/1);
      if (!engine) return undecided(fmt::format("{}: {}", name, engine.error().message));
      engines.push_back(std::move(*engine));
    }
    lockstep_.emplace(std::move(engines), props::machine_models());
    const auto setup = parse(machine_.setup);
    if (!setup) return undecided(setup.error().message(machine_.name, machine_.setup));
    setup_ = *setup;
    for (const auto& command : machine_.commands) {
      const auto text = machine_.setup + command + "\n";
      const auto program = parse(text);
      if (!program) return undecided(program.error().message(machine_.name, text));
      letters_.push_back(program->steps.back());
      kinds_.push_back(kind_of(command));
    }
    return true;
  }

  bool all_of(unsigned length) {
    Sequences sequences(letters_.size(), length);
    do {
      if (options_.stop != nullptr && options_.stop->load(std::memory_order_relaxed)) {
        return undecided("interrupted");
      }
      if (!one(sequences.at(), length == options_.depth)) return false;
    } while (sequences.next());
    return true;
  }

  bool one(const std::vector<std::size_t>& letters, bool counts) {
    Program program = setup_;
    for (const auto letter : letters) program.steps.push_back(letters_[letter]);
    if (validate(program)) {
      row_.no_programs += counts ? 1 : 0;
      return true;
    }
    props::RunOptions running;
    running.fresh = true;
    const auto outcome = lockstep_->run(program, running);
    if (outcome.verdict == props::Verdict::fail) {
      row_.verdict = props::Verdict::fail;
      row_.reason = outcome.finding ? outcome.finding->title : outcome.reason;
      row_.program = print(program);
      if (outcome.finding) row_.shown = props::side_by_side(*outcome.finding);
      return false;
    }
    if (outcome.verdict != props::Verdict::pass) {
      row_.program = print(program);
      return undecided(outcome.reason.empty() ? "a program was skipped" : outcome.reason);
    }
    if (!counts) return true;
    ++row_.programs;
    row_.steps += outcome.commands;
    std::set<std::string_view> kinds;
    for (const auto letter : letters) kinds.insert(kinds_[letter]);
    for (const auto kind : kinds) ++row_.by_command[std::string(kind)];
    if (row_.programs % 1000 == 0 && options_.progress) {
      options_.progress(fmt::format("{}: {} programs", machine_.name, row_.programs));
    }
    return true;
  }

  const SmallMachine& machine_;
  const RefinementOptions& options_;
  RefinementRow row_;
  Program setup_;
  std::vector<Step> letters_;
  std::vector<std::string> kinds_;
  std::optional<props::Lockstep> lockstep_;
};

}  // namespace

const std::vector<SmallMachine>& small_machines() {
  static const std::vector<SmallMachine> all = {
      machine("4-level-shadow", "paging=4-level mmu=shadow", "0x12000", /*narrow=*/false),
      machine("32-bit-shadow", "paging=32-bit mmu=shadow", "0x10000", /*narrow=*/true),
      machine("4-level-tdp", "paging=4-level mmu=tdp", "0x12000", /*narrow=*/false),
  };
  return all;
}

namespace {

void save(RefinementRow& row, const std::filesystem::path& folder) {
  if (folder.empty() || row.verdict != props::Verdict::fail) return;
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  const auto path = folder / fmt::format("refinement-{}.lockstep", row.machine);
  std::ofstream file(path, std::ios::binary);
  file << row.program;
  file.close();
  if (file) row.path = path;
}

}  // namespace

RefinementReport refine(const RefinementOptions& options) {
  // Engines look for it when they are made.
  setenv("LOCKSTEP_INVARIANTS", "step", /*overwrite=*/0);
  RefinementReport report;
  report.depth = options.depth;
  for (const auto& machine : options.machines) {
    report.rows.push_back(Enumeration(machine, options).run());
    save(report.rows.back(), options.failures);
    if (report.rows.back().verdict != props::Verdict::pass) break;
  }
  return report;
}

props::Verdict verdict_of(const RefinementReport& report) {
  for (const auto& row : report.rows) {
    if (row.verdict != props::Verdict::pass) return row.verdict;
  }
  return report.rows.empty() ? props::Verdict::no_verdict : props::Verdict::pass;
}

std::string reason_of(const RefinementReport& report) {
  for (const auto& row : report.rows) {
    if (row.verdict != props::Verdict::pass) return fmt::format("{}: {}", row.machine, row.reason);
  }
  return fmt::format("bounded({}): every program from the start", report.depth);
}

std::string text_row(const RefinementReport& report, const RefinementRow& row) {
  const bool pass = row.verdict == props::Verdict::pass;
  std::string out = fmt::format(
      "{} refinement-{:<25} {:<11} {:>9} programs {:6.1f} s\n", pass ? "  " : ">>", row.machine,
      pass ? fmt::format("bounded({})", report.depth) : std::string(props::headline(row.verdict)),
      row.programs, row.seconds);
  out += fmt::format("    {} commands, {} executed on impl; {} programs break a rule\n",
                     row.commands, row.steps, row.no_programs);
  for (const auto& [kind, count] : row.by_command) {
    out += fmt::format("      {:<24} in {} programs\n", kind, count);
  }
  if (!row.program.empty()) out += row.program + row.shown;
  if (!row.path.empty()) out += fmt::format("    lockstep replay {}\n", row.path.string());
  return out;
}

nlohmann::json json_rows(const RefinementReport& report) {
  auto rows = nlohmann::json::array();
  for (const auto& row : report.rows) {
    const bool pass = row.verdict == props::Verdict::pass;
    rows.push_back({{"machine", row.machine},
                    {"result", pass ? "bounded" : props::name(row.verdict)},
                    {"bound", report.depth},
                    {"programs", row.programs},
                    {"not_programs", row.no_programs},
                    {"commands", row.by_command},
                    {"steps", row.steps},
                    {"reason", row.reason},
                    {"program", row.program},
                    {"seconds", row.seconds}});
  }
  return rows;
}

}  // namespace lockstep::jobs
