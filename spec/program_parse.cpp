// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "spec/program.h"
#include "spec/text_command.h"
#include "spec/text_config.h"
#include "spec/text_cursor.h"
#include "spec/text_encoding.h"
#include "spec/text_host.h"
#include "spec/text_observation.h"

namespace lockstep {

namespace {

namespace text = spec::text;

class ProgramParser {
 public:
  explicit ProgramParser(std::string_view source)
      : cursor_(source), config_(cursor_), host_(cursor_) {}

  tl::expected<Program, ParseError> parse() {
    while (!cursor_.at_end()) {
      if (!line()) return tl::unexpected(cursor_.error());
      cursor_.next_line();
    }
    if (!versioned_) {
      cursor_.fail("`lockstep 1`, the version of the format");
      return tl::unexpected(cursor_.error());
    }
    if (thread_) {
      cursor_.fail("`}`, the end of the parallel block");
      return tl::unexpected(cursor_.error());
    }
    program_.trailer = std::move(pending_);
    return std::move(program_);
  }

 private:
  bool line() {
    if (cursor_.at_comment()) {
      pending_.emplace_back(cursor_.rest_of_line());
      return true;
    }
    if (cursor_.at_line_end()) {
      pending_.emplace_back();
      return true;
    }
    if (!versioned_) return version();
    if (program_.steps.empty() && !thread_) {
      if (cursor_.accept("config")) {
        return config_.line(program_.configuration) && end_of_head();
      }
      if (text::at_host_parameters(cursor_)) {
        cursor_.take_word();
        return host_.line(program_.configuration.host) && end_of_head();
      }
      std::string_view text;
      if (cursor_.accept_line("title", text)) return title(text);
    }
    if (thread_ && cursor_.accept_symbol("}")) return brace();
    if (cursor_.accept("par")) return begin_block();
    return step();
  }

  bool begin_block() {
    if (thread_) return cursor_.fail("`}`, the end of the parallel block before another one");
    schedule_ = 0;
    if (cursor_.accept("schedule")) {
      if (!cursor_.expect_symbol("=") || !cursor_.number(schedule_, "a number")) return false;
    }
    if (!cursor_.accept_symbol("{")) return cursor_.fail_listing("the commands of a thread");
    // Comments before the block are those of its first command.
    thread_ = 0;
    thread_begin_ = program_.steps.size();
    return end_of_brace();
  }

  /// Behind a `}`: another thread, or the end of the block.
  bool brace() {
    if (!pending_.empty()) return cursor_.fail("a command behind its comment");
    if (program_.steps.size() == thread_begin_) return cursor_.fail("a command of the thread");
    if (cursor_.accept_symbol("{")) {
      ++*thread_;
      thread_begin_ = program_.steps.size();
    } else if (*thread_ == 0) {
      return cursor_.fail("`{`, another thread");
    } else {
      thread_.reset();
    }
    return end_of_brace();
  }

  bool end_of_brace() {
    return cursor_.at_line_end() || cursor_.fail_listing("the end of the line");
  }

  bool version() {
    if (!cursor_.accept("lockstep")) {
      return cursor_.fail("`lockstep 1`, the version of the format");
    }
    if (!cursor_.accept("1")) return cursor_.fail("version `1`, the only one there is");
    versioned_ = true;
    return end_of_head();
  }

  bool title(std::string_view text) {
    if (text.empty()) return cursor_.fail("the text of the title");
    if (!program_.title.empty()) program_.title += ' ';
    program_.title += text;
    flush_header();
    return true;
  }

  void flush_header() {
    std::move(pending_.begin(), pending_.end(), std::back_inserter(program_.header));
    pending_.clear();
  }

  /// Comments of the head are kept, but as lines of their own.
  bool end_of_head() {
    flush_header();
    if (cursor_.at_comment()) {
      program_.header.emplace_back(cursor_.rest_of_line());
    } else if (!cursor_.at_line_end()) {
      return cursor_.fail_listing("the end of the line");
    }
    return true;
  }

  bool step() {
    if (program_.steps.size() == text::most_steps) {
      return cursor_.fail(fmt::format("at most {} commands", text::most_steps));
    }
    Step& step = program_.steps.emplace_back();
    step.before = std::move(pending_);
    pending_.clear();
    step.thread = thread_;
    step.schedule = std::exchange(schedule_, 0);
    if (!text::parse_command(cursor_, program_.configuration.paging, step.command)) return false;
    if (cursor_.accept_symbol("->")) {
      if (!text::parse_observation(cursor_, step.command, step.expected.emplace())) return false;
      if (!cursor_.at_line_end() && !cursor_.at_comment()) {
        return cursor_.fail_listing("the end of the line");
      }
    }
    if (cursor_.at_comment()) {
      step.behind = cursor_.rest_of_line();
    } else if (!cursor_.at_line_end()) {
      return cursor_.fail_listing("the end of the line");
    }
    return !cursor_.failed();
  }

  text::Cursor cursor_;
  text::ConfigParser config_;
  text::HostParser host_;
  bool versioned_ = false;
  std::vector<std::string> pending_;
  std::optional<unsigned> thread_;  ///< of the block that is open
  std::size_t thread_begin_ = 0;    ///< its first step
  std::uint64_t schedule_ = 0;      ///< of the block that has no command yet
  Program program_;
};

}  // namespace

tl::expected<Program, ParseError> parse(std::string_view source) {
  if (source.size() > text::most_bytes) {
    return tl::unexpected(ParseError{1,
                                     1,
                                     fmt::format("at most {} bytes", text::most_bytes),
                                     fmt::format("{} bytes", source.size()),
                                     {}});
  }
  if (const auto bad = text::find_bad_byte(source)) {
    const std::string_view before = source.substr(0, bad->offset);
    const std::size_t newline = before.rfind('\n');
    const std::size_t start = newline == std::string_view::npos ? 0 : newline + 1;
    const auto lines = std::count(before.begin(), before.end(), '\n');
    std::string found(bad->why);
    found += " `";
    const auto byte = static_cast<unsigned char>(source[bad->offset]);
    found += fmt::format("\\x{:02x}`", byte);
    return tl::unexpected(ParseError{static_cast<unsigned>(lines + 1),
                                     static_cast<unsigned>(bad->offset - start + 1),
                                     "text in UTF-8",
                                     std::move(found),
                                     {}});
  }
  return ProgramParser(source).parse();
}

}  // namespace lockstep
