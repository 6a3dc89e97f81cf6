// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/child.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <fstream>

namespace lockstep::props {
namespace {

/// Far above what any engine maps, and far below what a machine has of addresses.
constexpr rlim_t most_bytes_of_a_file = 16ull << 30;
// Sanitizers reserve terabytes for their own.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define LOCKSTEP_LIMITS_MEMORY
constexpr rlim_t most_bytes_of_memory = 64ull << 30;
#endif
constexpr std::size_t header_size = 4;
constexpr std::size_t last_words_size = 3000;
/// EX_SOFTWARE of sysexits.h.
constexpr int threw_status = 70;

void settle_as_child(pid_t parent, int words) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(0);
  signal(SIGINT, SIG_IGN);
  signal(SIGPIPE, SIG_IGN);
  const rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
  // Code under test runs here: what it grows without end must not take the machine down.
  const rlimit files{most_bytes_of_a_file, most_bytes_of_a_file};
  setrlimit(RLIMIT_FSIZE, &files);
#ifdef LOCKSTEP_LIMITS_MEMORY
  const rlimit memory{most_bytes_of_memory, most_bytes_of_memory};
  setrlimit(RLIMIT_AS, &memory);
#endif
  if (words >= 0) dup2(words, STDERR_FILENO);
}

}  // namespace

Descriptor::~Descriptor() {
  if (fd_ >= 0) close(fd_);
}

bool Channel::send(std::string_view message) {
  const auto size = static_cast<std::uint32_t>(message.size());
  std::string frame(header_size, '\0');
  std::memcpy(frame.data(), &size, header_size);
  frame += message;
  std::size_t sent = 0;
  while (sent < frame.size()) {
    const auto n = ::send(fd_.get(), frame.data() + sent, frame.size() - sent, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    sent += static_cast<std::size_t>(n);
  }
  return true;
}

Channel::Status Channel::receive(std::string& message,
                                 std::chrono::steady_clock::time_point deadline) {
  for (;;) {
    if (buffer_.size() >= header_size) {
      std::uint32_t size = 0;
      std::memcpy(&size, buffer_.data(), header_size);
      if (buffer_.size() >= header_size + size) {
        message = buffer_.substr(header_size, size);
        buffer_.erase(0, header_size + size);
        return Status::message;
      }
    }
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd poll_for{fd_.get(), POLLIN, 0};
    const auto ready = poll(&poll_for, 1, static_cast<int>(std::max<long>(0, left.count())));
    if (ready == 0) return Status::timeout;
    if (ready < 0) {
      if (errno == EINTR) continue;
      return Status::closed;
    }
    std::array<char, 65536> chunk;
    const auto n = read(fd_.get(), chunk.data(), chunk.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return Status::closed;
    buffer_.append(chunk.data(), static_cast<std::size_t>(n));
  }
}

tl::expected<Child, std::string> Child::start(const std::function<void(Channel&)>& body) {
  std::array<int, 2> ends{};
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return tl::unexpected(fmt::format("socketpair: {}", std::strerror(errno)));
  }
  Descriptor ours(ends[0]);
  Descriptor theirs(ends[1]);
  Descriptor words(memfd_create("lockstep-last-words", MFD_CLOEXEC));
  const auto parent = getpid();
  std::fflush(nullptr);
  const auto pid = fork();
  if (pid < 0) return tl::unexpected(fmt::format("fork: {}", std::strerror(errno)));
  if (pid == 0) {
    settle_as_child(parent, words.get());
    ours = Descriptor();
    Channel channel(std::move(theirs));
    int status = 0;
    try {
      body(channel);
    } catch (const std::exception& error) {
      std::fprintf(stderr, "exception: %s\n", error.what());
      status = 70;
    }
    std::fflush(nullptr);
    _exit(status);
  }
  return Child(pid, Channel(std::move(ours)), std::move(words));
}

Child::Child(pid_t pid, Channel channel, Descriptor words)
    : pid_(pid), channel_(std::move(channel)), words_(std::move(words)) {}

Child::Child(Child&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)),
      status_(other.status_),
      channel_(std::move(other.channel_)),
      words_(std::move(other.words_)) {}

Child& Child::operator=(Child&& other) noexcept {
  std::swap(pid_, other.pid_);
  std::swap(status_, other.status_);
  std::swap(channel_, other.channel_);
  std::swap(words_, other.words_);
  return *this;
}

Child::~Child() { end(); }

std::chrono::nanoseconds Child::processor_time() const {
  clockid_t clock{};
  timespec spent{};
  if (pid_ <= 0 || ::clock_getcpuclockid(pid_, &clock) != 0) return {};
  if (::clock_gettime(clock, &spent) != 0) return {};
  return std::chrono::seconds(spent.tv_sec) + std::chrono::nanoseconds(spent.tv_nsec);
}

void Child::end() {
  if (pid_ <= 0) return;
  // A child that closed its socket is about to exit by itself: its own status
  // tells more than the kill's.
  for (int tries = 0; tries < 50; ++tries) {
    const auto reaped = waitpid(pid_, &status_, WNOHANG);
    if (reaped == pid_) {
      pid_ = -1;
      return;
    }
    pollfd closed{channel_.descriptor(), POLLIN, 0};
    char byte = 0;
    if (poll(&closed, 1, 0) == 0 || recv(channel_.descriptor(), &byte, 1, MSG_PEEK) != 0) break;
    usleep(2000);
  }
  kill(pid_, SIGKILL);
  while (waitpid(pid_, &status_, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
}

std::string Child::how() const {
  if (WIFSIGNALED(status_)) {
    return fmt::format("signal {} ({})", WTERMSIG(status_), strsignal(WTERMSIG(status_)));
  }
  return fmt::format("exit status {}", WEXITSTATUS(status_));
}

bool Child::killed() const {
  return WIFSIGNALED(status_) && (WTERMSIG(status_) == SIGKILL || WTERMSIG(status_) == SIGTERM);
}

bool Child::crashed() const { return WIFSIGNALED(status_) && !killed(); }

bool Child::threw() const { return WIFEXITED(status_) && WEXITSTATUS(status_) == threw_status; }

bool Child::asleep() const {
  std::ifstream file(fmt::format("/proc/{}/stat", pid_));
  std::string text;
  std::getline(file, text);
  // The name in parentheses may hold anything; the state is the letter behind it.
  const auto name_end = text.rfind(')');
  return name_end != std::string::npos && text.compare(name_end, 4, ") S ") == 0;
}

std::string Child::last_words() const {
  const auto size = lseek(words_.get(), 0, SEEK_END);
  if (size <= 0) return {};
  const auto wanted = std::min<off_t>(size, static_cast<off_t>(last_words_size));
  std::string text(static_cast<std::size_t>(wanted), '\0');
  const auto n = pread(words_.get(), text.data(), text.size(), size - wanted);
  text.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
  return text;
}

void* map_shared(std::size_t size) {
  void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  return memory == MAP_FAILED ? nullptr : memory;
}

void unmap_shared(void* address, std::size_t size) { munmap(address, size); }

}  // namespace lockstep::props
