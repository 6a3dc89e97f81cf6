// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/shrink_values.h"

#include <algorithm>

namespace lockstep::props {
namespace {

/// Values between 0 and the number, coarse first: what the number may become.
std::vector<std::uint64_t> smaller_pages(std::uint64_t size) {
  std::vector<std::uint64_t> sizes;
  for (std::uint64_t smaller = page_size; smaller < size; smaller *= 8) sizes.push_back(smaller);
  return sizes;
}

struct Simpler {
  const Configuration& configuration;
  std::vector<Command> result;

  template <typename Value>
  void with(Value value, auto change) {
    const auto before = value;
    change(value);
    if (!(value == before)) result.push_back(value);
  }
  template <typename Value>
  void on_first_vcpu(const Value& value) {
    with(value, [](Value& other) { other.vcpu = 0; });
  }

  void operator()(const SlotAdd& slot) {
    for (const auto size : smaller_pages(slot.size)) {
      with(slot, [&](SlotAdd& other) { other.size = size; });
    }
    with(slot, [](SlotAdd& other) { other.log = false; });
    with(slot, [](SlotAdd& other) { other.read_only = false; });
    if (slot.hva > slot.gpa) with(slot, [](SlotAdd& other) { other.hva = other.gpa; });
  }
  void operator()(const SlotDelete&) {}
  void operator()(const SlotMove&) {}
  void operator()(const SlotFlags& slot) {
    with(slot, [](SlotFlags& other) { other.log = false; });
    with(slot, [](SlotFlags& other) { other.read_only = false; });
  }
  void operator()(const Poke& poke) {
    with(poke, [](Poke& other) { other.host_poke = false; });
  }
  void operator()(const Peek&) {}
  void operator()(const EntrySet& set) {
    with(set, [](EntrySet& other) { other.value = 0; });
    // Dropping rights one by one shows which of them matter; the address and
    // the present bit go with the step itself.
    for (unsigned bit = 1; bit < 64; ++bit) {
      const auto mask = 1ull << bit;
      if ((set.value & mask) == 0) continue;
      const bool address = bit >= page_shift && bit < configuration.maxphyaddr;
      if (!address) with(set, [&](EntrySet& other) { other.value &= ~mask; });
    }
    if (set.vcpu && *set.vcpu != 0) with(set, [](EntrySet& other) { other.vcpu = 0; });
  }
  void operator()(const Map&) {}
  void operator()(const AliasTable&) {}
  void operator()(const Access& access) {
    on_first_vcpu(access);
    with(access, [](Access& other) { other.ac = false; });
    if (access.kind == AccessKind::fetch) {
      with(access, [](Access& other) { other.kind = AccessKind::read; });
    }
    if (access.kind == AccessKind::write && access.value > 1) {
      with(access, [](Access& other) { other.value = 1; });
    }
    if (access.cpl == Cpl::supervisor) {
      with(access, [](Access& other) { other.cpl = Cpl::user; });
    }
    with(access, [](Access& other) { other.gva &= page_mask; });
  }
  void operator()(const LoadCr3& load) {
    on_first_vcpu(load);
    with(load, [&](LoadCr3& other) { other.root = configuration.roots.front(); });
    with(load, [](LoadCr3& other) { other.noflush = false; });
    with(load, [](LoadCr3& other) { other.pcid = 0; });
  }
  void operator()(const Invlpg& invlpg) { on_first_vcpu(invlpg); }
  void operator()(const Invpcid& invpcid) {
    on_first_vcpu(invpcid);
    with(invpcid, [](Invpcid& other) { other.pcid = 0; });
  }
  void operator()(const SetControl& set) { on_first_vcpu(set); }
  void operator()(const SetPkru& set) {
    on_first_vcpu(set);
    for (unsigned bit = 0; bit < 32; ++bit) {
      with(set, [&](SetPkru& other) { other.value &= ~(1u << bit); });
    }
  }
  void operator()(const Translate& translate) { on_first_vcpu(translate); }
  void operator()(const DirtyGet&) {}
  void operator()(const DirtyClear&) {}
  void operator()(const RingCollect&) {}
  void operator()(const MmuPages&) {}
  void operator()(const HostChange& change) {
    for (const auto size : smaller_pages(change.size)) {
      with(change, [&](HostChange& other) { other.size = size; });
    }
  }
  void operator()(const Shrink&) {}
  void operator()(const NxRecover&) {}
};

void move_to_first_vcpu(Command& command) {
  std::visit(
      [](auto& value) {
        if constexpr (requires { value.vcpu = 0u; }) {
          using Field = std::remove_reference_t<decltype(value.vcpu)>;
          if constexpr (std::is_same_v<Field, unsigned>) {
            value.vcpu = 0;
          } else if (value.vcpu) {
            value.vcpu = 0u;
          }
        }
      },
      command);
}

}  // namespace

std::vector<Command> simpler_commands(const Command& command, const Configuration& configuration) {
  Simpler simpler{configuration, {}};
  std::visit(simpler, command);
  return std::move(simpler.result);
}

std::vector<Program> simpler_programs(const Program& program) {
  std::vector<Program> result;
  const auto with = [&](auto change) {
    auto copy = program;
    change(copy);
    if (!(copy == program)) result.push_back(std::move(copy));
  };
  const auto& old = program.configuration;
  const Configuration plain;
  if (old.vcpus > 1) {
    with([](Program& other) {
      other.configuration.vcpus = 1;
      for (auto& step : other.steps) move_to_first_vcpu(step.command);
    });
  }
  for (unsigned bit = 0; bit < control_bit_count; ++bit) {
    const auto control = static_cast<ControlBit>(bit);
    with([&](Program& other) {
      other.configuration.control.set(control, plain.control.has(control));
    });
  }
  with([](Program& other) { other.configuration.dirty_log = DirtyLogMode::plain; });
  with([](Program& other) { other.configuration.mmu = MmuKind::any; });
  with([](Program& other) { other.configuration.slot_zap_all = true; });
  with([](Program& other) { other.configuration.host = {}; });
  with([](Program& other) { other.configuration.host.vendor.reset(); });
  with([](Program& other) { other.configuration.host.tdp_mmu.reset(); });
  with([](Program& other) { other.configuration.host.eager_page_split.reset(); });
  with([](Program& other) { other.configuration.host.nx_huge_pages.reset(); });
  with([](Program& other) { other.configuration.host.ad_bits.reset(); });
  with([](Program& other) { other.configuration.host.pml.reset(); });
  with([](Program& other) { other.configuration.host.five_levels.reset(); });
  with([](Program& other) { other.configuration.host.spare_bit.reset(); });
  with([](Program& other) { other.configuration.host.contended.reset(); });
  with([](Program& other) { other.configuration.host.fail_allocation.reset(); });
  with([](Program& other) { other.configuration.host.early_grace.reset(); });
  with([](Program& other) { other.configuration.host.pfnmap.reset(); });
  with([](Program& other) { other.configuration.host.race.reset(); });
  with([&](Program& other) { other.configuration.maxphyaddr = plain.maxphyaddr; });
  if (old.roots.size() > 1) {
    with([](Program& other) {
      const auto gone = other.configuration.roots.back();
      other.configuration.roots.pop_back();
      std::erase_if(other.steps, [&](const Step& step) {
        const auto* load = std::get_if<LoadCr3>(&step.command);
        return load != nullptr && load->root == gone;
      });
    });
  }
  return result;
}

}  // namespace lockstep::props
