// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/hosted/build/stubs.h"

#include <fmt/format.h>
#include <algorithm>
#include <array>

namespace lockstep::hw::hosted {
namespace {

template <typename Each>
void each_line(std::string_view text, Each each) {
  while (!text.empty()) {
    const auto end = text.find('\n');
    each(text.substr(0, end));
    text = end == std::string_view::npos ? "" : text.substr(end + 1);
  }
}

bool of_process(std::string_view symbol) {
  constexpr std::array<std::string_view, 5> functions = {"memcpy", "memset", "memmove", "memcmp",
                                                         "bcmp"};
  constexpr std::array<std::string_view, 4> runtimes = {"__asan_", "__tsan_", "__ubsan_",
                                                        "__sanitizer_"};
  return std::find(functions.begin(), functions.end(), symbol) != functions.end() ||
         std::any_of(runtimes.begin(), runtimes.end(), [&](std::string_view start) {
           return symbol.substr(0, start.size()) == start;
         });
}

bool is_zero(std::string_view symbol, const std::set<std::string>& zero) {
  return std::any_of(zero.begin(), zero.end(), [&](std::string_view name) {
    if (!name.ends_with('*')) return symbol == name;
    return symbol.starts_with(name.substr(0, name.size() - 1));
  });
}

}  // namespace

std::set<std::string> undefined_symbols(std::string_view linker_output) {
  constexpr std::string_view mark = "undefined reference to `";
  std::set<std::string> symbols;
  each_line(linker_output, [&](std::string_view line) {
    const auto at = line.find(mark);
    if (at == std::string_view::npos) return;
    line.remove_prefix(at + mark.size());
    symbols.emplace(line.substr(0, line.find('\'')));
  });
  return symbols;
}

std::set<std::string> listed_symbols(std::string_view list) {
  std::set<std::string> symbols;
  each_line(list, [&](std::string_view line) {
    if (line.empty() || line.front() == '#') return;
    symbols.emplace(line.substr(0, line.find(' ')));
  });
  return symbols;
}

std::set<std::string> called_symbols(std::string_view relocations) {
  constexpr std::string_view call = "R_X86_64_PLT32";
  std::set<std::string> symbols;
  each_line(relocations, [&](std::string_view line) {
    auto at = line.find(call);
    if (at == std::string_view::npos) return;
    at = line.find_first_not_of(' ', at + call.size());
    if (at == std::string_view::npos) return;
    line.remove_prefix(at);
    symbols.emplace(line.substr(0, line.find_first_of("+-")));
  });
  return symbols;
}

Stubs write_stubs(const std::set<std::string>& undefined, const KnownSymbols& known) {
  Stubs stubs;
  std::string& text = stubs.source;
  text =
      "extern void hosted_stub(const char *);\n"
      "struct import { const char *name; void *slot; };\n";
  for (const std::string& symbol : undefined) {
    if (of_process(symbol)) {
      text += fmt::format(
          "void *hosted_slot_{0};\n"
          "asm(\".text\\n.globl {0}\\n{0}: jmp *hosted_slot_{0}(%rip)\\n\");\n"
          "static const struct import import_{0}\n"
          "    __attribute__((section(\"hosted_imports\"), used)) = {{\"{0}\", "
          "&hosted_slot_{0}}};\n",
          symbol);
    } else if (known.harmless.count(symbol) != 0) {
      // Counted, so that a run shows which of the reasons it leaned on.
      text += fmt::format(
          "unsigned long hosted_calls_{0};\n"
          "long {0}(void) {{ ++hosted_calls_{0}; return 0; }}\n",
          symbol);
    } else if (known.called.count(symbol) != 0) {
      text += fmt::format("long {0}(void) {{ hosted_stub(\"{0}\"); return 0; }}\n", symbol);
    } else if (is_zero(symbol, known.zero)) {
      text += fmt::format("char {}[4096] __attribute__((aligned(64)));\n", symbol);
    } else {
      stubs.absent.push_back(symbol);
    }
  }
  return stubs;
}

}  // namespace lockstep::hw::hosted
