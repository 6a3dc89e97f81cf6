// SPDX-License-Identifier: GPL-2.0-or-later
/// How a shadow page lets the supervisor write a read-only user page while
/// CR0.WP is clear. Hardware runs the guest with CR0.WP set.
#pragma once

#include "impl/role.h"
#include "spec/vocabulary/word.h"

namespace lockstep::impl {

/// Rights of the SPTE after such a write: writable for the supervisor, gone for
/// the user, and under SMEP not executable, because the page is no longer a user
/// page to hardware. KVM: FNAME(page_fault)().
template <typename W>
constexpr W exchange_for_wp(W access, BoolOf<W> smep) {
  const W exchanged = (access | rights::writable) & ~W(rights::user);
  return ite(smep, exchanged & ~W(rights::executable), exchanged);
}

}  // namespace lockstep::impl
