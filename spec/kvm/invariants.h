// SPDX-License-Identifier: GPL-2.0-or-later
/// What must hold inside an MMU between two steps, as numbered predicates over a
/// view. The numbers are those of the project's list of invariants; a number
/// stays with its invariant for ever.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "spec/kvm/view.h"

namespace lockstep::spec {

/// One way in which a view breaks an invariant.
struct Violation {
  unsigned invariant = 0;
  std::string text;
  bool operator==(const Violation&) const = default;
};

/// Collects what one check finds; the rest after a few is only counted.
class Complaints {
 public:
  explicit Complaints(unsigned invariant) : invariant_(invariant) {}
  void add(std::string text);
  /// What was added; the last says how many more there were.
  std::vector<Violation> take();

 private:
  static constexpr std::size_t most = 4;
  unsigned invariant_;
  std::size_t more_ = 0;
  std::vector<Violation> found_;
};

struct Invariant {
  unsigned number = 0;
  std::string_view title;
  std::string_view source;  ///< the kernel's function that keeps it
  /// Kernels for which it holds, and what a view must tell for it to be checked.
  std::string_view kernels;
  /// What goes wrong for guest or host where it is broken.
  std::string_view failure;
  /// Null for one that speaks of steps alone.
  void (*check)(const View& view, Complaints& complaints) = nullptr;
  /// What must hold between the views before and after one command; null for one
  /// that speaks of a moment alone.
  void (*check_step)(const View& before, const View& after, Complaints& complaints) = nullptr;
};

/// Those that are checked, by number.
std::span<const Invariant> invariants();

/// A number of the list that no views between steps can show broken.
struct AbsentInvariant {
  unsigned number = 0;
  std::string_view title;
  std::string_view source;  ///< the kernel's function that keeps it
  std::string_view reason;  ///< why it is not checked here, and what sees it instead
};

/// The rest of the list, by number: with invariants(), every number once.
std::span<const AbsentInvariant> absent_invariants();

/// Every violation of every invariant, by number. Empty is as it should be.
std::vector<Violation> violations(const View& view);
/// The same for what speaks of steps. Both views are of one VM, with one command
/// between them.
std::vector<Violation> step_violations(const View& before, const View& after);

/// "invariant 19: leaf at 0x4012[7] maps gfn 0x8, which has no such rmap".
std::string print(const Violation& violation);

}  // namespace lockstep::spec
