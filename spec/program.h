// SPDX-License-Identifier: GPL-2.0-or-later
/// A program: configuration, commands and what each is expected to show; with
/// its text form, which survives mail and prints back as it was parsed.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "spec/command.h"
#include "spec/engine.h"
#include "spec/observation.h"

namespace lockstep {

/// One command, the observation that the text demands, and the comments that
/// stand before it.
struct Step {
  Command command;
  std::optional<Observation> expected;
  /// Comment lines (with their '#') and empty lines before the command.
  std::vector<std::string> before;
  /// Comment behind the command on its line, with its '#'; empty if none.
  std::string behind;
  /// Thread of a parallel block, from 0. Steps of a block stand together, its
  /// threads in the order of their numbers: a block begins where a step has a
  /// thread and the one before it has none, or a greater one.
  std::optional<unsigned> thread = {};
  /// Of the first step of a block: engines that control how its threads meet draw
  /// that from this number and nothing else.
  std::uint64_t schedule = 0;
  bool operator==(const Step&) const = default;
};

struct Program {
  std::string title;
  /// Comment and empty lines between the version line and the first command
  /// that are not attached to a step: provenance of a saved failure.
  std::vector<std::string> header;
  Configuration configuration;
  std::vector<Step> steps;
  /// Comment and empty lines after the last command.
  std::vector<std::string> trailer;
  bool operator==(const Program&) const = default;
};

/// Where and why text is not a program. Lines and columns count from 1.
struct ParseError {
  unsigned line = 0;
  unsigned column = 0;
  std::string expected;    ///< what would have been right here
  std::string found;       ///< what stands there
  std::string suggestion;  ///< nearest valid word, or empty
  /// "FILE:LINE:COLUMN: expected ..., found ...; did you mean ...?" followed by
  /// the line and a caret.
  std::string message(std::string_view file, std::string_view text) const;
};

/// Parse the text form. Accepts untrusted bytes of any length up to 1 MiB.
tl::expected<Program, ParseError> parse(std::string_view text);

/// Canonical text; parse(print(p)) == p for every program that validates.
std::string print(const Program& program);
std::string print(const Command& command, PagingMode mode);
std::string print(const Observation& observation);

/// Replace Map and AliasTable by the EntrySet commands that they stand for.
/// The expectation of a sugared step stays on the last of its commands.
/// `origin[i]` is the index in program.steps of lowered step i.
struct Lowered {
  Configuration configuration;
  std::vector<Step> steps;
  std::vector<std::size_t> origin;
};
tl::expected<Lowered, std::string> lower(const Program& program);

/// The end of the parallel block that begins at step `first`: `first` itself if
/// that step is none of a block.
std::size_t end_of_block(std::span<const Step> steps, std::size_t first);

/// First reason why the program breaks a rule of the format (a vCPU that the
/// configuration lacks, a table outside the harness window, an entry of the
/// harness, an unaligned access ...); none if it is legal.
struct Illegal {
  std::size_t step = 0;
  std::string reason;
};
std::optional<Illegal> validate(const Program& program);

/// What an engine must have to run the program.
Features needs(const Program& program);

}  // namespace lockstep
