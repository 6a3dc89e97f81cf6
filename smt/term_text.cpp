// SPDX-License-Identifier: GPL-2.0-or-later
#include "smt/term_text.h"

#include <fmt/format.h>

#include <sstream>
#include <unordered_map>

namespace lockstep::smt {
namespace {

class Writer {
 public:
  std::size_t operator()(const NodePtr& node) {
    if (const auto known = numbers_.find(node.get()); known != numbers_.end()) return known->second;
    std::string children;
    for (const auto& child : node->children) children += fmt::format(" {}", (*this)(child));
    text_ += fmt::format("{} {} {} {} {}{}\n", static_cast<unsigned>(node->op),
                         static_cast<unsigned>(node->sort), node->value,
                         node->name.empty() ? "-" : node->name, node->children.size(), children);
    return numbers_.emplace(node.get(), numbers_.size()).first->second;
  }

  std::string text_;

 private:
  std::unordered_map<const Node*, std::size_t> numbers_;
};

constexpr auto last_op = static_cast<unsigned>(Op::remainder);
constexpr auto last_sort = static_cast<unsigned>(Sort::integer);

}  // namespace

std::string write_terms(const std::vector<Bool>& terms) {
  Writer writer;
  std::string roots = "terms";
  for (const auto& term : terms) roots += fmt::format(" {}", writer(term.node()));
  return writer.text_ + roots + "\n";
}

std::optional<std::vector<Bool>> read_terms(std::string_view text) {
  std::vector<NodePtr> nodes;
  std::istringstream lines{std::string(text)};
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    if (line.starts_with("terms")) {
      std::string keyword;
      words >> keyword;
      std::vector<Bool> terms;
      for (std::size_t number = 0; words >> number;) {
        if (number >= nodes.size()) return std::nullopt;
        terms.emplace_back(nodes[number]);
      }
      return terms;
    }
    unsigned op = 0, sort = 0;
    std::size_t children = 0;
    auto node = std::make_shared<Node>();
    if (!(words >> op >> sort >> node->value >> node->name >> children)) return std::nullopt;
    if (op > last_op || sort > last_sort) return std::nullopt;
    node->op = static_cast<Op>(op);
    node->sort = static_cast<Sort>(sort);
    if (node->op != Op::variable) node->name.clear();
    for (std::size_t number = 0; children > 0 && words >> number; --children) {
      if (number >= nodes.size()) return std::nullopt;
      node->children.push_back(nodes[number]);
    }
    if (children != 0) return std::nullopt;
    nodes.push_back(std::move(node));
  }
  return std::nullopt;
}

}  // namespace lockstep::smt
