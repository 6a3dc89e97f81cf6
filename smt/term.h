// SPDX-License-Identifier: GPL-2.0-or-later
/// Terms that a solver decides, as values: truth values, 64-bit words and
/// unbounded integers. They behave like bool, uint64_t and int where a template
/// of spec/ or impl/ computes with them, and build an expression instead.
///
/// Nothing here knows a solver: smt/z3_solver translates terms to Z3, and
/// smt/smtlib prints them for any other.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace lockstep::smt {

enum class Sort : std::uint8_t { boolean, word, integer };

/// Operators. Words are unsigned; shifts by 64 or more give 0.
enum class Op : std::uint8_t {
  constant,
  variable,
  ite,
  equal,
  less,           ///< of words (unsigned) or integers
  less_or_equal,  ///< of words (unsigned) or integers
  negation,       ///< of a truth value
  conjunction,
  disjunction,
  exclusive,
  bit_not,
  bit_and,
  bit_or,
  bit_xor,
  shift_left,
  shift_right,
  add,
  subtract,
  multiply,
  divide,    ///< of words
  remainder  ///< of words
};

/// One node of an expression. Immutable; shared by the terms that hold it.
struct Node {
  Op op = Op::constant;
  Sort sort = Sort::boolean;
  std::uint64_t value = 0;  ///< of a constant; an integer's in two's complement
  std::string name;         ///< of a variable
  std::vector<std::shared_ptr<const Node>> children;
};
using NodePtr = std::shared_ptr<const Node>;

/// A node of that operator, or a constant where the operands decide it.
NodePtr make_node(Op op, Sort sort, std::vector<NodePtr> children);
NodePtr make_constant(Sort sort, std::uint64_t value);
NodePtr make_variable(Sort sort, std::string name);

template <typename T>
concept Number = std::integral<T> && !std::same_as<T, bool>;

/// A truth value. Converts from bool, never to it.
class Bool {
 public:
  Bool() : Bool(false) {}
  Bool(std::same_as<bool> auto value) : node_(make_constant(Sort::boolean, value)) {}
  explicit Bool(NodePtr node) : node_(std::move(node)) {}
  static Bool variable(std::string name) {
    return Bool(make_variable(Sort::boolean, std::move(name)));
  }
  const NodePtr& node() const { return node_; }

 private:
  NodePtr node_;
};

/// 64 bits.
class Word {
 public:
  Word() : Word(0u) {}
  Word(Number auto value) : node_(make_constant(Sort::word, static_cast<std::uint64_t>(value))) {}
  explicit Word(NodePtr node) : node_(std::move(node)) {}
  static Word variable(std::string name) {
    return Word(make_variable(Sort::word, std::move(name)));
  }
  const NodePtr& node() const { return node_; }

 private:
  NodePtr node_;
};

/// An integer without bounds: what counters of a protocol are, so that no proof
/// rests on a width at which they would wrap.
class Int {
 public:
  Int() : Int(0) {}
  Int(Number auto value)
      : node_(make_constant(Sort::integer,
                            static_cast<std::uint64_t>(static_cast<std::int64_t>(value)))) {}
  explicit Int(NodePtr node) : node_(std::move(node)) {}
  static Int variable(std::string name) {
    return Int(make_variable(Sort::integer, std::move(name)));
  }
  const NodePtr& node() const { return node_; }

 private:
  NodePtr node_;
};

Bool operator!(const Bool& a);
// Both sides are evaluated, unlike those of bool; a pure function cannot tell.
Bool operator&&(const Bool& a, const Bool& b);
Bool operator||(const Bool& a, const Bool& b);
Bool operator^(const Bool& a, const Bool& b);
Bool operator==(const Bool& a, const Bool& b);
Bool operator!=(const Bool& a, const Bool& b);
inline Bool operator&(const Bool& a, const Bool& b) { return a && b; }
inline Bool operator|(const Bool& a, const Bool& b) { return a || b; }
/// Not a, or b.
Bool implies(const Bool& a, const Bool& b);

Word operator~(const Word& a);
Word operator&(const Word& a, const Word& b);
Word operator|(const Word& a, const Word& b);
Word operator^(const Word& a, const Word& b);
Word operator+(const Word& a, const Word& b);
Word operator-(const Word& a, const Word& b);
Word operator*(const Word& a, const Word& b);
Word operator/(const Word& a, const Word& b);
Word operator%(const Word& a, const Word& b);
/// Shifts and divisions owe that they are defined: see Definedness.
Word operator<<(const Word& a, const Word& by);
Word operator>>(const Word& a, const Word& by);
Bool operator==(const Word& a, const Word& b);
Bool operator!=(const Word& a, const Word& b);
Bool operator<(const Word& a, const Word& b);
Bool operator<=(const Word& a, const Word& b);
Bool operator>(const Word& a, const Word& b);
Bool operator>=(const Word& a, const Word& b);
inline Word& operator|=(Word& a, const Word& b) { return a = a | b; }
inline Word& operator&=(Word& a, const Word& b) { return a = a & b; }
inline Word& operator+=(Word& a, const Word& b) { return a = a + b; }
inline Word& operator-=(Word& a, const Word& b) { return a = a - b; }

Int operator+(const Int& a, const Int& b);
Int operator-(const Int& a, const Int& b);
Bool operator==(const Int& a, const Int& b);
Bool operator!=(const Int& a, const Int& b);
Bool operator<(const Int& a, const Int& b);
Bool operator<=(const Int& a, const Int& b);
Bool operator>(const Int& a, const Int& b);
Bool operator>=(const Int& a, const Int& b);

Bool ite(const Bool& condition, const Bool& then, const Bool& otherwise);
Word ite(const Bool& condition, const Word& then, const Word& otherwise);
Int ite(const Bool& condition, const Int& then, const Int& otherwise);

/// array[index]; the last element for an index past the end, which the
/// definedness of the expression excludes.
template <std::size_t n>
Word select(const std::array<Word, n>& array, const Word& index);

/// While it lives, collects what must hold for the C++ of the terms being built
/// to be defined: shifts by less than 64, divisors that are not 0, indices in
/// range. Scopes nest; the innermost collects. One thread.
class Definedness {
 public:
  Definedness();
  ~Definedness();
  Definedness(const Definedness&) = delete;
  Definedness& operator=(const Definedness&) = delete;

  /// The conjunction of what was collected.
  Bool all() const { return all_; }
  /// Add to the innermost scope, if there is one.
  static void require(const Bool& condition);

 private:
  Bool all_ = true;
  Definedness* outer_;
};

template <std::size_t n>
Word select(const std::array<Word, n>& array, const Word& index) {
  Definedness::require(index < n);
  Word result = array[n - 1];
  for (std::size_t i = n - 1; i-- > 0;) result = ite(index == i, array[i], result);
  return result;
}

}  // namespace lockstep::smt
