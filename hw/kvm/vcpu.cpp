// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/kvm/vcpu.h"

#include <fmt/format.h>

#include <cstring>

#include "hw/kvm/registers.h"
#include "hw/kvm/watchdog.h"

namespace lockstep::hw {
namespace {

constexpr unsigned breakpoint = 3;
constexpr unsigned undefined_opcode = 6;
constexpr unsigned page_fault = 14;
constexpr std::uint64_t flags_fixed = 1ull << 1;
constexpr std::uint64_t flags_ac = 1ull << 18;
/// Bytes of INT3 and of HLT.
constexpr std::uint64_t stop_size = 1;
/// Bytes of the MOV that starts a code cell.
constexpr std::uint64_t cell_stop = 5;
constexpr unsigned emulation_failure = 1;
constexpr std::uint8_t available_task_type = 9;

EngineError failed(const char* what, int error) {
  return {fmt::format("{}: {}", what, std::strerror(error))};
}

/// Name of an exit reason that no stub leads to.
std::string exit_name(unsigned reason) {
  switch (reason) {
    case KVM_EXIT_SHUTDOWN:
      return "KVM_EXIT_SHUTDOWN (triple fault)";
    case KVM_EXIT_FAIL_ENTRY:
      return "KVM_EXIT_FAIL_ENTRY";
    case KVM_EXIT_IO:
      return "KVM_EXIT_IO";
    case KVM_EXIT_UNKNOWN:
      return "KVM_EXIT_UNKNOWN";
    default:
      return fmt::format("KVM exit {}", reason);
  }
}

}  // namespace

Result<Vcpu> Vcpu::create(int kvm, int vm, unsigned index, PagingMode mode, GuestStyle style,
                          GuestCpuid cpuid, std::span<std::byte> slot) {
  const Call fd = kvm_call(vm, KVM_CREATE_VCPU, index);
  if (!fd) return tl::unexpected(failed("KVM_CREATE_VCPU", fd.error()));
  Vcpu vcpu;
  vcpu.fd_ = Fd(*fd);
  vcpu.index_ = index;
  vcpu.mode_ = mode;
  vcpu.layout_ = HarnessLayout::of(mode);
  vcpu.style_ = style;
  vcpu.slot_ = slot;
  const Call size = kvm_call(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
  if (!size) return tl::unexpected(failed("KVM_GET_VCPU_MMAP_SIZE", size.error()));
  vcpu.run_ = Mapping(static_cast<std::size_t>(*size), PROT_READ | PROT_WRITE, MAP_SHARED, *fd);
  if (!vcpu.run_) return tl::unexpected(failed("mmap of kvm_run", errno));
  if (const Call set = cpuid.apply(*fd); !set) {
    return tl::unexpected(failed("KVM_SET_CPUID2", set.error()));
  }
  auto stats = VcpuStats::open(*fd);
  if (!stats) return tl::unexpected(stats.error());
  vcpu.stats_ = std::move(*stats);
  // CR2 comes with every exit: cheaper than a KVM_GET_SREGS after each #PF.
  vcpu.state().kvm_valid_regs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS;
  return vcpu;
}

Result<void> Vcpu::open_ring(int vm) {
  auto ring = DirtyRing::map(fd_.get());
  if (!ring) return tl::unexpected(ring.error());
  ring_ = std::move(*ring);
  vm_ = vm;
  return {};
}

Result<void> Vcpu::start(const Configuration& configuration, Gpa root) {
  if (const Call got = kvm_call(fd_.get(), KVM_GET_SREGS, &sregs_); !got) {
    return tl::unexpected(failed("KVM_GET_SREGS", got.error()));
  }
  set_initial(sregs_, configuration, root, index_);
  if (style_.available_task) sregs_.tr.type = available_task_type;
  if (const Call set = kvm_call(fd_.get(), KVM_SET_SREGS, &sregs_); !set) {
    return tl::unexpected(failed("KVM_SET_SREGS of the initial state", set.error()));
  }
  kvm_vcpu_events none{};
  if (const Call set = kvm_call(fd_.get(), KVM_SET_VCPU_EVENTS, &none); !set) {
    return tl::unexpected(failed("KVM_SET_VCPU_EVENTS", set.error()));
  }
  started_ = true;
  return {};
}

Gva Vcpu::code(Cpl cpl) const {
  return cpl == Cpl::user ? layout_.user_code : layout_.supervisor + harness_page::supervisor_code;
}

Gva Vcpu::parameters(Cpl cpl) const {
  const Gva page =
      cpl == Cpl::user ? layout_.parameters : layout_.supervisor + harness_page::parameters;
  return page + std::uint64_t{parameter_size} * index_;
}

void Vcpu::set_parameters(std::uint64_t first, std::uint64_t second) {
  std::byte* const at = slot_.data() + harness_page::parameters + parameter_size * index_;
  std::memcpy(at, &first, sizeof first);
  std::memcpy(at + sizeof first, &second, sizeof second);
}

void Vcpu::descend_by_iret(kvm_regs& regs, Gva rip, std::uint64_t flags) {
  const std::uint64_t frame[] = {rip, selector::user_code, flags, 0, selector::user_data};
  const unsigned word = is_long_mode(mode_) ? 8 : 4;
  const std::uint64_t offset =
      harness_page::vcpu + index_ * page_size + stack_top - std::size(frame) * 8;
  for (unsigned i = 0; i < std::size(frame); ++i) {
    std::memcpy(slot_.data() + offset + i * word, &frame[i], word);
  }
  regs.rip = code(Cpl::supervisor) + stub_offset(mode_, Stub::iret);
  regs.rsp = layout_.supervisor + offset;
  regs.rflags = flags_fixed;
}

void Vcpu::enter(const StubCall& call) {
  kvm_run& run = state();
  kvm_regs regs{};
  regs.rax = call.value;
  regs.rcx = call.rcx;
  regs.rdx = call.rdx;
  regs.rdi = call.address;
  regs.rsi = parameters(call.cpl);
  regs.rsp = layout_.supervisor + harness_page::vcpu + index_ * page_size + stack_top;
  regs.rflags = flags_fixed | (call.ac ? flags_ac : 0);
  regs.rip = code(call.cpl) + stub_offset(mode_, call.stub);
  if (call.cpl == Cpl::user && style_.descent == Descent::iret) {
    descend_by_iret(regs, regs.rip, regs.rflags);
  } else if (call.cpl == Cpl::user) {
    run.s.regs.sregs = sregs_;
    set_privilege(run.s.regs.sregs, mode_, call.cpl);
    run.kvm_dirty_regs |= KVM_SYNC_X86_SREGS;
  }
  run.s.regs.regs = regs;
  run.kvm_dirty_regs |= KVM_SYNC_X86_REGS;
}

bool Vcpu::service_mmio(Stop& stop) {
  auto& mmio = state().mmio;
  std::uint64_t value = 0;
  if (mmio.len > sizeof value) return false;
  if (mmio.is_write != 0) {
    std::memcpy(&value, mmio.data, mmio.len);
  } else {
    const std::uint64_t answer = mmio_answer(mmio.phys_addr);
    std::memcpy(mmio.data, &answer, mmio.len);
  }
  if (!stop.mmio) {
    stop.mmio =
        Mmio{.write = mmio.is_write != 0, .gpa = mmio.phys_addr, .size = mmio.len, .value = value};
  }
  return true;
}

std::uint64_t Vcpu::stack_word(std::uint64_t at, unsigned index) const {
  const unsigned word = is_long_mode(mode_) ? 8 : 4;
  const std::uint64_t offset = at - layout_.supervisor + std::uint64_t{index} * word;
  std::uint64_t value = 0;
  if (offset <= slot_.size() - word) std::memcpy(&value, slot_.data() + offset, word);
  return value;
}

Observation Vcpu::after_halt(const StubCall& call, std::uint64_t stop_rip) {
  const kvm_regs& regs = state().s.regs.regs;
  if (call.cpl == Cpl::supervisor && regs.rip == stop_rip + stop_size) return Done{};
  const std::optional<unsigned> vector = vector_at(layout_, regs.rip);
  if (!vector) return Unexpected{fmt::format("HLT before {:#x}", regs.rip)};
  const bool coded = has_error_code(*vector);
  const auto code = coded ? static_cast<std::uint32_t>(stack_word(regs.rsp, 0)) : 0;
  const std::uint64_t rip = stack_word(regs.rsp, coded ? 1 : 0);
  if (*vector == breakpoint && (call.stub == Stub::fetch || rip == stop_rip + stop_size)) {
    return Done{};
  }
  if (*vector == undefined_opcode && style_.interpreted_ring0 && rip == stop_rip) return Done{};
  if (*vector != page_fault) return Exception{.vector = *vector, .code = code};
  return PageFault{.code = code, .address = state().s.regs.sregs.cr2};
}

Observation Vcpu::after_internal_error(const StubCall& call, std::uint64_t stop_rip) {
  const unsigned suberror = state().internal.suberror;
  const bool stopped = style_.interpreted_ring0 && call.cpl == Cpl::supervisor &&
                       suberror == emulation_failure && state().s.regs.regs.rip == stop_rip;
  recover();
  if (stopped) return Done{};
  return InternalError{suberror};
}

void Vcpu::recover() {
  // Errors show when the next stub does not run.
  kvm_vcpu_events none{};
  (void)kvm_call(fd_.get(), KVM_SET_SREGS, &sregs_);
  (void)kvm_call(fd_.get(), KVM_SET_VCPU_EVENTS, &none);
}

void Vcpu::recover_from_shutdown() {
  // The exit may have reset every register (SVM does an INIT), and KVM keeps the
  // dummy root of a CR3 without a slot until CR3 changes: load another first.
  kvm_sregs other = sregs_;
  other.cr3 ^= page_size;
  (void)kvm_call(fd_.get(), KVM_SET_SREGS, &other);
  recover();
}

Result<void> Vcpu::refresh_control() {
  kvm_sregs now{};
  if (const Call got = kvm_call(fd_.get(), KVM_GET_SREGS, &now); !got) {
    return tl::unexpected(failed("KVM_GET_SREGS", got.error()));
  }
  sregs_.cr0 = now.cr0;
  sregs_.cr3 = now.cr3;
  sregs_.cr4 = now.cr4;
  sregs_.efer = now.efer;
  return {};
}

Stop Vcpu::run(const StubCall& call) {
  const std::uint64_t stop_rip = call.stub == Stub::fetch
                                     ? call.address + cell_stop
                                     : code(call.cpl) + stop_offset(mode_, call.stub);
  const unsigned since = Watchdog::ticks();
  enter(call);
  kvm_run& run = state();
  Stop stop;
  for (unsigned exits = 0; exits < livelock_bound;) {
    const Call result = kvm_call(fd_.get(), KVM_RUN, 0);
    if (!result && result.error() != EINTR && result.error() != EAGAIN) {
      recover();
      stop.reason = Errno{result.error()};
      return stop;
    }
    if (!result) {
      if (Watchdog::ticks() - since > Watchdog::patience) break;
      continue;
    }
    ++exits;
    stop.rax = run.s.regs.regs.rax;
    switch (run.exit_reason) {
      case KVM_EXIT_MMIO:
        if (service_mmio(stop)) continue;
        break;
      case KVM_EXIT_DIRTY_RING_FULL:
        // The guest stands where it stood; what was logged stays harvested.
        if (!ring_) break;
        ring_->harvest();
        if (kvm_call(vm_, KVM_RESET_DIRTY_RINGS, 0)) continue;
        break;
      case KVM_EXIT_HLT:
        stop.reason = after_halt(call, stop_rip);
        return stop;
      case KVM_EXIT_INTERNAL_ERROR:
        stop.reason = after_internal_error(call, stop_rip);
        return stop;
      default:
        break;
    }
    stop.reason =
        Unexpected{fmt::format("{} at {:#x}", exit_name(run.exit_reason), run.s.regs.regs.rip)};
    recover_from_shutdown();
    return stop;
  }
  recover();
  stop.reason = Livelock{livelock_bound};
  return stop;
}

}  // namespace lockstep::hw
