// SPDX-License-Identifier: GPL-2.0-or-later
#include "smt/prover.h"

#include <fmt/format.h>

#include <array>

#include "smt/protocol.h"

namespace lockstep::smt {
namespace {

/// The formula with what its C++ needs to be defined: an undefined shift refutes
/// the claim as a wrong value does.
Formula whole(const std::function<Formula(Side)>& body, Side side) {
  const Definedness defined;
  Formula formula = body(side);
  formula.claim = formula.claim && defined.all();
  return formula;
}

/// Take what an answer that decides nothing says of the proof.
void undecided(Proof& proof, const Answer& answer, std::string_view what) {
  proof.result = Result::unknown;
  switch (answer.kind) {
    case Answer::Kind::timeout:
      proof.result = Result::timeout;
      proof.reason = fmt::format("no answer on the {} in time", what);
      break;
    case Answer::Kind::memory:
      proof.reason = fmt::format("memory exhausted on the {}", what);
      break;
    case Answer::Kind::interrupted:
      proof.interrupted = true;
      proof.reason = "interrupted";
      break;
    case Answer::Kind::absent:
      proof.absent = true;
      proof.reason = answer.reason;
      break;
    default:
      proof.reason = fmt::format("{}: {}", what, answer.reason);
  }
}

bool decided(const Answer& answer) {
  return answer.kind == Answer::Kind::sat || answer.kind == Answer::Kind::unsat;
}

Answer ask(Proof& proof, const std::vector<Bool>& terms, std::string name, const Limits& limits) {
  Answer answer = check(terms, limits);
  proof.cpu_seconds += answer.cpu_seconds;
  if (answer.kind == Answer::Kind::unsat) proof.assumptions.push_back({std::move(name), terms});
  return answer;
}

std::string shown_value(const Shown& shown, const Assignment& model) {
  const auto value = evaluate(shown.term, model);
  if (shown.term->sort == Sort::boolean) return value != 0 ? "yes" : "no";
  if (shown.term->sort == Sort::integer) {
    return fmt::format("{}", static_cast<std::int64_t>(value));
  }
  return fmt::format("0x{:x}", value);
}

Proof prove_formula(const Formula& formula, const Limits& limits) {
  Proof proof;
  const Answer possible = ask(proof, {formula.precondition}, "precondition", limits);
  if (possible.kind == Answer::Kind::unsat) {
    proof.result = Result::vacuous;
    proof.reason = "no input meets the precondition";
    return proof;
  }
  if (!decided(possible)) {
    undecided(proof, possible, "precondition");
    return proof;
  }
  const Answer answer = ask(proof, {formula.precondition, !formula.claim}, "claim", limits);
  if (answer.kind == Answer::Kind::unsat) {
    proof.result = Result::proved;
  } else if (answer.kind == Answer::Kind::sat) {
    proof.result = Result::refuted;
    proof.counterexample = answer.model;
    for (const auto& shown : formula.shown) {
      proof.story.push_back(fmt::format("{} = {}", shown.name, shown_value(shown, answer.model)));
    }
  } else {
    undecided(proof, answer, "claim");
  }
  return proof;
}

struct Obligation {
  const char* name;
  std::vector<Bool> (*terms)(const Protocol&);
};
constexpr std::array<Obligation, 3> obligations = {
    {{"start", broken_at_start}, {"step", broken_by_step}, {"property", broken_property}}};

/// Whether the invariant is one, and implies the property. If not, `proof` says
/// which obligation fails, or why that is not known.
bool invariant_proves(Proof& proof, const Protocol& protocol, const Limits& limits) {
  for (const auto& obligation : obligations) {
    const Answer answer = ask(proof, obligation.terms(protocol), obligation.name, limits);
    if (answer.kind == Answer::Kind::unsat) continue;
    if (answer.kind != Answer::Kind::sat) {
      undecided(proof, answer, obligation.name);
      return false;
    }
    proof.result = Result::bounded;
    proof.bound = protocol.depth;
    proof.reason = fmt::format("the invariant is not inductive: {}", obligation.name);
    proof.story = tell_run(protocol, answer.model, 1);
    return false;
  }
  proof.result = Result::proved;
  return true;
}

/// Search runs from the start, shorter ones first: the shortest counterexample
/// reads best. False if one was found, or if the search could not end.
bool no_violating_run(Proof& proof, const Protocol& protocol, const Limits& limits) {
  for (unsigned steps = 0; steps <= protocol.depth; ++steps) {
    const Answer run = ask(proof, violating_run(protocol, steps), "run", limits);
    if (run.kind == Answer::Kind::unsat) continue;
    if (run.kind != Answer::Kind::sat) {
      undecided(proof, run, "search");
      return false;
    }
    proof.result = Result::refuted;
    proof.reason.clear();
    proof.bound = steps;
    proof.counterexample = run.model;
    proof.story = tell_run(protocol, run.model, steps);
    return false;
  }
  return true;
}

/// Whether no transition is dead under the invariant; else `proof` names one that is.
bool all_can_be_taken(Proof& proof, const Protocol& protocol, const Limits& limits) {
  const auto stop = [&](const Answer& answer) {
    proof.assumptions.clear();
    undecided(proof, answer, "transitions");
    return false;
  };
  const Answer all = ask(proof, each_can_be_taken(protocol), "transitions", limits);
  if (all.kind == Answer::Kind::sat) return true;
  if (all.kind != Answer::Kind::unsat) return stop(all);
  for (const auto& transition : protocol.transitions) {
    const Answer one = ask(proof, can_be_taken(protocol, transition), "transition", limits);
    if (one.kind == Answer::Kind::sat) continue;
    if (one.kind != Answer::Kind::unsat) return stop(one);
    proof.result = Result::vacuous;
    proof.reason = fmt::format("'{}' can never happen", transition.name);
    return false;
  }
  return stop(all);
}

/// The protocol with what its C++ needs to be defined: in every reachable state.
Protocol whole(const ProtocolBody& body, Side side) {
  const Definedness defined;
  Protocol protocol = body(side);
  protocol.property = protocol.property && defined.all();
  return protocol;
}

Proof prove_protocol(const Protocol& protocol, const Limits& limits) {
  Proof proof;
  if (const auto reason = malformed(protocol); !reason.empty()) {
    proof.reason = "no protocol: " + reason;
    return proof;
  }
  const std::vector<Bool> start = {at_moment(protocol, protocol.initial, 0)};
  const Answer possible = ask(proof, start, "initial", limits);
  if (possible.kind == Answer::Kind::unsat) {
    proof.result = Result::vacuous;
    proof.reason = "no initial state";
    return proof;
  }
  if (!decided(possible)) {
    undecided(proof, possible, "initial state");
    return proof;
  }
  if (protocol.inductive) {
    if (invariant_proves(proof, protocol, limits)) {
      all_can_be_taken(proof, protocol, limits);
      return proof;
    }
    if (proof.result != Result::bounded) return proof;
    proof.assumptions.clear();
  }
  if (!no_violating_run(proof, protocol, limits)) return proof;
  proof.result = Result::bounded;
  proof.bound = protocol.depth;
  return proof;
}

}  // namespace

std::string_view name(Result result) {
  static constexpr std::array<std::string_view, 6> names = {"proved",  "refuted", "bounded",
                                                            "timeout", "unknown", "vacuous"};
  return names[static_cast<std::size_t>(result)];
}

Proof prove(const Theorem& theorem, Side side, const Limits& limits) {
  if (const auto* formula = std::get_if<FormulaBody>(&theorem.body)) {
    Proof proof = prove_formula(whole(formula->terms, side), limits);
    if (proof.result == Result::proved && theorem.bound != 0) {
      proof.result = Result::bounded;
      proof.bound = theorem.bound;
    }
    return proof;
  }
  return prove_protocol(whole(std::get<ProtocolBody>(theorem.body), side), limits);
}

std::vector<NamedQuery> queries(const Theorem& theorem) {
  std::vector<NamedQuery> all;
  if (const auto* body = std::get_if<FormulaBody>(&theorem.body)) {
    const Formula rule = whole(body->terms, Side::true_rule);
    const Formula twin = whole(body->terms, Side::broken_rule);
    all.push_back({"precondition", "sat", {rule.precondition}});
    all.push_back({"claim", "unsat", {rule.precondition, !rule.claim}});
    all.push_back({"twin", "sat", {twin.precondition, !twin.claim}});
    return all;
  }
  const auto& body = std::get<ProtocolBody>(theorem.body);
  const Protocol rule = whole(body, Side::true_rule);
  const Protocol twin = whole(body, Side::broken_rule);
  if (!malformed(rule).empty() || !malformed(twin).empty()) return all;
  if (rule.inductive) {
    all.push_back({"transitions", "sat", each_can_be_taken(rule)});
    for (const auto& obligation : obligations) {
      all.push_back({obligation.name, "unsat", obligation.terms(rule)});
    }
  } else {
    all.push_back({"run", "unsat", violating_run(rule, rule.depth)});
  }
  all.push_back({"twin", "sat", violating_run(twin, twin.depth)});
  return all;
}

}  // namespace lockstep::smt
