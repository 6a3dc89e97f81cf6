// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/isolate.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>

namespace lockstep::cli {
namespace {

using Clock = std::chrono::steady_clock;

/// Owns one end of a pipe.
class End {
 public:
  explicit End(int fd) : fd_(fd) {}
  End(const End&) = delete;
  End& operator=(const End&) = delete;
  ~End() { close(); }
  int get() const { return fd_; }
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

 private:
  int fd_;
};

void write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const auto count = write(fd, text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(count));
  }
}

/// Read until the child closes the pipe or the deadline passes; false if late.
bool read_all(int fd, Clock::time_point deadline, std::string& said) {
  std::array<char, 4096> buffer{};
  while (true) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) return false;
    pollfd ready = {.fd = fd, .events = POLLIN, .revents = 0};
    const int polled = poll(&ready, 1, static_cast<int>(std::min<long>(left, 1'000'000)));
    if (polled < 0 && errno != EINTR) return true;
    if (polled <= 0) continue;
    const auto count = read(fd, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return true;
    said.append(buffer.data(), static_cast<std::size_t>(count));
  }
}

std::optional<std::string> cause_of_death(int status) {
  if (WIFSIGNALED(status)) {
    const int signal = WTERMSIG(status);
    return fmt::format("SIG{}", sigabbrev_np(signal) != nullptr ? sigabbrev_np(signal) : "?");
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) != 0) {
    return fmt::format("exit status {}", WEXITSTATUS(status));
  }
  return std::nullopt;
}

}  // namespace

tl::expected<Ended, std::string> isolated(const std::function<void(const Say& say)>& work,
                                          std::chrono::milliseconds deadline) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) {
    return tl::unexpected(fmt::format("pipe: {}", std::strerror(errno)));
  }
  End reader(ends[0]);
  End writer(ends[1]);
  // What is buffered now must not be printed twice.
  std::fflush(stdout);
  std::fflush(stderr);
  const pid_t child = fork();
  if (child < 0) return tl::unexpected(fmt::format("fork: {}", std::strerror(errno)));
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    reader.close();
    work([&writer](std::string_view text) { write_all(writer.get(), text); });
    std::fflush(stdout);
    std::fflush(stderr);
    _exit(0);
  }
  writer.close();
  Ended ended;
  if (!read_all(reader.get(), Clock::now() + deadline, ended.said)) {
    ended.hung = true;
    kill(child, SIGKILL);
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (!ended.hung) ended.died = cause_of_death(status);
  return ended;
}

}  // namespace lockstep::cli
