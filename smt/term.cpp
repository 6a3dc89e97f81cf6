// SPDX-License-Identifier: GPL-2.0-or-later
#include "smt/term.h"

#include <algorithm>
#include <utility>

#include "smt/evaluate.h"

namespace lockstep::smt {
namespace {

bool constant(const NodePtr& node) { return node->op == Op::constant; }
bool constant(const NodePtr& node, std::uint64_t value) {
  return constant(node) && node->value == value;
}

/// An operand that the operator leaves as it is, or that decides it; else null.
NodePtr simplified(Op op, const std::vector<NodePtr>& children) {
  const auto either = [&](std::uint64_t value) {
    return constant(children[0], value) || constant(children[1], value);
  };
  const auto other = [&](std::uint64_t neutral) -> NodePtr {
    if (constant(children[0], neutral)) return children[1];
    if (constant(children[1], neutral)) return children[0];
    return nullptr;
  };
  switch (op) {
    case Op::ite:
      if (constant(children[0])) return children[0]->value != 0 ? children[1] : children[2];
      return children[1] == children[2] ? children[1] : nullptr;
    case Op::conjunction:
      return either(0) ? make_constant(Sort::boolean, 0) : other(1);
    case Op::disjunction:
      return either(1) ? make_constant(Sort::boolean, 1) : other(0);
    case Op::bit_and:
      return either(0) ? make_constant(Sort::word, 0) : other(~0ull);
    case Op::bit_or:
    case Op::bit_xor:
    case Op::add:
      return other(0);
    case Op::subtract:
    case Op::shift_left:
    case Op::shift_right:
      return constant(children[1], 0) ? children[0] : nullptr;
    case Op::equal:
    case Op::less_or_equal:
      return children[0] == children[1] ? make_constant(Sort::boolean, 1) : nullptr;
    default:
      return nullptr;
  }
}

template <typename T>
T binary(Op op, Sort sort, const auto& a, const auto& b) {
  return T(make_node(op, sort, {a.node(), b.node()}));
}

thread_local Definedness* innermost = nullptr;

}  // namespace

NodePtr make_constant(Sort sort, std::uint64_t value) {
  auto node = std::make_shared<Node>();
  node->sort = sort;
  node->value = value;
  return node;
}

NodePtr make_variable(Sort sort, std::string name) {
  auto node = std::make_shared<Node>();
  node->op = Op::variable;
  node->sort = sort;
  node->name = std::move(name);
  return node;
}

NodePtr make_node(Op op, Sort sort, std::vector<NodePtr> children) {
  if (auto known = simplified(op, children)) return known;
  auto node = std::make_shared<Node>();
  node->op = op;
  node->sort = sort;
  node->children = std::move(children);
  const bool closed =
      std::ranges::all_of(node->children, [](const NodePtr& child) { return constant(child); });
  if (closed) return make_constant(sort, evaluate(NodePtr(node), {}));
  return node;
}

Bool operator!(const Bool& a) {
  // Two negations are none.
  if (a.node()->op == Op::negation) return Bool(a.node()->children[0]);
  return Bool(make_node(Op::negation, Sort::boolean, {a.node()}));
}
Bool operator&&(const Bool& a, const Bool& b) {
  return binary<Bool>(Op::conjunction, Sort::boolean, a, b);
}
Bool operator||(const Bool& a, const Bool& b) {
  return binary<Bool>(Op::disjunction, Sort::boolean, a, b);
}
Bool operator^(const Bool& a, const Bool& b) {
  return binary<Bool>(Op::exclusive, Sort::boolean, a, b);
}
Bool operator==(const Bool& a, const Bool& b) {
  return binary<Bool>(Op::equal, Sort::boolean, a, b);
}
Bool operator!=(const Bool& a, const Bool& b) { return !(a == b); }
Bool implies(const Bool& a, const Bool& b) { return !a || b; }

Word operator~(const Word& a) { return Word(make_node(Op::bit_not, Sort::word, {a.node()})); }
Word operator&(const Word& a, const Word& b) { return binary<Word>(Op::bit_and, Sort::word, a, b); }
Word operator|(const Word& a, const Word& b) { return binary<Word>(Op::bit_or, Sort::word, a, b); }
Word operator^(const Word& a, const Word& b) { return binary<Word>(Op::bit_xor, Sort::word, a, b); }
Word operator+(const Word& a, const Word& b) { return binary<Word>(Op::add, Sort::word, a, b); }
Word operator-(const Word& a, const Word& b) {
  return binary<Word>(Op::subtract, Sort::word, a, b);
}
Word operator*(const Word& a, const Word& b) {
  return binary<Word>(Op::multiply, Sort::word, a, b);
}
Word operator/(const Word& a, const Word& b) {
  Definedness::require(b != 0);
  return binary<Word>(Op::divide, Sort::word, a, b);
}
Word operator%(const Word& a, const Word& b) {
  Definedness::require(b != 0);
  return binary<Word>(Op::remainder, Sort::word, a, b);
}
Word operator<<(const Word& a, const Word& by) {
  Definedness::require(by < 64);
  return binary<Word>(Op::shift_left, Sort::word, a, by);
}
Word operator>>(const Word& a, const Word& by) {
  Definedness::require(by < 64);
  return binary<Word>(Op::shift_right, Sort::word, a, by);
}
Bool operator==(const Word& a, const Word& b) {
  return binary<Bool>(Op::equal, Sort::boolean, a, b);
}
Bool operator!=(const Word& a, const Word& b) { return !(a == b); }
Bool operator<(const Word& a, const Word& b) { return binary<Bool>(Op::less, Sort::boolean, a, b); }
Bool operator<=(const Word& a, const Word& b) {
  return binary<Bool>(Op::less_or_equal, Sort::boolean, a, b);
}
Bool operator>(const Word& a, const Word& b) { return b < a; }
Bool operator>=(const Word& a, const Word& b) { return b <= a; }

Int operator+(const Int& a, const Int& b) { return binary<Int>(Op::add, Sort::integer, a, b); }
Int operator-(const Int& a, const Int& b) { return binary<Int>(Op::subtract, Sort::integer, a, b); }
Bool operator==(const Int& a, const Int& b) { return binary<Bool>(Op::equal, Sort::boolean, a, b); }
Bool operator!=(const Int& a, const Int& b) { return !(a == b); }
Bool operator<(const Int& a, const Int& b) { return binary<Bool>(Op::less, Sort::boolean, a, b); }
Bool operator<=(const Int& a, const Int& b) {
  return binary<Bool>(Op::less_or_equal, Sort::boolean, a, b);
}
Bool operator>(const Int& a, const Int& b) { return b < a; }
Bool operator>=(const Int& a, const Int& b) { return b <= a; }

Bool ite(const Bool& condition, const Bool& then, const Bool& otherwise) {
  return Bool(make_node(Op::ite, Sort::boolean, {condition.node(), then.node(), otherwise.node()}));
}
Word ite(const Bool& condition, const Word& then, const Word& otherwise) {
  return Word(make_node(Op::ite, Sort::word, {condition.node(), then.node(), otherwise.node()}));
}
Int ite(const Bool& condition, const Int& then, const Int& otherwise) {
  return Int(make_node(Op::ite, Sort::integer, {condition.node(), then.node(), otherwise.node()}));
}

Definedness::Definedness() : outer_(std::exchange(innermost, this)) {}
Definedness::~Definedness() { innermost = outer_; }

void Definedness::require(const Bool& condition) {
  if (innermost != nullptr) innermost->all_ = innermost->all_ && condition;
}

}  // namespace lockstep::smt
