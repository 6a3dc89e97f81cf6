// SPDX-License-Identifier: GPL-2.0-or-later
/// Theorems: statements about all inputs, or about all runs of a protocol, each
/// with a twin: the same statement about a broken rule, which must be refuted.
#pragma once

#include <functional>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "smt/evaluate.h"
#include "smt/policy.h"
#include "smt/term.h"

namespace lockstep::smt {

/// A term that helps to read a counterexample: "spec error code" and its value.
struct Shown {
  std::string name;
  NodePtr term;
  Shown(std::string what, const Bool& value) : name(std::move(what)), term(value.node()) {}
  Shown(std::string what, const Word& value) : name(std::move(what)), term(value.node()) {}
  Shown(std::string what, const Int& value) : name(std::move(what)), term(value.node()) {}
};
/// The same of numbers.
struct ShownNumber {
  std::string name;
  Sort sort;
  std::uint64_t value;
  ShownNumber(std::string what, bool of) : name(std::move(what)), sort(Sort::boolean), value(of) {}
  ShownNumber(std::string what, std::uint64_t of)
      : name(std::move(what)), sort(Sort::word), value(of) {}
  ShownNumber(std::string what, std::int64_t of)
      : name(std::move(what)), sort(Sort::integer), value(static_cast<std::uint64_t>(of)) {}
};

/// For all values of the variables: the precondition implies the claim.
template <typename P>
struct FormulaOf {
  typename P::Bool precondition = true;
  typename P::Bool claim = true;
  std::vector<std::conditional_t<std::is_same_v<P, Symbolic>, Shown, ShownNumber>> shown;
};
using Formula = FormulaOf<Symbolic>;

/// What one step of a protocol changes; a variable that is not named stays.
struct Transition {
  std::string name;   ///< of the actor and what it does: "vcpu0 tops up"
  Bool guard = true;  ///< when it may happen
  std::vector<std::pair<std::string, NodePtr>> updates;

  Transition& set(const std::string& variable, const Bool& value) {
    updates.emplace_back(variable, value.node());
    return *this;
  }
  Transition& set(const std::string& variable, const Word& value) {
    updates.emplace_back(variable, value.node());
    return *this;
  }
  Transition& set(const std::string& variable, const Int& value) {
    updates.emplace_back(variable, value.node());
    return *this;
  }
};

/// A transition system. In every state one transition whose guard holds is
/// taken, or none. `property` must hold in every reachable state.
struct Protocol {
  std::vector<std::pair<std::string, Sort>> state;
  Bool initial = true;
  std::vector<Transition> transitions;
  Bool property = true;
  /// Holds at the start, is kept by every transition, and implies the property.
  /// Without it (`inductive` false) only runs up to `depth` steps are searched.
  Bool invariant = true;
  bool inductive = true;
  unsigned depth = 8;  ///< steps of the search for a counterexample
};

/// The statement about the source as it is, or about the twin.
enum class Side : std::uint8_t { true_rule, broken_rule };

/// One formula, of terms and of numbers.
struct FormulaBody {
  std::function<Formula(Side)> terms;
  std::function<FormulaOf<Concrete>(Side)> numbers;
};
using ProtocolBody = std::function<Protocol(Side)>;

struct Theorem {
  std::string name;       ///< lower case with dashes
  std::string subject;    ///< of its file: "permissions"
  std::string statement;  ///< one sentence
  std::string source;     ///< manual section by name, or kernel function
  /// Whose field widths it assumes; "any" if none.
  std::string kernels;
  std::string twin;  ///< what the broken rule does, in a few words
  std::variant<FormulaBody, ProtocolBody> body;
  /// A program in Lockstep's language that shows a counterexample of a formula;
  /// empty text if this one cannot be expressed. Null if none is known.
  std::function<std::string(const Assignment&)> program;
  /// The program is on the same rule, not of the counterexample's numbers.
  bool scenario = false;
  /// Not 0: what is proved speaks of so many steps of a machine of fixed size, and
  /// is reported as bounded.
  unsigned bound = 0;
};

}  // namespace lockstep::smt
