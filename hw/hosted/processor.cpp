// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/hosted/processor.h"

#include <cstring>

#include "hw/kvm/registers.h"
#include "spec/observation.h"

namespace lockstep::hw::hosted {
namespace {

constexpr unsigned page_fault_vector = 14;

/// General registers, in the encoding's order.
enum Gpr : unsigned { rax = 0, rcx = 1, rdx = 2, rdi = 7 };

constexpr std::uint64_t flags_fixed = 1ull << 1;
constexpr std::uint64_t flags_ac = 1ull << 18;
constexpr std::uint8_t hlt = 0xf4;
constexpr std::uint64_t efer_lma = 1ull << 10;

PagingMode shadow_mode(unsigned root_level) {
  return root_level == 3   ? PagingMode::pae
         : root_level == 5 ? PagingMode::level5
                           : PagingMode::level4;
}

PagingMode guest_mode(const hosted_entry& entry) {
  if ((entry.cr0 & cr0::pg) == 0) return PagingMode::none;
  if ((entry.cr4 & cr4::pae) == 0) return PagingMode::bits32;
  if ((entry.efer & efer_lma) == 0) return PagingMode::pae;
  return (entry.cr4 & cr4::la57) != 0 ? PagingMode::level5 : PagingMode::level4;
}

ControlBits control_of(const hosted_entry& entry) {
  ControlBits bits;
  bits.set(ControlBit::cr0_wp, (entry.cr0 & cr0::wp) != 0);
  bits.set(ControlBit::cr4_pse, (entry.cr4 & cr4::pse) != 0);
  bits.set(ControlBit::cr4_pge, (entry.cr4 & cr4::pge) != 0);
  bits.set(ControlBit::cr4_smep, (entry.cr4 & cr4::smep) != 0);
  bits.set(ControlBit::cr4_smap, (entry.cr4 & cr4::smap) != 0);
  bits.set(ControlBit::cr4_pke, (entry.cr4 & cr4::pke) != 0);
  bits.set(ControlBit::cr4_pcide, (entry.cr4 & cr4::pcide) != 0);
  bits.set(ControlBit::efer_nx, (entry.efer & efer::nx) != 0);
  return bits;
}

void load_mm0(std::uint64_t value) { asm volatile("movq %0, %%mm0" : : "m"(value) : "mm0"); }
void empty_mm0() { asm volatile("emms"); }

void leave_guest(hosted_exit& exit) {
  exit.reason = HOSTED_EXIT_LEAVE;
  exit.instruction_length = 1;
  exit.instruction[0] = hlt;
}

/// The operation's own instruction, for the exits that it causes.
void give_instruction(const Operation& operation, hosted_exit& exit) {
  exit.instruction_length = operation.length;
  std::memcpy(exit.instruction, operation.bytes.data(), sizeof exit.instruction);
}

}  // namespace

std::uint64_t* ArenaMemory::table(Hfn frame) {
  if (before_table_ != nullptr) before_table_(context_, frame);
  if (!arena_->has(frame) || arena_->is_user(frame)) return nullptr;
  if (is_live_ != nullptr && is_live_(frame) == 0) return nullptr;
  return reinterpret_cast<std::uint64_t*>(arena_->frame(frame));
}

std::uint64_t ArenaMemory::load(Hfn frame, unsigned offset, unsigned size) {
  if (!arena_->is_user(frame)) {
    foreign_ = frame;
    return 0;
  }
  std::uint64_t value = 0;
  std::memcpy(&value, arena_->frame(frame) + offset, size);
  return value;
}

void ArenaMemory::store(Hfn frame, unsigned offset, unsigned size, std::uint64_t value) {
  if (!arena_->is_user(frame)) {
    foreign_ = frame;
    return;
  }
  arena_->touch_frame(frame);
  std::memcpy(arena_->frame(frame) + offset, &value, size);
}

void Processors::reset(const ProcessorModel& model, unsigned vcpus) {
  after_run();
  mm0_ = {};
  cpu_ = 0;
  model_ = model;
  vms_ = {};
  if (vcpus_.size() < vcpus) vcpus_.resize(vcpus);
  for (std::size_t i = 0; i < vcpus_.size(); ++i) {
    Vcpu& vcpu = vcpus_[i];
    vcpu.seed = model.seed == 0 ? 0 : model.seed + 2 * i;
    for (unsigned cpu = 0; cpu < HOSTED_CPUS; ++cpu) {
      if (!vcpu.kept[cpu]) continue;
      vcpu.kept[cpu]->processor.reset(seed_on(cpu, vcpu));
      vcpu.kept[cpu]->asid = 0;
    }
    vcpu.has_run = false;
    vcpu.outcome = {.kind = Outcome::Kind::done};
    vcpu.entered = false;
    vcpu.pdptes_valid = false;
  }
  (void)memory_.take_foreign();
}

void Processors::start(unsigned vcpu, const Operation& operation) {
  Vcpu& v = vcpus_[vcpu];
  v.operation = operation;
  v.outcome = {};
  v.entered = false;
  v.faults = 0;
}

void Processors::after_run() {
  if (std::exchange(mm0_[cpu_], std::nullopt)) empty_mm0();
}

void Processors::be_cpu(unsigned cpu) {
  if (cpu == cpu_) return;
  if (mm0_[cpu_]) empty_mm0();
  cpu_ = cpu;
  if (mm0_[cpu_]) load_mm0(*mm0_[cpu_]);
}

/// Other evictions on each CPU, and none if there are none.
std::uint64_t Processors::seed_on(unsigned cpu, const Vcpu& vcpu) {
  constexpr std::uint64_t seeds_of_a_cpu = 32;  // two of each vCPU
  return vcpu.seed == 0 ? 0 : vcpu.seed + seeds_of_a_cpu * cpu;
}

Processors::Kept& Processors::kept(Vcpu& vcpu) {
  std::unique_ptr<Kept>& here = vcpu.kept[cpu_];
  if (!here) here = std::make_unique<Kept>(memory_, seed_on(cpu_, vcpu));
  return *here;
}

void Processors::honour_flush(Vcpu& vcpu, void* vm, const hosted_entry& entry) {
  const bool ept = entry.format == HOSTED_FORMAT_EPT;
  const std::uint64_t context = ept ? context_of_root(entry.root) : context_of_asid(entry.asid);
  Kept& here = kept(vcpu);
  spec::Tlb& tlb = here.processor.tlb();
  if (vm != vms_[cpu_] || entry.flush == HOSTED_FLUSH_ALL) {
    vms_[cpu_] = vm;
    ++counts_.flushes;
    each_here([](Kept& each) { each.processor.tlb().flush(); });
  } else if (entry.flush == HOSTED_FLUSH_ASID) {
    ++counts_.flushes;
    // Without VPIDs a transition drops what they would tag, of every EPT pointer.
    if (ept) {
      tlb.flush();
    } else {
      tlb.flush_context(context);
    }
  }
  tlb.enter(context);
  here.asid = entry.asid;
}

/// What hardware's registers hold, as the vendor module loaded them.
spec::ProcessorState Processors::state_of(Vcpu& vcpu, const hosted_entry& entry) const {
  spec::ProcessorState state;
  state.others_run = others_run_;
  state.root = gpa_to_gfn(entry.root);
  state.paging.control = control_of(entry);
  state.paging.maxphyaddr = model_.host_maxphyaddr;
  state.paging.amd = model_.amd;
  state.paging.pkru = entry.pkru;
  if ((entry.cr4 & cr4::pcide) != 0) state.pcid = static_cast<unsigned>(entry.cr3 & 0xfff);
  if (entry.format == HOSTED_FORMAT_SHADOW) {
    state.paging.mode = shadow_mode(entry.root_level);
    state.cr3_is_engines = true;
    return state;
  }
  state.paging.mode = guest_mode(entry);
  state.cr3 = entry.cr3;
  state.root_mode = shadow_mode(entry.root_level);
  state.host_maxphyaddr = model_.host_maxphyaddr;
  if (entry.format == HOSTED_FORMAT_EPT) {
    state.nested = spec::NestedFormat::ept;
    state.ept_accessed_dirty = entry.ept_accessed_dirty != 0;
    if (entry.log != 0) state.log = &vcpu.log;
    for (unsigned i = 0; i < 4; ++i) state.pdptes[i] = entry.pdpte[i];
  } else {
    state.pdptes = vcpu.pdptes;
    state.guest_walk_writes = true;
  }
  return state;
}

void Processors::load_registers(const Operation& operation, hosted_entry& entry) const {
  entry.rip = operation.rip;
  entry.cpl = static_cast<unsigned>(operation.cpl);
  entry.rflags = flags_fixed | (operation.ac ? flags_ac : 0);
  entry.gpr[rdi] = operation.address;
  entry.gpr[rax] = operation.value;
  if (operation.kind == Operation::Kind::invpcid) {
    entry.gpr[rdi] = operation.descriptor;
    entry.gpr[rax] = operation.number;
  } else if (operation.kind == Operation::Kind::wrmsr) {
    entry.gpr[rcx] = operation.number;
    entry.gpr[rax] = operation.value & 0xffff'ffff;
    entry.gpr[rdx] = operation.value >> 32;
  }
}

/// The event that comes with the entry ends the operation.
void Processors::deliver(Vcpu& vcpu, const hosted_entry& entry) {
  ++counts_.injected;
  if (entry.event_vector == page_fault_vector) {
    vcpu.outcome = {
        .kind = Outcome::Kind::page_fault, .code = entry.event_code, .address = entry.cr2};
    processor(vcpu).tlb().drop(entry.cr2);
    return;
  }
  vcpu.outcome = {.kind = Outcome::Kind::exception,
                  .vector = entry.event_vector,
                  .code = entry.event_has_code != 0 ? entry.event_code : 0};
}

bool Processors::count_fault(Vcpu& vcpu) {
  if (++vcpu.faults < livelock_bound) return true;
  vcpu.outcome = {.kind = Outcome::Kind::livelock};
  return false;
}

void Processors::run(void* vm, hosted_entry& entry, hosted_exit& exit) {
  ++counts_.entries;
  after_run();
  leave_guest(exit);
  Vcpu& vcpu = vcpus_[entry.vcpu];
  honour_flush(vcpu, vm, entry);
  if (vcpu.outcome.kind != Outcome::Kind::running) return;
  if (entry.event_valid != 0) {
    deliver(vcpu, entry);
    return;
  }
  if (vcpu.entered && entry.rip != vcpu.operation.rip) {
    ++counts_.emulated;
    vcpu.outcome = {.kind = Outcome::Kind::done, .value = entry.gpr[rax]};
    return;
  }
  if (!vcpu.entered) {
    load_registers(vcpu.operation, entry);
    vcpu.entered = true;
  }
  vcpu.log = {.page = gpa_to_gfn(entry.log_page),
              .index = static_cast<std::uint16_t>(entry.log_index)};
  perform(vcpu, entry, exit);
  counts_.logged += static_cast<std::uint16_t>(entry.log_index - vcpu.log.index);
  entry.log_index = vcpu.log.index;
  vcpu.cr4 = entry.cr4;
  vcpu.last = entry;
  vcpu.last_cpu = cpu_;
  vcpu.has_run = true;
  const bool faulted =
      exit.reason == HOSTED_EXIT_PAGE_FAULT || exit.reason == HOSTED_EXIT_NESTED_FAULT;
  if (faulted && vcpu.operation.mmx) {
    mm0_[cpu_] = vcpu.operation.value;
    load_mm0(vcpu.operation.value);
  }
}

std::optional<spec::Stale> Processors::overdue(unsigned index, Hfn root) {
  if (index >= vcpus_.size() || !vcpus_[index].has_run) return std::nullopt;
  Vcpu& vcpu = vcpus_[index];
  if (gpa_to_gfn(vcpu.last.root) != root) return std::nullopt;
  // VPID 0: every entry flushes.
  if (vcpu.last.flush == HOSTED_FLUSH_ASID && vcpu.last.asid == 0) return std::nullopt;
  return vcpu.kept[vcpu.last_cpu]->processor.overdue(state_of(vcpu, vcpu.last));
}

void Processors::exit_nested(const Vcpu& vcpu, const spec::NestedFault& fault, hosted_exit& exit) {
  if (fault.log_full) {
    ++counts_.full_logs;
    exit.reason = HOSTED_EXIT_LOG_FULL;
    return;
  }
  ++counts_.nested_faults;
  exit.reason = HOSTED_EXIT_NESTED_FAULT;
  exit.address = fault.gpa;
  exit.linear = vcpu.operation.address;
  exit.code = (fault.present ? HOSTED_NESTED_PRESENT : 0) |
              (fault.kind == AccessKind::write ? HOSTED_NESTED_WRITE : 0) |
              (fault.kind == AccessKind::fetch ? HOSTED_NESTED_FETCH : 0) |
              (fault.reserved ? HOSTED_NESTED_RESERVED : 0) |
              (fault.table_walk ? HOSTED_NESTED_TABLE : 0) |
              (fault.register_load ? HOSTED_NESTED_REGISTER : 0);
  const unsigned rights = (fault.rights.user ? 1u : 0) | (fault.rights.writable ? 2u : 0) |
                          (fault.rights.executable ? 4u : 0);
  exit.code |= rights << HOSTED_NESTED_ACCESS_RIGHTS_SHIFT;
  give_instruction(vcpu.operation, exit);
}

void Processors::use(Vcpu& vcpu, Hfn frame) {
  const Operation& operation = vcpu.operation;
  const auto offset = static_cast<unsigned>(operation.address & ~page_mask);
  vcpu.outcome = {.kind = Outcome::Kind::done};
  switch (operation.kind) {
    case Operation::Kind::write:
      memory_.store(frame, offset, operation.size, operation.value);
      break;
    case Operation::Kind::fetch: {
      constexpr std::uint64_t mov_eax = 0xb8;
      const std::uint64_t bytes = memory_.load(frame, offset, 8);
      vcpu.outcome.value = (bytes >> 8) & 0xffff'ffff;
      if ((bytes & 0xff) != mov_eax) {
        vcpu.outcome = {.kind = Outcome::Kind::strange, .value = bytes};
      }
      break;
    }
    default:
      vcpu.outcome.value = memory_.load(frame, offset, operation.size);
      break;
  }
}

void Processors::access(Vcpu& vcpu, hosted_entry& entry, hosted_exit& exit) {
  const Operation& operation = vcpu.operation;
  if (!spec::canonical(model_.mode, operation.address)) {
    vcpu.outcome = {.kind = Outcome::Kind::exception, .vector = 13};
    return;
  }
  const bool shadow = entry.format == HOSTED_FORMAT_SHADOW;
  if (!shadow && guest_mode(entry) == PagingMode::pae && entry.format == HOSTED_FORMAT_NPT &&
      !pdptes_current(vcpu, entry) && !load_pdptes(vcpu, entry, entry.cr3, PdpteUse::walk, exit)) {
    return;
  }
  const spec::ProcessorState state = state_of(vcpu, entry);
  const spec::AccessRights rights{operation.kind == Operation::Kind::write   ? AccessKind::write
                                  : operation.kind == Operation::Kind::fetch ? AccessKind::fetch
                                                                             : AccessKind::read,
                                  operation.cpl, operation.ac};
  const spec::Outcome walked =
      shadow ? processor(vcpu).access_shadow(state, rights, operation.address)
             : processor(vcpu).access_nested(state, rights, operation.address);
  if (const auto* allowed = std::get_if<spec::Allowed>(&walked)) {
    counts_.tlb_hits += allowed->from_tlb ? 1 : 0;
    use(vcpu, allowed->frame);
  } else if (const auto* broken = std::get_if<spec::Broken>(&walked)) {
    vcpu.outcome = {.kind = Outcome::Kind::broken, .address = broken->frame};
  } else if (const auto* stale = std::get_if<spec::Stale>(&walked)) {
    vcpu.outcome = {.kind = Outcome::Kind::stale, .address = stale->gpa, .value = stale->frame};
  } else if (const auto* nested = std::get_if<spec::NestedFault>(&walked)) {
    if (count_fault(vcpu)) exit_nested(vcpu, *nested, exit);
  } else {
    const std::uint32_t code = std::get<spec::Fault>(walked).code;
    ++counts_.page_faults;
    if (entry.intercept_page_fault == 0) {
      entry.cr2 = operation.address;
      processor(vcpu).tlb().drop(operation.address);
      vcpu.outcome = {
          .kind = Outcome::Kind::page_fault, .code = code, .address = operation.address};
    } else if (count_fault(vcpu)) {
      exit.reason = HOSTED_EXIT_PAGE_FAULT;
      exit.code = code;
      exit.address = operation.address;
      give_instruction(operation, exit);
    }
  }
  if (const auto foreign = memory_.take_foreign()) {
    leave_guest(exit);
    vcpu.outcome = {.kind = Outcome::Kind::foreign, .address = *foreign};
  }
}

}  // namespace lockstep::hw::hosted
