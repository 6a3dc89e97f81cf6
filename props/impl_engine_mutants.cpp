// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/impl_engine_mutants.h"

#include "impl/mutants.h"

namespace lockstep::props {

std::vector<ImplMutant> impl_mutants() {
  std::vector<ImplMutant> all;
  for (const impl::MutantInfo& info : impl::mutants()) {
    all.push_back({std::string(info.name), std::string(info.title), std::string(info.history),
                   info.parallel});
  }
  return all;
}

std::vector<AbsentImplMutant> absent_impl_mutants() {
  std::vector<AbsentImplMutant> all;
  for (const impl::AbsentMutant& info : impl::absent_mutants()) {
    all.push_back({std::string(info.name), std::string(info.history), std::string(info.reason)});
  }
  return all;
}

std::vector<ImplMutant> impl_twin_defects() {
  std::vector<ImplMutant> all;
  for (const impl::MutantInfo& info : impl::twin_defects()) {
    all.push_back({std::string(info.name), std::string(info.title), std::string(info.history),
                   info.parallel});
  }
  return all;
}

bool has_impl_mutants() { return impl::has_mutants; }

bool choose_impl_mutant(std::string_view name) {
  if (name.empty()) {
    impl::choose_mutant(impl::Mutant::none);
    return true;
  }
  for (const auto& table : {impl::mutants(), impl::twin_defects()}) {
    for (const impl::MutantInfo& info : table) {
      if (info.name != name) continue;
      impl::choose_mutant(info.mutant);
      return true;
    }
  }
  return false;
}

}  // namespace lockstep::props
