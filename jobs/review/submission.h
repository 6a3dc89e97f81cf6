// SPDX-License-Identifier: GPL-2.0-or-later
/// What somebody sent: a patch or a series, in the order in which it is applied.
#pragma once

#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

namespace lockstep::jobs::review {

struct SubmittedPatch {
  std::string subject;   ///< without "[PATCH v3 1/9]"
  std::string author;    ///< of the patch: From: within the body wins
  std::string origin;    ///< file, and which of its mails
  unsigned version = 1;  ///< [PATCH v3]
  unsigned number = 0;   ///< [PATCH 1/9]; 0 if it is alone
  unsigned total = 0;
  bool reply = false;                      ///< the mail answers another one
  std::string diff;                        ///< unified, level -p1; empty if it came damaged
  std::vector<std::string> notes;          ///< what was undone to read it
  std::vector<std::string> damaged;        ///< lines for repair(), if the diff is empty
  std::string damage;                      ///< what is wrong with them
  std::string base_commit;                 ///< git format-patch --base; may be empty
  std::vector<std::string> prerequisites;  ///< prerequisite-patch-id lines
};

struct Submission {
  std::vector<SubmittedPatch> patches;
  std::string base_commit;  ///< of any mail; empty if none says one
  std::vector<std::string> prerequisites;
  std::vector<std::string> notes;  ///< cover letter, older versions, missing parts
};

/// "[PATCH v3 1/9] KVM: x" in its parts.
struct SubjectParts {
  std::string title;
  unsigned version = 1;
  unsigned number = 0;
  unsigned total = 0;
  bool reply = false;
};
SubjectParts parse_subject(std::string_view subject);

/// Every patch of a text: a mailbox, one mail, or a bare diff. `origin` names it in
/// messages. Mails without a diff are no patches. Never fails.
std::vector<SubmittedPatch> patches_in(std::string_view text, const std::string& origin);

/// Put patches of one or more files in order: the newest version of a series by its
/// numbers, files in the order given, answers only where nothing else has a diff.
/// The error says why nothing is left to apply.
tl::expected<Submission, std::string> arrange(std::vector<SubmittedPatch> patches);

}  // namespace lockstep::jobs::review
