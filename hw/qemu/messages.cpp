// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/qemu/messages.h"

#include <fmt/format.h>

#include <array>
#include <charconv>

#include "spec/program.h"
#include "spec/text_command.h"
#include "spec/text_cursor.h"
#include "spec/text_observation.h"

namespace lockstep::hw::qemu {
namespace {

constexpr std::array<std::string_view, 8> verbs = {"load",    "unload",   "open", "begin",
                                                   "execute", "parallel", "end",  "mark"};
constexpr std::string_view good = "ok";
constexpr std::string_view bad = "error";
constexpr std::string_view deviation = "deviation";

std::string_view take_word(std::string_view& line) {
  const auto blank = std::min(line.find(' '), line.size());
  const auto word = line.substr(0, blank);
  line.remove_prefix(std::min(blank + 1, line.size()));
  return word;
}

template <typename Number>
bool to_number(std::string_view word, Number& number) {
  const auto end = word.data() + word.size();
  const auto [at, error] = std::from_chars(word.data(), end, number);
  return error == std::errc() && at == end && !word.empty();
}

}  // namespace

std::string_view take_line(std::string_view& text) {
  const auto newline = std::min(text.find('\n'), text.size());
  const auto line = text.substr(0, newline);
  text.remove_prefix(std::min(newline + 1, text.size()));
  return line;
}

std::optional<Request> parse_request(std::string_view message) {
  const auto word = take_line(message);
  for (std::size_t i = 0; i < verbs.size(); ++i) {
    if (verbs[i] == word) return Request{static_cast<Verb>(i), std::string(message)};
  }
  return std::nullopt;
}

std::string write_request(const Request& request) {
  return fmt::format("{}\n{}", verbs[static_cast<std::size_t>(request.verb)], request.body);
}

Answer parse_answer(std::string_view message) {
  const auto word = take_line(message);
  if (word == good) return std::string(message);
  if (word == bad) return tl::unexpected(std::string(message));
  return tl::unexpected(fmt::format("the guest answers '{}'", word.substr(0, 40)));
}

std::string write_answer(const Answer& answer) {
  return fmt::format("{}\n{}", answer ? good : bad, answer ? *answer : answer.error());
}

std::string write_load(const LoadModule& load) {
  return fmt::format("{}\n{}\n", load.name, load.parameters) + load.image;
}

std::optional<LoadModule> parse_load(std::string_view body) {
  LoadModule load;
  load.name = take_line(body);
  load.parameters = take_line(body);
  load.image = body;
  if (load.name.empty() || load.image.empty()) return std::nullopt;
  return load;
}

std::string write_begin(const BeginProgram& begin) {
  Program program;
  program.configuration = begin.configuration;
  return fmt::format("{}\n{}", begin.fresh ? "fresh" : "kept", print(program));
}

tl::expected<BeginProgram, std::string> parse_begin(std::string_view body) {
  const auto word = take_line(body);
  const auto program = parse(body);
  if (!program) return tl::unexpected(program.error().message("begin", body));
  return BeginProgram{word == "fresh", program->configuration};
}

tl::expected<Command, std::string> parse_command_line(std::string_view line, PagingMode mode) {
  spec::text::Cursor cursor(line);
  Command command;
  if (spec::text::parse_command(cursor, mode, command) && cursor.at_line_end()) return command;
  return tl::unexpected(fmt::format("no command: {}", line));
}

tl::expected<Observation, std::string> parse_observation_line(std::string_view line,
                                                              const Command& command) {
  spec::text::Cursor cursor(line);
  Observation observation;
  if (spec::text::parse_observation(cursor, command, observation) && cursor.at_line_end()) {
    return observation;
  }
  return tl::unexpected(fmt::format("no observation: {}", line));
}

std::string write_parallel(std::span<const ParallelCommand> commands, PagingMode mode) {
  std::string text;
  for (const auto& command : commands) {
    text +=
        fmt::format("{} {} {}\n", command.thread, command.schedule, print(command.command, mode));
  }
  return text;
}

tl::expected<std::vector<ParallelCommand>, std::string> parse_parallel(std::string_view body,
                                                                       PagingMode mode) {
  std::vector<ParallelCommand> commands;
  while (!body.empty()) {
    auto line = take_line(body);
    ParallelCommand made;
    if (!to_number(take_word(line), made.thread) || !to_number(take_word(line), made.schedule)) {
      return tl::unexpected(std::string("no thread and schedule before a command"));
    }
    auto command = parse_command_line(line, mode);
    if (!command) return tl::unexpected(command.error());
    made.command = *command;
    commands.push_back(made);
  }
  return commands;
}

std::string write_parallel_answers(std::span<const ParallelAnswer> answers) {
  std::string text;
  for (const auto& answer : answers) {
    text += fmt::format("{} {} {}\n", answer.began, answer.ended, print(answer.observation));
  }
  return text;
}

tl::expected<std::vector<ParallelAnswer>, std::string> parse_parallel_answers(
    std::string_view body, std::span<const ParallelCommand> commands) {
  std::vector<ParallelAnswer> answers;
  for (const auto& command : commands) {
    auto line = take_line(body);
    ParallelAnswer answer;
    if (!to_number(take_word(line), answer.began) || !to_number(take_word(line), answer.ended)) {
      return tl::unexpected(std::string("an answer of a parallel block has no times"));
    }
    auto observation = parse_observation_line(line, command.command);
    if (!observation) return tl::unexpected(observation.error());
    answer.observation = std::move(*observation);
    answers.push_back(std::move(answer));
  }
  return answers;
}

std::string write_platform(const Platform& platform) {
  auto text =
      fmt::format("{} {} {} {} {} {} {}\n", platform.features.to_ullong(), platform.max_vcpus,
                  platform.max_maxphyaddr, platform.host_maxphyaddr, platform.tdp ? 1 : 0,
                  platform.amd ? 1 : 0, platform.four_level_ept ? 1 : 0);
  for (const auto& name : platform.deviations) text += fmt::format("{}\t{}\n", deviation, name);
  for (const auto& [key, value] : platform.provenance) text += fmt::format("{}\t{}\n", key, value);
  return text;
}

tl::expected<Platform, std::string> parse_platform(std::string_view body) {
  auto line = take_line(body);
  std::array<std::uint64_t, 7> numbers{};
  for (auto& number : numbers) {
    if (!to_number(take_word(line), number)) {
      return tl::unexpected(std::string("the guest's description of its KVM is no platform"));
    }
  }
  Platform platform;
  platform.features = Features(numbers[0]);
  platform.max_vcpus = static_cast<unsigned>(numbers[1]);
  platform.max_maxphyaddr = static_cast<unsigned>(numbers[2]);
  platform.host_maxphyaddr = static_cast<unsigned>(numbers[3]);
  platform.tdp = numbers[4] != 0;
  platform.amd = numbers[5] != 0;
  platform.four_level_ept = numbers[6] != 0;
  while (!body.empty()) {
    const auto fact = take_line(body);
    const auto tab = fact.find('\t');
    if (tab == std::string_view::npos) continue;
    const auto key = fact.substr(0, tab);
    const auto value = fact.substr(tab + 1);
    if (key == deviation) {
      platform.deviations.emplace_back(value);
    } else {
      platform.provenance.emplace_back(key, value);
    }
  }
  return platform;
}

std::string write_counts(const Counts& counts) {
  std::string text;
  for (const auto& [name, count] : counts) text += fmt::format("{} {}\n", count, name);
  return text;
}

Counts parse_counts(std::string_view body) {
  Counts counts;
  while (!body.empty()) {
    auto line = take_line(body);
    std::uint64_t count = 0;
    if (to_number(take_word(line), count) && !line.empty()) counts[std::string(line)] = count;
  }
  return counts;
}

}  // namespace lockstep::hw::qemu
