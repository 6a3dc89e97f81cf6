// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/kernels/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <poll.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <cstring>

namespace lockstep::hw::kernels {
namespace {

/// Debian packages of the programs that this room runs, where the names differ.
std::string_view package_of(std::string_view program) {
  constexpr std::pair<std::string_view, std::string_view> packages[] = {
      {"apt-get", "apt"},       {"apt-cache", "apt"},  {"dpkg-deb", "dpkg"},
      {"dpkg-query", "dpkg"},   {"xz", "xz-utils"},    {"ar", "binutils"},
      {"spatch", "coccinelle"}, {"diff", "diffutils"}, {"readelf", "binutils"},
  };
  for (const auto& [name, package] : packages) {
    if (name == program) return package;
  }
  return program;
}

class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() { reset(); }
  int get() const { return fd_; }
  void reset(int fd = -1) {
    if (fd_ >= 0) close(fd_);
    fd_ = fd;
  }

 private:
  int fd_ = -1;
};

struct Pipe {
  Descriptor read, write;
  bool open() {
    std::array<int, 2> ends = {};
    if (pipe2(ends.data(), O_CLOEXEC) != 0) return false;
    read.reset(ends[0]);
    write.reset(ends[1]);
    return true;
  }
};

/// What a child reads is a file of its own, so that one which ends early cannot
/// end its parent with SIGPIPE.
bool open_input(std::string_view text, Descriptor& input) {
  input.reset(memfd_create("input", MFD_CLOEXEC));
  while (input.get() >= 0 && !text.empty()) {
    const ssize_t size = write(input.get(), text.data(), text.size());
    if (size < 0 && errno != EINTR) return false;
    if (size > 0) text.remove_prefix(static_cast<std::size_t>(size));
  }
  return input.get() >= 0 && lseek(input.get(), 0, SEEK_SET) == 0;
}

/// A stream that is collected whole and told line by line.
class Collector {
 public:
  Collector(std::string& text, const Progress& on_line) : text_(text), on_line_(on_line) {}

  void take(std::string_view bytes) {
    text_ += bytes;
    tell(text_.size());
  }
  void finish() {
    if (told_ < text_.size() && on_line_) on_line_(std::string_view(text_).substr(told_));
    told_ = text_.size();
  }

 private:
  void tell(std::size_t end) {
    if (!on_line_) return;
    for (auto newline = text_.find('\n', told_); newline < end; newline = text_.find('\n', told_)) {
      on_line_(std::string_view(text_).substr(told_, newline - told_));
      told_ = newline + 1;
    }
  }

  std::string& text_;
  const Progress& on_line_;
  std::size_t told_ = 0;
};

std::vector<std::string> environment_of(const Process& process) {
  std::vector<std::string> all = process.environment;
  all.emplace_back("LC_ALL=C");
  const auto is_set = [&all](std::string_view entry) {
    const auto name = entry.substr(0, entry.find('=') + 1);
    return std::ranges::any_of(all, [name](const auto& set) { return set.starts_with(name); });
  };
  // What an outer make hands on would change what an inner one does.
  constexpr std::string_view unwanted[] = {"MAKEFLAGS=", "MFLAGS=", "MAKELEVEL=", "LANGUAGE="};
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    if (is_set(text)) continue;
    if (std::ranges::any_of(unwanted, [text](auto name) { return text.starts_with(name); })) {
      continue;
    }
    all.emplace_back(text);
  }
  return all;
}

std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> all;
  all.reserve(words.size() + 1);
  for (auto& word : words) all.push_back(word.data());
  all.push_back(nullptr);
  return all;
}

int spawn(const Process& process, Descriptor& in, Pipe& out, Pipe& err, pid_t& child) {
  auto words = process.words;
  auto environment = environment_of(process);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in.get(), STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, out.write.get(), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, err.write.get(), STDERR_FILENO);
  if (!process.folder.empty()) {
    posix_spawn_file_actions_addchdir_np(&actions, process.folder.c_str());
  }
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  sigset_t defaults;
  sigemptyset(&defaults);
  sigaddset(&defaults, SIGPIPE);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  const int error = posix_spawnp(&child, words[0].c_str(), &actions, &attributes,
                                 pointers(words).data(), pointers(environment).data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  return error;
}

