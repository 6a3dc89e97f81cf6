// SPDX-License-Identifier: GPL-2.0-or-later
/// Work in a child process with a deadline: a solver that crashes, hangs or eats
/// memory takes nobody with it.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <string>
#include <string_view>

namespace lockstep::smt {

struct ChildResult {
  enum class End : std::uint8_t { exited, killed, timed_out, interrupted, not_started };
  End end = End::not_started;
  int status = 0;          ///< exit code if exited, signal if killed
  std::string output;      ///< what it wrote, at most 1 MiB
  double cpu_seconds = 0;  ///< of the child
};

/// Fork, run `body(fd)` in the child, which writes to fd and ends there without
/// running destructors, and collect what it wrote. The limit is CPU time, so that
/// a busy machine changes no result; on the clock ten times that and ten seconds
/// are allowed. `stop` may be null. The caller must have one thread.
ChildResult run_limited_child(const std::function<void(int)>& body, std::chrono::milliseconds limit,
                              const std::atomic<bool>* stop);

/// Read from a child until the other end closes or `complete(output)` (then: exited), or
/// until the limit or `stop`. The limit is CPU time from now on, as above.
ChildResult::End read_from_child(int fd, pid_t child, std::chrono::milliseconds limit,
                                 const std::atomic<bool>* stop, std::string& output,
                                 const std::function<bool(std::string_view)>& complete);

/// CPU time of a child that was not waited for yet.
double cpu_seconds_of(pid_t child);

}  // namespace lockstep::smt
