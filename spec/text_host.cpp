// SPDX-License-Identifier: GPL-2.0-or-later
#include "spec/text_host.h"

#include <fmt/format.h>

#include <iterator>

#include "spec/text_wrap.h"

namespace lockstep::spec::text {

bool at_host_parameters(const Cursor& cursor) {
  if (cursor.word() != "host") return false;
  Cursor ahead = cursor;
  ahead.take_word();
  ahead.take_word();
  return ahead.accept_symbol("=");
}

bool HostParser::parameter(HostParameters& host) {
  if (options_.key("vendor")) {
    return cursor_.choice(host.vendor.emplace(), vendor_names, "a vendor");
  }
  for (const auto& parameter : host_switch_names) {
    if (!options_.key(parameter.word)) continue;
    return cursor_.choice((host.*parameter.value).emplace(), parameter_names, "a switch");
  }
  if (options_.key("fail-allocation")) {
    return cursor_.number(host.fail_allocation.emplace(), "the number of an allocation");
  }
  if (options_.key("race")) {
    return cursor_.number(host.race.emplace(), "the number of a page lookup");
  }
  return cursor_.fail_listing("a parameter of the host");
}

bool HostParser::line(HostParameters& host) {
  do {
    if (!parameter(host)) return false;
  } while (!cursor_.failed() && !cursor_.at_line_end() && !cursor_.at_comment());
  return !cursor_.failed();
}

void print_host(std::string& out, const HostParameters& host) {
  if (host == HostParameters{}) return;
  std::string line = "host";
  const auto put = std::back_inserter(line);
  if (host.vendor) fmt::format_to(put, " vendor={}", word_of(vendor_names, *host.vendor));
  for (const auto& parameter : host_switch_names) {
    const std::optional<bool>& value = host.*parameter.value;
    if (value) fmt::format_to(put, " {}={}", parameter.word, word_of(parameter_names, *value));
  }
  if (host.fail_allocation) fmt::format_to(put, " fail-allocation={}", *host.fail_allocation);
  if (host.race) fmt::format_to(put, " race={}", *host.race);
  append_wrapped(out, line);
  out += '\n';
}

bool parse_host_change(Cursor& cursor, HostChange& out) {
  if (!cursor.choice(out.action, host_action_names, "what the host does")) return false;
  Options options(cursor);
  for (;;) {
    if (options.key("hva")) {
      if (!cursor.number(out.hva, "an offset in the host memory")) return false;
    } else if (options.key("size")) {
      if (!cursor.number(out.size, "a size in bytes")) return false;
    } else {
      break;
    }
  }
  if (!options.seen("hva")) return cursor.fail("`hva=` and an offset in the host memory");
  if (!options.seen("size")) return cursor.fail("`size=` and a number of bytes");
  return !cursor.failed();
}

}  // namespace lockstep::spec::text
