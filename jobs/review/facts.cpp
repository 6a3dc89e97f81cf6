// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/review/facts.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <regex>
#include <set>

#include "jobs/review/diff_hunks.h"
#include "jobs/review/function_text.h"
#include "jobs/review/lines.h"
#include "jobs/review/stack.h"

namespace lockstep::jobs::review {
namespace {

/// std::regex recurses for each character: what is longer is no kernel's line.
constexpr std::size_t longest_line = 1000;

/// A call that counts: taking and giving locks, flushing, warning.
const std::regex& watched_call() {
  static const std::regex expression(
      R"(\b((?:raw_)?(?:spin|read|write)_(?:un)?lock\w*|mutex_(?:un)?lock\w*|s?rcu_read_(?:un)?lock\w*|synchronize_s?rcu\w*|kvm_flush_remote_tlbs\w*|kvm_make_all_cpus_request|kvm_make_request|KVM_BUG_ON|WARN_ON(?:_ONCE)?|BUG_ON|cond_resched\w*)\s*\(([^;]*))");
  return expression;
}

const std::regex& constant() {
  static const std::regex expression(
      R"(\b(0[xX][0-9a-fA-F]+|\d+)(?:[uU]?[lL]{0,2})\b|\b([A-Z][A-Z0-9]*_(?:MASK|SHIFT|BITS?|SIZE|FLAGS?|LEVEL))\b|\b(GFP_[A-Z]+|__GFP_[A-Z]+)\b)");
  return expression;
}

std::vector<std::string> constants_in(const std::string& line) {
  std::vector<std::string> all;
  for (std::sregex_iterator at(line.begin(), line.end(), constant()), end; at != end; ++at) {
    all.push_back(at->str());
  }
  return all;
}

/// The line with every constant taken out: equal lines differ in constants alone.
std::string without_constants(const std::string& line) {
  return squeezed(std::regex_replace(line, constant(), "#"));
}

/// Calls that appear more often on one side of the hunk than on the other.
void count_calls(const DiffHunk& hunk, std::vector<Fact>& facts) {
  std::map<std::string, std::pair<long, Place>> balance;
  for (const auto& line : hunk.lines) {
    if (line.kind == ' ') continue;
    for (std::sregex_iterator at(line.text.begin(), line.text.end(), watched_call()), end;
         at != end; ++at) {
      auto argument = std::string(trimmed(at->str(2)));
      argument = argument.substr(0, argument.rfind(')'));
      auto& entry = balance[fmt::format("{}({})", at->str(1), argument)];
      entry.first += line.kind == '+' ? 1 : -1;
      entry.second = line.place;
    }
  }
  for (const auto& [call, entry] : balance) {
    if (entry.first == 0) continue;
    facts.push_back({entry.second, call + (entry.first > 0 ? " added" : " removed"), false});
  }
}

/// Removed and added lines that differ in constants only.
void compare_constants(const DiffHunk& hunk, std::vector<Fact>& facts) {
  for (const auto& removed : hunk.lines) {
    if (removed.kind != '-') continue;
    const auto before = constants_in(removed.text);
    if (before.empty()) continue;
    for (const auto& added : hunk.lines) {
      if (added.kind != '+' || added.text == removed.text) continue;
      const auto after = constants_in(added.text);
      if (after.size() != before.size() || after == before ||
          without_constants(added.text) != without_constants(removed.text)) {
        continue;
      }
      for (std::size_t i = 0; i < before.size(); ++i) {
        if (before[i] == after[i]) continue;
        facts.push_back({added.place, fmt::format("{} becomes {}", before[i], after[i]), false});
      }
    }
  }
}

/// What a makefile or Kconfig newly runs when it is only read.
void run_by_build(const DiffHunk& hunk, std::vector<Fact>& facts) {
  static const std::regex runs(R"(\$\(shell\b|\$\((?:success|failure|if-success)\b|!=|`)");
  if (!decides_build(hunk.file)) return;
  for (const auto& line : hunk.lines) {
    if (line.kind != '+' || !std::regex_search(line.text, runs)) continue;
    facts.push_back(
        {line.place, fmt::format("the build runs a command: {}", trimmed(line.text)), true});
  }
}

/// Whether a changed line stands among these of the function.
bool changed_within(const FunctionText& function, const std::set<unsigned>& changed) {
  const auto at = changed.lower_bound(function.first_line);
  return at != changed.end() && *at < function.first_line + function.lines.size();
}

/// A sleeping call between a spinning lock and its unlock.
void sleep_under_lock(const std::string& file, const FunctionText& function,
                      const std::set<unsigned>& changed, std::vector<Fact>& facts) {
  static const std::regex lock(
      R"(\b(spin_lock|read_lock|write_lock|raw_spin_lock)(?:_irqsave|_irq|_bh)?\s*\()");
  static const std::regex unlock(
      R"(\b(spin_unlock|read_unlock|write_unlock|raw_spin_unlock)(?:_irqrestore|_irq|_bh)?\s*\()");
  static const std::regex sleeps(
      R"(\bGFP_KERNEL\w*|\b(?:__)?kvm_mmu_topup_memory_cache\s*\(|\bmutex_lock\s*\(|\bcopy_(?:from|to)_user\s*\(|\bmight_sleep\s*\(|\bmsleep\s*\(|\bsynchronize_s?rcu\w*\s*\(|\bcond_resched\s*\()");
  unsigned taken = 0;
  for (std::size_t i = 0; i < function.lines.size(); ++i) {
    const auto& text = function.lines[i];
    const auto number = function.first_line + static_cast<unsigned>(i);
    if (std::regex_search(text, lock)) taken = number;
    std::smatch match;
    const bool concerns = changed.contains(number) || changed.contains(taken);
    if (taken != 0 && concerns && std::regex_search(text, match, sleeps)) {
      auto call = std::string(trimmed(match.str()));
      if (call.ends_with('(')) call += ')';
      facts.push_back({{file, number, false},
                       fmt::format("{} may sleep, under the lock taken in line {}", call, taken),
                       true});
    }
    if (std::regex_search(text, unlock)) taken = 0;
  }
}

/// `if (!p)` whose body then uses *p.
void null_used(const std::string& file, const FunctionText& function,
               const std::set<unsigned>& changed, std::vector<Fact>& facts) {
  static const std::regex test(R"(\bif \(!(\w+)\)\s*(\{?)\s*$)");
  for (std::size_t i = 0; i + 1 < function.lines.size(); ++i) {
    std::smatch match;
    const auto& text = function.lines[i];
    if (!std::regex_search(text, match, test)) continue;
    const auto name = match.str(1);
    const std::regex use(
        fmt::format(R"(\b{0}->|\*{0}\b|\b(?:spin|read|write|mutex)_(?:un)?lock\w*\({0}\))", name));
    const std::regex assigned(fmt::format(R"(\b{0}\s*=[^=])", name));
    const std::size_t last = match.str(2).empty() ? i + 1 : i + 12;
    for (std::size_t j = i + 1; j <= last && j < function.lines.size(); ++j) {
      const auto number = function.first_line + static_cast<unsigned>(j);
      if (std::regex_search(function.lines[j], assigned)) break;
      if (changed.contains(number) && std::regex_search(function.lines[j], use)) {
        facts.push_back({{file, number, false},
                         fmt::format("{} is used where it is NULL: line {} tests for !{}", name,
                                     function.first_line + i, name),
                         true});
        break;
      }
      if (trimmed(function.lines[j]).starts_with('}')) break;
    }
  }
}

/// list_move() of the loop's own entry: its next is then read from the new place.
void moved_in_loop(const std::string& file, const FunctionText& function,
                   const std::set<unsigned>& changed, std::vector<Fact>& facts) {
  static const std::regex loop(R"(\blist_for_each_entry(?:_reverse|_continue)?\((\w+),)");
  static const std::regex moves(R"(\blist_(?:move|move_tail|del|del_init)\(&(\w+)->)");
  std::string entry;
  for (std::size_t i = 0; i < function.lines.size(); ++i) {
    std::smatch match;
    if (std::regex_search(function.lines[i], match, loop)) entry = match.str(1);
    if (entry.empty() || !std::regex_search(function.lines[i], match, moves)) continue;
    if (match.str(1) != entry) continue;
    bool leaves = false;
    for (auto j = i + 1; j < std::min(i + 3, function.lines.size()); ++j) {
      const auto next = trimmed(function.lines[j]);
      if (next.starts_with("break") || next.starts_with("return") || next.starts_with("goto")) {
        leaves = true;
      }
    }
    const auto number = function.first_line + static_cast<unsigned>(i);
    if (leaves || !changed.contains(number)) continue;
    facts.push_back({{file, number, false},
                     fmt::format("{} is moved or deleted in its own list_for_each_entry(): the "
                                 "loop goes on from its new place",
                                 entry),
                     true});
  }
}

}  // namespace

std::vector<Fact> facts_of(const std::string& diff, const ReadFile& read) {
  std::vector<Fact> facts;
  std::map<std::string, std::set<unsigned>> changed;
  for (auto hunk : diff_hunks(diff)) {
    for (auto& line : hunk.lines) line.text.resize(std::min(line.text.size(), longest_line));
    count_calls(hunk, facts);
    compare_constants(hunk, facts);
    run_by_build(hunk, facts);
    for (const auto& line : hunk.lines) {
      if (line.kind == '+') changed[hunk.file].insert(line.place.line);
    }
  }
  for (const auto& [file, lines] : changed) {
    if (!file.ends_with(".c") && !file.ends_with(".h")) continue;
    for (auto function : functions_in(read(file))) {
      for (auto& line : function.lines) line.resize(std::min(line.size(), longest_line));
      if (!changed_within(function, lines)) continue;
      sleep_under_lock(file, function, lines, facts);
      null_used(file, function, lines, facts);
      moved_in_loop(file, function, lines, facts);
    }
  }
  std::vector<Fact> unique;
  for (auto& fact : facts) {
    if (std::ranges::find(unique, fact) == unique.end()) unique.push_back(std::move(fact));
  }
  std::ranges::stable_sort(unique,
                           [](const Fact& a, const Fact& b) { return a.suspect && !b.suspect; });
  return unique;
}

std::vector<std::string> functions_of(const std::string& diff) {
  static const std::regex name(R"((FNAME\(\w+\)|\w+)\s*\()");
  std::vector<std::string> all;
  const auto add = [&](const std::string& text) {
    std::smatch match;
    if (!std::regex_search(text, match, name)) return;
    if (std::ranges::find(all, match.str(1)) == all.end()) all.push_back(match.str(1));
  };
  for (const auto& hunk : diff_hunks(diff)) {
    add(hunk.heading.substr(0, longest_line));
    for (const auto& line : hunk.lines) {
      if (line.text.size() > longest_line) continue;
      // A definition begins in the first column.
      const bool first =
          !line.text.empty() && std::isalpha(static_cast<unsigned char>(line.text[0])) != 0;
      if (first && line.text.find('(') != std::string::npos) add(line.text);
    }
  }
  return all;
}

}  // namespace lockstep::jobs::review
