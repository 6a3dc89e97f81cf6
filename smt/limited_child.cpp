// SPDX-License-Identifier: GPL-2.0-or-later
#include "smt/limited_child.h"

#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <ctime>

namespace lockstep::smt {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr std::size_t most_output = 1u << 20;

double seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
}

}  // namespace

double cpu_seconds_of(pid_t child) {
  clockid_t clock = 0;
  timespec time = {};
  if (clock_getcpuclockid(child, &clock) != 0 || clock_gettime(clock, &time) != 0) return 0;
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

ChildResult::End read_from_child(int fd, pid_t child, milliseconds limit,
                                 const std::atomic<bool>* stop, std::string& output,
                                 const std::function<bool(std::string_view)>& complete) {
  const auto until = Clock::now() + 10 * limit + std::chrono::seconds(10);
  const double most = cpu_seconds_of(child) + std::chrono::duration<double>(limit).count();
  const int pause = static_cast<int>(std::clamp<milliseconds::rep>(limit.count(), 1, 50));
  std::array<char, 4096> buffer;
  for (;;) {
    if (stop != nullptr && stop->load(std::memory_order_relaxed)) {
      return ChildResult::End::interrupted;
    }
    if (cpu_seconds_of(child) >= most || Clock::now() >= until) return ChildResult::End::timed_out;
    pollfd ready = {fd, POLLIN, 0};
    if (poll(&ready, 1, pause) <= 0) continue;
    const ssize_t got = read(fd, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return ChildResult::End::exited;
    if (output.size() < most_output) output.append(buffer.data(), static_cast<std::size_t>(got));
    if (complete(output)) return ChildResult::End::exited;
  }
}

ChildResult run_limited_child(const std::function<void(int)>& body, milliseconds limit,
                              const std::atomic<bool>* stop) {
  ChildResult result;
  std::array<int, 2> ends;
  if (pipe(ends.data()) != 0) return result;
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child < 0) {
    close(ends[0]);
    close(ends[1]);
    return result;
  }
  if (child == 0) {
    close(ends[0]);
    // Ctrl-C is for the parent, which ends its children itself.
    std::signal(SIGINT, SIG_IGN);
    body(ends[1]);
    _exit(0);
  }
  close(ends[1]);
  result.end = read_from_child(ends[0], child, limit, stop, result.output,
                               [](std::string_view) { return false; });
  close(ends[0]);
  if (result.end != ChildResult::End::exited) kill(child, SIGKILL);
  int status = 0;
  rusage usage = {};
  while (wait4(child, &status, 0, &usage) < 0 && errno == EINTR) {
  }
  result.cpu_seconds = seconds(usage.ru_utime) + seconds(usage.ru_stime);
  if (result.end == ChildResult::End::exited) {
    if (WIFSIGNALED(status)) result.end = ChildResult::End::killed;
    result.status = WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
  }
  return result;
}

}  // namespace lockstep::smt
