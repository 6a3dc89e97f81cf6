// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include <algorithm>

#include "spec/program_layout.h"
#include "spec/program_rules.h"

namespace lockstep::spec {

namespace {

/// Slots greater than this are refused by every KVM: KVM_MEM_MAX_NR_PAGES.
constexpr std::uint64_t absurd_size = 1ull << 46;
constexpr unsigned pcid_count = 4096;

bool overlaps_harness(Gpa gpa, std::uint64_t size) {
  if (size == 0 || size > absurd_size) return false;
  if (gpa >= harness::base) return gpa - harness::base < harness::size;
  return size > harness::base - gpa;
}

bool fits(std::uint64_t value, unsigned size) { return size >= 8 || value >> (8 * size) == 0; }

}  // namespace

CommandRules::CommandRules(const Configuration& configuration)
    : configuration_(configuration),
      pcide_(configuration.vcpus, configuration.control.has(ControlBit::cr4_pcide)) {}

Reason CommandRules::check_slot(unsigned id) const {
  if (id >= harness::first_slot) {
    return fmt::format("slots from {} up belong to the harness", harness::first_slot);
  }
  return std::nullopt;
}

Reason CommandRules::enter(unsigned vcpu) {
  if (vcpu >= configuration_.vcpus) return fmt::format("there is no vCPU {}", vcpu);
  entered_ = true;
  return std::nullopt;
}

Reason CommandRules::check_setup(std::string_view what) const {
  if (configuration_.paging == PagingMode::none) return fmt::format("`{}` needs paging", what);
  if (entered_) return fmt::format("`{}` stands before the first vCPU command only", what);
  return std::nullopt;
}

Reason CommandRules::check_gva(Gva gva) const {
  const PagingMode mode = configuration_.paging;
  if (!is_64bit(mode) && gva >= 1ull << 32) return "a linear address has 32 bits in this mode";
  if (mode == PagingMode::none) {
    if (gva >= harness::base && gva - harness::base < harness::size) {
      return "the linear address belongs to the harness";
    }
  } else if (level_index(mode, root_level(mode), gva) >= harness_index(mode)) {
    return "the linear address belongs to the harness";
  }
  return std::nullopt;
}

Reason CommandRules::check_rights(std::uint64_t rights) const {
  if ((rights & entry_address_field(configuration_.paging)) != 0) {
    return "rights hold no bits of the address field";
  }
  if ((rights & entry::page_size) != 0) return "rights hold no `ps`";
  if (configuration_.paging == PagingMode::bits32 && !fits(rights, 4)) {
    return "an entry has 32 bits in this mode";
  }
  return std::nullopt;
}

bool CommandRules::is_root(Gpa page) const {
  const auto& roots = configuration_.roots;
  return std::find(roots.begin(), roots.end(), page) != roots.end();
}

Reason CommandRules::check_poke(Gpa gpa, unsigned size) const {
  if (size != 4 && size != 8) return "the size is 4 or 8";
  if (gpa % size != 0) return "the gpa is not aligned to the size";
  const PagingMode mode = configuration_.paging;
  if (mode == PagingMode::none || !is_root(gpa & page_mask)) return std::nullopt;
  const std::uint64_t end = (gpa & ~page_mask) + size;
  if (end > std::uint64_t{harness_index(mode)} * entry_size(mode)) {
    return "the entry of the root table belongs to the harness";
  }
  return std::nullopt;
}

Reason CommandRules::operator()(const SlotAdd& c) {
  if (auto reason = check_slot(c.id)) return reason;
  if (overlaps_harness(c.gpa, c.size)) return "the slot overlaps the harness";
  if (c.size != 0 && c.size <= absurd_size &&
      (c.size > configuration_.memory || c.hva > configuration_.memory - c.size)) {
    return "the slot ends beyond the program's memory";
  }
  if (c.size <= absurd_size) {
    std::uint64_t& size = sizes_[c.id];
    size = std::max(size, c.size);
  }
  return std::nullopt;
}

Reason CommandRules::operator()(const SlotDelete& c) { return check_slot(c.id); }

Reason CommandRules::operator()(const SlotMove& c) {
  if (auto reason = check_slot(c.id)) return reason;
  const auto known = sizes_.find(c.id);
  // A slot that was never set moves as one page; see UserSlots::region().
  const std::uint64_t size = std::max(known == sizes_.end() ? 0 : known->second, page_size);
  if (overlaps_harness(c.gpa, size)) return "the slot overlaps the harness";
  return std::nullopt;
}

Reason CommandRules::operator()(const SlotFlags& c) { return check_slot(c.id); }
Reason CommandRules::operator()(const DirtyGet& c) { return check_slot(c.id); }
Reason CommandRules::operator()(const DirtyClear& c) { return check_slot(c.id); }

Reason CommandRules::operator()(const RingCollect&) {
  if (configuration_.dirty_log != DirtyLogMode::ring) {
    return "`ring-collect` needs `config dirty-log=ring`";
  }
  return std::nullopt;
}

Reason CommandRules::operator()(const HostChange& c) {
  if (c.hva % page_size != 0 || c.size % page_size != 0) return "the host acts on whole pages";
  if (c.size == 0) return "the range is empty";
  if (c.size > configuration_.memory || c.hva > configuration_.memory - c.size) {
    return "the range ends beyond the program's memory";
  }
  return std::nullopt;
}

Reason CommandRules::operator()(const Poke& c) {
  if (auto reason = check_poke(c.gpa, c.size)) return reason;
  if (!fits(c.value, c.size)) return "the value is wider than the store";
  return std::nullopt;
}

Reason CommandRules::operator()(const Peek& c) { return check_poke(c.gpa, c.size); }

Reason CommandRules::operator()(const EntrySet& c) {
  const PagingMode mode = configuration_.paging;
  if (c.vcpu) {
    if (mode == PagingMode::none) return "`entry` needs paging";
    if (auto reason = enter(*c.vcpu)) return reason;
  } else if (auto reason = check_setup("entry")) {
    return reason;
  }
  if (c.table % page_size != 0) return "the table is not page-aligned";
  if (c.table >= harness::window) return "the table lies beyond the harness window";
  if (c.index >= entries_per_table(mode)) return "a table has no such entry";
  if (is_root(c.table) && c.index >= harness_index(mode)) {
    return "the entry of the root table belongs to the harness";
  }
  if (!fits(c.value, entry_size(mode))) return "an entry has 32 bits in this mode";
  return std::nullopt;
}

Reason CommandRules::operator()(const Map& c) {
  const PagingMode mode = configuration_.paging;
  if (auto reason = check_setup("map")) return reason;
  if (auto reason = check_gva(c.gva)) return reason;
  if (auto reason = check_rights(c.rights)) return reason;
  const auto largest = is_64bit(mode) ? TableLevel::pdpt : TableLevel::pd;
  if (c.level < TableLevel::pt || c.level > largest) return "the mode has no page of this size";
  if (!is_translatable(mode, c.gva)) return "the linear address is not canonical";
  const std::uint64_t size = 1ull << level_shift(mode, c.level);
  if (c.gva % size != 0 || c.gpa % size != 0) return "the page is not aligned to its size";
  if ((c.gpa & ~entry_address_field(mode)) != 0) return "no entry of the mode can hold the gpa";
  return std::nullopt;
}

Reason CommandRules::operator()(const AliasTable& c) {
  if (auto reason = check_setup("alias-table")) return reason;
  const unsigned end = harness_index(configuration_.paging);
  if (c.index >= end || c.of >= end) return "the entry of the root table belongs to the harness";
  return check_rights(c.rights);
}

Reason CommandRules::operator()(const Access& c) {
  if (auto reason = enter(c.vcpu)) return reason;
  if (auto reason = check_gva(c.gva)) return reason;
  if (c.size != 1 && c.size != 2 && c.size != 4 && c.size != 8) return "the size is 1, 2, 4 or 8";
  if (c.kind == AccessKind::fetch) {
    if (c.size != 8) return "a fetch has 8 bytes";
  } else if (c.size == 8 && !is_64bit(configuration_.paging)) {
    return "a size of 8 needs a 64-bit mode";
  }
  if (c.gva % c.size != 0) return "the access is not aligned to its size";
  if (c.kind != AccessKind::write && c.value != 0) return "only a write has a value";
  if (!fits(c.value, c.size)) return "the value is wider than the store";
  return std::nullopt;
}

Reason CommandRules::operator()(const LoadCr3& c) {
  if (auto reason = enter(c.vcpu)) return reason;
  if (!is_root(c.root)) return "CR3 is none of the configured roots";
  if (c.pcid >= pcid_count) return "a PCID has 12 bits";
  if ((c.pcid != 0 || c.noflush) && !pcide_[c.vcpu]) {
    return "`pcid` and `noflush` need `config cr4.pcide=1`";
  }
  return std::nullopt;
}

Reason CommandRules::operator()(const Invlpg& c) {
  if (auto reason = enter(c.vcpu)) return reason;
  return check_gva(c.gva);
}

Reason CommandRules::operator()(const Invpcid& c) {
  if (auto reason = enter(c.vcpu)) return reason;
  if (c.pcid >= pcid_count) return "a PCID has 12 bits";
  return check_gva(c.gva);
}

Reason CommandRules::operator()(const SetControl& c) {
  if (auto reason = enter(c.vcpu)) return reason;
  if (c.bit == ControlBit::cr4_pcide) {
    pcide_[c.vcpu] = c.on && configuration_.control.has(ControlBit::cr4_pcide);
  }
  return std::nullopt;
}

Reason CommandRules::operator()(const SetPkru& c) { return enter(c.vcpu); }

Reason CommandRules::operator()(const Translate& c) {
  if (auto reason = enter(c.vcpu)) return reason;
  return check_gva(c.gva);
}

}  // namespace lockstep::spec
