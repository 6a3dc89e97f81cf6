// SPDX-License-Identifier: GPL-2.0-or-later
#include "smt/solver_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <utility>

#include "smt/term_text.h"
#include "smt/z3_solver.h"

namespace lockstep::smt {
namespace {

/// What Z3 keeps after a query is given back this often.
constexpr unsigned queries_of_a_process = 64;
/// Of an answer. What is longer is none.
constexpr std::size_t most_answer = 1u << 20;

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t done = write(fd, text.data(), text.size());
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(done));
  }
  return true;
}

/// A message begins with its length, on a line of its own.
std::string framed(std::string_view text) { return fmt::format("{}\n{}", text.size(), text); }

/// Of a message that has come whole.
std::optional<std::string_view> unframed(std::string_view bytes) {
  const auto line = bytes.find('\n');
  if (line == std::string_view::npos) return std::nullopt;
  const auto size = std::strtoull(bytes.data(), nullptr, 10);
  if (bytes.size() - line - 1 < size) return std::nullopt;
  return bytes.substr(line + 1, size);
}

/// Waits for nobody; the process is no more if it has.
bool exited(pid_t process) { return waitpid(process, nullptr, WNOHANG) == process; }

std::string answered(std::string_view query) {
  const auto line = query.find('\n');
  if (line == std::string_view::npos) return "failed\nno query\n";
  Limits limits;
  limits.memory_mib = static_cast<unsigned>(std::strtoul(query.data(), nullptr, 10));
  const auto terms = read_terms(query.substr(line + 1));
  return terms ? ask_z3(*terms, limits) : "failed\nthe terms cannot be read\n";
}

/// Answer until nobody asks any more.
[[noreturn]] void serve(int in, int out) {
  std::string bytes;
  std::array<char, 1 << 16> buffer;
  for (;;) {
    const auto query = unframed(bytes);
    if (query) {
      if (!write_all(out, framed(answered(*query)))) _exit(1);
      bytes.clear();
      continue;
    }
    const ssize_t got = read(in, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) _exit(0);
    bytes.append(buffer.data(), static_cast<std::size_t>(got));
  }
}

}  // namespace

bool SolverProcess::start() {
  std::array<int, 2> queries, answers;
  if (pipe2(queries.data(), O_CLOEXEC) != 0) return false;
  if (pipe2(answers.data(), O_CLOEXEC) != 0) {
    close(queries[0]);
    close(queries[1]);
    return false;
  }
  std::fflush(nullptr);
  const pid_t parent = getpid();
  process_ = fork();
  if (process_ == 0) {
    // Ctrl-C is for the parent. Who dies without a word takes the process along.
    std::signal(SIGINT, SIG_IGN);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    close(queries[1]);
    close(answers[0]);
    serve(queries[0], answers[1]);
  }
  close(queries[0]);
  close(answers[1]);
  to_ = queries[1];
  from_ = answers[0];
  owner_ = parent;
  asked_ = 0;
  if (process_ > 0) return true;
  process_ = 0;
  stop();
  return false;
}

void SolverProcess::stop() {
  if (to_ >= 0) close(std::exchange(to_, -1));
  if (from_ >= 0) close(std::exchange(from_, -1));
  const pid_t process = std::exchange(process_, 0);
  if (process == 0 || owner_ != getpid()) return;
  kill(process, SIGKILL);
  while (waitpid(process, nullptr, 0) < 0 && errno == EINTR) {
  }
}

ChildResult SolverProcess::ask_once(const std::string& query, const Limits& limits) {
  ChildResult result;
  // It may have died since, which says nothing of this query.
  const bool ended = process_ != 0 && owner_ == getpid() && exited(process_);
  if (ended) process_ = 0;
  if (ended || owner_ != getpid() || asked_ == queries_of_a_process) stop();
  if (process_ == 0 && !start()) return result;
  ++asked_;
  const double before = cpu_seconds_of(process_);
  // A process that died meanwhile closes the pipe; the write must not end this one.
  const auto handler = std::signal(SIGPIPE, SIG_IGN);
  const bool sent = write_all(to_, query);
  std::signal(SIGPIPE, handler);
  std::string bytes;
  if (sent) {
    result.end = read_from_child(from_, process_, limits.time, limits.stop, bytes,
                                 [](std::string_view read) {
                                   return unframed(read).has_value() || read.size() >= most_answer;
                                 });
  } else {
    result.end = ChildResult::End::exited;
  }
  result.cpu_seconds = cpu_seconds_of(process_) - before;
  if (const auto answer = unframed(bytes); answer && result.end == ChildResult::End::exited) {
    result.output = *answer;
    return result;
  }
  if (result.end == ChildResult::End::exited) {
    int status = 0;
    const pid_t process = std::exchange(process_, 0);
    kill(process, SIGKILL);
    while (waitpid(process, &status, 0) < 0 && errno == EINTR) {
    }
    if (WIFSIGNALED(status)) result.end = ChildResult::End::killed;
    result.status = WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status);
  }
  stop();
  return result;
}

ChildResult SolverProcess::ask(const std::vector<Bool>& terms, const Limits& limits) {
  const std::string query = framed(fmt::format("{}\n{}", limits.memory_mib, write_terms(terms)));
  auto result = ask_once(query, limits);
  if (result.output != "memory\n") return result;
  const bool fresh = asked_ == 1;
  stop();
  if (fresh) return result;
  // Both are one query: of its time, too.
  const double used = result.cpu_seconds;
  Limits rest = limits;
  rest.time -= std::chrono::milliseconds(static_cast<std::chrono::milliseconds::rep>(1e3 * used));
  result = ask_once(query, rest);
  result.cpu_seconds += used;
  stop();
  return result;
}

}  // namespace lockstep::smt
