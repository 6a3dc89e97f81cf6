// SPDX-License-Identifier: GPL-2.0-or-later
#include "smt/evaluate.h"

#include <unordered_map>
#include <unordered_set>

namespace lockstep::smt {
namespace {

class Evaluator {
 public:
  explicit Evaluator(const Assignment& assignment) : assignment_(assignment) {}

  std::uint64_t operator()(const NodePtr& node) {
    if (node->op == Op::constant) return node->value;
    if (node->op == Op::variable) {
      const auto known = assignment_.find(node->name);
      return known == assignment_.end() ? 0 : known->second;
    }
    if (const auto known = values_.find(node.get()); known != values_.end()) return known->second;
    const std::uint64_t value = compute(*node);
    values_.emplace(node.get(), value);
    return value;
  }

 private:
  bool less(const Node& node, std::uint64_t a, std::uint64_t b) const {
    if (node.children[0]->sort != Sort::integer) return a < b;
    return static_cast<std::int64_t>(a) < static_cast<std::int64_t>(b);
  }

  std::uint64_t compute(const Node& node) {
    const std::uint64_t a = (*this)(node.children[0]);
    if (node.op == Op::ite) return (*this)(node.children[a != 0 ? 1 : 2]);
    const std::uint64_t b = node.children.size() > 1 ? (*this)(node.children[1]) : 0;
    switch (node.op) {
      case Op::equal:
        return a == b;
      case Op::less:
        return less(node, a, b);
      case Op::less_or_equal:
        return !less(node, b, a);
      case Op::negation:
        return a == 0;
      case Op::conjunction:
      case Op::bit_and:
        return a & b;
      case Op::disjunction:
      case Op::bit_or:
        return a | b;
      case Op::exclusive:
      case Op::bit_xor:
        return a ^ b;
      case Op::bit_not:
        return ~a;
      case Op::shift_left:
        return b < 64 ? a << b : 0;
      case Op::shift_right:
        return b < 64 ? a >> b : 0;
      case Op::add:
        return a + b;
      case Op::subtract:
        return a - b;
      case Op::multiply:
        return a * b;
      // As SMT-LIB defines them for 0.
      case Op::divide:
        return b == 0 ? ~0ull : a / b;
      case Op::remainder:
        return b == 0 ? a : a % b;
      default:
        return 0;
    }
  }

  const Assignment& assignment_;
  std::unordered_map<const Node*, std::uint64_t> values_;
};

}  // namespace

std::uint64_t evaluate(const NodePtr& node, const Assignment& assignment) {
  return Evaluator(assignment)(node);
}

std::map<std::string, Sort> variables(const std::vector<Bool>& terms) {
  std::map<std::string, Sort> found;
  std::unordered_set<const Node*> seen;
  std::vector<const Node*> open;
  for (const auto& term : terms) open.push_back(term.node().get());
  while (!open.empty()) {
    const Node* node = open.back();
    open.pop_back();
    if (!seen.insert(node).second) continue;
    if (node->op == Op::variable) found.emplace(node->name, node->sort);
    for (const auto& child : node->children) open.push_back(child.get());
  }
  return found;
}

}  // namespace lockstep::smt
