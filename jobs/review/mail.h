// SPDX-License-Identifier: GPL-2.0-or-later
/// Mail as lists carry it: headers, MIME, mailboxes. Untrusted text; nothing here
/// fails, and what is no mail is a body without headers.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace lockstep::jobs::review {

struct Mail {
  std::map<std::string, std::string> headers;  ///< names in lower case, values unfolded, UTF-8
  /// Decoded text: of several parts those that are plain text or patches, in order.
  std::string body;
  bool flowed = false;        ///< Content-Type: ...; format=flowed
  bool delete_space = false;  ///< ...; delsp=yes

  /// Empty if there is none.
  std::string header(const std::string& name) const;
};

/// One mail, or a page of an archive that begins with the subject; a text without
/// headers is all body.
Mail parse_mail(std::string_view text);

/// The mails of a mailbox ("From " lines, RFC 4155, also those of git format-patch);
/// the whole text if it is none.
std::vector<std::string_view> split_mailbox(std::string_view text);

}  // namespace lockstep::jobs::review
