// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/impl_engine.h"

#include <fmt/format.h>

#include <array>
#include <bit>
#include <span>
#include <utility>
#include <vector>

#include "impl/vcpu.h"
#include "impl/vm.h"
#include "spec/cpu/processor.h"
#include "spec/x86/walk.h"

namespace lockstep::props {

namespace {

enum class Path : std::uint8_t {
  commands,
  access,
  access_read,
  access_write,
  access_fetch,
  access_cpl0,
  access_cpl3,
  access_pf_fixed,
  access_pf,
  mmio_read,
  mmio_write,
  vcpu1,
  entry_write,
  slot_ok,
  slot_errno,
  dirty_get,
  dirty_clear,
  translate,
  cr3,
  invlpg,
  invpcid,
  control,
  shadow_page_zapped,
  tracked_write,
  tlb_hit,
  count
};

constexpr std::array<std::string_view, static_cast<std::size_t>(Path::count)> path_names = {
    "commands",
    "access",
    "access read",
    "access write",
    "access fetch",
    "access cpl0",
    "access cpl3",
    "access pf_fixed",
    "access #PF",
    "mmio read",
    "mmio write",
    "vcpu1",
    "entry write",
    "slot ok",
    "slot errno",
    "dirty get",
    "dirty clear",
    "translate",
    "cr3",
    "invlpg",
    "invpcid",
    "control",
    "shadow page zapped",
    "write to tracked table",
    "tlb hit"};

/// Table frames start above every frame of program memory.
constexpr Hfn first_table_frame = 1ull << 28;

/// Host memory of one program after another: each page names itself, and only
/// pages that a program stored to are written again.
class ProgramMemory {
 public:
  void reset(std::uint64_t bytes) {
    for (std::size_t word = 0; word < touched_.size(); ++word) {
      for (std::uint64_t bits = std::exchange(touched_[word], 0); bits != 0; bits &= bits - 1) {
        fill(word * 64 + static_cast<unsigned>(std::countr_zero(bits)));
      }
    }
    const std::size_t pages = (bytes + page_size - 1) / page_size;
    Hfn page = cells_.size() / cells_per_page;
    if (pages <= page) return;
    touched_.resize((pages + 63) / 64);
    cells_.resize(pages * cells_per_page);
    for (; page < pages; ++page) fill(page);
  }
  impl::HostMemory view(std::uint64_t bytes) {
    return {std::as_writable_bytes(std::span(cells_)).first(bytes & page_mask), touched_};
  }

 private:
  static constexpr std::size_t cells_per_page = page_size / 8;
  void fill(Hfn page) {
    const std::span<std::uint64_t> all(cells_);
    for (auto& cell : all.subspan(page * cells_per_page, cells_per_page)) {
      cell = code_cell(static_cast<std::uint32_t>(page));
    }
  }

  std::vector<std::uint64_t> cells_;
  std::vector<std::uint64_t> touched_;
};

/// The frames that tables name: shadow tables in the arena, guest pages in
/// program memory.
class Frames final : public spec::PhysicalMemory {
 public:
  Frames(impl::TableArena& arena, impl::HostMemory memory) : arena_(&arena), memory_(memory) {}

  std::uint64_t* table(Hfn frame) override {
    impl::ShadowPage* page = arena_->find(frame);
    return page == nullptr ? nullptr : page->table();
  }
  std::uint64_t load(Hfn frame, unsigned offset, unsigned size) override {
    return memory_.load(frame * page_size + offset, size);
  }
  void store(Hfn frame, unsigned offset, unsigned size, std::uint64_t value) override {
    memory_.store(frame * page_size + offset, size, value);
  }

