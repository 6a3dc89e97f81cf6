// SPDX-License-Identifier: GPL-2.0-or-later
/// What instructions that change registers or drop cached translations do.
#include <algorithm>

#include "spec/kvm/state.h"
#include "spec/program.h"

namespace lockstep::spec {
namespace {

constexpr Exception general_protection{13, 0};
constexpr Exception undefined_opcode{6, 0};

/// SDM "PDPTE Registers": a MOV to CR0 or CR4 that changes one of these loads
/// the PDPTEs again. (CD and NW, PG and PAE do not change here.)
bool reloads_pdptes(ControlBit bit) {
  return bit == ControlBit::cr4_pge || bit == ControlBit::cr4_pse || bit == ControlBit::cr4_smep;
}

}  // namespace

std::optional<std::array<std::uint64_t, 4>> Machine::State::load_pdptes(Gpa root) const {
  std::array<std::uint64_t, 4> pdptes{};
  if (configuration.paging != PagingMode::pae) return pdptes;
  // The last PDPTE belongs to the engine's harness: no program address uses it.
  for (unsigned i = 0; i < harness_index(PagingMode::pae); ++i) {
    // load_pdptrs(): a table without memory slot faults the load.
    const auto backing = slots.backing(root + i * 8u);
    if (!backing) return std::nullopt;
    const std::uint64_t pdpte = memory.load(backing->hva, 8).front().value;
    const bool present = (pdpte & entry::present) != 0;
    if (present && (pdpte & pdpte_reserved_bits(configuration.maxphyaddr)) != 0) {
      return std::nullopt;
    }
    pdptes.at(i) = pdpte;
  }
  return pdptes;
}

bool Machine::State::pdptes_unknown(Gpa root) const {
  if (configuration.paging != PagingMode::pae) return false;
  for (unsigned i = 0; i < harness_index(PagingMode::pae); ++i) {
    const auto backing = slots.backing(root + i * 8u);
    if (!backing) continue;
    const auto possible = memory.load(backing->hva, 8);
    // A walk that took the table for one of another level may have set flags,
    // which are reserved in a PDPTE.
    const std::uint64_t reserved = pdpte_reserved_bits(configuration.maxphyaddr);
    if (possible.size() > 1 || (possible.front().maybe & reserved) != 0) return true;
  }
  return false;
}

std::vector<Processor> Machine::State::with_pdpte_reread(const Processor& processor,
                                                         Gva gva) const {
  std::vector<Processor> out;
  if (!platform.tdp || !platform.amd || configuration.paging != PagingMode::pae) return out;
  const Registers& registers = processor.registers();
  Moment since = registers.since;
  for (const Registers& earlier : processor.history()) {
    if (earlier.root == registers.root) since = std::min(since, earlier.since);
  }
  const unsigned index = (gva >> 30) & 3;
  std::vector<EntryVersion> versions;
  tables().versions(registers.root + index * 8u, 8, since, versions);
  for (const EntryVersion& version : versions) {
    if (!version.backed) continue;
    auto pdptes = registers.pdptes;
    pdptes.at(index) = version.value;
    if (pdptes == registers.pdptes) continue;
    out.push_back(processor);
    out.back().load_cr3(now, registers.root, registers.pcid, /*noflush=*/true, pdptes);
  }
  if (!load_pdptes(registers.root)) {
    // load_pdptrs() fails for all four: what svm_cache_reg() last found stays, though it
    // be another root's.
    for (const Registers& earlier : processor.history()) {
      if (earlier.pdptes == registers.pdptes) continue;
      out.push_back(processor);
      out.back().load_cr3(now, registers.root, registers.pcid, /*noflush=*/true, earlier.pdptes);
    }
  }
  return out;
}

Registers Machine::State::first_registers() const {
  Registers registers;
  registers.root = configuration.roots.front();
  registers.control = configuration.control;
  if (const auto pdptes = load_pdptes(registers.root)) registers.pdptes = *pdptes;
  return registers;
}

bool Machine::State::may_lose_root(const Command& command) const {
  if (platform.tdp || configuration.paging != PagingMode::pae) return false;
  // Commands of user space need no root.
  const std::optional<unsigned> vcpu = vcpu_of(command);
  if (!vcpu) return false;
  // A slot that comes later does not replace the root that KVM made up, and Linux 6.12 and
  // later WARN on it in FNAME(fetch)().
  if (vcpus[*vcpu].dummy_root) return true;
  const Registers& registers = processor_of(*vcpu).registers();
  const auto* load = std::get_if<LoadCr3>(&command);
  const auto loaded = load_pdptes(load != nullptr ? load->root : registers.root);
  const auto unbacked = [&](std::uint64_t pdpte) {
    constexpr std::uint64_t address = 0x000f'ffff'ffff'f000;
    return (pdpte & entry::present) != 0 && !slots.backing(pdpte & address);
  };
  return (loaded && std::any_of(loaded->begin(), loaded->end(), unbacked)) ||
         std::any_of(registers.pdptes.begin(), registers.pdptes.end(), unbacked);
}

bool Machine::State::start(unsigned vcpu, const Command& command) {
  Vcpu& v = vcpus[vcpu];
  const Gpa root = v.processor ? v.processor->registers().root : configuration.roots.front();
  if (configuration.paging != PagingMode::none && !slots.backing(root)) return false;
  if (!v.processor) {
    if (pdptes_unknown(root) || !load_pdptes(root)) return false;
    for (const Gpa r : configuration.roots) remember_table(r, root_level(configuration.paging));
    v.processor.emplace(now, first_registers());
    if (!configuration.control.has(ControlBit::efer_nx)) no_execute_was_off = true;
    v.lost_root = true;
  }
  // KVM_TRANSLATE walks by itself; every other command enters the guest.
  if (v.lost_root && !std::holds_alternative<Translate>(command)) {
    // A vCPU that has no root, or an obsolete one (kvm_mmu_free_obsolete_roots()), loads
    // one, which synchronizes what hangs below it.
    v.lost_root = false;
    tables_synchronized();
  }
  return true;
}

const Processor& Machine::State::processor_of(unsigned vcpu) const {
  return *vcpus[vcpu].processor;
}

PagingState Machine::State::paging(unsigned vcpu) const {
  PagingState state;
  state.mode = configuration.paging;
  state.control = processor_of(vcpu).registers().control;
  state.maxphyaddr = configuration.maxphyaddr;
  state.gigabyte_pages = platform.features.test(static_cast<std::size_t>(Feature::gigabyte_pages));
  state.pkru = vcpus[vcpu].pkru;
  state.amd = platform.amd;
  return state;
}

Observation Machine::State::expected(const LoadCr3& load) const {
  const Registers& registers = processor_of(load.vcpu).registers();
  // Bit 63 is reserved without CR4.PCIDE.
  if (load.noflush && !registers.control.has(ControlBit::cr4_pcide)) return general_protection;
  if (!load_pdptes(load.root)) return general_protection;
  return Done{};
}

Judgement Machine::State::judge(const LoadCr3& load, const Observation& shown) {
  if (pdptes_unknown(load.root)) return undecided("the PDPTEs in memory are not known");
  const Observation wanted = expected(load);
  if (std::holds_alternative<Done>(wanted)) {
    Processor& processor = *vcpus[load.vcpu].processor;
    const bool pcide = processor.registers().control.has(ControlBit::cr4_pcide);
    const Registers& before = processor.registers();
    const bool same = before.root == load.root && (!pcide || before.pcid == load.pcid);
    processor.load_cr3(now, load.root, pcide ? load.pcid : 0, load.noflush,
                       *load_pdptes(load.root));
    vcpus[load.vcpu].cr3_low = load.pcid;
    remember_table(load.root, root_level(configuration.paging));
    // kvm_mmu_new_pgd(), which another CR3 always comes to when KVM shadows tables.
    if (!load.noflush || (!same && !platform.tdp)) vcpus[load.vcpu].mmio.clear();
    tables_synchronized();
  }
  return only(wanted, shown);
}

Judgement Machine::State::judge(const Invlpg& invlpg, const Observation& shown) {
  // SDM "INVLPG": a non-canonical address does nothing.
  if (!canonical(configuration.paging, invlpg.gva)) return only(Done{}, shown);
  Vcpu& vcpu = vcpus[invlpg.vcpu];
  vcpu.processor->invlpg(now, invlpg.gva);
  tables_synchronized();
  std::erase_if(vcpu.mmio, [&](const auto& m) { return m.page == (invlpg.gva & page_mask); });
  return only(Done{}, shown);
}

Observation Machine::State::expected(const Invpcid& invpcid) const {
  const Registers& registers = processor_of(invpcid.vcpu).registers();
  const bool pcide = registers.control.has(ControlBit::cr4_pcide);
  const bool names_pcid =
      invpcid.type == InvpcidType::address || invpcid.type == InvpcidType::single;
  if (names_pcid && invpcid.pcid != 0 && !pcide) return general_protection;
  if (invpcid.type == InvpcidType::address && !canonical(configuration.paging, invpcid.gva)) {
    return general_protection;
  }
  return Done{};
}

Judgement Machine::State::judge(const Invpcid& invpcid, const Observation& shown) {
  const Observation wanted = expected(invpcid);
  if (std::holds_alternative<Done>(wanted)) {
    Vcpu& vcpu = vcpus[invpcid.vcpu];
    vcpu.processor->invpcid(now, invpcid.type, invpcid.pcid, invpcid.gva);
    tables_synchronized();
    const bool one_page = invpcid.type == InvpcidType::address;
    const bool names_pcid = one_page || invpcid.type == InvpcidType::single;
    // kvm_invalidate_pcid(), kvm_mmu_invpcid_gva(): of another PCID, KVM looks at its
    // previous roots, and forgets nothing if none has it.
    if (!names_pcid || invpcid.pcid == vcpu.processor->registers().pcid) {
      std::erase_if(vcpu.mmio, [&](const auto& m) {
        return !one_page || m.page == (invpcid.gva & page_mask);
      });
    }
  }
  return only(wanted, shown);
}

Observation Machine::State::expected(const SetControl& set) const {
  const Registers& registers = processor_of(set.vcpu).registers();
  const bool changes = registers.control.has(set.bit) != set.on;
  if (set.bit == ControlBit::cr4_pcide && set.on && changes) {
    // SDM "Process-Context Identifiers": only in IA-32e mode, with CR3[11:0] 0.
    const bool long_mode =
        configuration.paging == PagingMode::level4 || configuration.paging == PagingMode::level5;
    if (!long_mode || vcpus[set.vcpu].cr3_low != 0) return general_protection;
  }
  if (changes && reloads_pdptes(set.bit) && !load_pdptes(registers.root)) {
    return general_protection;
  }
  return Done{};
}

Judgement Machine::State::judge(const SetControl& set, const Observation& shown) {
  if (reloads_pdptes(set.bit) && pdptes_unknown(processor_of(set.vcpu).registers().root)) {
    return undecided("the PDPTEs in memory are not known");
  }
  const Observation wanted = expected(set);
  if (std::holds_alternative<Done>(wanted)) {
    Processor& processor = *vcpus[set.vcpu].processor;
    const auto pdptes = reloads_pdptes(set.bit) ? *load_pdptes(processor.registers().root)
                                                : processor.registers().pdptes;
    processor.set_control(now, set.bit, set.on, pdptes);
    if (set.bit == ControlBit::efer_nx && !set.on) no_execute_was_off = true;
    if (set.bit == ControlBit::cr4_pse && configuration.control.has(set.bit) != set.on) {
      page_size_changed = true;
    }
    vcpus[set.vcpu].mmio.clear();
    tables_synchronized();
  }
  return only(wanted, shown);
}

Observation Machine::State::expected(const SetPkru& set) const {
  const Registers& registers = processor_of(set.vcpu).registers();
  if (!registers.control.has(ControlBit::cr4_pke)) return undefined_opcode;
  return Done{};
}

Judgement Machine::State::judge(const SetPkru& set, const Observation& shown) {
  const Observation wanted = expected(set);
  if (std::holds_alternative<Done>(wanted)) vcpus[set.vcpu].pkru = set.value;
  return only(wanted, shown);
}

}  // namespace lockstep::spec
