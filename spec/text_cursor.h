// SPDX-License-Identifier: GPL-2.0-or-later
/// Reading position in program text: words, symbols, numbers, and the first
/// error with its line, its column and the words that would have been right.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

#include "spec/program.h"
#include "spec/text_names.h"

namespace lockstep::spec::text {

/// The position always stands on a token, a comment, or the end of a line:
/// blanks are skipped behind each token, and so is a backslash that ends a
/// line, which makes the next line part of this one.
///
/// After the first error every reading function fails; the error stays.
/// The text must have passed find_bad_byte() and must outlive the cursor.
class Cursor {
 public:
  explicit Cursor(std::string_view text) : text_(text) { settle(); }

  bool failed() const { return failed_; }
  const ParseError& error() const { return error_; }

  bool at_end() const { return at_ == text_.size(); }
  bool at_line_end() const { return at_end() || text_[at_] == '\n' || text_[at_] == '\r'; }
  bool at_comment() const { return !at_end() && text_[at_] == '#'; }

  /// Step over the end of a line, to the first token of the next.
  void next_line();
  /// From the position to the end of the line, without blanks at its end.
  std::string_view rest_of_line();
  /// Take the word and, as `rest`, the line behind it: free text, in which a
  /// backslash continues nothing.
  bool accept_line(std::string_view word, std::string_view& rest);

  /// Letters, digits, '.', '_' and '-' at the position; empty if there are none.
  std::string_view word() const { return word_; }
  /// Take the word if it is this one; otherwise remember it as one that would
  /// have been right here.
  bool accept(std::string_view word);
  void take_word() { advance(word_.size()); }

  bool accept_symbol(std::string_view symbol);
  bool expect_symbol(std::string_view symbol);

  /// Take "#PF" and the like, which only stand behind the arrow; anywhere else
  /// the same bytes are a comment.
  std::string_view exception_word() const;
  bool accept_exception(std::string_view word);

  /// Take a number, decimal or with 0x, of at most `most`. `what` names it in
  /// errors: "the slot's number".
  bool number(std::uint64_t& out, std::string_view what,
              std::uint64_t most = std::numeric_limits<std::uint64_t>::max());
  bool number(unsigned& out, std::string_view what,
              unsigned most = std::numeric_limits<unsigned>::max());

  /// Take one of the table's words.
  template <typename T, std::size_t N>
  bool choice(T& out, const std::array<Named<T>, N>& names, std::string_view what) {
    if (failed_) return false;
    for (const auto& named : names) {
      if (accept(named.word)) {
        out = named.value;
        return true;
      }
    }
    return fail_listing(what);
  }

  /// Take one or more adjacent strings in double quotes, as one.
  bool quoted(std::string& out);

  /// Report an error at the position, unless there is one. Always false.
  bool fail(std::string expected);
  /// The same, with the words that were tried here appended to `what`.
  bool fail_listing(std::string_view what);

 private:
  void advance(std::size_t bytes);
  void settle();
  void remember(std::string_view word);
  std::string found() const;

  std::string_view text_;
  std::size_t at_ = 0;
  std::size_t line_start_ = 0;
  unsigned line_ = 1;
  std::string_view word_;
  /// Words that did not match at this position.
  std::array<std::string_view, 40> tried_{};
  std::size_t tried_count_ = 0;
  bool failed_ = false;
  ParseError error_;
};

/// Digits of `word` as a number; what is wrong with it otherwise.
enum class NumberFault : std::uint8_t { none, not_a_number, too_large };
NumberFault parse_number(std::string_view word, std::uint64_t& out);

/// Options behind a command, in any order, each at most once.
class Options {
 public:
  explicit Options(Cursor& cursor) : cursor_(cursor) {}
  /// Take the flag if it stands here.
  bool flag(std::string_view word);
  /// Take `word` and the '=' behind it if the word stands here.
  bool key(std::string_view word);
  bool seen(std::string_view word) const;

 private:
  Cursor& cursor_;
  std::array<std::string_view, 24> seen_{};
  std::size_t count_ = 0;
};

}  // namespace lockstep::spec::text
