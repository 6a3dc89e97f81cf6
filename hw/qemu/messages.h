// SPDX-License-Identifier: GPL-2.0-or-later
/// What host and guest say to each other, as text: programs, commands and
/// observations as program text has them, one line each.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <vector>

#include "spec/engine.h"

namespace lockstep::hw::qemu {

/// What the host may ask. The guest answers each with an Answer.
enum class Verb : std::uint8_t {
  load,      ///< a kernel module: LoadModule
  unload,    ///< a kernel module, by its name
  open,      ///< probe KVM and open the engine; answers write_platform()
  begin,     ///< Engine::begin(): BeginProgram
  execute,   ///< Engine::execute(): a command; answers an observation
  parallel,  ///< Engine::execute_parallel(); answers ParallelAnswers
  end,       ///< Engine::end(); answers an observation, then write_counts()
  mark       ///< a line into the kernel log
};

struct Request {
  Verb verb = Verb::mark;
  std::string body;
};

/// None if it is no request.
std::optional<Request> parse_request(std::string_view message);
std::string write_request(const Request& request);

/// The body of an answer, or why there is none.
using Answer = tl::expected<std::string, std::string>;
Answer parse_answer(std::string_view message);
std::string write_answer(const Answer& answer);

struct LoadModule {
  std::string name;
  std::string parameters;  ///< "npt=1", separated by blanks
  std::string image;       ///< the bytes of its .ko file
};
std::string write_load(const LoadModule& load);
std::optional<LoadModule> parse_load(std::string_view body);

struct BeginProgram {
  bool fresh = false;
  Configuration configuration;
};
std::string write_begin(const BeginProgram& begin);
tl::expected<BeginProgram, std::string> parse_begin(std::string_view body);

/// Text of a command or an observation, and back; an error says what is wrong.
tl::expected<Command, std::string> parse_command_line(std::string_view line, PagingMode mode);
tl::expected<Observation, std::string> parse_observation_line(std::string_view line,
                                                              const Command& command);

std::string write_parallel(std::span<const ParallelCommand> commands, PagingMode mode);
tl::expected<std::vector<ParallelCommand>, std::string> parse_parallel(std::string_view body,
                                                                       PagingMode mode);
std::string write_parallel_answers(std::span<const ParallelAnswer> answers);
tl::expected<std::vector<ParallelAnswer>, std::string> parse_parallel_answers(
    std::string_view body, std::span<const ParallelCommand> commands);

std::string write_platform(const Platform& platform);
tl::expected<Platform, std::string> parse_platform(std::string_view body);

using Counts = std::map<std::string, std::uint64_t>;
std::string write_counts(const Counts& counts);
/// Lines that are no count are left out.
Counts parse_counts(std::string_view body);

/// Take the first line off the text, without its newline.
std::string_view take_line(std::string_view& text);

}  // namespace lockstep::hw::qemu
