// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include <bitset>

#include "spec/program.h"
#include "spec/program_layout.h"
#include "spec/program_lowering.h"
#include "spec/program_rules.h"
#include "spec/text_names.h"

namespace lockstep {

namespace spec {

Reason check_configuration(const Configuration& c) {
  constexpr unsigned most_vcpus = 16;
  const auto is_table = [](Gpa gpa) { return gpa % page_size == 0 && gpa < harness::window; };
  if (c.vcpus < 1 || c.vcpus > most_vcpus) return fmt::format("vcpus is 1 to {}", most_vcpus);
  if (c.maxphyaddr < 32 || c.maxphyaddr > 52) return "maxphyaddr is 32 to 52";
  if (c.memory == 0 || c.memory % page_size != 0 || c.memory > text::most_memory) {
    return fmt::format("memory is whole pages, at most 0x{:x}", text::most_memory);
  }
  if (c.roots.empty()) return "roots is empty";
  if (c.roots.size() > text::most_roots) return "roots has too many pages";
  for (const Gpa root : c.roots) {
    if (!is_table(root)) return fmt::format("root 0x{:x} is no page below the window", root);
  }
  if (!is_table(c.tables)) return "tables is no page below the window";
  if (c.control.has(ControlBit::cr4_pcide) && !is_64bit(c.paging)) {
    return "cr4.pcide needs a 64-bit mode";
  }
  return std::nullopt;
}

}  // namespace spec

namespace {

/// A poke of a live table needs `host-poke`: KVM revisits only unsync pages on a
/// guest flush, so nothing may be assumed through a table that user space
/// rewrites behind its back.
std::optional<Illegal> check_live_tables(const Program& program) {
  const auto lowered = spec::lower_or_blame(program);
  if (!lowered) return lowered.error();
  std::bitset<harness::window / page_size> tables;
  for (const Gpa root : program.configuration.roots) tables.set(root / page_size);
  bool entered = false;
  for (std::size_t i = 0; i < lowered->steps.size(); ++i) {
    const Command& command = lowered->steps[i].command;
    entered = entered || vcpu_of(command).has_value();
    if (const auto* entry = std::get_if<EntrySet>(&command)) {
      tables.set(entry->table / page_size);
    }
    const auto* poke = std::get_if<Poke>(&command);
    if (poke == nullptr || !entered || poke->host_poke || poke->gpa >= harness::window) continue;
    if (tables.test(poke->gpa / page_size)) {
      return Illegal{lowered->origin[i], "a poke of a live table needs `host-poke`"};
    }
  }
  return std::nullopt;
}

/// Bytes of text that the program cannot exceed; generous, and far cheaper than
/// printing it.
std::size_t most_text(const Program& program) {
  constexpr std::size_t command = 320;
  constexpr std::size_t page = 8;
  std::size_t bytes = command * 32 + program.title.size() * 2;
  const auto lines = [&bytes](const std::vector<std::string>& all) {
    for (const auto& line : all) bytes += line.size() + 1;
  };
  lines(program.header);
  lines(program.trailer);
  for (const auto& step : program.steps) {
    bytes += command + step.behind.size();
    lines(step.before);
    if (!step.expected) continue;
    if (const auto* dirty = std::get_if<DirtyBitmap>(&*step.expected)) {
      bytes += dirty->words.size() * 64 * page;
    }
    if (const auto* ring = std::get_if<DirtyPages>(&*step.expected)) {
      for (const auto& slot : ring->slots) bytes += 16 + slot.words.size() * 64 * page;
    }
    if (const auto* unexpected = std::get_if<Unexpected>(&*step.expected)) {
      bytes += unexpected->what.size() * 8;
    }
  }
  return bytes;
}

}  // namespace

std::optional<Illegal> validate(const Program& program) {
  if (auto reason = spec::check_configuration(program.configuration)) return Illegal{0, *reason};
  if (auto reason = spec::check_title(program.title)) return Illegal{0, *reason};
  if (auto reason = spec::check_comments(program.header)) return Illegal{0, *reason};
  if (program.steps.size() > spec::text::most_steps) {
    return Illegal{spec::text::most_steps, "the program has too many commands"};
  }
  if (auto illegal = spec::check_parallel(program)) return illegal;
  spec::CommandRules rules(program.configuration);
  for (std::size_t i = 0; i < program.steps.size(); ++i) {
    const Step& step = program.steps[i];
    if (auto reason = std::visit(rules, step.command)) return Illegal{i, *reason};
    if (auto reason = spec::check_comments(step.before)) return Illegal{i, *reason};
    if (auto reason = spec::check_behind(step.behind)) return Illegal{i, *reason};
    if (!step.expected) continue;
    if (auto reason = spec::check_observation(*step.expected)) return Illegal{i, *reason};
  }
  if (auto reason = spec::check_comments(program.trailer)) {
    return Illegal{program.steps.size(), *reason};
  }
  if (most_text(program) > spec::text::most_bytes &&
      print(program).size() > spec::text::most_bytes) {
    return Illegal{0, "the program's text is too long"};
  }
  return check_live_tables(program);
}

}  // namespace lockstep
