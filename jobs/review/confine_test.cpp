// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/review/confine.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>

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
  if (syscall(SYS_tgkill, getppid(), getppid(), 0) == 0) allowed |= 16;
  if (syscall(SYS_sethostname, "x", 1) == 0 || errno != EPERM) allowed |= 16;
  // Root without its capabilities.
  if (chroot("/") == 0) allowed |= 128;
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct left[_LINUX_CAPABILITY_U32S_3] = {};
  if (syscall(SYS_capget, &header, left) != 0 || left[0].permitted != 0) allowed |= 128;
  // What an engine needs.
  if (open("/proc/self/stat", O_RDONLY) < 0) allowed |= 32;
  const int memory = memfd_create("m", 0);
  if (memory < 0 || ftruncate(memory, 4096) != 0) allowed |= 64;
  return allowed;
}

TEST(Confined, MayAbortItself) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    if (confine_this_process()) abort();
    _exit(0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT) << status;
}

TEST(Confined, WorksHereOrSaysSo) {
  const bool works = confinement_works();
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) _exit(confine_this_process() ? 0 : 1);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(works, WEXITSTATUS(status) == 0);
  // The parent is as it was.
  EXPECT_GE(open("/dev/null", O_WRONLY), 0);
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
