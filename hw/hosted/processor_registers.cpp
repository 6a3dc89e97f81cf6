// SPDX-License-Identifier: GPL-2.0-or-later
// Instructions that change registers or drop translations, with or without an
// exit.
#include <cstring>

#include "hw/hosted/processor.h"
#include "hw/kvm/registers.h"

namespace lockstep::hw::hosted {
namespace {

constexpr Outcome general_protection{.kind = Outcome::Kind::exception, .vector = 13};
constexpr std::uint64_t noflush = 1ull << 63;

/// SDM "PDPTE Registers": a MOV to CR4 that changes one of these loads them.
constexpr std::uint64_t reloads_pdptes = cr4::pae | cr4::pge | cr4::pse | cr4::smep;

void give_instruction(const Operation& operation, hosted_exit& exit) {
  exit.instruction_length = operation.length;
  std::memcpy(exit.instruction, operation.bytes.data(), sizeof exit.instruction);
}

}  // namespace

void Processors::perform(Vcpu& vcpu, hosted_entry& entry, hosted_exit& exit) {
  const Operation& operation = vcpu.operation;
  switch (operation.kind) {
    case Operation::Kind::read:
    case Operation::Kind::write:
    case Operation::Kind::fetch:
      access(vcpu, entry, exit);
      return;
    case Operation::Kind::mov_cr:
      mov_cr(vcpu, entry, exit);
      return;
    case Operation::Kind::wrmsr:
      exit.reason = HOSTED_EXIT_WRITE_MSR;
      exit.number = operation.number;
      exit.value = operation.value;
      give_instruction(operation, exit);
      return;
    case Operation::Kind::invlpg:
      if (entry.intercept_invlpg != 0) {
        exit.reason = HOSTED_EXIT_INVLPG;
        exit.address = operation.address;
        give_instruction(operation, exit);
        return;
      }
      // SDM "INVLPG": a non-canonical address does nothing.
      if (spec::canonical(model_.mode, operation.address)) {
        processor(vcpu).tlb().invalidate_page(operation.address, state_of(vcpu, entry).pcid,
                                              /*globals=*/true);
      }
      vcpu.outcome = {.kind = Outcome::Kind::done};
      return;
    case Operation::Kind::wrpkru:
      // SDM "WRPKRU": #UD without CR4.PKE; no VMM is asked.
      if ((entry.cr4 & cr4::pke) == 0) {
        vcpu.outcome = {.kind = Outcome::Kind::exception, .vector = 6};
        return;
      }
      entry.pkru = static_cast<unsigned>(operation.value);
      vcpu.outcome = {.kind = Outcome::Kind::done};
      return;
    case Operation::Kind::invpcid:
      invpcid(vcpu, entry, exit);
      return;
  }
}

/// The registers hold what the guest's CR3 refers to. A MOV to CR4 that KVM
/// refuses changes nothing, so CR4 is compared at the next use.
bool Processors::pdptes_current(const Vcpu& vcpu, const hosted_entry& entry) const {
  return vcpu.pdptes_valid && vcpu.pdptes_cr3 == entry.cr3 &&
         vcpu.pdptes_cr4 == (entry.cr4 & reloads_pdptes);
}

/// Load the PDPTEs that `cr3` refers to; false if that ended the operation or
/// the entry.
bool Processors::load_pdptes(Vcpu& vcpu, hosted_entry& entry, std::uint64_t cr3, PdpteUse use,
                             hosted_exit& exit) {
  const spec::ProcessorState state = state_of(vcpu, entry);
  std::array<std::uint64_t, 4> loaded{};
  for (unsigned i = 0; i < 4; ++i) {
    const auto read = processor(vcpu).load_physical(state, (cr3 & 0xffff'ffe0) + i * 8u);
    if (const auto* fault = std::get_if<spec::NestedFault>(&read)) {
      if (count_fault(vcpu)) exit_nested(vcpu, *fault, exit);
      return false;
    }
    if (const auto* broken = std::get_if<spec::Broken>(&read)) {
      vcpu.outcome = {.kind = Outcome::Kind::broken, .address = broken->frame};
      return false;
    }
    loaded[i] = std::get<std::uint64_t>(read);
    if (use == PdpteUse::mov_to_cr3 && (loaded[i] & entry::present) != 0 &&
        (loaded[i] & spec::pdpte_reserved_bits(model_.host_maxphyaddr)) != 0) {
      vcpu.outcome = general_protection;
      return false;
    }
  }
  vcpu.pdptes = loaded;
  vcpu.pdptes_cr3 = cr3;
  vcpu.pdptes_cr4 = entry.cr4 & reloads_pdptes;
  vcpu.pdptes_valid = true;
  return true;
}

void Processors::mov_cr(Vcpu& vcpu, hosted_entry& entry, hosted_exit& exit) {
  const Operation& operation = vcpu.operation;
  if (operation.number != 3 || entry.intercept_cr3_write != 0) {
    exit.reason = HOSTED_EXIT_WRITE_CR;
    exit.number = operation.number;
    exit.value = operation.value;
    give_instruction(operation, exit);
    return;
  }
  const bool pcide = (entry.cr4 & cr4::pcide) != 0;
  const std::uint64_t value = operation.value & ~noflush;
  const bool keeps = (operation.value & noflush) != 0;
  if ((keeps && !pcide) || value >> model_.host_maxphyaddr != 0) {
    vcpu.outcome = general_protection;
    return;
  }
  const bool pae = state_of(vcpu, entry).paging.mode == PagingMode::pae;
  if (pae) {
    if (!load_pdptes(vcpu, entry, value, PdpteUse::mov_to_cr3, exit)) return;
    if (const auto foreign = memory_.take_foreign()) {
      vcpu.outcome = {.kind = Outcome::Kind::foreign, .address = *foreign};
      return;
    }
    for (unsigned i = 0; i < 4; ++i) entry.pdpte[i] = vcpu.pdptes[i];
  }
  entry.cr3 = value;
  spec::Tlb& tlb = processor(vcpu).tlb();
  if (!pcide) {
    tlb.flush_nonglobal();
  } else if (!keeps) {
    tlb.flush_pcid(static_cast<unsigned>(value & 0xfff));
  }
  vcpu.outcome = {.kind = Outcome::Kind::done};
}

void Processors::invpcid(Vcpu& vcpu, hosted_entry& entry, hosted_exit& exit) {
  const Operation& operation = vcpu.operation;
  if (entry.intercept_invpcid != 0) {
    exit.reason = HOSTED_EXIT_INVPCID;
    exit.value = operation.number;
    exit.address = operation.descriptor;
    give_instruction(operation, exit);
    return;
  }
  const auto type = static_cast<InvpcidType>(operation.number);
  const bool pcide = (entry.cr4 & cr4::pcide) != 0;
  const bool names_pcid = type == InvpcidType::address || type == InvpcidType::single;
  const bool canonical = spec::canonical(model_.mode, operation.address);
  if (operation.value > 0xfff || (names_pcid && operation.value != 0 && !pcide) ||
      (type == InvpcidType::address && !canonical)) {
    vcpu.outcome = general_protection;
    return;
  }
  spec::Tlb& tlb = processor(vcpu).tlb();
  const auto pcid = static_cast<unsigned>(operation.value);
  switch (type) {
    case InvpcidType::address:
      tlb.invalidate_page(operation.address, pcid, /*globals=*/false);
      break;
    case InvpcidType::single:
      tlb.flush_pcid(pcid);
      break;
    case InvpcidType::all_and_global:
      tlb.flush();
      break;
    case InvpcidType::all:
      tlb.flush_nonglobal();
      break;
  }
  vcpu.outcome = {.kind = Outcome::Kind::done};
}

void Processors::invalidate(unsigned vcpu, unsigned asid, std::uint64_t address) {
  ++counts_.invalidations;
  if (vcpu >= vcpus_.size()) return;
  Kept* const here = vcpus_[vcpu].kept[cpu_].get();
  if (here != nullptr && here->asid == asid) here->processor.tlb().invalidate_page(address);
}

void Processors::invalidate_root(std::uint64_t ept_pointer) {
  ++counts_.root_invalidations;
  each_here([&](Kept& here) { here.processor.tlb().flush_context(context_of_root(ept_pointer)); });
}

void Processors::invalidate_all(unsigned asid) {
  ++counts_.invalidations;
  each_here([&](Kept& here) {
    if (asid == 0 || here.asid == asid) here.processor.tlb().flush();
  });
}

}  // namespace lockstep::hw::hosted
