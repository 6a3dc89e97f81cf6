// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/review/confine.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

namespace lockstep::jobs::review {
namespace {

/// What fails in a confined process, as bits.
int attempts() {
  int allowed = 0;
  if (open("/tmp/lockstep-confined", O_WRONLY | O_CREAT, 0600) >= 0) allowed |= 1;
  if (socket(AF_INET, SOCK_STREAM, 0) >= 0) allowed |= 2;
  if (fork() >= 0) allowed |= 4;
  if (unlink("/tmp/lockstep-no-such-file") == 0 || errno != EPERM) allowed |= 8;
  if (kill(getppid(), 0) == 0) allowed |= 16;
  // What an engine needs.
  if (open("/proc/self/stat", O_RDONLY) < 0) allowed |= 32;
  const int memory = memfd_create("m", 0);
  if (memory < 0 || ftruncate(memory, 4096) != 0) allowed |= 64;
  return allowed;
}

TEST(Confined, DoesNothingToOthers) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) _exit(confine_this_process() ? attempts() : 255);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_NE(access("/tmp/lockstep-confined", F_OK), 0);
}

}  // namespace
}  // namespace lockstep::jobs::review
