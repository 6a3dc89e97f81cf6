// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/qemu/splat.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

#include "hw/qemu/messages.h"

namespace lockstep::hw::qemu {
namespace {

/// Lines of one splat that are kept: enough for two call traces.
constexpr std::size_t most_lines = 90;

/// How the last line of a splat is known.
enum class End : std::uint8_t {
  trace,  ///< "---[ end trace"
  task,   ///< the end of its call trace
  rule,   ///< a line of '='
  line    ///< it has one line
};

struct Start {
  std::string_view text;
  bool anywhere;  ///< in the line, or at its beginning
  SplatKind kind;
  End end;
};

/// The first that fits decides.
constexpr std::array<Start, 25> starts = {{
    {"BUG: KASAN:", false, SplatKind::kasan, End::rule},
    {"BUG: sleeping function called from invalid context", false, SplatKind::sleeping, End::task},
    {"BUG: scheduling while atomic", false, SplatKind::sleeping, End::task},
    {"BUG: Invalid wait context", true, SplatKind::lockdep, End::task},
    {"soft lockup", true, SplatKind::stall, End::task},
    {"hard LOCKUP", true, SplatKind::stall, End::task},
    {"BUG: kernel NULL pointer dereference", false, SplatKind::oops, End::trace},
    {"BUG: unable to handle", false, SplatKind::oops, End::trace},
    {"general protection fault", false, SplatKind::oops, End::trace},
    {"Oops: ", false, SplatKind::oops, End::trace},
    {"divide error: ", false, SplatKind::oops, End::trace},
    {"invalid opcode: ", false, SplatKind::oops, End::trace},
    {"stack segment: ", false, SplatKind::oops, End::trace},
    {"double fault: ", false, SplatKind::oops, End::trace},
    {"UBSAN: ", false, SplatKind::bug, End::rule},
    {"kernel BUG at", false, SplatKind::bug, End::trace},
    {"BUG: workqueue lockup", false, SplatKind::stall, End::line},
    {"BUG: ", false, SplatKind::bug, End::task},
    {"WARNING: suspicious RCU usage", false, SplatKind::rcu, End::task},
    {"INFO: trying to register non-static key", false, SplatKind::lockdep, End::task},
    {"INFO: task ", false, SplatKind::stall, End::task},
    {"self-detected stall", true, SplatKind::stall, End::task},
    {"detected stalls on CPUs/tasks", true, SplatKind::stall, End::task},
    {"detected expedited stalls", true, SplatKind::stall, End::task},
    {"Kernel panic - not syncing", false, SplatKind::panic, End::line},
}};

std::optional<Start> start_of(std::string_view line) {
  for (const auto& start : starts) {
    const auto at = line.find(start.text);
    if (at == 0 || (start.anywhere && at != std::string_view::npos)) return start;
  }
  if (line.starts_with("WARNING: ")) {
    // A warning of the code has a place, one of lockdep has a sentence.
    const bool placed =
        line.find(" at ") != std::string_view::npos && line.find("+0x") != std::string_view::npos;
    if (placed) return Start{"", false, SplatKind::warning, End::trace};
    return Start{"", false, SplatKind::lockdep, End::task};
  }
  if (line.starts_with("BUG ") && line.find("): ") != std::string_view::npos) {
    return Start{"", false, SplatKind::leak, End::task};
  }
  return std::nullopt;
}

bool ends(std::string_view line, End end) {
  switch (end) {
    case End::trace:
      return line.find("---[ end trace") != std::string_view::npos;
    case End::task:
      return line.find("</TASK>") != std::string_view::npos;
    case End::rule:
      return line.starts_with("==========");
    case End::line:
      break;
  }
  return true;
}

/// "kvm_mmu_load" of "kvm_mmu_load+0x12/0x34 [kvm]".
std::string_view symbol(std::string_view word) { return word.substr(0, word.find("+0x")); }

/// "0000000000000008", "ffff888012345678".
bool is_address(std::string_view word) {
  constexpr std::size_t digits = 16;
  return word.size() == digits &&
         word.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

/// Words of the line without offsets, "CPU: 0 PID: 1", and what stands in brackets.
std::string plain(std::string_view line) {
  std::string text;
  bool skip = false;
  while (!line.empty()) {
    const auto blank = std::min(line.find(' '), line.size());
    const auto word = line.substr(0, blank);
    line.remove_prefix(std::min(blank + 1, line.size()));
    const bool number_follows = word == "CPU:" || word == "PID:";
    const bool noise = word.empty() || skip || number_follows || word.starts_with('[') ||
                       word.starts_with("CPU#") || word.starts_with("0x") || word == "address:" ||
                       is_address(word);
    skip = number_follows;
    if (noise) continue;
    if (word.starts_with("#")) break;
    text += fmt::format("{}{}", text.empty() ? "" : " ", symbol(word));
  }
  while (text.ends_with('!') || text.ends_with(',') || text.ends_with(':')) text.pop_back();
  return text;
}

/// "WARNING: CPU: 0 PID: 1 at FILE:LINE FUNCTION+..." before 6.18, and since then
/// "WARNING: FILE:LINE at FUNCTION+..., CPU#0: NAME/1".
std::string warning_title(std::string_view line) {
  const auto at = line.find(" at ");
  const auto before = line.substr(0, at);
  auto after = line.substr(at + 4);
  const auto blank = std::min(after.find(' '), after.size());
  const auto first = after.substr(0, blank);
  if (first.find("+0x") != std::string_view::npos) {
    const auto place = before.substr(before.find_last_of(' ') + 1);
    return fmt::format("WARNING at {} {}", place, symbol(first));
  }
  auto rest = after.substr(std::min(blank + 1, after.size()));
  return fmt::format("WARNING at {} {}", first, symbol(rest.substr(0, rest.find(' '))));
}

std::string stall_title(std::string_view line) {
  if (line.find("soft lockup") != std::string_view::npos) return "soft lockup";
  if (line.find("hard LOCKUP") != std::string_view::npos) return "hard lockup";
  if (line.starts_with("INFO: task ")) return "hung task";
  if (line.find("workqueue") != std::string_view::npos) return "workqueue lockup";
  return "RCU stall";
}

std::string title_of(const Start& start, std::string_view line) {
  switch (start.kind) {
    case SplatKind::warning:
      return warning_title(line);
    case SplatKind::stall:
      return stall_title(line);
    case SplatKind::kasan:
      return plain(line.substr(line.find("KASAN:")));
    case SplatKind::lockdep:
    case SplatKind::rcu: {
      const auto colon = line.find(": ");
      return "lockdep: " + plain(line.substr(colon + 2));
    }
    default:
      return plain(line);
  }
}

/// The function of KVM's that a line of a call trace names; empty for others and for
/// those that the unwinder is not sure of.
std::string_view kvm_function(std::string_view line) {
  const bool module = line.find("[kvm") != std::string_view::npos;
  if (!module || line.find("? ") != std::string_view::npos) return {};
  const auto offset = line.find("+0x");
  if (offset == std::string_view::npos) return {};
  const auto head = line.substr(0, offset);
  return head.substr(head.find_last_of(" :") + 1);
}

/// Where lockdep says that a rule of RCU was broken: "FILE:LINE suspicious ...".
std::string_view suspicious_place(std::string_view line) {
  if (line.find(" suspicious rcu") == std::string_view::npos) return {};
  return line.substr(0, line.find(' '));
}

class Finder {
 public:
  void take(std::string_view line) {
    if (open_) {
      grow(line);
      return;
    }
    if (line.find("[ cut here ]") != std::string_view::npos) {
      cut_ = true;
      before_.clear();
      return;
    }
    const auto start = start_of(line);
    if (!start) {
      if (cut_) before_ += fmt::format("{}\n", line);
      return;
    }
    // An oops that kills everything says so in a line of its own.
    const bool consequence = start->kind == SplatKind::panic && !found_.empty();
    if (consequence) {
      found_.back().text += fmt::format("{}\n", line);
      return;
    }
    Splat splat{start->kind, title_of(*start, line), {}, std::move(before_)};
    before_.clear();
    cut_ = false;
    lines_ = 0;
    end_ = start->end;
    found_.push_back(std::move(splat));
    open_ = true;
    append(line);
    if (end_ == End::line) open_ = false;
  }

  std::vector<Splat> finish() { return std::move(found_); }

 private:
  void grow(std::string_view line) {
    append(line);
    auto& splat = found_.back();
    if (splat.function.empty()) splat.function = kvm_function(line);
    if (splat.kind == SplatKind::rcu) {
      if (const auto place = suspicious_place(line); !place.empty()) {
        splat.title += fmt::format(" at {}", place);
      }
    }
    // A trap in the middle of a report is the last that the kernel says.
    const bool trapped = line.find("---[ end ") != std::string_view::npos;
    if (ends(line, end_) || trapped) open_ = false;
  }

  void append(std::string_view line) {
    if (++lines_ <= most_lines) found_.back().text += fmt::format("{}\n", line);
  }

  std::vector<Splat> found_;
  std::string before_;  ///< behind "cut here", before what tells the kind
  std::size_t lines_ = 0;
  End end_ = End::line;
  bool cut_ = false;
  bool open_ = false;
};

}  // namespace

std::string_view name(SplatKind kind) {
  constexpr std::string_view names[] = {"WARNING", "BUG",      "oops",  "KASAN", "lockdep",
                                        "RCU",     "sleeping", "stall", "leak",  "panic"};
  return names[static_cast<std::size_t>(kind)];
}

std::string_view without_stamp(std::string_view line) {
  while (line.ends_with('\r')) line.remove_suffix(1);
  if (!line.starts_with('[')) return line;
  const auto end = line.find("] ");
  if (end == std::string_view::npos) return line.ends_with(']') ? std::string_view() : line;
  const auto stamp = line.substr(1, end - 1);
  const bool time = stamp.find('.') != std::string_view::npos &&
                    stamp.find_first_not_of(" .0123456789") == std::string_view::npos;
  return time ? line.substr(end + 2) : line;
}

std::vector<Splat> find_splats(std::string_view log) {
  Finder finder;
  while (!log.empty()) finder.take(without_stamp(take_line(log)));
  return finder.finish();
}

bool has_splat(std::string_view log) {
  while (!log.empty()) {
    if (start_of(without_stamp(take_line(log)))) return true;
  }
  return false;
}

}  // namespace lockstep::hw::qemu
