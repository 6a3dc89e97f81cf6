// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/kernels/config.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <set>

#include "hw/kernels/cache.h"

namespace lockstep::hw::kernels {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view prefix = "CONFIG_";
constexpr std::string_view not_set = " is not set";

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.back() == ' ' || text.back() == '\r')) text.remove_suffix(1);
  while (text.starts_with(' ')) text.remove_prefix(1);
  return text;
}

template <class Visit>
void each_line(std::string_view text, Visit&& visit) {
  for (int number = 1; !text.empty(); ++number) {
    const auto newline = text.find('\n');
    visit(text.substr(0, newline), number);
    text = newline == std::string_view::npos ? "" : text.substr(newline + 1);
  }
}

/// A line that sets a symbol or says that it is not set.
std::optional<Wish> setting(std::string_view line) {
  if (line.starts_with("# CONFIG_") && line.ends_with(not_set)) {
    line.remove_prefix(2 + prefix.size());
    line.remove_suffix(not_set.size());
    return Wish{std::string(line), "n", {}};
  }
  if (!line.starts_with(prefix)) return std::nullopt;
  const auto equal = line.find('=');
  if (equal == std::string_view::npos || equal + 1 == line.size()) return std::nullopt;
  return Wish{std::string(line.substr(prefix.size(), equal - prefix.size())),
              std::string(line.substr(equal + 1)),
              {}};
}

/// Which of the symbols some Kconfig file below the tree declares.
std::set<std::string, std::less<>> declared(const fs::path& tree,
                                            const std::set<std::string, std::less<>>& symbols) {
  std::set<std::string, std::less<>> found;
  std::error_code error;
  for (auto at = fs::recursive_directory_iterator(tree, error);
       !error && at != fs::recursive_directory_iterator(); at.increment(error)) {
    const auto name = at->path().filename().string();
    if (name == "Documentation" || name == ".git") at.disable_recursion_pending();
    if (!name.starts_with("Kconfig")) continue;
    std::ifstream file(at->path());
    for (std::string line; std::getline(file, line);) {
      for (const std::string_view keyword : {"config ", "menuconfig "}) {
        if (!line.starts_with(keyword)) continue;
        const auto symbol = trimmed(std::string_view(line).substr(keyword.size()));
        if (symbols.contains(symbol)) found.emplace(symbol);
      }
    }
  }
  return found;
}

}  // namespace

Result<std::vector<Wish>> parse_fragment(std::string_view text) {
  std::vector<Wish> wishes;
  std::string excuse;
  std::optional<KernelError> wrong;
  each_line(text, [&](std::string_view line, int number) {
    line = trimmed(line);
    if (line.starts_with("#?")) {
      excuse = trimmed(line.substr(2));
      return;
    }
    if (auto wish = setting(line)) {
      wish->excuse = std::move(excuse);
      wishes.push_back(std::move(*wish));
    } else if (!line.empty() && !line.starts_with('#') && !wrong) {
      wrong = KernelError{fmt::format("configuration fragment, line {}: '{}' is neither "
                                      "CONFIG_X=value nor a comment",
                                      number, line),
                          KernelError::Cause::input};
    }
    excuse.clear();
  });
  if (wrong) return tl::unexpected(*wrong);
  return wishes;
}

Result<std::vector<Wish>> merge_fragments(const std::vector<std::string>& texts) {
  std::vector<Wish> merged;
  for (const auto& text : texts) {
    auto wishes = parse_fragment(text);
    if (!wishes) return wishes;
    for (auto& wish : *wishes) {
      std::erase_if(merged, [&wish](const Wish& other) { return other.symbol == wish.symbol; });
      merged.push_back(std::move(wish));
    }
  }
  return merged;
}

std::string write_fragment(const std::vector<Wish>& wishes) {
  std::string text;
  for (const auto& wish : wishes) {
    text += wish.value == "n" ? fmt::format("# CONFIG_{} is not set\n", wish.symbol)
                              : fmt::format("CONFIG_{}={}\n", wish.symbol, wish.value);
  }
  return text;
}

std::string config_value(std::string_view config, std::string_view symbol) {
  std::string value = "n";
  each_line(config, [&](std::string_view line, int) {
    if (const auto set = setting(line); set && set->symbol == symbol) value = set->value;
  });
  return value;
}

std::vector<std::string> refused_wishes(const std::vector<Wish>& wishes, std::string_view config,
                                        const fs::path& tree) {
  std::vector<const Wish*> missed;
  std::set<std::string, std::less<>> symbols;
  for (const auto& wish : wishes) {
    if (!wish.excuse.empty() || config_value(config, wish.symbol) == wish.value) continue;
    missed.push_back(&wish);
    symbols.insert(wish.symbol);
  }
  std::vector<std::string> lines;
  if (missed.empty()) return lines;
  const auto known = declared(tree, symbols);
  for (const Wish* wish : missed) {
    if (!known.contains(wish->symbol)) continue;
    lines.push_back(fmt::format("CONFIG_{}: {} was wanted, {} is what kconfig made of it",
                                wish->symbol, wish->value, config_value(config, wish->symbol)));
  }
  return lines;
}

Result<std::string> hosted_fragment() {
  return read_file(fs::path(LOCKSTEP_SOURCE_DIR) / "hw/kernels/hosted.config");
}

}  // namespace lockstep::hw::kernels
