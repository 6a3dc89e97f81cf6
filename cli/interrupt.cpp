// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/interrupt.h"

#include <csignal>

namespace lockstep::cli {
namespace {

std::atomic<bool> stop{false};
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler stores to it");

extern "C" void set_stop(int) { stop.store(true, std::memory_order_relaxed); }

}  // namespace

const std::atomic<bool>& stop_on_interrupt() {
  struct sigaction action = {};
  action.sa_handler = set_stop;
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaction(signal, &action, nullptr);
  return stop;
}

}  // namespace lockstep::cli
