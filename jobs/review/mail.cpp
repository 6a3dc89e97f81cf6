// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/review/mail.h"

#include <algorithm>
#include <cctype>

#include "jobs/review/decode.h"
#include "jobs/review/lines.h"

namespace lockstep::jobs::review {
namespace {

/// Parts within parts: more than this is no mail of a list.
constexpr unsigned deepest_part = 8;

using Headers = std::map<std::string, std::string>;

std::string value_of(const Headers& headers, const std::string& name) {
  const auto found = headers.find(name);
  return found == headers.end() ? "" : found->second;
}

std::string_view take_line(std::string_view& text) {
  const auto newline = text.find('\n');
  auto line = text.substr(0, newline);
  text = newline == std::string_view::npos ? "" : text.substr(newline + 1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

/// Where the name of a header ends; 0 if the line is none.
std::size_t header_name(std::string_view line) {
  const auto colon = line.find(':');
  if (colon == std::string_view::npos || colon == 0 || colon > 60) return 0;
  const bool name = std::all_of(line.begin(), line.begin() + static_cast<std::ptrdiff_t>(colon),
                                [](unsigned char c) { return c > 32 && c < 127; });
  return name ? colon : 0;
}

/// Headers up to the empty line, or to the first line that is none.
Headers take_headers(std::string_view& text) {
  Headers headers;
  std::string last;
  while (!text.empty()) {
    auto rest = text;
    const auto line = take_line(rest);
    if (line.empty()) {
      text = rest;
      break;
    }
    if ((line.front() == ' ' || line.front() == '\t') && !last.empty()) {
      headers[last] += " " + std::string(trimmed(line));
    } else if (const auto colon = header_name(line); colon != 0) {
      last = lower(line.substr(0, colon));
      auto& value = headers[last];
      // The first of its name: list software adds its own further up.
      if (value.empty()) value = trimmed(line.substr(colon + 1));
    } else {
      break;
    }
    text = rest;
  }
  for (auto& [name, value] : headers) value = decode_words(value);
  return headers;
}

/// `name=value` of a Content-Type, in lower case but for the boundary.
std::string parameter(std::string_view header, std::string_view name) {
  const auto low = lower(header);
  auto at = low.find(std::string(name) + "=");
  while (at != std::string::npos && at > 0 && low[at - 1] != ';' && low[at - 1] != ' ') {
    at = low.find(std::string(name) + "=", at + 1);
  }
  if (at == std::string::npos) return "";
  auto value = header.substr(at + name.size() + 1);
  if (value.starts_with('"')) {
    value.remove_prefix(1);
    return std::string(value.substr(0, value.find('"')));
  }
  return std::string(trimmed(value.substr(0, value.find(';'))));
}

/// Parts with text that may be or hold a patch.
bool holds_patch(std::string_view type) {
  return type.empty() || type.starts_with("text/plain") || type.find("patch") != type.npos ||
         type.find("diff") != type.npos || type.starts_with("message/");
}

void add_part(const Headers& headers, std::string_view text, unsigned depth, Mail& mail);

void add_parts(std::string_view text, const std::string& boundary, unsigned depth, Mail& mail) {
  const std::string mark = "--" + boundary;
  std::string_view part;
  bool within = false;
  while (!text.empty()) {
    const auto before = text;
    const auto line = take_line(text);
    if (!line.starts_with(mark)) {
      if (within) part = {part.data(), part.size() + (before.size() - text.size())};
      continue;
    }
    if (within) {
      auto headers = take_headers(part);
      add_part(headers, part, depth + 1, mail);
    }
    if (line.starts_with(mark + "--")) return;
    within = true;
    part = text.substr(0, 0);
  }
  if (!within) return;
  // The mail was cut off: what is there may still be of use.
  auto headers = take_headers(part);
  add_part(headers, part, depth + 1, mail);
}

void add_part(const Headers& headers, std::string_view text, unsigned depth, Mail& mail) {
  const auto type = value_of(headers, "content-type");
  const auto low = lower(type);
  if (low.starts_with("multipart/")) {
    const auto boundary = parameter(type, "boundary");
    if (!boundary.empty() && depth < deepest_part) add_parts(text, boundary, depth, mail);
    return;
  }
  const bool attached_patch =
      parameter(value_of(headers, "content-disposition"), "filename").ends_with(".patch");
  if (!holds_patch(low) && !attached_patch) return;
  const auto encoding = lower(value_of(headers, "content-transfer-encoding"));
  std::string plain = encoding == "quoted-printable" ? decode_quoted_printable(text)
                      : encoding == "base64"         ? decode_base64(text)
                                                     : std::string(text);
  mail.body += to_utf8(std::move(plain), parameter(type, "charset"));
  if (!mail.body.empty() && mail.body.back() != '\n') mail.body += '\n';
  mail.flowed = mail.flowed || lower(parameter(type, "format")) == "flowed";
  mail.delete_space = mail.delete_space || lower(parameter(type, "delsp")) == "yes";
}

bool looks_like_subject(std::string_view line) {
  const auto low = lower(line);
  return low.starts_with("re: ") || low.starts_with("[patch") || low.starts_with("[rfc");
}

/// "From NAME ... 2022": the line between the mails of a mailbox.
bool is_separator(std::string_view line) {
  if (!line.starts_with("From ") || line.size() < 10) return false;
  // A year ends it, or a year and a zone.
  const auto words = trimmed(line);
  const auto digits = std::ranges::count_if(words.substr(words.size() - 5),
                                            [](unsigned char c) { return std::isdigit(c) != 0; });
  return digits >= 4 && words.find(':') != std::string_view::npos;
}

}  // namespace

std::string Mail::header(const std::string& name) const { return value_of(headers, name); }

Mail parse_mail(std::string_view text) {
  Mail mail;
  auto rest = text;
  if (is_separator(rest.substr(0, rest.find('\n')))) take_line(rest);
  while (rest.starts_with('\n') || rest.starts_with("\r\n")) take_line(rest);
  // A page of an archive: the subject alone, then headers.
  std::string title;
  const auto first = rest.substr(0, rest.find('\n'));
  if (looks_like_subject(first)) {
    title = trimmed(first);
    take_line(rest);
  }
  const auto body = rest;
  mail.headers = take_headers(rest);
  const bool is_mail = mail.headers.contains("subject") || mail.headers.contains("from") ||
                       mail.headers.contains("content-type");
  if (!is_mail) {
    mail.headers.clear();
    rest = body;
  }
  if (!title.empty()) mail.headers["subject"] = decode_words(title);
  if (is_mail) {
    add_part(mail.headers, rest, 0, mail);
  } else {
    mail.body = rest;
  }
  return mail;
}

std::vector<std::string_view> split_mailbox(std::string_view text) {
  std::vector<std::string_view> mails;
  auto rest = text;
  while (rest.starts_with('\n') || rest.starts_with("\r\n")) take_line(rest);
  if (!is_separator(rest.substr(0, rest.find('\n')))) return {text};
  const char* begin = rest.data();
  bool after_blank = false;
  while (!rest.empty()) {
    const char* const at = rest.data();
    const auto line = take_line(rest);
    if (after_blank && is_separator(line)) {
      mails.emplace_back(begin, static_cast<std::size_t>(at - begin));
      begin = at;
    }
    after_blank = line.empty();
  }
  mails.emplace_back(begin, static_cast<std::size_t>(text.data() + text.size() - begin));
  return mails;
}

}  // namespace lockstep::jobs::review
