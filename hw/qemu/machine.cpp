// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/qemu/machine.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstring>

#include "hw/kernels/process.h"
#include "hw/kernels/sandbox.h"

namespace lockstep::hw::qemu {
namespace {

constexpr const char* program = "qemu-system-x86_64";
constexpr const char* package = "qemu-system-x86";
/// The port's descriptor in QEMU.
constexpr int port_number = 10;
/// What QEMU may map beside the guest's memory: its code, its translations.
constexpr std::uint64_t own_bytes = 3ull << 30;
constexpr unsigned translation_mib = 128;
/// A console that nobody reads would stop the guest.
constexpr int console_bytes = 1 << 20;
constexpr std::size_t last_words_bytes = 2000;
/// QEMU writes no file; what it says goes to one.
constexpr std::uint64_t own_output_bytes = 1u << 20;

constexpr const char* kernel_words =
    "console=ttyS0 quiet panic=-1 oops=panic reboot=t mitigations=off tsc=reliable no_timer_check "
    "lpj=4000000 random.trust_cpu=on 8250.nr_uarts=1 rcupdate.rcu_expedited=1 page_owner=on "
    "printk.devkmsg=on kasan_multi_shot";

/// Ticks of the time-stamp counter a millisecond. TCG hands the host's to the guest, which
/// cannot measure it on a loaded machine; without it KVM never enters a guest
/// (kvm_guest_time_update()).
std::uint64_t tsc_khz() {
  static const std::uint64_t measured = [] {
    using Clock = std::chrono::steady_clock;
    constexpr auto span = std::chrono::milliseconds(50);
    const auto began = Clock::now();
    const std::uint64_t first = __builtin_ia32_rdtsc();
    while (Clock::now() - began < span) {
    }
    const std::uint64_t last = __builtin_ia32_rdtsc();
    const std::chrono::duration<double, std::milli> took = Clock::now() - began;
    return static_cast<std::uint64_t>(static_cast<double>(last - first) / took.count());
  }();
  return measured;
}

/// The command line: a sandbox where there is one, limits in any case.
std::vector<std::string> guarded_words(const MachineOptions& options, bool& in_sandbox) {
  auto words = qemu_words(options, port_number);
  const std::uint64_t bytes = own_bytes + (std::uint64_t{options.memory_mib} << 20);
  in_sandbox = kernels::sandbox_works();
  if (in_sandbox) {
    kernels::Process process;
    process.words = std::move(words);
    process.readable = {options.image, options.initramfs};
    // The one who asks keeps the time.
    constexpr unsigned days = 7;
    const kernels::SandboxLimits limits{
        .cpu_seconds = days * 24 * 3600, .file_bytes = own_output_bytes, .address_space = bytes};
    auto made = kernels::sandboxed(std::move(process), {}, limits);
    if (made) return std::move(made->words);
    in_sandbox = false;
    words = qemu_words(options, port_number);
  }
  std::vector<std::string> all = {"setpriv",
                                  "--pdeathsig",
                                  "KILL",
                                  "prlimit",
                                  "--core=0",
                                  fmt::format("--as={}", bytes),
                                  fmt::format("--fsize={}", own_output_bytes)};
  all.insert(all.end(), words.begin(), words.end());
  return all;
}

struct Ends {
  Fd ours, theirs;
};

bool make_socket(Ends& ends) {
  std::array<int, 2> pair{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) != 0) return false;
  ends.ours = Fd(pair[0]);
  ends.theirs = Fd(pair[1]);
  return true;
}

bool make_pipe(Ends& ends) {
  std::array<int, 2> pair{};
  if (::pipe2(pair.data(), O_CLOEXEC) != 0) return false;
  ends.ours = Fd(pair[0]);
  ends.theirs = Fd(pair[1]);
  ::fcntl(pair[0], F_SETPIPE_SZ, console_bytes);
  ::fcntl(pair[0], F_SETFL, O_NONBLOCK);
  return true;
}

int spawn(std::vector<std::string> words, int port, int console, int own, pid_t& child) {
  std::vector<char*> pointers;
  for (auto& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, console, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, own, STDERR_FILENO);
  posix_spawn_file_actions_adddup2(&actions, port, port_number);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  sigset_t defaults;
  sigemptyset(&defaults);
  sigaddset(&defaults, SIGPIPE);
  sigaddset(&defaults, SIGINT);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  // Of a group of its own: what interrupts the caller is the caller's to handle.
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  const int error =
      ::posix_spawnp(&child, words[0].c_str(), &actions, &attributes, pointers.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  return error;
}

FrameStream::Deadline in(std::chrono::seconds time) {
  return std::chrono::steady_clock::now() + time;
}

}  // namespace

std::vector<std::string> qemu_words(const MachineOptions& options, int port) {
  return {program,
          "-M",
          "q35,hpet=off",
          "-nodefaults",
          "-no-user-config",
          "-accel",
          fmt::format("tcg,tb-size={}", translation_mib),
          "-cpu",
          "EPYC",
          "-smp",
          std::to_string(options.cpus),
          "-m",
          std::to_string(options.memory_mib),
          "-display",
          "none",
          "-no-reboot",
          "-serial",
          "stdio",
          "-chardev",
          fmt::format("socket,id=port,fd={}", port),
          "-device",
          "virtio-serial-pci",
          "-device",
          "virtserialport,chardev=port,name=lockstep",
          "-kernel",
          options.image.string(),
          "-initrd",
          options.initramfs.string(),
          "-append",
          fmt::format("{} tsc_early_khz={}", kernel_words, tsc_khz())};
}

std::string lacks_qemu() {
  if (kernels::installed(program)) return {};
  return fmt::format("{} is not installed: apt-get install {}", program, package);
}

Machine::Machine(pid_t pid, Fd port, Fd console, Fd words, bool sandboxed)
    : pid_(pid),
      port_(std::move(port)),
      console_end_(std::move(console)),
      words_(std::move(words)),
      sandboxed_(sandboxed) {}

Machine::~Machine() { end(); }

void Machine::end() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
}

