// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/review/submission.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <set>

#include "jobs/review/diff_text.h"
#include "jobs/review/lines.h"
#include "jobs/review/mail.h"

namespace lockstep::jobs::review {
namespace {

unsigned number_of(std::string_view word) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  return error == std::errc() && end == word.data() + word.size() ? value : 0;
}

/// "PATCH v3 1/9" between brackets.
void read_tag(std::string_view tag, SubjectParts& parts) {
  while (!tag.empty()) {
    const auto space = tag.find(' ');
    const auto word = tag.substr(0, space);
    tag = space == std::string_view::npos ? "" : tag.substr(space + 1);
    const auto slash = word.find('/');
    if (slash != std::string_view::npos) {
      const auto total = number_of(word.substr(slash + 1));
      if (total == 0) continue;
      parts.number = number_of(word.substr(0, slash));
      parts.total = total;
    } else if (word.size() > 1 && (word[0] == 'v' || word[0] == 'V')) {
      parts.version = std::max(1u, number_of(word.substr(1)));
    }
  }
}

bool is_hash(std::string_view word) {
  return word.size() >= 7 && word.size() <= 64 && std::ranges::all_of(word, [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

/// base-commit and prerequisites (git-format-patch, "Base tree information"), and
/// the author's own From: as the first line that says something.
void read_body(std::string_view body, SubmittedPatch& patch) {
  bool first = true;
  for (const auto line : lines_of(body)) {
    auto text = line;
    if (first && !trimmed(text).empty()) {
      if (text.starts_with("From: ")) patch.author = trimmed(text.substr(6));
      first = false;
    }
    for (const std::string_view key : {"base-commit: ", "prerequisite-patch-id: "}) {
      if (!text.starts_with(key)) continue;
      const auto hash = trimmed(text.substr(key.size()));
      if (!is_hash(hash)) continue;
      if (key.starts_with('b')) {
        patch.base_commit = hash;
      } else {
        patch.prerequisites.emplace_back(hash);
      }
    }
  }
}

bool has_patch(const SubmittedPatch& patch) {
  return !patch.diff.empty() || !patch.damaged.empty();
}

}  // namespace

SubjectParts parse_subject(std::string_view subject) {
  SubjectParts parts;
  while (true) {
    subject = trimmed(subject);
    const auto low = lower(subject.substr(0, 4));
    if (low.starts_with("re:") || low.starts_with("aw:")) {
      parts.reply = true;
      subject.remove_prefix(3);
    } else if (low.starts_with("fwd:")) {
      subject.remove_prefix(4);
    } else if (subject.starts_with('[') && subject.find(']') != std::string_view::npos) {
      const auto end = subject.find(']');
      read_tag(subject.substr(1, end - 1), parts);
      subject.remove_prefix(end + 1);
    } else {
      parts.title = subject;
      return parts;
    }
  }
}

std::vector<SubmittedPatch> patches_in(std::string_view text, const std::string& origin) {
  std::vector<SubmittedPatch> patches;
  const auto mails = split_mailbox(text);
  for (std::size_t i = 0; i < mails.size(); ++i) {
    const auto mail = parse_mail(mails[i]);
    const auto parts = parse_subject(mail.header("subject"));
    auto extracted = extract_diff(mail.body, mail.flowed, mail.delete_space);
    SubmittedPatch patch;
    patch.subject = parts.title;
    patch.version = parts.version;
    patch.number = parts.number;
    patch.total = parts.total;
    patch.reply = parts.reply;
    patch.author = mail.header("from");
    patch.origin = mails.size() == 1 ? origin : fmt::format("{}, mail {}", origin, i + 1);
    patch.diff = std::move(extracted.diff);
    patch.notes = std::move(extracted.notes);
    patch.damaged = std::move(extracted.damaged);
    patch.damage = std::move(extracted.damage);
    read_body(mail.body, patch);
    if (patch.subject.empty()) patch.subject = origin;
    patches.push_back(std::move(patch));
  }
  return patches;
}

tl::expected<Submission, std::string> arrange(std::vector<SubmittedPatch> patches) {
  Submission made;
  if (patches.empty()) return tl::unexpected(std::string("there is no mail and no patch"));
  for (const auto& patch : patches) {
    if (made.base_commit.empty()) made.base_commit = patch.base_commit;
    for (const auto& id : patch.prerequisites) made.prerequisites.push_back(id);
  }
  const auto silent = std::ranges::count_if(patches, [](const auto& p) { return !has_patch(p); });
  std::erase_if(patches, [](const auto& patch) { return !has_patch(patch); });
  if (patches.empty()) {
    return tl::unexpected(
        fmt::format("no diff in {} mail{} or file{}: a unified diff with '--- ', "
                    "'+++ ' and '@@' lines was expected",
                    silent, silent == 1 ? "" : "s", silent == 1 ? "" : "s"));
  }
  const bool originals = std::ranges::any_of(patches, [](const auto& p) { return !p.reply; });
  if (originals) {
    const auto answers = std::erase_if(patches, [](const auto& p) { return p.reply; });
    if (answers != 0) made.notes.push_back(fmt::format("{} answers that quote a diff", answers));
  }
  if (silent != 0) {
    made.notes.push_back(
        fmt::format("{} mail{} without a diff left out", silent, silent == 1 ? "" : "s"));
  }
  const auto newest = std::ranges::max(patches, {}, &SubmittedPatch::version).version;
  if (std::ranges::any_of(patches, [](const auto& p) { return p.total != 0; })) {
    const auto older = std::erase_if(patches, [&](const auto& p) { return p.version != newest; });
    if (older != 0) {
      made.notes.push_back(
          fmt::format("{} patches of versions before v{} left out", older, newest));
    }
    std::ranges::stable_sort(patches, {}, &SubmittedPatch::number);
    std::set<std::pair<unsigned, std::string>> seen;
    std::erase_if(patches, [&](const auto& p) {
      return !seen.insert({p.number, p.subject}).second;
    });
    std::set<unsigned> numbers;
    for (const auto& patch : patches) numbers.insert(patch.number);
    const auto total = patches.back().total;
    std::vector<std::string> missing;
    // A hostile total must not make a long loop.
    for (unsigned i = 1; i <= total && missing.size() < 20; ++i) {
      if (!numbers.contains(i)) missing.push_back(std::to_string(i));
    }
    if (!missing.empty()) {
      std::string list;
      for (const auto& number : missing) list += (list.empty() ? "" : ", ") + number;
      made.notes.push_back(fmt::format("of {} patches not here: {}", total, list));
    }
  }
  made.patches = std::move(patches);
  return made;
}

}  // namespace lockstep::jobs::review
