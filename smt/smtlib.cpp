// SPDX-License-Identifier: GPL-2.0-or-later
#include "smt/smtlib.h"

#include <fmt/format.h>

#include <unordered_map>

#include "smt/evaluate.h"

namespace lockstep::smt {
namespace {

std::string_view sort_name(Sort sort) {
  switch (sort) {
    case Sort::boolean:
      return "Bool";
    case Sort::word:
      return "(_ BitVec 64)";
    default:
      return "Int";
  }
}

std::string_view operator_name(Op op, bool words) {
  switch (op) {
    case Op::ite:
      return "ite";
    case Op::equal:
      return "=";
    case Op::less:
      return words ? "bvult" : "<";
    case Op::less_or_equal:
      return words ? "bvule" : "<=";
    case Op::negation:
      return "not";
    case Op::conjunction:
      return "and";
    case Op::disjunction:
      return "or";
    case Op::exclusive:
      return "xor";
    case Op::bit_not:
      return "bvnot";
    case Op::bit_and:
      return "bvand";
    case Op::bit_or:
      return "bvor";
    case Op::bit_xor:
      return "bvxor";
    case Op::shift_left:
      return "bvshl";
    case Op::shift_right:
      return "bvlshr";
    case Op::add:
      return words ? "bvadd" : "+";
    case Op::subtract:
      return words ? "bvsub" : "-";
    case Op::multiply:
      return words ? "bvmul" : "*";
    case Op::divide:
      return "bvudiv";
    default:
      return "bvurem";
  }
}

class Printer {
 public:
  /// The name or the literal of a node, after the definitions that it needs.
  std::string operator()(const NodePtr& node) {
    if (node->op == Op::variable) return node->name;
    if (node->op == Op::constant) return literal(*node);
    if (const auto known = names_.find(node.get()); known != names_.end()) return known->second;
    std::string body;
    for (const auto& child : node->children) body += " " + (*this)(child);
    const std::string name = fmt::format("t{}", names_.size());
    const bool words = node->children[0]->sort == Sort::word;
    definitions_ += fmt::format("(define-fun {} () {} ({}{}))\n", name, sort_name(node->sort),
                                operator_name(node->op, words), body);
    names_.emplace(node.get(), name);
    return name;
  }

  const std::string& definitions() const { return definitions_; }

 private:
  static std::string literal(const Node& node) {
    if (node.sort == Sort::boolean) return node.value != 0 ? "true" : "false";
    if (node.sort == Sort::word) return fmt::format("#x{:016x}", node.value);
    const auto value = static_cast<std::int64_t>(node.value);
    return value < 0 ? fmt::format("(- {})", -value) : fmt::format("{}", value);
  }

  std::unordered_map<const Node*, std::string> names_;
  std::string definitions_;
};

std::string_view logic(const std::map<std::string, Sort>& names) {
  bool integers = false, words = false;
  for (const auto& [name, sort] : names) {
    integers = integers || sort == Sort::integer;
    words = words || sort == Sort::word;
  }
  if (!integers) return "QF_BV";
  return words ? "ALL" : "QF_LIA";
}

}  // namespace

std::string smtlib(const std::vector<Bool>& terms, std::string_view status,
                   std::string_view comment) {
  std::string out;
  for (std::size_t at = 0; at < comment.size();) {
    const auto end = std::min(comment.find('\n', at), comment.size());
    out += fmt::format("; {}\n", comment.substr(at, end - at));
    at = end + 1;
  }
  const auto names = variables(terms);
  out += fmt::format("(set-info :status {})\n(set-logic {})\n", status, logic(names));
  for (const auto& [name, sort] : names) {
    out += fmt::format("(declare-const {} {})\n", name, sort_name(sort));
  }
  Printer print;
  std::string assertions;
  for (const auto& term : terms) assertions += fmt::format("(assert {})\n", print(term.node()));
  return out + print.definitions() + assertions + "(check-sat)\n";
}

}  // namespace lockstep::smt