/// Read both outputs until the child, and all that it started, closed them.
void drain(const Process& process, Pipe& out, Pipe& err, Outcome& outcome) {
  Collector collect_out(outcome.out, process.on_line);
  Collector collect_err(outcome.err, process.on_line);
  const auto take = [](const pollfd& event, Descriptor& end, Collector& collector) {
    if (event.revents == 0) return;
    std::array<char, 65536> bytes;
    const ssize_t size = read(event.fd, bytes.data(), bytes.size());
    if (size > 0) collector.take({bytes.data(), static_cast<std::size_t>(size)});
    if (size == 0 || (size < 0 && errno != EINTR && errno != EAGAIN)) end.reset();
  };
  while (out.read.get() >= 0 || err.read.get() >= 0) {
    std::array<pollfd, 2> polled = {{{out.read.get(), POLLIN, 0}, {err.read.get(), POLLIN, 0}}};
    if (poll(polled.data(), polled.size(), -1) < 0) {
      if (errno == EINTR) continue;
      break;
    }
    take(polled[0], out.read, collect_out);
    take(polled[1], err.read, collect_err);
  }
  collect_out.finish();
  collect_err.finish();
}

std::string_view last_line(std::string_view text) {
  while (!text.empty()) {
    const auto newline = text.find_last_of('\n');
    const auto line = newline == std::string_view::npos ? text : text.substr(newline + 1);
    if (line.find_first_not_of(" \t\r") != std::string_view::npos) return line;
    text = newline == std::string_view::npos ? "" : text.substr(0, newline);
  }
  return {};
}

}  // namespace

std::string Outcome::last_words() const {
  const auto said = last_line(err);
  return std::string(said.empty() ? last_line(out) : said);
}

Result<Outcome> run(const Process& process) {
  if (process.words.empty()) return machine_error("no program to run");
  if (!process.folder.empty() && !std::filesystem::is_directory(process.folder)) {
    return machine_error(fmt::format("{}: no such folder", process.folder.string()));
  }
  Descriptor in;
  Pipe out, err;
  if (!open_input(process.input, in) || !out.open() || !err.open()) {
    return machine_error(fmt::format("cannot make a pipe: {}", std::strerror(errno)));
  }
  pid_t child = -1;
  if (const int error = spawn(process, in, out, err, child); error != 0) {
    const auto& program = process.words[0];
    if (error == ENOENT) {
      return machine_error(
          fmt::format("{} is not installed; apt-get install {}", program, package_of(program)));
    }
    return machine_error(fmt::format("cannot run {}: {}", program, std::strerror(error)));
  }
  out.write.reset();
  err.write.reset();
  Outcome outcome;
  drain(process, out, err, outcome);
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return machine_error(fmt::format("waitpid: {}", std::strerror(errno)));
  }
  outcome.status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  return outcome;
}

Result<Outcome> run_or_fail(const Process& process) {
  auto outcome = run(process);
  if (!outcome || outcome->ok()) return outcome;
  const auto said = outcome->last_words();
  return machine_error(fmt::format("{} failed with exit code {}{}{}", fmt::join(process.words, " "),
                                   outcome->status, said.empty() ? "" : ": ", said));
}

bool installed(std::string_view program) {
  const char* path = std::getenv("PATH");
  std::string_view folders = path != nullptr ? path : "";
  while (!folders.empty()) {
    const auto colon = folders.find(':');
    const auto candidate = std::filesystem::path(folders.substr(0, colon)) / program;
    if (access(candidate.c_str(), X_OK) == 0) return true;
    folders = colon == std::string_view::npos ? "" : folders.substr(colon + 1);
  }
  return false;
}

}  // namespace lockstep::hw::kernels
