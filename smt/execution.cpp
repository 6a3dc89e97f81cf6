// SPDX-License-Identifier: GPL-2.0-or-later
#include "smt/execution.h"

#include <fmt/format.h>

#include "smt/protocol.h"

namespace lockstep::smt {
namespace {

std::string number_text(const ShownNumber& shown) {
  switch (shown.sort) {
    case Sort::boolean:
      return fmt::format("{} = {}", shown.name, shown.value != 0 ? "yes" : "no");
    case Sort::integer:
      return fmt::format("{} = {}", shown.name, static_cast<std::int64_t>(shown.value));
    default:
      return fmt::format("{} = 0x{:x}", shown.name, shown.value);
  }
}

Execution execute_formula(const FormulaBody& body, Side side, const Assignment& values) {
  Execution execution;
  if (!body.numbers) {
    execution.text.emplace_back("the formula has no instance of numbers");
    return execution;
  }
  const Definedness defined;
  body.terms(side);
  if (!holds(defined.all(), values)) {
    execution.text.emplace_back("undefined in C++ for these numbers: a shift of 64 or more");
    return execution;
  }
  const Concrete::Values scope(values);
  const auto formula = body.numbers(side);
  execution.kind = Execution::Kind::formula;
  execution.refutes = formula.precondition && !formula.claim;
  for (const auto& shown : formula.shown) execution.text.push_back(number_text(shown));
  return execution;
}

}  // namespace

Execution execute(const Theorem& theorem, Side side, const Proof& proof) {
  Execution execution;
  if (proof.result != Result::refuted) {
    execution.text.emplace_back("there is no counterexample");
    return execution;
  }
  if (const auto* body = std::get_if<FormulaBody>(&theorem.body)) {
    return execute_formula(*body, side, proof.counterexample);
  }
  execution.kind = Execution::Kind::run;
  execution.refutes =
      executes(std::get<ProtocolBody>(theorem.body)(side), proof.counterexample, proof.bound);
  execution.text.push_back(fmt::format("{} steps", proof.bound));
  return execution;
}

}  // namespace lockstep::smt
