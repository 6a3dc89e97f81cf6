// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/schedule/failure.h"

#include <algorithm>
#include <vector>

namespace lockstep::props::schedule {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f'); }
bool in_word(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/// What each thread waits at, where nobody can run: fewer threads wait at fewer places.
std::vector<std::string> places(std::string_view gist) {
  std::vector<std::string> all;
  constexpr std::string_view waits = " waits at ";
  for (std::size_t at; (at = gist.find(waits)) != gist.npos;) {
    gist.remove_prefix(at + waits.size());
    all.emplace_back(gist.substr(0, gist.find(',')));
  }
  return all;
}

}  // namespace

std::string gist(std::string_view text) {
  std::string words;
  for (std::size_t at = 0; at < text.size();) {
    if (!in_word(text[at])) {
      words += text[at++];
      continue;
    }
    std::size_t end = at;
    while (end < text.size() && in_word(text[end])) ++end;
    const auto word = text.substr(at, end - at);
    const char before = at == 0 ? ' ' : text[at - 1];
    const char behind = end == text.size() ? ' ' : text[end];
    // The line of a source tells one place from another.
    const bool line = before == ':' && at > 2 && text[at - 3] == '.';
    const bool number = is_digit(word.front()) || before == '+' ||
                        (behind == '[' && std::ranges::all_of(word, is_hex));
    words += number && !line ? std::string_view("#") : word;
    at = end;
  }
  return words;
}

bool same_bug(const Failure& one, const Failure& smaller) {
  if (one.kind != smaller.kind) return false;
  const auto whole = gist(one.text);
  const auto part = gist(smaller.text);
  if (whole == part) return true;
  const auto all = places(whole);
  const auto some = places(part);
  return !some.empty() && std::ranges::all_of(some, [&](const std::string& place) {
    return std::ranges::find(all, place) != all.end();
  });
}

}  // namespace lockstep::props::schedule
