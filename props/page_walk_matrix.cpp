// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/page_walk_matrix.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <chrono>

#include "props/page_walk_matrix_blocks.h"
#include "props/page_walk_matrix_program.h"
#include "props/page_walk_matrix_walk.h"

namespace lockstep::props {
namespace {

using Clock = std::chrono::steady_clock;

/// Equality of what both walks show: what a fault leaves undefined stays out.
bool same(const WalkAnswer& a, const WalkAnswer& b, unsigned root) {
  if (a.kind != b.kind || a.code != b.code || a.gpa != b.gpa || a.page_size != b.page_size ||
      a.rights != b.rights || a.last_level != b.last_level) {
    return false;
  }
  for (unsigned level = std::max(a.last_level, 1u); level <= root; ++level) {
    if (a.path[level] != b.path[level]) return false;
  }
  return true;
}

std::string failure_line(const MatrixCase& c, const BothAnswers& answers) {
  auto line = fmt::format("test {}: FAIL: spec {}, impl {}", print(c), print(answers.spec),
                          print(answers.impl));
  if (print(answers.spec) == print(answers.impl)) line += " (by another path of entries)";
  return line;
}

/// One block: nested groups, the fastest toggling innermost.
class Enumeration {
 public:
  Enumeration(const MatrixBlock& block, const MatrixOptions& options, MatrixResult& result,
              std::uint64_t& until_next)
      : block_(block),
        options_(options),
        result_(result),
        until_next_(until_next),
        every_(std::max<std::uint64_t>(options.every, 1)),
        root_(matrix_root(block.mode)) {
    dimension_.name = block.name;
    dimension_.text = describe(block);
    dimension_.flags = static_cast<unsigned>(std::popcount(varied(block)));
    for (const MatrixFlags flags : block.access) {
      accesses_.push_back({.kind = matrix_kind(flags),
                           .cpl = has(flags, MatrixFlag::user) ? Cpl::user : Cpl::supervisor,
                           .ac = has(flags, MatrixFlag::ac)});
    }
    tables_.layout = &matrix_layout(block.mode);
    tables_.entry_bytes = entry_size(block.mode);
  }

  /// False if the run was stopped.
  bool run() {
    case_.mode = block_.mode;
    const bool done = registers();
    result_.legal += dimension_.legal;
    result_.compared += dimension_.compared;
    result_.dimensions.push_back(std::move(dimension_));
    return done;
  }

 private:
  bool registers() {
    for (const unsigned maxphyaddr : block_.maxphyaddr) {
      case_.maxphyaddr = maxphyaddr;
      for (const MatrixFlags cpu : block_.cpu) {
        case_.flags = cpu;
        MatrixRegisters registers(case_);
        for (const auto& keys : block_.keys) {
          case_.key = keys.leaf;
          case_.pkru_key = keys.pkru;
          for (const auto& stray : block_.stray) {
            case_.stray_level = stray.level;
            case_.stray_bit = stray.bit;
            if (!uppers(registers, cpu)) return false;
          }
        }
      }
    }
    return true;
  }

  bool uppers(MatrixRegisters& registers, MatrixFlags cpu) {
    for (const MatrixFlags present : block_.present) {
      for (const MatrixFlags upper : block_.upper) {
        for (const MatrixFlags pde : block_.pde) {
          for (const MatrixFlags pte : block_.pte) {
            const MatrixFlags flags = cpu | present | upper | pde | pte;
            if (block_.legal_tables(flags)) accesses(registers, flags);
          }
        }
        if (!report()) return false;
      }
    }
    return true;
  }