 private:
  impl::TableArena* arena_;
  impl::HostMemory memory_;
};

bool long_mode(PagingMode mode) { return mode == PagingMode::level4 || mode == PagingMode::level5; }

/// One vCPU: the MMU's half, and the processor that runs it.
struct VirtualCpu {
  VirtualCpu(impl::Vm& vm, const impl::PagingRegisters& paging, std::uint64_t cr3,
             spec::PhysicalMemory& frames)
      : mmu(vm, paging, cr3), processor(frames, /*seed=*/0) {}
  impl::Vcpu mmu;
  spec::Processor processor;
  std::uint64_t flushed = 0;
  Hfn root = 0;
};

/// The state of one program. Members are destroyed in reverse: vCPUs, then VM.
struct Machine {
  Machine(const Configuration& configuration, impl::TableArena& arena, impl::HostMemory memory,
          const impl::VmSettings& settings)
      : config(configuration), vm(memory, arena, settings), frames(arena, memory) {}
  Configuration config;
  UserSlots user_slots;
  impl::Vm vm;
  Frames frames;
  std::vector<std::unique_ptr<VirtualCpu>> vcpus;
};

class ImplEngine final : public Engine {
 public:
  ImplEngine();
  std::string_view name() const override { return "impl"; }
  const Platform& platform() const override { return platform_; }
  Result<void> begin(const Configuration& configuration, bool fresh) override;
  Result<Observation> execute(const Command& command) override;
  Result<Observation> end() override;
  const std::map<std::string, std::uint64_t>& reached() const override;

 private:
  void hit(Path path) { ++counts_[static_cast<std::size_t>(path)]; }
  impl::Vm& vm() { return machine_->vm; }
  Result<VirtualCpu*> vcpu(unsigned index);

  Result<Observation> run(const SlotAdd& command) { return set_slot(command); }
  Result<Observation> run(const SlotDelete& command) { return set_slot(command); }
  Result<Observation> run(const SlotMove& command) { return set_slot(command); }
  Result<Observation> run(const SlotFlags& command) { return set_slot(command); }
  Result<Observation> run(const Poke& command);
  Result<Observation> run(const Peek& command);
  Result<Observation> run(const EntrySet& command);
  Result<Observation> run(const Map&);
  Result<Observation> run(const AliasTable&);
  Result<Observation> run(const Access& command);
  Result<Observation> run(const LoadCr3& command);
  Result<Observation> run(const Invlpg& command);
  Result<Observation> run(const Invpcid& command);
  Result<Observation> run(const SetControl& command);
  Result<Observation> run(const SetPkru& command);
  Result<Observation> run(const Translate& command);
  Result<Observation> run(const DirtyGet& command);
  Result<Observation> run(const DirtyClear& command);

  Observation set_slot(const Command& command);
  Observation user_store(Gpa gpa, unsigned size, std::uint64_t value);
  void synchronize(VirtualCpu& cpu);
  spec::ProcessorState processor_state(const VirtualCpu& cpu) const;
  Observation use(const Access& command, Hfn frame);
  Observation fetched(std::uint64_t bytes) const;
  Observation emulate(VirtualCpu& cpu, const Access& command);
  Observation page_fault(VirtualCpu& cpu, const Access& command, std::uint32_t code);
  std::optional<Observation> handle(VirtualCpu& cpu, const Access& command,
                                    const spec::Outcome& outcome);
  void tally();

