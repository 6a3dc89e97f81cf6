// SPDX-License-Identifier: GPL-2.0-or-later
/// The unified diff within a text: between a message, quotes and a signature.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lockstep::jobs::review {

struct DiffText {
  std::vector<std::string> lines;  ///< of the diff alone: file headers and hunks
  std::size_t hunks = 0;
  bool files_only = false;  ///< renames, modes or binary files: no hunk is needed
  /// Line of the text (from 1) and what is wrong with the first hunk that is none.
  std::optional<std::pair<std::size_t, std::string>> damage;

  bool any() const { return hunks != 0 || files_only; }
};

/// Take the diff out of a text. Each hunk ends when its counted lines are there; a
/// damaged one ends it.
DiffText take_diff(const std::vector<std::string_view>& lines);

/// What became of the body of a mail.
struct ExtractedDiff {
  std::string diff;                ///< empty if there is none
  std::vector<std::string> notes;  ///< what had to be undone, in words
  /// Without a whole diff: the lines of the best attempt, for repair() against a
  /// tree, and what is wrong with them.
  std::vector<std::string> damaged;
  std::string damage;
};

/// Take the diff out of a mail's body: as it is; with format=flowed undone
/// (RFC 3676) if `flowed`; with the quotes of a reply ("> ") taken off, the
/// answers between them dropped.
ExtractedDiff extract_diff(std::string_view body, bool flowed, bool delete_space);

}  // namespace lockstep::jobs::review
