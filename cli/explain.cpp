// SPDX-License-Identifier: GPL-2.0-or-later
/// `lockstep explain`: what an invariant says, and what it means when it does not
/// hold.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <memory>
#include <optional>

#include "cli/json_output.h"
#include "cli/verbs.h"
#include "spec/kvm/invariants.h"

namespace lockstep::cli {
namespace {

struct Options {
  std::string which;
  JsonOutput json;
};

constexpr auto footer =
    "Invariants hold between two commands, in whatever shows its inside: hosted\n"
    "kernels and impl. A finding names one by its number. A number that is absent\n"
    "is of the same list; no view of one moment can show it broken, and the text\n"
    "says what sees it instead.\n"
    "\n"
    "Exit: 0, or 2 if there is no such invariant.\n"
    "\n"
    "Examples:\n"
    "  lockstep explain 23\n"
    "  lockstep explain all\n"
    "  lockstep explain all --json -\n";

/// The text below a key, wrapped to 72 columns.
std::string field(std::string_view key, std::string_view text) {
  constexpr std::size_t indent = 13;
  constexpr std::size_t width = 72;
  std::string out = fmt::format("  {:<{}}", key, indent - 2);
  std::size_t column = indent;
  while (!text.empty()) {
    const auto space = std::min(text.find(' '), text.size());
    if (column != indent && column + 1 + space > width) {
      out += fmt::format("\n{:<{}}", "", indent);
      column = indent;
    } else if (column != indent) {
      out += ' ';
      ++column;
    }
    out += text.substr(0, space);
    column += space;
    text.remove_prefix(std::min(space + 1, text.size()));
  }
  return out + "\n";
}

std::string page(const spec::Invariant& invariant) {
  return fmt::format("{}\n", invariant.number) + field("holds", invariant.title) +
         field("kept by", invariant.source) + field("for", invariant.kernels) +
         field("if not", invariant.failure);
}

std::string page(const spec::AbsentInvariant& invariant) {
  return fmt::format("{}, absent\n", invariant.number) + field("holds", invariant.title) +
         field("kept by", invariant.source) + field("absent", invariant.reason);
}

nlohmann::json row(const spec::Invariant& invariant) {
  return {{"number", invariant.number},   {"title", invariant.title},
          {"source", invariant.source},   {"kernels", invariant.kernels},
          {"failure", invariant.failure}, {"absent", nullptr}};
}

nlohmann::json row(const spec::AbsentInvariant& invariant) {
  return {{"number", invariant.number}, {"title", invariant.title}, {"source", invariant.source},
          {"kernels", nullptr},         {"failure", nullptr},       {"absent", invariant.reason}};
}

/// The number that was typed; 0 for all of them.
std::optional<unsigned> number_of(std::string_view text) {
  if (text == "all") return 0;
  unsigned number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number == 0) return std::nullopt;
  return number;
}

int explain(const Options& options) {
  const auto& json = options.json;
  if (const auto reason = json.unwritable()) return input_error({}, *reason);
  const auto wanted = number_of(options.which);
  auto rows = nlohmann::json::array();
  std::size_t checked = 0;
  const auto show = [&](const auto& invariant) {
    if (!rows.empty()) fmt::print(json.page(), "\n");
    fmt::print(json.page(), "{}", page(invariant));
    rows.push_back(row(invariant));
  };
  const auto invariants = spec::invariants();
  const auto absent = spec::absent_invariants();
  const std::size_t all = invariants.size() + absent.size();
  for (unsigned number = 1; wanted && number <= all; ++number) {
    if (*wanted != 0 && *wanted != number) continue;
    const auto found = std::ranges::find(invariants, number, &spec::Invariant::number);
    if (found != invariants.end()) {
      show(*found);
      ++checked;
    } else if (const auto none = std::ranges::find(absent, number, &spec::AbsentInvariant::number);
               none != absent.end()) {
      show(*none);
    }
  }
  if (rows.empty()) {
    return input_error(json.target(), fmt::format("no invariant '{}'; valid: 1 to {}, and all",
                                                  options.which, all));
  }
  if (*wanted == 0) {
    fmt::print(json.page(), "\n{} are checked, {} are absent\n", checked, rows.size() - checked);
  }
  auto object = base_object(props::Verdict::pass, 0);
  object["invariants"] = std::move(rows);
  return json.write(object, props::Verdict::pass);
}

}  // namespace

void add_explain(CLI::App& app, int& exit) {
  auto* verb = app.add_subcommand("explain", "Say what an invariant means, and what if it breaks");
  const auto options = std::make_shared<Options>();
  verb->footer(footer);
  verb->add_option("INVARIANT", options->which, "Its number, or all")->required();
  options->json.add_to(*verb);
  verb->callback([options, &exit] { exit = explain(*options); });
}

}  // namespace lockstep::cli
