// SPDX-License-Identifier: GPL-2.0-or-later
#include "smt/z3_solver.h"

#ifdef LOCKSTEP_HAVE_Z3

#include <fmt/format.h>
#include <z3++.h>

#include <new>
#include <unordered_map>

namespace lockstep::smt {
namespace {

class Translator {
 public:
  explicit Translator(z3::context& context) : context_(&context) {}

  z3::expr operator()(const NodePtr& node) {
    if (const auto known = known_.find(node.get()); known != known_.end()) return known->second;
    z3::expr made = make(*node);
    known_.emplace(node.get(), made);
    return made;
  }

  z3::expr variable(const std::string& name, Sort sort) const {
    switch (sort) {
      case Sort::boolean:
        return context_->bool_const(name.c_str());
      case Sort::word:
        return context_->bv_const(name.c_str(), 64);
      default:
        return context_->int_const(name.c_str());
    }
  }

 private:
  z3::expr constant(const Node& node) const {
    switch (node.sort) {
      case Sort::boolean:
        return context_->bool_val(node.value != 0);
      case Sort::word:
        return context_->bv_val(node.value, 64);
      default:
        return context_->int_val(static_cast<std::int64_t>(node.value));
    }
  }

  z3::expr make(const Node& node) {
    if (node.op == Op::constant) return constant(node);
    if (node.op == Op::variable) return variable(node.name, node.sort);
    const z3::expr a = (*this)(node.children[0]);
    if (node.op == Op::negation) return !a;
    if (node.op == Op::bit_not) return ~a;
    const z3::expr b = (*this)(node.children[1]);
    if (node.op == Op::ite) return z3::ite(a, b, (*this)(node.children[2]));
    return binary(node.op, a, b);
  }

  static z3::expr binary(Op op, const z3::expr& a, const z3::expr& b) {
    switch (op) {
      case Op::equal:
        return a == b;
      case Op::less:
        return a.is_bv() ? z3::ult(a, b) : a < b;
      case Op::less_or_equal:
        return a.is_bv() ? z3::ule(a, b) : a <= b;
      case Op::conjunction:
        return a && b;
      case Op::disjunction:
        return a || b;
      case Op::exclusive:
        return a != b;
      case Op::bit_and:
        return a & b;
      case Op::bit_or:
        return a | b;
      case Op::bit_xor:
        return a ^ b;
      case Op::shift_left:
        return z3::shl(a, b);
      case Op::shift_right:
        return z3::lshr(a, b);
      case Op::add:
        return a + b;
      case Op::subtract:
        return a - b;
      case Op::multiply:
        return a * b;
      case Op::divide:
        return z3::udiv(a, b);
      case Op::remainder:
        return z3::urem(a, b);
      default:
        throw z3::exception("an operator without a translation");
    }
  }

  z3::context* context_;
  std::unordered_map<const Node*, z3::expr> known_;
};

bool about_memory(std::string_view message) {
  return message.find("memory") != message.npos || message.find("memout") != message.npos;
}

std::string model_text(z3::model model, const Translator& translate,
                       const std::map<std::string, Sort>& names) {
  std::string text = "sat\n";
  for (const auto& [name, sort] : names) {
    const z3::expr value = model.eval(translate.variable(name, sort), /*model_completion=*/true);
    std::uint64_t number = 0;
    std::int64_t integer = 0;
    if (sort == Sort::boolean) {
      number = value.is_true() ? 1 : 0;
    } else if (sort == Sort::integer) {
      if (!value.is_numeral_i64(integer)) return "failed\n" + name + " needs more than 64 bits\n";
      number = static_cast<std::uint64_t>(integer);
    } else if (!value.is_numeral_u64(number)) {
      return "failed\n" + name + " has no value\n";
    }
    text += fmt::format("{} {}\n", name, number);
  }
  return text;
}

std::string ask(const std::vector<Bool>& terms, const Limits& limits) {
  // A context that cannot be made is a null pointer to z3++.h: no limit yet.
  z3::set_param("memory_max_size", 0);
  z3::context context;
  z3::set_param("memory_max_size", static_cast<int>(limits.memory_mib));
  const auto names = variables(terms);
  bool integers = false;
  for (const auto& [name, sort] : names) integers = integers || sort == Sort::integer;
  // The logic of bit-vectors has a faster solver than the general one.
  z3::solver solver = integers ? z3::solver(context) : z3::solver(context, "QF_BV");
  Translator translate(context);
  for (const auto& term : terms) solver.add(translate(term.node()));
  switch (solver.check()) {
    case z3::unsat:
      return "unsat\n";
    case z3::sat:
      return model_text(solver.get_model(), translate, names);
    default:
      break;
  }
  const std::string reason = solver.reason_unknown();
  if (about_memory(reason)) return "memory\n";
  return "failed\n" + reason + "\n";
}

}  // namespace

std::string ask_z3(const std::vector<Bool>& terms, const Limits& limits) {
  try {
    return ask(terms, limits);
  } catch (const z3::exception& error) {
    if (about_memory(error.msg())) return "memory\n";
    return std::string("failed\n") + error.msg() + "\n";
  } catch (const std::bad_alloc&) {
    return "memory\n";
  }
}

std::string solver_version() {
  unsigned major = 0, minor = 0, build = 0, revision = 0;
  Z3_get_version(&major, &minor, &build, &revision);
  return fmt::format("Z3 {}.{}.{}", major, minor, build);
}

}  // namespace lockstep::smt

#else

namespace lockstep::smt {

std::string ask_z3(const std::vector<Bool>&, const Limits&) { return "failed\nno solver\n"; }
std::string solver_version() { return {}; }

}  // namespace lockstep::smt

#endif
