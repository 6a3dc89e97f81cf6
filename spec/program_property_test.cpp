// SPDX-License-Identifier: GPL-2.0-or-later
/// parse(print(p)) == p over generated programs.
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/detail/Configuration.h>

#include <algorithm>
#include <sstream>
#include <utility>

#include "spec/program.h"
#include "spec/program_layout.h"
#include "spec/text_command.h"
#include "spec/text_names.h"

namespace lockstep {
namespace {

constexpr int committed_cases = 2000;

std::uint64_t below(std::uint64_t end) { return *rc::gen::inRange<std::uint64_t>(0, end); }
bool flip() { return below(2) == 1; }

/// Any 64-bit value, small ones and single bits more often than chance.
std::uint64_t number(std::uint64_t mask = ~0ull) {
  switch (below(3)) {
    case 0:
      return below(0x10000) & mask;
    case 1:
      return (1ull << below(64)) & mask;
    default:
      return *rc::gen::arbitrary<std::uint64_t>().as("value") & mask;
  }
}

unsigned small() { return static_cast<unsigned>(number(0xffff'ffff)); }

template <typename T, std::size_t N>
T one_of(const std::array<spec::text::Named<T>, N>& names) {
  return names[below(N)].value;
}

std::uint64_t entry_value(PagingMode mode) {
  return number(mode == PagingMode::bits32 ? 0xffff'ffff : ~0ull);
}

std::uint64_t rights(PagingMode mode) {
  return entry_value(mode) & ~spec::entry_address_field(mode);
}

TableLevel page_level(PagingMode mode) {
  const bool wide = mode != PagingMode::bits32 && mode != PagingMode::pae;
  return static_cast<TableLevel>(1 + below(wide ? 3 : 2));
}

EntrySet entry_set(PagingMode mode) {
  EntrySet c{{}, one_of(spec::text::level_names), number(), small(), entry_value(mode)};
  if (flip()) c.vcpu = static_cast<unsigned>(below(1000));
  return c;
}

Access access(PagingMode mode, unsigned vcpu) {
  Access c;
  c.vcpu = vcpu;
  c.kind = one_of(spec::text::access_names);
  c.cpl = one_of(spec::text::cpl_names);
  c.gva = number();
  c.ac = flip();
  if (c.kind == AccessKind::write) c.value = number();
  if (c.kind != AccessKind::fetch) c.size = flip() ? spec::text::natural_size(mode) : small();
  return c;
}

Command command(PagingMode mode) {
  const auto vcpu = static_cast<unsigned>(below(1000));
  switch (below(std::variant_size_v<Command>)) {
    case 0: {
      SlotAdd c{small(), number(), number(), number(), flip(), flip()};
      if (flip()) c.hva = c.gpa;
      return c;
    }
    case 1:
      return SlotDelete{small()};
    case 2:
      return SlotMove{small(), number()};
    case 3:
      return SlotFlags{small(), flip(), flip()};
    case 4:
      return Poke{number(), number(), flip() ? 8 : small(), flip()};
    case 5:
      return Peek{number(), flip() ? 8 : small()};
    case 6:
      return entry_set(mode);
    case 7:
      return Map{number(), number(), page_level(mode), rights(mode)};
    case 8:
      return AliasTable{small(), small(), rights(mode)};
    case 9:
      return access(mode, vcpu);
    case 10:
      return LoadCr3{vcpu, number(), small(), flip()};
    case 11:
      return Invlpg{vcpu, number()};
    case 12:
      return Invpcid{vcpu, one_of(spec::text::invpcid_names), flip() ? 0 : small(),
                     flip() ? 0 : number()};
    case 13:
      return SetControl{vcpu, one_of(spec::text::control_names), flip()};
    case 14:
      return SetPkru{vcpu, small()};
    case 15:
      return Translate{vcpu, number()};
    case 16:
      return DirtyGet{small()};
    case 17:
      return DirtyClear{small(), number(), small()};
    case 18:
      return RingCollect{};
    case 19:
      return MmuPages{number()};
    case 20:
      return HostChange{one_of(spec::text::host_action_names), number(), number()};
    case 21:
      return Shrink{number()};
    default:
      return NxRecover{};
  }
}

DirtyBitmap dirty_bitmap() {
  DirtyBitmap o;
  o.pages = below(flip() ? 200 : spec::text::most_bitmap_pages + 1);
  o.words.resize((o.pages + 63) / 64);
  for (auto& word : o.words) word = flip() ? 0 : flip() ? ~0ull : number();
  if (o.pages % 64 != 0) o.words.back() &= (1ull << (o.pages % 64)) - 1;
  return o;
}

DirtyPages dirty_pages() {
  DirtyPages o;
  const auto count = below(4);
  unsigned slot = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    slot += 1 + static_cast<unsigned>(below(500));
    const auto pages = 1 + below(flip() ? 3 : 80);
    for (std::uint64_t page = 0; page < pages; ++page) {
      o.add(slot, below(flip() ? 100 : spec::text::most_bitmap_pages));
    }
  }
  return o;
}

Observation observation() {
  switch (below(std::variant_size_v<Observation>)) {
    case 0:
      return Done{};
    case 1:
      return Value{number()};
    case 2:
      return PageFault{small(), number()};
    case 3:
      return Exception{flip() ? small() : static_cast<unsigned>(below(15)), flip() ? 0 : small()};
    case 4:
      return Mmio{flip(), number(), small(), flip() ? 0 : number()};
    case 5:
      return Errno{static_cast<int>(1 + below(4095))};
    case 6:
      return dirty_bitmap();
    case 7:
      return flip() ? Translation{} : Translation{number()};
    case 8:
      return InternalError{small()};
    case 9:
      return Livelock{small()};
    case 10:
      return Unexpected{*rc::gen::arbitrary<std::string>()};
    default:
      return dirty_pages();
  }
}

/// Text of one line without blanks around it.
std::string line_of_text() {
  static const std::array<std::string, 12> words = {
      "a",        "word",   "#", "->",  "\\",   "\"", "\xe2\x82\xac",
      "lockstep", "config", " ", "{x}", "title"};
  std::string out;
  const auto count = below(20);
  for (std::uint64_t i = 0; i < count; ++i) {
    if (i > 0) out += ' ';
    out += words[below(words.size())];
  }
  const auto first = out.find_first_not_of(' ');
  return first == std::string::npos ? "" : out.substr(first, out.find_last_not_of(' ') - first + 1);
}

std::string comment() { return "#" + (flip() ? line_of_text() : ""); }

std::vector<std::string> comments() {
  std::vector<std::string> out;
  const auto count = below(4);
  for (std::uint64_t i = 0; i < count; ++i) out.push_back(flip() ? "" : comment());
  return out;
}

Configuration configuration() {
  Configuration c;
  c.paging = one_of(spec::text::paging_names);
  if (flip()) return c;
  c.mmu = one_of(spec::text::mmu_names);
  c.vcpus = small();
  c.maxphyaddr = small();
  c.dirty_log = one_of(spec::text::dirty_log_names);
  c.smm = flip();
  c.slot_zap_all = flip();
  if (flip()) c.host.vendor = one_of(spec::text::vendor_names);
  for (const auto& parameter : spec::text::host_switch_names) {
    if (flip()) c.host.*parameter.value = flip();
  }
  c.memory = number();
  for (const auto& control : spec::text::control_names) c.control.set(control.value, flip());
  c.roots.resize(1 + below(flip() ? 3 : spec::text::most_roots));
  for (auto& root : c.roots) root = number();
  c.tables = number();
  return c;
}

/// The thread of the step behind one of `before`: in a block of two or more.
std::optional<unsigned> next_thread(std::optional<unsigned> before) {
  if (!before) return below(6) == 0 ? std::optional(0u) : std::nullopt;
  if (flip()) return before;
  if (*before == 0 || flip()) return *before + 1;
  return flip() ? std::optional(0u) : std::nullopt;
}

Program program() {
  Program p;
  p.title = line_of_text();
  p.header = comments();
  p.configuration = configuration();
  p.trailer = comments();
  const auto count = below(12);
  std::optional<unsigned> thread;
  for (std::uint64_t i = 0; i < count; ++i) {
    Step step{command(p.configuration.paging), std::nullopt, comments(), {}};
    const auto before = std::exchange(thread, next_thread(thread));
    step.thread = thread;
    const bool begins = thread && (!before || *thread < *before);
    if (begins && flip()) step.schedule = number();
    if (flip()) step.expected = observation();
    if (flip()) step.behind = comment();
    p.steps.push_back(std::move(step));
  }
  for (auto last = p.steps.rbegin(); thread == 0u && last != p.steps.rend(); ++last) {
    if (last->thread != 0u) break;
    last->thread.reset();
    last->schedule = 0;
  }
  return p;
}

std::size_t widest_unquoted_line(const std::string& text) {
  std::istringstream lines(text);
  std::size_t widest = 0;
  for (std::string line; std::getline(lines, line);) {
    const bool free_text = line.find('#') != std::string::npos || line.starts_with("title") ||
                           line.find('"') != std::string::npos;
    if (!free_text) widest = std::max(widest, line.size());
  }
  return widest;
}

TEST(ProgramProperty, ParseUndoesPrint) {
  rc::detail::TestMetadata metadata;
  metadata.id = metadata.description = "parse undoes print";
  rc::detail::TestParams params = rc::detail::configuration().testParams;
  params.maxSuccess = std::max(params.maxSuccess, committed_cases);
  const auto property = rc::detail::toProperty([] {
    const Program p = program();
    const std::string text = print(p);
    const auto again = parse(text);
    if (!again) RC_FAIL(again.error().message("printed", text));
    if (*again != p) RC_FAIL("another program came back from:\n" + text);
    if (print(*again) != text) RC_FAIL("not canonical:\n" + text);
    if (widest_unquoted_line(text) > 72) RC_FAIL("wider than mail:\n" + text);
    // Neither may crash, whatever the rules think of the program.
    static_cast<void>(validate(p));
    static_cast<void>(lower(p));
    static_cast<void>(needs(p));
  });
  const auto result = rc::detail::checkProperty(property, metadata, params);
  std::ostringstream message;
  rc::detail::printResultMessage(result, message);
  EXPECT_TRUE(result.is<rc::detail::SuccessResult>()) << message.str();
  if (result.is<rc::detail::SuccessResult>()) {
    EXPECT_GE(result.get<rc::detail::SuccessResult>().numSuccess, committed_cases);
  }
}

}  // namespace
}  // namespace lockstep
