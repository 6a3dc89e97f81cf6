// SPDX-License-Identifier: GPL-2.0-or-later
#include "smt/protocol.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

namespace lockstep::smt {
namespace {

std::string moment_name(const std::string& name, unsigned moment) {
  return fmt::format("{}.{}", name, moment);
}

/// Which transition is taken at a moment.
std::string choice_name(unsigned moment) { return fmt::format("step.{}", moment); }

class Renamer {
 public:
  Renamer(const Protocol& protocol, unsigned moment) : moment_(moment) {
    for (const auto& [name, sort] : protocol.state) state_.emplace(name, sort);
  }

  NodePtr operator()(const NodePtr& node) {
    if (node->op == Op::constant) return node;
    if (const auto known = known_.find(node.get()); known != known_.end()) return known->second;
    NodePtr renamed;
    if (node->op == Op::variable) {
      // What is no state is chosen anew at each step.
      renamed = make_variable(node->sort, moment_name(node->name, moment_));
    } else {
      std::vector<NodePtr> children;
      for (const auto& child : node->children) children.push_back((*this)(child));
      renamed = make_node(node->op, node->sort, std::move(children));
    }
    known_.emplace(node.get(), renamed);
    return renamed;
  }

 private:
  unsigned moment_;
  std::unordered_map<std::string, Sort> state_;
  std::unordered_map<const Node*, NodePtr> known_;
};

Bool same(const NodePtr& a, const NodePtr& b) {
  return Bool(make_node(Op::equal, Sort::boolean, {a, b}));
}

Bool updated(const Protocol& protocol, const Transition& transition, Renamer& now,
             unsigned moment) {
  Bool all(now(transition.guard.node()));
  for (const auto& [name, sort] : protocol.state) {
    const auto update =
        std::ranges::find(transition.updates, name, &std::pair<std::string, NodePtr>::first);
    const NodePtr value = update == transition.updates.end()
                              ? make_variable(sort, moment_name(name, moment))
                              : now(update->second);
    all = all && same(make_variable(sort, moment_name(name, moment + 1)), value);
  }
  return all;
}

std::string value_text(Sort sort, std::uint64_t value) {
  if (sort == Sort::boolean) return value != 0 ? "yes" : "no";
  if (sort == Sort::integer) return fmt::format("{}", static_cast<std::int64_t>(value));
  return fmt::format("0x{:x}", value);
}

std::uint64_t value_of(const Assignment& run, const std::string& name) {
  const auto known = run.find(name);
  return known == run.end() ? 0 : known->second;
}

}  // namespace

std::string malformed(const Protocol& protocol) {
  std::unordered_map<std::string, Sort> sorts;
  for (const auto& [name, sort] : protocol.state) {
    if (!sorts.emplace(name, sort).second) return fmt::format("{} is declared twice", name);
  }
  for (const auto& transition : protocol.transitions) {
    std::unordered_set<std::string> seen;
    for (const auto& [name, value] : transition.updates) {
      const auto at = fmt::format("'{}' changes {}", transition.name, name);
      const auto known = sorts.find(name);
      if (known == sorts.end()) return at + ", which is no state";
      if (known->second != value->sort) return at + " to another sort";
      if (!seen.insert(name).second) return at + " twice";
    }
  }
  return {};
}

Bool at_moment(const Protocol& protocol, const Bool& term, unsigned moment) {
  return Bool(Renamer(protocol, moment)(term.node()));
}

Bool step_between(const Protocol& protocol, unsigned moment) {
  Renamer now(protocol, moment);
  const Word choice = Word::variable(choice_name(moment));
  // A run may end early: the last choice is to stand still.
  Bool any = choice == protocol.transitions.size() && updated(protocol, Transition{}, now, moment);
  for (std::size_t i = 0; i < protocol.transitions.size(); ++i) {
    any = any || (choice == i && updated(protocol, protocol.transitions[i], now, moment));
  }
  return any;
}

std::vector<Bool> violating_run(const Protocol& protocol, unsigned steps) {
  std::vector<Bool> terms = {at_moment(protocol, protocol.initial, 0)};
  for (unsigned moment = 0; moment < steps; ++moment) {
    terms.push_back(step_between(protocol, moment));
  }
  Bool broken = false;
  for (unsigned moment = 0; moment <= steps; ++moment) {
    broken = broken || !at_moment(protocol, protocol.property, moment);
  }
  terms.push_back(broken);
  return terms;
}

std::vector<Bool> broken_at_start(const Protocol& protocol) {
  return {at_moment(protocol, protocol.initial, 0), !at_moment(protocol, protocol.invariant, 0)};
}

std::vector<Bool> broken_by_step(const Protocol& protocol) {
  return {at_moment(protocol, protocol.invariant, 0), step_between(protocol, 0),
          !at_moment(protocol, protocol.invariant, 1)};
}

std::vector<Bool> broken_property(const Protocol& protocol) {
  return {at_moment(protocol, protocol.invariant, 0), !at_moment(protocol, protocol.property, 0)};
}

std::vector<Bool> can_be_taken(const Protocol& protocol, const Transition& transition) {
  return {at_moment(protocol, protocol.invariant && transition.guard, 0)};
}

std::vector<Bool> each_can_be_taken(const Protocol& protocol) {
  std::vector<Bool> terms;
  unsigned moment = 0;
  for (const auto& transition : protocol.transitions) {
    terms.push_back(at_moment(protocol, protocol.invariant && transition.guard, moment++));
  }
  return terms;
}

bool executes(const Protocol& protocol, const Assignment& run, unsigned steps) {
  Assignment now;
  for (const auto& [name, sort] : protocol.state) now[name] = value_of(run, moment_name(name, 0));
  if (!holds(protocol.initial, now)) return false;
  for (unsigned moment = 0; holds(protocol.property, now); ++moment) {
    if (moment == steps) return false;
    const auto choice = value_of(run, choice_name(moment));
    if (choice > protocol.transitions.size()) return false;
    if (choice == protocol.transitions.size()) continue;
    const Transition& taken = protocol.transitions[choice];
    // What is no state is chosen anew at each step.
    Assignment with = now;
    const std::string suffix = moment_name("", moment);
    for (const auto& [name, value] : run) {
      if (!name.ends_with(suffix)) continue;
      with.emplace(name.substr(0, name.size() - suffix.size()), value);
    }
    if (!holds(taken.guard, with)) return false;
    for (const auto& [name, update] : taken.updates) now[name] = evaluate(update, with);
  }
  return true;
}

namespace {

Assignment state_at(const Protocol& protocol, const Assignment& run, unsigned moment) {
  Assignment state;
  for (const auto& [name, sort] : protocol.state) {
    state[name] = value_of(run, moment_name(name, moment));
  }
  return state;
}

}  // namespace

Assignment state_at_start(const Protocol& protocol, const Assignment& run) {
  return state_at(protocol, run, 0);
}

std::vector<TakenStep> taken_steps(const Protocol& protocol, const Assignment& run,
                                   unsigned steps) {
  std::vector<TakenStep> taken;
  for (unsigned moment = 0; moment < steps; ++moment) {
    if (!holds(at_moment(protocol, protocol.property, moment), run)) break;
    const auto choice = value_of(run, choice_name(moment));
    if (choice >= protocol.transitions.size()) continue;
    taken.push_back({protocol.transitions[choice].name, state_at(protocol, run, moment + 1)});
  }
  return taken;
}

std::vector<std::string> tell_run(const Protocol& protocol, const Assignment& run, unsigned steps) {
  std::vector<std::string> lines;
  for (unsigned moment = 0; moment <= steps; ++moment) {
    if (!holds(at_moment(protocol, protocol.property, moment), run)) {
      lines.push_back("here the property does not hold");
      return lines;
    }
    if (moment == steps) break;
    const auto choice = value_of(run, choice_name(moment));
    if (choice >= protocol.transitions.size()) continue;
    std::string changes;
    for (const auto& [name, sort] : protocol.state) {
      const auto before = value_of(run, moment_name(name, moment));
      const auto after = value_of(run, moment_name(name, moment + 1));
      if (before == after) continue;
      changes +=
          fmt::format("{}{} = {}", changes.empty() ? "" : ", ", name, value_text(sort, after));
    }
    lines.push_back(protocol.transitions[choice].name + (changes.empty() ? "" : ": " + changes));
  }
  return lines;
}

}  // namespace lockstep::smt
