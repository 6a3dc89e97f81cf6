// SPDX-License-Identifier: GPL-2.0-or-later
/// What the model would show, in words: admitted observations and walk dumps.
#include <fmt/format.h>

#include <algorithm>

#include "spec/kvm/state.h"
#include "spec/program.h"

namespace lockstep::spec {
namespace {

void add_unique(std::vector<Observation>& to, Observation observation) {
  if (std::find(to.begin(), to.end(), observation) == to.end()) {
    to.push_back(std::move(observation));
  }
}

const char* level_name(TableLevel level) {
  static constexpr std::array<const char*, 6> names = {"", "pt", "pd", "pdpt", "pml4", "pml5"};
  return names.at(static_cast<std::size_t>(level));
}

/// PAE's PDPTEs are registers: no walk sets their flags.
std::optional<TableLevel> registered_level(PagingMode mode) {
  return mode == PagingMode::pae ? std::optional(TableLevel::pdpt) : std::nullopt;
}

std::string flags_of(std::uint64_t value, PagingMode mode) {
  std::string text;
  const auto flag = [&](std::uint64_t bit, const char* name) {
    if ((value & bit) != 0) text += fmt::format(" {}", name);
  };
  flag(entry::present, "p");
  flag(entry::writable, "w");
  flag(entry::user, "u");
  flag(entry::accessed, "a");
  flag(entry::dirty, "d");
  flag(entry::page_size, "ps");
  flag(entry::global, "g");
  if (mode != PagingMode::bits32) flag(entry::no_execute, "nx");
  return text;
}

std::string dump(const Way& way, PagingMode mode) {
  std::string text;
  for (std::size_t i = 0; i < way.levels; ++i) {
    const LevelRead& read = way.reads[i];
    if (!read.backed) {
      text += fmt::format("    {:<4} entry {:#x}: no memory slot\n", level_name(read.level),
                          read.address);
      continue;
    }
    text += fmt::format("    {:<4} entry {:#x} = {:#x}{}{}\n", level_name(read.level), read.address,
                        read.value, flags_of(read.value, mode),
                        read.current || (mode == PagingMode::pae && i == 0) ? "" : "  (before)");
  }
  switch (way.kind) {
    case Way::Kind::not_present:
      return text + "    -> not present\n";
    case Way::Kind::reserved:
      return text + "    -> reserved bit set\n";
    case Way::Kind::translated:
      break;
  }
  const Combined& rights = way.translation.rights;
  return text + fmt::format("    -> page {:#x} size {:#x} r{}{}{}{}\n", way.translation.page,
                            way.translation.size, rights.writable ? 'w' : '-',
                            rights.executable ? 'x' : '-', rights.user ? 'u' : '-',
                            way.translation.global ? " g" : "");
}

}  // namespace

Judgement Machine::State::judge(const Translate& translate, const Observation& shown) {
  const std::vector<Observation> admitted = translations_of(translate);
  if (std::find(admitted.begin(), admitted.end(), shown) == admitted.end()) {
    std::string why = print(admitted.front());
    for (std::size_t i = 1; i < admitted.size(); ++i) why += " or " + print(admitted[i]);
    return refuse(why);
  }
  // KVM's walk sets accessed flags like a read, where the vCPU's own would not.
  if (configuration.paging != PagingMode::none) {
    const Way way = fresh_walk(processor_of(translate.vcpu), paging(translate.vcpu), tables(),
                               translate.gva, now);
    for (std::size_t i = 0; i < way.levels; ++i) {
      remember_table(way.reads[i].address, way.reads[i].level);
      log_map(way.reads[i].address);
      const auto backing = slots.backing(way.reads[i].address);
      if (backing && way.reads[i].level != registered_level(configuration.paging)) {
        memory.set_flags(backing->hva, /*must=*/0, /*may=*/entry::accessed);
      }
    }
  }
  return admit();
}

std::vector<Observation> Machine::State::translations_of(const Translate& translate) const {
  const PagingState state = paging(translate.vcpu);
  std::vector<Observation> admitted;
  std::vector<PagingState> views{state};
  if (platform.tdp && configuration.maxphyaddr < platform.host_maxphyaddr) {
    views.push_back(state);
    views.back().maxphyaddr = platform.host_maxphyaddr;
  }
  if (state.mode == PagingMode::bits32) {
    views.push_back(state);
    views.back().pse36_width = 36;
  }
  std::vector<Processor> processors{processor_of(translate.vcpu)};
  // svm_cache_reg() reads PDPTEs when somebody asks: looseness pdpte-reread.
  for (Processor& reread : with_pdpte_reread(processors.front(), translate.gva)) {
    processors.push_back(std::move(reread));
  }
  for (std::size_t view_number = 0; view_number < views.size() * processors.size(); ++view_number) {
    const PagingState& view = views[view_number % views.size()];
    std::vector<Way> ways;
    translations(processors[view_number / views.size()], view, tables(), translate.gva, now, ways);
    for (const Way& way : ways) {
      // A walk of KVM's own: it reads memory and knows no cache.
      if (way.stale || way.cached_leaf) continue;
      if (way.kind != Way::Kind::translated) {
        add_unique(admitted, Translation{});
        continue;
      }
      const Gpa gpa = way.translation.page | (translate.gva & (way.translation.size - 1));
      add_unique(admitted, Translation{gpa});
      // kvm_mmu_gva_to_gpa_system() walks as a supervisor read with whatever
      // RFLAGS.AC and PKRU the vCPU happens to hold.
      if (permission_fault(view, {AccessKind::read, Cpl::supervisor, /*ac=*/false},
                           way.translation)) {
        add_unique(admitted, Translation{});
      }
      // ... and fails where the host keeps it from setting an accessed flag.
      for (std::size_t i = 0; i < way.levels; ++i) {
        const auto backing = slots.backing(way.reads[i].address);
        if (backing && host_protects(backing->hva)) add_unique(admitted, Translation{});
      }
    }
  }
  // Nothing says what a non-canonical address translates to.
  if (!canonical(state.mode, translate.gva)) add_unique(admitted, Translation{});
  return admitted;
}

std::vector<Observation> observations(const std::vector<Candidate>& candidates) {
  std::vector<Observation> out;
  for (const Candidate& candidate : candidates) {
    if (candidate.unknown || out.size() >= 64) continue;
    add_unique(out, candidate.observation);
    if (candidate.maybe != 0) {
      add_unique(out, Value{std::get<Value>(candidate.observation).value | candidate.maybe});
    }
  }
  return out;
}

std::vector<Observation> Machine::State::admitted(const Command& command) const {
  return std::visit(
      [&](const auto& c) -> std::vector<Observation> {
        using C = std::decay_t<decltype(c)>;
        std::vector<Observation> out;
        if constexpr (std::is_same_v<C, SlotAdd> || std::is_same_v<C, SlotDelete> ||
                      std::is_same_v<C, SlotMove> || std::is_same_v<C, SlotFlags>) {
          out.push_back(expected(request(c)));
        } else if constexpr (std::is_same_v<C, Map> || std::is_same_v<C, AliasTable>) {
          return out;
        } else if constexpr (std::is_same_v<C, Peek>) {
          for (const Memory::Possible& p : expected_peek(c)) {
            add_unique(out, Value{p.value});
            if (p.maybe != 0) add_unique(out, Value{p.value | p.maybe});
          }
          if (out.empty()) out.emplace_back(Errno{EFAULT});
        } else if constexpr (std::is_same_v<C, Access>) {
          const auto all = candidates(c);
          return all ? observations(*all) : out;
        } else if constexpr (std::is_same_v<C, Invlpg>) {
          out.emplace_back(Done{});
        } else if constexpr (std::is_same_v<C, Translate>) {
          return translations_of(c);
        } else if constexpr (std::is_same_v<C, DirtyGet>) {
          const auto log = logs.find(c.id);
          if (configuration.dirty_log == DirtyLogMode::ring) {
            out.emplace_back(Errno{ENXIO});
            return out;
          }
          if (log == logs.end()) {
            out.emplace_back(Errno{ENOENT});
            return out;
          }
          const DirtyLog& dirty = log->second;
          out.emplace_back(DirtyBitmap{dirty.pages(), dirty.must()});
          DirtyBitmap most{dirty.pages(), dirty.must()};
          for (std::size_t i = 0; i < most.words.size(); ++i) most.words[i] |= dirty.may()[i];
          add_unique(out, most);
        } else if constexpr (std::is_same_v<C, RingCollect>) {
          out.emplace_back(ring_contents(/*most=*/false));
          add_unique(out, ring_contents(/*most=*/true));
        } else {
          out.push_back(expected(c));
        }
        return out;
      },
      command);
}

std::string Machine::explain(const Command& command) const {
  State state = *state_;
  ++state.now;
  const std::optional<unsigned> vcpu = vcpu_of(command);
  if (vcpu && (*vcpu >= state.vcpus.size() || !state.start(*vcpu, command))) {
    return "    no memory slot backs the root table\n";
  }
  ++state.now;
  return std::visit(
      [&](const auto& c) -> std::string {
        if constexpr (requires {
                        c.gva;
                        c.vcpu;
                      }) {
          std::vector<Way> ways;
          const PagingState paging = state.paging(c.vcpu);
          translations(state.processor_of(c.vcpu), paging, state.tables(), c.gva, state.now, ways);
          std::string text = fmt::format("  walk of {:#x}, root {:#x}:\n", c.gva,
                                         state.processor_of(c.vcpu).registers().root);
          std::vector<std::string> shown;
          for (const Way& way : ways) {
            std::string lines = dump(way, paging.mode);
            if (std::find(shown.begin(), shown.end(), lines) != shown.end()) continue;
            if (!shown.empty()) text += "  or, as it may be cached:\n";
            text += lines;
            shown.push_back(std::move(lines));
            if (shown.size() == 4) break;
          }
          return text;
        } else if constexpr (requires { c.id; }) {
          const Slot* slot = state.slots.find(c.id);
          if (slot == nullptr) return fmt::format("  slot {}: none\n", c.id);
          return fmt::format("  slot {}: gpa {:#x} size {:#x} hva {:#x}{}{}\n", c.id, slot->gpa,
                             slot->size, slot->hva, slot->log ? " log" : "",
                             slot->read_only ? " ro" : "");
        } else {
          return {};
        }
      },
      command);
}

}  // namespace lockstep::spec
