// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/hosted/traps.h"

#include <fmt/format.h>
#include <ucontext.h>

#include <array>
#include <cerrno>
#include <mutex>

#include "hw/hosted/call_chain.h"
#include "hw/hosted/host.h"
#include "hw/hosted/image.h"

namespace lockstep::hw::hosted {
namespace {

thread_local Host* current_host = nullptr;
thread_local Image* current_image = nullptr;

constexpr std::array<int, 3> signals = {SIGILL, SIGSEGV, SIGBUS};
std::array<struct sigaction, 3> before;

/// What hosted_image.trap() answers.
enum class Reason { none, warning, bug, fixup };
constexpr unsigned ud2_size = 2;

/// Registers in the encoding's order, as a signal frame has them.
constexpr std::array<int, 16> by_encoding = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP,
                                             REG_RSI, REG_RDI, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                             REG_R12, REG_R13, REG_R14, REG_R15};

void chain(int number, siginfo_t* info, void* context) {
  for (std::size_t i = 0; i < signals.size(); ++i) {
    if (signals[i] != number) continue;
    const struct sigaction& previous = before[i];
    if ((previous.sa_flags & SA_SIGINFO) != 0) {
      previous.sa_sigaction(number, info, context);
    } else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
      previous.sa_handler(number);
    } else {
      // The instruction traps again, and the default action applies.
      (void)::sigaction(number, &previous, nullptr);
      if (info->si_code <= 0) (void)::raise(number);
    }
  }
}

}  // namespace

Traps::Entered::Entered(Host& host, Image& image)
    : outer_host_(current_host), outer_image_(current_image) {
  static std::once_flag once;
  std::call_once(once, install);
  current_host = &host;
  current_image = &image;
}

Traps::Entered::~Entered() {
  current_host = outer_host_;
  current_image = outer_image_;
}

void Traps::install() {
  struct sigaction action {};
  action.sa_sigaction = handle;
  // The handler is left by longjmp(), which does not restore the mask.
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  for (std::size_t i = 0; i < signals.size(); ++i) {
    (void)::sigaction(signals[i], &action, &before[i]);
  }
}

bool Traps::handled(int number, const siginfo_t& info, ucontext_t& context) {
  Host* const host = current_host;
  Image* const image = current_image;
  const bool sent = info.si_code <= 0;  // by kill(), not by an instruction
  if (host == nullptr || !host->now_->inside || host->now_->in_processor || sent) return false;
  auto& registers = context.uc_mcontext.gregs;
  const auto ip = static_cast<std::uint64_t>(registers[REG_RIP]);
  const auto stack = static_cast<std::uint64_t>(registers[REG_RSP]);
  const auto address = reinterpret_cast<std::uintptr_t>(info.si_addr);
  char text[300] = {};
  const auto fault = [&](const char* where) {
    const auto end =
        fmt::format_to_n(text, sizeof text - 1, "{} {:#x}{}",
                         number == SIGILL ? "invalid instruction at" : "access to address",
                         number == SIGILL ? ip : address, where);
    *end.out = '\0';
  };
  // Named by itself, whether it is called, read or written.
  if (const char* const absent = image->absent_symbol(image->contains(ip) ? address : ip)) {
    std::uint64_t user = ip;
    if (!image->contains(ip)) (void)callers(*image, stack, host->now_->outer, {&user, 1});
    const auto end = fmt::format_to_n(
        text, sizeof text - 1, "the kernel used {}, which the shim does not provide", absent);
    *end.out = '\0';
    const auto stands = image->contains(ip) ? Host::Stands::on : Host::Stands::behind;
    host->note(HOSTED_STUB, user, stands, stack, text);
    host->leave();
  }
  if (!image->contains(ip)) {
    std::uint64_t caller = 0;
    if (callers(*image, stack, host->now_->outer, {&caller, 1}) == 0) return false;
    fault(" in a function of the process");
    host->note(HOSTED_FAULT, caller, Host::Stands::behind, stack, text);
    host->leave();
  }
  hosted_u64 go_on = 0;
  int error_register = -1;
  const auto reason =
      static_cast<Reason>(image->boundary().trap(ip, text, sizeof text, &go_on, &error_register));
  switch (reason) {
    case Reason::warning:
      host->note(HOSTED_WARNING, ip, Host::Stands::on, stack, text);
      registers[REG_RIP] += ud2_size;
      return true;
    case Reason::fixup:
      registers[REG_RIP] = static_cast<greg_t>(go_on);
      if (error_register >= 0 && error_register < 16) {
        registers[by_encoding[static_cast<std::size_t>(error_register)]] = -EFAULT;
      }
      return true;
    case Reason::bug:
      host->note(HOSTED_BUG, ip, Host::Stands::on, stack, text);
      host->leave();
    case Reason::none:
      break;
  }
  fault("");
  host->note(HOSTED_FAULT, ip, Host::Stands::on, stack, text);
  host->leave();
}

void Traps::handle(int number, siginfo_t* info, void* context) {
  const int error = errno;
  if (!handled(number, *info, *static_cast<ucontext_t*>(context))) chain(number, info, context);
  errno = error;
}

}  // namespace lockstep::hw::hosted