  /// Every access through one state of the tables.
  void accesses(MatrixRegisters& registers, MatrixFlags flags) {
    const std::uint64_t count = block_.pku.size() * accesses_.size();
    dimension_.legal += count;
    if (until_next_ >= count) {
      until_next_ -= count;
      return;
    }
    case_.flags = flags;
    for (unsigned level = root_; level >= 1; --level) {
      tables_.entry[level] = matrix_entry_in_memory(case_, level, *tables_.layout);
    }
    const unsigned leaf = matrix_leaf(case_);
    const std::uint64_t leaf_entry = tables_.entry[leaf];
    std::uint64_t at = until_next_;
    for (; at < count; at += every_) {
      const MatrixFlags pku = block_.pku[at / accesses_.size()];
      const std::size_t index = at % accesses_.size();
      case_.flags = flags | pku | block_.access[index];
      registers.spec.pkru = matrix_pkru(case_);
      tables_.entry[leaf] = leaf_entry;
      if (has(pku, MatrixFlag::pkey)) {
        tables_.entry[leaf] |= std::uint64_t{case_.key} << entry::protection_key_shift;
      }
      compare(registers, accesses_[index]);
    }
    until_next_ = at - count;
  }

  void compare(const MatrixRegisters& registers, const impl::GuestAccess& access) {
    ++dimension_.compared;
    const WalkAnswer expected = spec_walk(
        registers.spec, tables_, {.kind = access.kind, .cpl = access.cpl, .ac = access.ac});
    WalkAnswer actual = impl_walk(registers, tables_, access, registers.spec.pkru);
    if (options_.lie) options_.lie(case_, actual);
    if (same(expected, actual, root_)) return;
    ++result_.mismatched;
    if (result_.mismatches.size() >= options_.keep) return;
    const BothAnswers answers{expected, actual};
    result_.mismatches.push_back({.which = case_,
                                  .answers = answers,
                                  .line = failure_line(case_, answers),
                                  .dump = dump(case_, answers),
                                  .program = matrix_program(case_)});
  }

  bool report() {
    if (options_.stop != nullptr && options_.stop->load(std::memory_order_relaxed)) return false;
    const auto now = Clock::now();
    if (options_.progress && now - reported_ > std::chrono::milliseconds(250)) {
      reported_ = now;
      options_.progress({.cases = result_.legal + dimension_.legal,
                         .mismatches = static_cast<std::size_t>(result_.mismatched),
                         .block = block_.name});
    }
    return true;
  }

  const MatrixBlock& block_;
  const MatrixOptions& options_;
  MatrixResult& result_;
  std::uint64_t& until_next_;
  std::uint64_t every_;
  unsigned root_;
  MatrixDimension dimension_;
  std::vector<impl::GuestAccess> accesses_;
  MatrixCase case_;
  MatrixTables tables_;
  Clock::time_point reported_ = Clock::now();
};

}  // namespace

MatrixResult run_page_walk_matrix(const MatrixOptions& options) {
  MatrixResult result;
  const auto started = Clock::now();
  std::uint64_t until_next = options.first;
  for (const MatrixBlock& block : matrix_blocks()) {
    if (!Enumeration(block, options, result, until_next).run()) {
      result.stopped = true;
      break;
    }
  }
  result.seconds = std::chrono::duration<double>(Clock::now() - started).count();
  return result;
}

std::string text_report(const MatrixResult& result) {
  std::string text = "dimensions\n";
  for (const auto& dimension : result.dimensions) {
    text += fmt::format("  {}\n    {} legal cases, {} compared\n", dimension.text, dimension.legal,
                        dimension.compared);
  }
  text += "not legal, so skipped\n";
  for (const auto rule : matrix_rules()) text += fmt::format("  {}\n", rule);
  for (const auto& mismatch : result.mismatches) text += mismatch.line + "\n";
  if (result.mismatched > result.mismatches.size() && !result.mismatches.empty()) {
    text += fmt::format("and {} more\n", result.mismatched - result.mismatches.size());
  }
  if (!result.mismatches.empty()) text += result.mismatches.front().dump + "\n";
  const double rate =
      result.seconds > 0 ? static_cast<double>(result.compared) / result.seconds : 0;
  text += fmt::format("{} legal cases, {} compared, {} mismatches, {:.2f} s, {:.1f} M cases/s{}\n",
                      result.legal, result.compared, result.mismatched, result.seconds, rate / 1e6,
                      result.stopped ? ", stopped early" : "");
  return text;
}

}  // namespace lockstep::props
