// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/kvm/probe.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

namespace lockstep::hw {
namespace {

constexpr Gpa root = 0x1000;
constexpr Gpa page = 0x10'0000;
constexpr Gva unmapped = 0x18'0000;
constexpr std::uint64_t cell = code_cell(page >> page_shift);

/// The observation in as few words as a reason needs.
struct Describe {
  std::string operator()(const Done&) const { return "nothing"; }
  std::string operator()(const Value& seen) const { return fmt::format("{:#x}", seen.value); }
  std::string operator()(const PageFault& seen) const {
    return fmt::format("#PF {:#x} at {:#x}", seen.code, seen.address);
  }
  std::string operator()(const Exception& seen) const {
    return fmt::format("exception {}", seen.vector);
  }
  std::string operator()(const Errno& seen) const { return fmt::format("errno {}", seen.number); }
  std::string operator()(const InternalError& seen) const {
    return fmt::format("KVM internal error {}", seen.suberror);
  }
  std::string operator()(const Livelock&) const { return "no end"; }
  std::string operator()(const Unexpected& seen) const { return seen.what; }
  template <typename Other>
  std::string operator()(const Other&) const {
    return "another kind of observation";
  }
};

/// Tables that map the test page onto itself, from the root down.
std::vector<Command> tables(PagingMode mode) {
  std::vector<Command> commands;
  if (mode == PagingMode::none) return commands;
  const auto depth = static_cast<unsigned>(root_level(mode));
  const unsigned bits = mode == PagingMode::bits32 ? 10 : 9;
  for (unsigned level = depth; level >= 1; --level) {
    const auto step = depth - level;
    const Gpa next = level == 1 ? page : root + (step + 1) * page_size;
    const bool pdpte = mode == PagingMode::pae && level == 3;
    const std::uint64_t rights =
        pdpte ? entry::present : entry::present | entry::writable | entry::user;
    const auto shift = page_shift + bits * (level - 1);
    commands.push_back(EntrySet{.vcpu = std::nullopt,
                                .level = static_cast<TableLevel>(level),
                                .table = root + step * page_size,
                                .index = static_cast<unsigned>(page >> shift) & ((1u << bits) - 1),
                                .value = next | rights});
  }
  // Fresh memory holds code cells, none of which is a present entry.
  return commands;
}

struct Expectation {
  const char* what;
  Command command;
  Observation seen;
};

std::vector<Expectation> expectations(PagingMode mode) {
  const auto access = [](AccessKind kind, Cpl cpl, Gva gva, std::uint64_t value = 0) {
    return Access{.kind = kind, .cpl = cpl, .gva = gva, .value = value, .size = 4};
  };
  std::vector<Expectation> all = {
      {"read at CPL 3", access(AccessKind::read, Cpl::user, page), Value{cell & 0xffff'ffff}},
      {"write at CPL 3", access(AccessKind::write, Cpl::user, page + 16, 0x1234), Done{}},
      {"user space's view of the write", Peek{.gpa = page + 16, .size = 4}, Value{0x1234}},
      {"fetch at CPL 3", access(AccessKind::fetch, Cpl::user, page), Value{page >> page_shift}},
      {"read at CPL 0", access(AccessKind::read, Cpl::supervisor, page + 16), Value{0x1234}},
      {"fetch at CPL 0", access(AccessKind::fetch, Cpl::supervisor, page),
       Value{page >> page_shift}},
  };
  if (mode != PagingMode::none) {
    all.push_back({"#PF at CPL 3", access(AccessKind::read, Cpl::user, unmapped),
                   PageFault{fault::user, unmapped}});
    all.push_back({"#PF at CPL 0", access(AccessKind::read, Cpl::supervisor, unmapped),
                   PageFault{0, unmapped}});
    all.push_back({"MOV CR3", LoadCr3{.root = root}, Done{}});
  }
  return all;
}

std::optional<std::string> compare(Engine& engine, const Expectation& test) {
  const auto seen = engine.execute(test.command);
  if (!seen) return fmt::format("{}: {}", test.what, seen.error().message);
  if (*seen == test.seen) return std::nullopt;
  return fmt::format("{}: {}, expected {}", test.what, std::visit(Describe{}, *seen),
                     std::visit(Describe{}, test.seen));
}

}  // namespace

std::optional<std::string> self_test(Engine& engine, PagingMode mode, unsigned maxphyaddr,
                                     MmuKind mmu) {
  Configuration configuration;
  configuration.mmu = mmu;
  configuration.paging = mode;
  configuration.maxphyaddr = maxphyaddr;
  configuration.memory = 2ull << 20;
  configuration.roots = {root};
  if (auto begun = engine.begin(configuration, /*fresh=*/true); !begun) {
    return begun.error().message;
  }
  std::vector<Expectation> all = {{"memory slot", SlotAdd{.size = configuration.memory}, Done{}}};
  for (const Command& command : tables(mode)) all.push_back({"table", command, Done{}});
  const std::vector<Expectation> accesses = expectations(mode);
  all.insert(all.end(), accesses.begin(), accesses.end());
  std::optional<std::string> reason;
  for (const Expectation& test : all) {
    reason = compare(engine, test);
    if (reason) break;
  }
  const auto ended = engine.end();
  if (!reason && !ended) reason = ended.error().message;
  return reason;
}

}  // namespace lockstep::hw
