// SPDX-License-Identifier: GPL-2.0-or-later
#include "spec/text_config.h"

#include <fmt/format.h>

#include "spec/text_wrap.h"

namespace lockstep::spec::text {

bool ConfigParser::roots(std::vector<Gpa>& roots) {
  roots.clear();
  do {
    if (roots.size() == most_roots) {
      return cursor_.fail(fmt::format("at most {} roots", most_roots));
    }
    Gpa root = 0;
    if (!cursor_.number(root, "the gpa of a root table")) return false;
    roots.push_back(root);
  } while (cursor_.accept_symbol(","));
  return true;
}

bool ConfigParser::setting(Configuration& configuration) {
  if (options_.key("paging")) {
    return cursor_.choice(configuration.paging, paging_names, "a paging mode");
  }
  if (options_.key("mmu")) return cursor_.choice(configuration.mmu, mmu_names, "an MMU");
  if (options_.key("vcpus")) return cursor_.number(configuration.vcpus, "a number of vCPUs");
  if (options_.key("maxphyaddr"))
    return cursor_.number(configuration.maxphyaddr, "a width in bits");
  if (options_.key("dirty-log")) {
    return cursor_.choice(configuration.dirty_log, dirty_log_names, "a dirty-log mode");
  }
  if (options_.key("smm")) return cursor_.choice(configuration.smm, switch_names, "a switch");
  if (options_.key("slot-zap-all")) {
    return cursor_.choice(configuration.slot_zap_all, switch_names, "a switch");
  }
  if (options_.key("memory")) return cursor_.number(configuration.memory, "a size in bytes");
  if (options_.key("roots")) return roots(configuration.roots);
  if (options_.key("tables")) return cursor_.number(configuration.tables, "a gpa");
  for (const auto& control : control_names) {
    if (!options_.key(control.word)) continue;
    bool on = false;
    if (!cursor_.choice(on, switch_names, "a switch")) return false;
    configuration.control.set(control.value, on);
    return true;
  }
  return cursor_.fail_listing("a setting of the configuration");
}

bool ConfigParser::line(Configuration& configuration) {
  do {
    if (!setting(configuration)) return false;
  } while (!cursor_.failed() && !cursor_.at_line_end() && !cursor_.at_comment());
  return !cursor_.failed();
}

namespace {

std::string print_roots(const std::vector<Gpa>& roots, std::string_view separator) {
  std::string out = "roots=";
  for (std::size_t i = 0; i < roots.size(); ++i) {
    if (i > 0) out += separator;
    out += fmt::format("0x{:x}", roots[i]);
  }
  return out;
}

}  // namespace

void print_config(std::string& out, const Configuration& configuration) {
  static constexpr std::string_view head = "config";
  const Configuration standard;
  std::string line(head);
  const auto flush = [&] {
    if (line.size() > head.size()) out += line + '\n';
    line = head;
  };
  const auto setting = [&](const std::string& text) {
    if (line.size() + 1 + text.size() > line_width) flush();
    line += ' ';
    line += text;
  };
  setting(fmt::format("paging={}", word_of(paging_names, configuration.paging)));
  if (configuration.mmu != standard.mmu) {
    setting(fmt::format("mmu={}", word_of(mmu_names, configuration.mmu)));
  }
  if (configuration.vcpus != standard.vcpus) setting(fmt::format("vcpus={}", configuration.vcpus));
  if (configuration.maxphyaddr != standard.maxphyaddr) {
    setting(fmt::format("maxphyaddr={}", configuration.maxphyaddr));
  }
  if (configuration.dirty_log != standard.dirty_log) {
    setting(fmt::format("dirty-log={}", word_of(dirty_log_names, configuration.dirty_log)));
  }
  if (configuration.smm != standard.smm) {
    setting(fmt::format("smm={}", word_of(switch_names, configuration.smm)));
  }
  if (configuration.slot_zap_all != standard.slot_zap_all) {
    setting(fmt::format("slot-zap-all={}", word_of(switch_names, configuration.slot_zap_all)));
  }
  if (configuration.memory != standard.memory) {
    setting(fmt::format("memory=0x{:x}", configuration.memory));
  }
  if (configuration.roots != standard.roots) {
    const std::string roots = print_roots(configuration.roots, ",");
    if (head.size() + 1 + roots.size() <= line_width) {
      setting(roots);
    } else {
      flush();
      append_wrapped(out, "config " + print_roots(configuration.roots, ", "));
      out += '\n';
    }
  }
  if (configuration.tables != standard.tables) {
    setting(fmt::format("tables=0x{:x}", configuration.tables));
  }
  for (const auto& control : control_names) {
    const bool on = configuration.control.has(control.value);
    if (on == standard.control.has(control.value)) continue;
    setting(fmt::format("{}={}", control.word, word_of(switch_names, on)));
  }
  flush();
}

}  // namespace lockstep::spec::text
