// SPDX-License-Identifier: GPL-2.0-or-later
/// A small modelled machine, for the tests of deviations.
#pragma once

#include "spec/kvm/machine.h"
#include "spec/program.h"

namespace lockstep::spec {

inline constexpr std::uint64_t rwu = entry::present | entry::writable | entry::user;
inline constexpr std::uint64_t nx = entry::no_execute;

inline Value page(Hfn hfn) { return {code_cell(static_cast<std::uint32_t>(hfn))}; }

/// A model of 4-level tables that map gva 0 to gpa 0x200000.
struct Modelled {
  explicit Modelled(const Platform& platform, Configuration configuration = {})
      : machine((configuration.vcpus = 2, configuration), platform) {
    run(SlotAdd{0, 0, 0x400000, 0});
    for (const auto& [table, value] : {std::pair<Gpa, std::uint64_t>{0x1000, 0x2000 | rwu},
                                       {0x2000, 0x3000 | rwu},
                                       {0x3000, 0x4000 | rwu},
                                       {0x4000, 0x200000 | rwu}}) {
      run(EntrySet{std::nullopt, TableLevel::pt, table, 0, value});
    }
  }
  Judgement::Kind run(const Command& command, const Observation& observation = Done{}) {
    return machine.judge(command, observation).kind;
  }
  Judgement::Kind leaf(std::uint64_t value, unsigned vcpu = 0) {
    return run(EntrySet{vcpu, TableLevel::pt, 0x4000, 0, value});
  }
  std::uint64_t used(Looseness l) { return machine.looseness_used()[static_cast<std::size_t>(l)]; }

  Machine machine;
};

inline constexpr auto admitted = Judgement::Kind::admitted;
inline constexpr auto refused = Judgement::Kind::refused;
inline const Access read{0, AccessKind::read, Cpl::user, 0};

inline Platform shadow() { return {}; }
inline Platform tdp() {
  Platform platform;
  platform.tdp = true;
  platform.host_maxphyaddr = Configuration{}.maxphyaddr;
  return platform;
}
inline Platform pvm() {
  Platform platform;
  platform.deviations = {"kvm_pvm"};
  return platform;
}

inline Configuration with(ControlBit bit, bool on) {
  Configuration configuration;
  configuration.control.set(bit, on);
  return configuration;
}

}  // namespace lockstep::spec