  Platform platform_;
  impl::TableArena arena_{first_table_frame};
  ProgramMemory memory_;
  std::optional<Machine> machine_;
  std::array<std::uint64_t, static_cast<std::size_t>(Path::count)> counts_{};
  mutable std::map<std::string, std::uint64_t> reached_;
};

ImplEngine::ImplEngine() {
  platform_.features.set();
  platform_.features.reset(static_cast<std::size_t>(Feature::smm));
  platform_.max_vcpus = 64;
  platform_.provenance = {{"engine", "impl"}};
}

Result<void> ImplEngine::begin(const Configuration& configuration, bool /*fresh*/) {
  machine_.reset();
  platform_.tdp = configuration.mmu == MmuKind::tdp;
  memory_.reset(configuration.memory);
  impl::VmSettings settings;
  settings.tdp = platform_.tdp;
  settings.dirty_log = configuration.dirty_log;
  settings.slot_limits.max_gfn = (1ull << 40) - 1;
  machine_.emplace(configuration, arena_, memory_.view(configuration.memory), settings);
  machine_->vcpus.resize(configuration.vcpus);
  return {};
}

Result<Observation> ImplEngine::end() {
  if (!machine_) return Done{};
  for (auto& cpu : machine_->vcpus) {
    if (cpu) cpu->mmu.unload();
  }
  tally();
  impl::ShadowMmu& mmu = vm().mmu();
  mmu.zap_all();
  std::string leaks;
  const auto expect_zero = [&](std::string_view what, std::uint64_t left) {
    if (left != 0) leaks += fmt::format("{}{} {}", leaks.empty() ? "" : ", ", left, what);
  };
  expect_zero("page charges", mmu.counter().used());
  expect_zero("mapped host pages", mmu.mapped_pages());
  expect_zero("shadow pages", arena_.in_use());
  expect_zero("lists of shadow pages", mmu.empty() ? 0 : 1);
  for (const auto& slot : vm().slots().all()) {
    for (Gfn gfn = slot->base; !leaks.empty() && gfn < slot->base + slot->pages; ++gfn) {
      if (slot->is_tracked(gfn)) leaks += fmt::format(", gfn {:#x} tracked", gfn);
    }
  }
  machine_.reset();
  if (!leaks.empty()) return Unexpected{"left at the end: " + leaks};
  return Done{};
}

void ImplEngine::tally() {
  counts_[static_cast<std::size_t>(Path::shadow_page_zapped)] += vm().mmu().events().pages_zapped;
  counts_[static_cast<std::size_t>(Path::tracked_write)] += vm().tracked_stores();
}

const std::map<std::string, std::uint64_t>& ImplEngine::reached() const {
  for (std::size_t i = 0; i < counts_.size(); ++i) {
    if (counts_[i] != 0) reached_[std::string(path_names[i])] = counts_[i];
  }
  return reached_;
}

Result<Observation> ImplEngine::execute(const Command& command) {
  if (!machine_) return tl::unexpected(EngineError{"execute() without begin()"});
  hit(Path::commands);
  return std::visit([this](const auto& alternative) { return run(alternative); }, command);
}

Result<VirtualCpu*> ImplEngine::vcpu(unsigned index) {
  if (index >= machine_->vcpus.size()) {
    return tl::unexpected(EngineError{fmt::format("vcpu {} does not exist", index)});
  }
  if (index == 1) hit(Path::vcpu1);
  auto& cpu = machine_->vcpus[index];
  if (cpu) return cpu.get();
  const Configuration& config = machine_->config;
  cpu = std::make_unique<VirtualCpu>(
      vm(),
      impl::PagingRegisters{
          .mode = config.paging, .control = config.control, .maxphyaddr = config.maxphyaddr},
      config.roots.empty() ? 0 : config.roots.front(), machine_->frames);
  return cpu.get();
}

// User space.

Observation ImplEngine::set_slot(const Command& command) {
  const auto region = machine_->user_slots.region(command);
  if (!region) return Errno{EINVAL};
  const auto set = vm().set_memory_region({.id = region->id,
                                           .gpa = region->gpa,
                                           .size = region->size,
                                           .hva = region->hva,
                                           .log = region->log,
                                           .read_only = region->read_only});
  hit(set ? Path::slot_ok : Path::slot_errno);
  if (!set) return Errno{number(set.error())};
  machine_->user_slots.accept(*region);
  return Done{};
}

Observation ImplEngine::user_store(Gpa gpa, unsigned size, std::uint64_t value) {
  const auto hva = machine_->user_slots.hva(gpa);
  if (!hva || !vm().memory().contains(*hva, size)) return Errno{EFAULT};
  vm().memory().store(*hva, size, value);
  return Done{};
}

Result<Observation> ImplEngine::run(const Poke& command) {
  return user_store(command.gpa, command.size, command.value);
}

Result<Observation> ImplEngine::run(const Peek& command) {
  const auto hva = machine_->user_slots.hva(command.gpa);
  if (!hva || !vm().memory().contains(*hva, command.size)) return Errno{EFAULT};
  return Value{vm().memory().load(*hva, command.size)};
}

Result<Observation> ImplEngine::run(const EntrySet& command) {
  const unsigned size = entry_size(machine_->config.paging);
  const Gpa gpa = command.table + std::uint64_t{command.index} * size;
  if (!command.vcpu) return user_store(gpa, size, command.value);
  const auto cpu = vcpu(*command.vcpu);
  if (!cpu) return tl::unexpected(cpu.error());
  hit(Path::entry_write);
  if (vm().guest_store(gpa, size, command.value) == impl::Vm::Store::done) return Done{};
  hit(Path::mmio_write);
  const std::uint64_t mask = size == 8 ? ~0ull : (1ull << (size * 8)) - 1;
  return Mmio{.write = true, .gpa = gpa, .size = size, .value = command.value & mask};
}

Result<Observation> ImplEngine::run(const Map&) {
  return tl::unexpected(EngineError{"map must be lowered first"});
}
Result<Observation> ImplEngine::run(const AliasTable&) {
  return tl::unexpected(EngineError{"alias-table must be lowered first"});
}

Result<Observation> ImplEngine::run(const DirtyGet& command) {
  hit(Path::dirty_get);
  auto log = vm().get_dirty_log(command.id);
  if (!log) return Errno{number(log.error())};
  return DirtyBitmap{.pages = log->pages, .words = std::move(log->words)};
}

Result<Observation> ImplEngine::run(const DirtyClear& command) {
  hit(Path::dirty_clear);
  const auto cleared = vm().clear_dirty_log(command.id, command.first, command.count);
  if (!cleared) return Errno{number(cleared.error())};
  return Done{};
}

// Registers.

Result<Observation> ImplEngine::run(const LoadCr3& command) {
  const auto found = vcpu(command.vcpu);
  if (!found) return tl::unexpected(found.error());
  VirtualCpu& cpu = **found;
  hit(Path::cr3);
  const std::uint64_t noflush = command.noflush ? 1ull << 63 : 0;
  if (!cpu.mmu.set_cr3(command.root | command.pcid | noflush)) return Exception{13};
  const bool pcide = cpu.mmu.state().paging.control.has(ControlBit::cr4_pcide);
  if (command.noflush && pcide) return Done{};
  if (pcide) {
    cpu.processor.tlb().flush_pcid(command.pcid);
  } else {
    cpu.processor.tlb().flush_nonglobal();
  }
  return Done{};
}

Result<Observation> ImplEngine::run(const Invlpg& command) {
  const auto found = vcpu(command.vcpu);
  if (!found) return tl::unexpected(found.error());
  VirtualCpu& cpu = **found;
  hit(Path::invlpg);
  cpu.processor.tlb().invalidate_page(command.gva, processor_state(cpu).pcid, /*globals=*/true);
  return Done{};
}

Result<Observation> ImplEngine::run(const Invpcid& command) {
  const auto found = vcpu(command.vcpu);
  if (!found) return tl::unexpected(found.error());
  VirtualCpu& cpu = **found;
  hit(Path::invpcid);
  const impl::PagingRegisters& paging = cpu.mmu.state().paging;
  const bool names_pcid =
      command.type == InvpcidType::address || command.type == InvpcidType::single;
  if (command.pcid > 0xfff) return Exception{13};
  if (names_pcid && command.pcid != 0 && !paging.control.has(ControlBit::cr4_pcide)) {
    return Exception{13};
  }
  // The software processor tags shadow translations with PCID 0: drop them all.
  spec::Tlb& tlb = cpu.processor.tlb();
  if (!platform_.tdp) {
    if (command.type == InvpcidType::address && !spec::canonical(paging.mode, command.gva)) {
      return Exception{13};
    }
    tlb.flush();
    return Done{};
  }
  switch (command.type) {
    case InvpcidType::address:
      if (!spec::canonical(paging.mode, command.gva)) return Exception{13};
      tlb.invalidate_page(command.gva, command.pcid, /*globals=*/false);
      break;
    case InvpcidType::single:
      tlb.flush_pcid(command.pcid);
      break;
    case InvpcidType::all_and_global:
      tlb.flush();
      break;
    case InvpcidType::all:
      tlb.flush_nonglobal();
      break;
  }
  return Done{};
}

Result<Observation> ImplEngine::run(const SetControl& command) {
  const auto found = vcpu(command.vcpu);
  if (!found) return tl::unexpected(found.error());
  VirtualCpu& cpu = **found;
  hit(Path::control);
  const impl::PagingRegisters before = cpu.mmu.state().paging;
  if (!cpu.mmu.set_control(command.bit, command.on)) return Exception{13};
  if (before == cpu.mmu.state().paging) return Done{};
  // SDM "Operations that Invalidate TLBs"; EFER.NXE is read when tables are walked.
  switch (command.bit) {
    case ControlBit::cr4_pge:
    case ControlBit::cr4_pcide:
    case ControlBit::efer_nx:
      cpu.processor.tlb().flush();
      break;
    case ControlBit::cr4_smep:
      cpu.processor.tlb().flush_nonglobal();
      break;
    default:
      break;
  }
  return Done{};
}

Result<Observation> ImplEngine::run(const SetPkru& command) {
  const auto found = vcpu(command.vcpu);
  if (!found) return tl::unexpected(found.error());
  VirtualCpu& cpu = **found;
  constexpr unsigned invalid_opcode = 6;
  if (!cpu.mmu.state().paging.control.has(ControlBit::cr4_pke)) return Exception{invalid_opcode};
  cpu.mmu.set_pkru(command.value);
  return Done{};
}

Result<Observation> ImplEngine::run(const Translate& command) {
  const auto found = vcpu(command.vcpu);
  if (!found) return tl::unexpected(found.error());
  hit(Path::translate);
  return Translation{(*found)->mmu.translate(command.gva)};
}

// Accesses.

/// What hardware's registers hold: under shadow paging KVM runs the guest with
/// CR0.WP and EFER.NXE set, and without paging also with SMEP and SMAP clear.
spec::ProcessorState ImplEngine::processor_state(const VirtualCpu& cpu) const {
  const impl::VcpuState& guest = cpu.mmu.state();
  const ControlBits& control = guest.paging.control;
  spec::ProcessorState state;
  state.root = cpu.mmu.root_frame();
  state.root_mode = cpu.mmu.root_level() == 5 ? PagingMode::level5 : PagingMode::level4;
  if (platform_.tdp) {
    state.paging.mode = guest.paging.mode;
    state.paging.control = control;
    state.paging.maxphyaddr = guest.paging.maxphyaddr;
    state.paging.pkru = guest.pkru;
    state.cr3 = guest.cr3;
    state.pdptes = guest.pdptes;
    state.pcid = control.has(ControlBit::cr4_pcide) ? static_cast<unsigned>(guest.cr3 & 0xfff) : 0;
    return state;
  }
  const bool paging = guest.paging.mode != PagingMode::none;
  state.paging.mode = state.root_mode;
  state.paging.maxphyaddr = 52;
  state.paging.control.set(ControlBit::cr0_wp, true);
  state.paging.control.set(ControlBit::efer_nx, true);
  state.paging.control.set(ControlBit::cr4_smep, paging && control.has(ControlBit::cr4_smep));
  state.paging.control.set(ControlBit::cr4_smap, paging && control.has(ControlBit::cr4_smap));
  return state;
}

/// Let the TLB forget what the MMU asked it to. Under two-dimensional paging
/// the guest's own register writes ask for nothing here.
void ImplEngine::synchronize(VirtualCpu& cpu) {
  const std::uint64_t wanted =
      platform_.tdp ? vm().mmu().flush_generation() : cpu.mmu.flush_generation();
  const Hfn root = cpu.mmu.root_frame().value_or(0);
  if (wanted == cpu.flushed && root == cpu.root) return;
  cpu.flushed = wanted;
  cpu.root = root;
  cpu.processor.tlb().flush();
}

Observation ImplEngine::fetched(std::uint64_t bytes) const {
  constexpr std::uint64_t mov_eax = 0xb8;
  if ((bytes & 0xff) != mov_eax) {
    return Unexpected{fmt::format("fetched {:#018x}, which is no code cell", bytes)};
  }
  return Value{(bytes >> 8) & 0xffff'ffff};
}

Observation ImplEngine::use(const Access& command, Hfn frame) {
  const Hva hva = frame * page_size + (command.gva & ~page_mask);
  impl::HostMemory& memory = vm().memory();
  switch (command.kind) {
    case AccessKind::write:
      memory.store(hva, command.size, command.value);
      return Done{};
    case AccessKind::read:
      return Value{memory.load(hva, command.size)};
    case AccessKind::fetch:
      break;
  }
  return fetched(memory.load(hva, 8));
}

Observation ImplEngine::page_fault(VirtualCpu& cpu, const Access& command, std::uint32_t code) {
  hit(Path::access_pf);
  cpu.processor.tlb().drop(command.gva);
  return PageFault{code, command.gva};
}

Observation ImplEngine::emulate(VirtualCpu& cpu, const Access& command) {
  const impl::GuestAccess access{command.kind, command.cpl, command.ac};
  const unsigned size = command.kind == AccessKind::fetch ? 8 : command.size;
  const impl::Emulated result = cpu.mmu.emulate(command.gva, access, size, command.value);
  if (const auto* fault = std::get_if<impl::InjectPageFault>(&result)) {
    return page_fault(cpu, command, fault->code);
  }
  if (const auto* loaded = std::get_if<impl::Loaded>(&result)) {
    if (command.kind == AccessKind::fetch) return fetched(loaded->value);
    return Value{loaded->value};
  }
  if (std::holds_alternative<impl::Stored>(result)) return Done{};
  constexpr unsigned emulation_failure = 1;
  // handle_emulation_failure(): #UD for user code, KVM_EXIT_INTERNAL_ERROR else.
  if (command.kind == AccessKind::fetch) {
    if (command.cpl == Cpl::user) return Exception{6, 0};
    return InternalError{emulation_failure};
  }
  const bool write = command.kind == AccessKind::write;
  hit(write ? Path::mmio_write : Path::mmio_read);
  const std::uint64_t mask = size == 8 ? ~0ull : (1ull << (size * 8)) - 1;
  return Mmio{.write = write,
              .gpa = std::get<impl::MmioExit>(result).gpa,
              .size = size,
              .value = write ? command.value & mask : 0};
}

/// What the access shows; none if it must be tried again.
std::optional<Observation> ImplEngine::handle(VirtualCpu& cpu, const Access& command,
                                              const spec::Outcome& outcome) {
  if (const auto* allowed = std::get_if<spec::Allowed>(&outcome)) {
    if (allowed->from_tlb) hit(Path::tlb_hit);
    return use(command, allowed->frame);
  }
  if (const auto* broken = std::get_if<spec::Broken>(&outcome)) {
    return Unexpected{fmt::format("an entry refers to frame {:#x}, no table", broken->frame)};
  }
  impl::FaultOutcome handled;
  if (const auto* nested = std::get_if<spec::NestedFault>(&outcome)) {
    handled = cpu.mmu.tdp_fault(nested->gpa, nested->kind);
  } else if (platform_.tdp) {
    return page_fault(cpu, command, std::get<spec::Fault>(outcome).code);
  } else {
    handled = cpu.mmu.page_fault(command.gva, {command.kind, command.cpl, command.ac});
  }
  if (const auto* inject = std::get_if<impl::InjectPageFault>(&handled)) {
    return page_fault(cpu, command, inject->code);
  }
  if (std::holds_alternative<impl::NeedsEmulation>(handled)) return emulate(cpu, command);
  if (const auto* error = std::get_if<impl::RunError>(&handled)) return Errno{number(error->error)};
  hit(Path::access_pf_fixed);
  return std::nullopt;
}

Result<Observation> ImplEngine::run(const Access& command) {
  const auto found = vcpu(command.vcpu);
  if (!found) return tl::unexpected(found.error());
  VirtualCpu& cpu = **found;
  hit(Path::access);
  hit(command.kind == AccessKind::read    ? Path::access_read
      : command.kind == AccessKind::write ? Path::access_write
                                          : Path::access_fetch);
  hit(command.cpl == Cpl::user ? Path::access_cpl3 : Path::access_cpl0);
  const PagingMode mode = cpu.mmu.state().paging.mode;
  if (long_mode(mode) && !spec::canonical(mode, command.gva)) return Exception{13};
  const spec::AccessRights access{command.kind, command.cpl, command.ac};
  for (unsigned faults = 0; faults < livelock_bound; ++faults) {
    if (const auto entered = cpu.mmu.prepare_entry(); !entered) {
      return Errno{number(entered.error())};
    }
    synchronize(cpu);
    const spec::ProcessorState state = processor_state(cpu);
    const spec::Outcome outcome = platform_.tdp
                                      ? cpu.processor.access_nested(state, access, command.gva)
                                      : cpu.processor.access_shadow(state, access, command.gva);
    if (auto shown = handle(cpu, command, outcome)) return *std::move(shown);
  }
  return Livelock{livelock_bound};
}

}  // namespace

std::unique_ptr<Engine> make_impl_engine() { return std::make_unique<ImplEngine>(); }

}  // namespace lockstep::props
