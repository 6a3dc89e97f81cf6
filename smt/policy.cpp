// SPDX-License-Identifier: GPL-2.0-or-later
#include "smt/policy.h"

namespace lockstep::smt {
namespace {

thread_local const Assignment* current = nullptr;

}  // namespace

Concrete::Values::Values(const Assignment& values) : outer_(current) { current = &values; }
Concrete::Values::~Values() { current = outer_; }

std::uint64_t Concrete::value(const std::string& name) {
  if (current == nullptr) return 0;
  const auto known = current->find(name);
  return known == current->end() ? 0 : known->second;
}

}  // namespace lockstep::smt
