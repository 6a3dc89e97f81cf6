// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/kvm/watchdog.h"

#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

// glibc names the field only from 2.37 on.
#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

namespace lockstep::hw {
namespace {

std::atomic<unsigned> tick_count{0};
static_assert(std::atomic<unsigned>::is_always_lock_free, "the signal handler needs it");

void on_tick(int) { tick_count.fetch_add(1, std::memory_order_relaxed); }

}  // namespace

Result<Watchdog> Watchdog::create() {
  const int signal = SIGRTMIN + 5;
  struct sigaction action {};
  action.sa_handler = on_tick;
  action.sa_flags = SA_RESTART;
  sigevent event{};
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = signal;
  event.sigev_notify_thread_id = ::gettid();
  Watchdog watchdog;
  if (::sigaction(signal, &action, nullptr) != 0 ||
      ::timer_create(CLOCK_MONOTONIC, &event, &watchdog.timer_) != 0) {
    return tl::unexpected(EngineError{fmt::format("watchdog timer: {}", std::strerror(errno))});
  }
  watchdog.thread_ = ::gettid();
  return watchdog;
}

Watchdog::Watchdog(Watchdog&& other) noexcept
    : timer_(other.timer_), thread_(std::exchange(other.thread_, 0)) {}

Watchdog& Watchdog::operator=(Watchdog&& other) noexcept {
  std::swap(timer_, other.timer_);
  std::swap(thread_, other.thread_);
  return *this;
}

Watchdog::~Watchdog() {
  if (thread_ != 0) ::timer_delete(timer_);
}

bool Watchdog::is_mine() const { return thread_ == ::gettid(); }

unsigned Watchdog::ticks() { return tick_count.load(std::memory_order_relaxed); }

void Watchdog::set(long milliseconds) {
  const timespec period{.tv_sec = 0, .tv_nsec = milliseconds * 1'000'000};
  const itimerspec setting{.it_interval = period, .it_value = period};
  ::timer_settime(timer_, 0, &setting, nullptr);
}

}  // namespace lockstep::hw
