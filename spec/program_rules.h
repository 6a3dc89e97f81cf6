// SPDX-License-Identifier: GPL-2.0-or-later
/// The rules of the format, in groups: what validate() is made of.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "spec/program.h"

namespace lockstep::spec {

/// Why something is illegal; none if it is legal.
using Reason = std::optional<std::string>;

Reason check_configuration(const Configuration& configuration);

/// Whether title, comments and observations have a text that reads back.
Reason check_title(std::string_view title);
Reason check_comments(const std::vector<std::string>& lines);
Reason check_behind(std::string_view comment);
Reason check_observation(const Observation& observation);

/// Rules of parallel blocks, over all steps.
std::optional<Illegal> check_parallel(const Program& program);

/// Rules of one command, given the commands before it.
class CommandRules {
 public:
  explicit CommandRules(const Configuration& configuration);

  Reason operator()(const SlotAdd& command);
  Reason operator()(const SlotDelete& command);
  Reason operator()(const SlotMove& command);
  Reason operator()(const SlotFlags& command);
  Reason operator()(const Poke& command);
  Reason operator()(const Peek& command);
  Reason operator()(const EntrySet& command);
  Reason operator()(const Map& command);
  Reason operator()(const AliasTable& command);
  Reason operator()(const Access& command);
  Reason operator()(const LoadCr3& command);
  Reason operator()(const Invlpg& command);
  Reason operator()(const Invpcid& command);
  Reason operator()(const SetControl& command);
  Reason operator()(const SetPkru& command);
  Reason operator()(const Translate& command);
  Reason operator()(const DirtyGet& command);
  Reason operator()(const DirtyClear& command);
  Reason operator()(const RingCollect& command);
  Reason operator()(const MmuPages&) { return std::nullopt; }
  Reason operator()(const HostChange& command);
  Reason operator()(const Shrink&) { return std::nullopt; }
  Reason operator()(const NxRecover&) { return std::nullopt; }

 private:
  Reason check_slot(unsigned id) const;
  /// A vCPU that exists; from here on the program is past its setup.
  Reason enter(unsigned vcpu);
  Reason check_setup(std::string_view what) const;
  Reason check_gva(Gva gva) const;
  Reason check_rights(std::uint64_t rights) const;
  Reason check_poke(Gpa gpa, unsigned size) const;
  bool is_root(Gpa page) const;

  const Configuration& configuration_;
  bool entered_ = false;
  /// Greatest size that each slot was ever given: what a move may carry.
  std::map<unsigned, std::uint64_t> sizes_;
  /// Whether a vCPU's CR4.PCIDE may be set.
  std::vector<bool> pcide_;
};

}  // namespace lockstep::spec
