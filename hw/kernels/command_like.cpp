// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "hw/kernels/build.h"
#include "hw/kernels/diagnostics.h"

namespace lockstep::hw::kernels {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view dependencies = "-Wp,-MMD,";

/// Words of one simple command; ends where the shell would begin another.
class Splitter {
 public:
  explicit Splitter(std::string_view text) : text_(text) {}

  std::vector<std::string> words() {
    while (!text_.empty()) {
      const char c = take();
      if (c == ';' || c == '&' || c == '|' || c == '\n') break;
      if (c == ' ' || c == '\t') {
        end_word();
      } else if (c == '\'') {
        until('\'', /*escapes=*/false);
      } else if (c == '"') {
        until('"', /*escapes=*/true);
      } else if (c == '\\') {
        if (!text_.empty()) add(take());
      } else {
        add(c);
      }
    }
    end_word();
    return std::move(words_);
  }

 private:
  char take() {
    const char c = text_.front();
    text_.remove_prefix(1);
    return c;
  }
  void add(char c) {
    if (!word_) word_.emplace();
    *word_ += c;
  }
  void end_word() {
    if (word_) words_.push_back(std::move(*word_));
    word_.reset();
  }
  void until(char quote, bool escapes) {
    if (!word_) word_.emplace();
    while (!text_.empty()) {
      char c = take();
      if (c == quote) return;
      if (escapes && c == '\\' && !text_.empty()) c = take();
      add(c);
    }
  }

  std::string_view text_;
  std::optional<std::string> word_;
  std::vector<std::string> words_;
};

/// Undo what kbuild escapes for make (make-cmd of scripts/Kbuild.include).
std::string without_make_escapes(std::string_view text) {
  std::string plain;
  while (!text.empty()) {
    if (text.starts_with("$$")) {
      plain += '$';
      text.remove_prefix(2);
    } else if (text.starts_with("$(pound)")) {
      plain += '#';
      text.remove_prefix(8);
    } else {
      plain += text.front();
      text.remove_prefix(1);
    }
  }
  return plain;
}

fs::path cmd_path(const fs::path& folder, const fs::path& object) {
  return folder / object.parent_path() / fmt::format(".{}.cmd", object.filename().string());
}

}  // namespace

std::vector<std::string> recorded_words(std::string_view cmd_file) {
  // "cmd_OBJECT := …" until 6.2, "savedcmd_OBJECT := …" since.
  const auto line = cmd_file.substr(0, cmd_file.find('\n'));
  constexpr std::string_view assigns = " := ";
  const auto at = line.find(assigns);
  if (at == std::string_view::npos || line.find("cmd_") > at) return {};
  const auto command = without_make_escapes(line.substr(at + assigns.size()));
  return Splitter(command).words();
}

Result<CompileCommand> Build::command_like(const std::string& object, const fs::path& input,
                                           const fs::path& output,
                                           const std::vector<std::string>& more) const {
  const auto file = cmd_path(folder_, object);
  const auto text = read_file(file);
  if (!text) {
    return input_error(fmt::format("{} was never made in {}", object, folder_.string()));
  }
  auto words = recorded_words(*text);
  const auto out = std::ranges::find(words, "-o");
  if (words.size() < 4 || out == words.end() || out + 1 == words.end()) {
    return machine_error(
        fmt::format("{}: no compiler command that writes {}", file.string(), object));
  }
  *(out + 1) = output.string();
  words.back() = input.string();
  for (auto& word : words) {
    if (word.starts_with(dependencies)) word = fmt::format("{}{}.d", dependencies, output.string());
  }
  // Before "-c -o OUTPUT INPUT", where a later flag wins over an earlier one.
  const auto compile = std::ranges::find(words, "-c");
  words.insert(compile == words.end() ? words.end() - 3 : compile, more.begin(), more.end());
  return CompileCommand{std::move(words), folder_};
}

Result<void> Build::compile_like(const std::string& object, const fs::path& input,
                                 const fs::path& output, const std::vector<std::string>& more,
                                 const Progress& progress) const {
  auto command = command_like(object, input, output, more);
  if (!command) return tl::unexpected(command.error());
  if (progress) progress(fmt::format("CC      {}", input.filename().string()));
  std::error_code error;
  fs::create_directories(output.parent_path(), error);
  Process process;
  process.words = std::move(command->words);
  process.folder = command->folder;
  const auto guarded_process = guarded(std::move(process), output.parent_path());
  if (!guarded_process) return tl::unexpected(guarded_process.error());
  const auto outcome = run(*guarded_process);
  if (!outcome) return tl::unexpected(outcome.error());
  if (outcome->ok()) return {};
  return input_error(fmt::format("{} does not compile against linux {}:\n{}", input.string(),
                                 source_.tree.release, first_error(outcome->err, source_.path)));
}

}  // namespace lockstep::hw::kernels