tl::expected<std::unique_ptr<Machine>, std::string> Machine::start(const MachineOptions& options) {
  if (auto reason = lacks_qemu(); !reason.empty()) return tl::unexpected(std::move(reason));
  Ends port, console;
  Fd words(::memfd_create("lockstep-qemu", MFD_CLOEXEC));
  if (!make_socket(port) || !make_pipe(console) || !words) {
    return tl::unexpected(fmt::format("cannot make a socket: {}", std::strerror(errno)));
  }
  bool in_sandbox = false;
  auto line = guarded_words(options, in_sandbox);
  pid_t child = -1;
  const int error =
      spawn(std::move(line), port.theirs.get(), console.theirs.get(), words.get(), child);
  if (error != 0) return tl::unexpected(fmt::format("{}: {}", program, std::strerror(error)));
  return std::unique_ptr<Machine>(new Machine(child, std::move(port.ours), std::move(console.ours),
                                              std::move(words), in_sandbox));
}

Machine::Asked<std::unique_ptr<Machine>> Machine::boot(const MachineOptions& options) {
  const auto began = std::chrono::steady_clock::now();
  auto machine = start(options);
  if (!machine) {
    return tl::unexpected(Failure{Failure::Kind::refused, std::move(machine.error())});
  }
  const auto ready = (*machine)->wait_for_line("lockstep: ready", 0, in(options.boot_patience));
  if (!ready) {
    auto failure = ready.error();
    failure.message = "the kernel does not boot: " + failure.message;
    return tl::unexpected(std::move(failure));
  }
  (*machine)->boot_time_ = std::chrono::steady_clock::now() - began;
  return std::move(*machine);
}

void Machine::listen() {
  std::array<char, 65536> bytes;
  for (;;) {
    const ssize_t size = ::read(console_end_.get(), bytes.data(), bytes.size());
    if (size > 0) {
      console_.append(bytes.data(), static_cast<std::size_t>(size));
      continue;
    }
    if (size < 0 && errno == EINTR) continue;
    // The end of the pipe stays readable: poll() must not see it again.
    if (size == 0) console_end_ = Fd();
    return;
  }
}

bool Machine::wait(FrameStream::Deadline deadline) {
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
  if (left.count() <= 0) return false;
  std::array<pollfd, 2> polled = {
      {{port_.descriptor(), POLLIN, 0}, {console_end_.get(), POLLIN, 0}}};
  const auto most =
      static_cast<int>(std::min<std::chrono::milliseconds::rep>(left.count(), INT_MAX));
  if (::poll(polled.data(), polled.size(), most) < 0 && errno != EINTR) return false;
  listen();
  return true;
}

Machine::Failure Machine::gone() {
  // What the dying kernel said is in the pipe.
  constexpr auto moment = std::chrono::seconds(2);
  const auto deadline = in(moment);
  while (console_end_ && std::chrono::steady_clock::now() < deadline) {
    pollfd polled{console_end_.get(), POLLIN, 0};
    ::poll(&polled, 1, 100);
    listen();
  }
  std::string said(last_words_bytes, '\0');
  const auto size = ::lseek(words_.get(), 0, SEEK_END);
  const auto from = std::max<off_t>(0, size - static_cast<off_t>(said.size()));
  const ssize_t got = ::pread(words_.get(), said.data(), said.size(), from);
  said.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  while (said.ends_with('\n')) said.pop_back();
  return {Failure::Kind::died, fmt::format("QEMU ended{}{}", said.empty() ? "" : ": ", said)};
}

Machine::Asked<void> Machine::wait_for_line(std::string_view line, std::size_t from,
                                            FrameStream::Deadline deadline) {
  for (;;) {
    const auto at = console_.find(line, from);
    if (at != std::string::npos && console_.find('\n', at) != std::string::npos) return {};
    if (!console_end_) return tl::unexpected(gone());
    if (!wait(deadline)) {
      return tl::unexpected(Failure{Failure::Kind::hung, "its console is silent"});
    }
  }
}

Machine::Asked<std::string> Machine::ask(const Request& request, std::chrono::seconds patience) {
  const auto deadline = in(patience);
  using Status = FrameStream::Status;
  const auto sent = port_.send(write_request(request), deadline);
  if (sent == Status::closed) return tl::unexpected(gone());
  std::string message;
  for (;;) {
    const auto status = port_.receive(message, std::chrono::steady_clock::now());
    if (status == Status::closed) return tl::unexpected(gone());
    if (status == Status::message) {
      auto answer = parse_answer(message);
      if (answer) return *std::move(answer);
      return tl::unexpected(Failure{Failure::Kind::refused, std::move(answer.error())});
    }
    if (!wait(deadline)) {
      return tl::unexpected(
          Failure{Failure::Kind::hung, fmt::format("no answer in {} s", patience.count())});
    }
  }
}

Machine::Asked<void> Machine::flush_console() {
  constexpr auto patience = std::chrono::seconds(30);
  const auto mark = fmt::format("lockstep: mark {}", ++marks_);
  const auto from = console_.size();
  if (const auto asked = ask({Verb::mark, mark}, patience); !asked) {
    return tl::unexpected(asked.error());
  }
  return wait_for_line(mark, from, in(patience));
}

}  // namespace lockstep::hw::qemu
