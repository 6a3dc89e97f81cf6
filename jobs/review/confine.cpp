// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/review/confine.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <vector>

namespace lockstep::jobs::review {
namespace {

/// Refused whatever their arguments are.
constexpr std::array refused = {SYS_execve,
                                SYS_execveat,
                                SYS_fork,
                                SYS_vfork,
                                SYS_clone,
                                SYS_clone3,
                                SYS_socket,
                                SYS_socketpair,
                                SYS_connect,
                                SYS_bind,
                                SYS_ptrace,
                                SYS_kill,
                                SYS_tkill,
                                SYS_rt_sigqueueinfo,
                                SYS_rt_tgsigqueueinfo,
                                SYS_pidfd_open,
                                SYS_pidfd_send_signal,
                                SYS_pidfd_getfd,
                                SYS_process_madvise,
                                SYS_process_vm_readv,
                                SYS_process_vm_writev,
                                SYS_creat,
                                SYS_truncate,
                                SYS_unlink,
                                SYS_unlinkat,
                                SYS_rename,
                                SYS_renameat,
                                SYS_renameat2,
                                SYS_link,
                                SYS_linkat,
                                SYS_symlink,
                                SYS_symlinkat,
                                SYS_mkdir,
                                SYS_mkdirat,
                                SYS_rmdir,
                                SYS_mknod,
                                SYS_mknodat,
                                SYS_chmod,
                                SYS_fchmod,
                                SYS_fchmodat,
                                SYS_chown,
                                SYS_fchown,
                                SYS_lchown,
                                SYS_fchownat,
                                SYS_setxattr,
                                SYS_mount,
                                SYS_umount2,
                                SYS_chroot,
                                SYS_pivot_root,
                                SYS_reboot,
                                SYS_init_module,
                                SYS_finit_module,
                                SYS_delete_module,
                                SYS_kexec_load,
                                SYS_kexec_file_load,
                                SYS_settimeofday,
                                SYS_clock_settime,
                                SYS_adjtimex,
                                SYS_clock_adjtime,
                                SYS_sethostname,
                                SYS_setdomainname,
                                SYS_quotactl,
                                SYS_acct,
                                SYS_syslog,
                                SYS_iopl,
                                SYS_ioperm,
                                SYS_perf_event_open,
                                SYS_setpriority,
                                SYS_utimensat,
                                SYS_fallocate,
                                SYS_move_mount,
                                SYS_fsopen,
                                SYS_open_tree,
                                SYS_name_to_handle_at,
                                SYS_bpf,
                                SYS_io_uring_setup,
                                SYS_keyctl,
                                SYS_openat2,
                                SYS_open_by_handle_at,
                                SYS_unshare,
                                SYS_setns,
                                SYS_swapon,
                                SYS_swapoff};

constexpr unsigned writes = O_WRONLY | O_RDWR | O_CREAT | O_TRUNC;

constexpr sock_filter statement(unsigned code, unsigned k) {
  return {static_cast<unsigned short>(code), 0, 0, k};
}
constexpr sock_filter jump(unsigned code, unsigned k, unsigned char yes, unsigned char no) {
  return {static_cast<unsigned short>(code), yes, no, k};
}

std::vector<sock_filter> filter() {
  constexpr unsigned deny = SECCOMP_RET_ERRNO | EPERM;
  const auto load = [](std::size_t offset) {
    return statement(BPF_LD | BPF_W | BPF_ABS, static_cast<unsigned>(offset));
  };
  std::vector<sock_filter> program;
  // Another instruction set has other numbers.
  program.push_back(load(offsetof(seccomp_data, arch)));
  program.push_back(jump(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0));
  program.push_back(statement(BPF_RET | BPF_K, deny));
  program.push_back(load(offsetof(seccomp_data, nr)));
  program.push_back(jump(BPF_JMP | BPF_JGE | BPF_K, 0x4000'0000, 0, 1));
  program.push_back(statement(BPF_RET | BPF_K, deny));
  for (const auto number : refused) {
    program.push_back(jump(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(number), 0, 1));
    program.push_back(statement(BPF_RET | BPF_K, deny));
  }
  // A signal to itself is how a process aborts.
  program.push_back(jump(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(SYS_tgkill), 0, 4));
  program.push_back(load(offsetof(seccomp_data, args)));
  program.push_back(jump(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(getpid()), 1, 0));
  program.push_back(statement(BPF_RET | BPF_K, deny));
  program.push_back(statement(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  // The flags are the second argument of one and the third of the other.
  for (const auto& [number, argument] : {std::pair(SYS_open, 1), std::pair(SYS_openat, 2)}) {
    program.push_back(jump(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(number), 0, 4));
    program.push_back(load(offsetof(seccomp_data, args) + 8u * static_cast<unsigned>(argument)));
    program.push_back(jump(BPF_JMP | BPF_JSET | BPF_K, writes, 0, 1));
    program.push_back(statement(BPF_RET | BPF_K, deny));
    program.push_back(statement(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  }
  program.push_back(statement(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  return program;
}

}  // namespace

bool confinement_works() {
  const pid_t child = fork();
  if (child == 0) _exit(confine_this_process() ? 0 : 1);
  int status = 0;
  return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
         WEXITSTATUS(status) == 0;
}

tl::expected<void, std::string> confine_this_process() {
  // What root may do beyond its own files is not wanted either.
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  const __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {};
  if (syscall(SYS_capset, &header, none) != 0) {
    return tl::unexpected(fmt::format("capset: {}", std::strerror(errno)));
  }
  auto instructions = filter();
  const sock_fprog program = {static_cast<unsigned short>(instructions.size()),
                              instructions.data()};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
    return tl::unexpected(fmt::format("seccomp: {}", std::strerror(errno)));
  }
  return {};
}

}  // namespace lockstep::jobs::review
