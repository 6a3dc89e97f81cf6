// SPDX-License-Identifier: GPL-2.0-or-later
/// Seeded defects of `impl`, for those who may not see impl/.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace lockstep::props {

struct ImplMutant {
  std::string name;
  std::string title;      ///< what the defect does
  std::string history;    ///< the bug that it stands for
  bool parallel = false;  ///< parallel blocks alone show it
};

/// Defects that KVM had or could have, and impl cannot: with the reason.
struct AbsentImplMutant {
  std::string name;
  std::string history;
  std::string reason;
};
std::vector<AbsentImplMutant> absent_impl_mutants();

/// All of them, in their order, whether this build has their code or not.
std::vector<ImplMutant> impl_mutants();

/// Those that theorems are asked to refute; `history` names the theorems.
std::vector<ImplMutant> impl_twin_defects();

/// This build has them: the program `lockstep-mutants`, never `lockstep`.
bool has_impl_mutants();

/// Switch the defect on in this process and in children forked from now on; an
/// empty name switches every one off; those of twins have names, too. False if there is
/// none of that name.
bool choose_impl_mutant(std::string_view name);

/// The path that Engine::reached() counts where a chosen defect stands.
inline constexpr std::string_view impl_mutant_path = "mutant";

}  // namespace lockstep::props
