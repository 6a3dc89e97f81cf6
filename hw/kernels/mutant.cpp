// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/kernels/mutant.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <regex>
#include <sstream>

#include "hw/kernels/cache.h"
#include "hw/kernels/process.h"
#include "hw/kernels/scratch.h"

namespace lockstep::hw::kernels {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view suffix = ".cocci";

std::string_view trimmed(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ') || text.ends_with('\r')) text.remove_suffix(1);
  return text;
}

/// The field of a key; null for a key that no header has.
std::string* field(Mutant& mutant, std::string_view key) {
  if (key == "title") return &mutant.title;
  if (key == "breaks") return &mutant.breaks;
  if (key == "history") return &mutant.history;
  if (key == "needs") return &mutant.needs;
  if (key == "reached-by") return &mutant.reached_by;
  if (key == "flavour") return &mutant.flavour;
  if (key == "property") return &mutant.property;
  if (key == "undetected") return &mutant.undetected;
  return nullptr;
}

bool leaves_tree(std::string_view file) {
  return file.empty() || file.front() == '/' || file.find("..") != std::string_view::npos;
}

Result<std::string> difference(const fs::path& before, const fs::path& after,
                               const std::string& name) {
  Process diff;
  diff.words = {"diff",    "-u",        "--label",       "a/" + name,
                "--label", "b/" + name, before.string(), after.string()};
  const auto outcome = run(diff);
  if (!outcome) return tl::unexpected(outcome.error());
  if (outcome->status > 1) return machine_error("diff: " + outcome->last_words());
  return outcome->out;
}

}  // namespace

std::string plain_names(std::string_view text) {
  static const std::regex call(R"(\bFNAME\((\w+)\))");
  return std::regex_replace(std::string(text), call, "FNAME_$1");
}

std::string macro_names(std::string_view text) {
  static const std::regex name(R"(\bFNAME_(\w+))");
  return std::regex_replace(std::string(text), name, "FNAME($1)");
}

Result<Mutant> parse_mutant(std::string_view name, std::string_view text) {
  Mutant mutant;
  mutant.name = name;
  std::size_t number = 0;
  while (!text.empty()) {
    const auto newline = text.find('\n');
    auto line = trimmed(text.substr(0, newline));
    text = newline == std::string_view::npos ? "" : text.substr(newline + 1);
    ++number;
    if (line.empty()) break;
    const auto wrong = [&](std::string_view what) {
      return input_error(fmt::format("{}{}:{}: {}", name, suffix, number, what));
    };
    if (!line.starts_with("//")) return wrong("a header is comment lines up to an empty line");
    line = trimmed(line.substr(2));
    const auto colon = line.find(':');
    if (colon == std::string_view::npos) return wrong("no 'key: value'");
    const auto key = line.substr(0, colon);
    const auto value = trimmed(line.substr(colon + 1));
    if (key == "SPDX-License-Identifier") continue;
    if (key == "file") {
      if (leaves_tree(value)) return wrong("not a path in a kernel tree");
      mutant.files.emplace_back(value);
      continue;
    }
    auto* target = field(mutant, key);
    if (target == nullptr) return wrong(fmt::format("unknown key '{}'", key));
    *target = value;
    if (key == "property" && !mutant.asks_blocks()) {
      return wrong(fmt::format("no property '{}' is asked about mutants; 'parallel' is", value));
    }
  }
  for (const std::string_view key : {"title", "breaks", "history", "needs", "reached-by"}) {
    if (field(mutant, key)->empty()) {
      return input_error(fmt::format("{}{}: the header lacks '{}'", name, suffix, key));
    }
  }
  if (mutant.files.empty()) {
    return input_error(fmt::format("{}{}: the header lacks 'file'", name, suffix));
  }
  return mutant;
}

fs::path mutants_folder() { return fs::path(LOCKSTEP_SOURCE_DIR) / "hw/kernels/mutants"; }

Result<std::vector<Mutant>> list_mutants(const fs::path& folder) {
  std::error_code error;
  std::vector<Mutant> mutants;
  for (auto at = fs::directory_iterator(folder, error); !error && at != fs::directory_iterator();
       at.increment(error)) {
    if (at->path().extension() != suffix) continue;
    const auto text = read_file(at->path());
    if (!text) return tl::unexpected(text.error());
    auto mutant = parse_mutant(at->path().stem().string(), *text);
    if (!mutant) return tl::unexpected(mutant.error());
    mutant->path = at->path();
    mutants.push_back(*std::move(mutant));
  }
  if (error) return machine_error(fmt::format("{}: {}", folder.string(), error.message()));
  std::ranges::sort(mutants, {}, &Mutant::name);
  return mutants;
}

Result<std::string> function_there(const Tree& tree, const Mutant& mutant) {
  for (const auto& file : mutant.files) {
    std::error_code error;
    if (!fs::exists(tree.path / file, error)) continue;
    const auto text = read_file(tree.path / file);
    if (!text) return tl::unexpected(text.error());
    std::istringstream names(mutant.reached_by);
    for (std::string name; std::getline(names, name, '|');) {
      // A word: the end of a longer name is another function.
      for (auto at = text->find(name + "("); at != std::string::npos;
           at = text->find(name + "(", at + 1)) {
        const char before = at == 0 ? ' ' : (*text)[at - 1];
        if (before != '_' && std::isalnum(static_cast<unsigned char>(before)) == 0) return name;
      }
    }
  }
  return std::string();
}

Result<Mutation> mutate(const Tree& tree, const Mutant& mutant, const fs::path& scratch) {
  Mutation mutation;
  for (const auto& name : mutant.files) {
    std::error_code error;
    if (!fs::exists(tree.path / name, error)) continue;
    const auto text = read_file(tree.path / name);
    if (!text) return tl::unexpected(text.error());
    const bool macros = text->find("FNAME(") != std::string::npos;
    const auto copy = scratch / name;
    fs::create_directories(copy.parent_path(), error);
    if (auto wrote = write_file(copy, macros ? plain_names(*text) : *text); !wrote) {
      return tl::unexpected(wrote.error());
    }
    Process spatch;
    spatch.words = {
        "spatch",     "--no-includes", "--very-quiet", "--sp-file",  mutant.path.string(),
        "--in-place", "--timeout",     "120",          copy.string()};
    const auto applied = run(spatch);
    if (!applied) return tl::unexpected(applied.error());
    if (!applied->ok()) {
      return input_error(fmt::format("{}: spatch on {}: {}", mutant.path.filename().string(), name,
                                     applied->last_words()));
    }
    auto made = read_file(copy);
    if (!made) return tl::unexpected(made.error());
    if (macros) *made = macro_names(*made);
    if (*made == *text) continue;
    if (auto wrote = write_file(copy, *made); !wrote) return tl::unexpected(wrote.error());
    const auto patch = difference(tree.path / name, copy, name);
    if (!patch) return tl::unexpected(patch.error());
    mutation.patch += *patch;
    mutation.files.push_back({name, *std::move(made)});
  }
  return mutation;
}

}  // namespace lockstep::hw::kernels
