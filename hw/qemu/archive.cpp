// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/qemu/archive.h"

#include <fmt/format.h>
#include <sys/stat.h>

namespace lockstep::hw::qemu {
namespace {

/// Names and contents begin at multiples of it.
constexpr std::size_t alignment = 4;

void align(std::string& out) { out.append((alignment - out.size() % alignment) % alignment, '\0'); }

void append(std::string& out, const ArchiveFile& file, unsigned number) {
  // Magic, inode, mode, owner, group, links, time, size, four device numbers, size
  // of the name with its NUL, no checksum.
  out += fmt::format("070701{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}", number, file.mode, 0, 0,
                     S_ISDIR(file.mode) ? 2 : 1, 0, file.text.size());
  out += fmt::format("{:08X}{:08X}{:08X}{:08X}{:08X}{:08X}", 0, 0, 0, 0, file.name.size() + 1, 0);
  out += file.name;
  out += '\0';
  align(out);
  out += file.text;
  align(out);
}

}  // namespace

std::string write_archive(const std::vector<ArchiveFile>& files) {
  std::string out;
  unsigned number = 0;
  for (const auto& file : files) append(out, file, ++number);
  append(out, {"TRAILER!!!", "", 0}, 0);
  return out;
}

std::string initramfs(std::string init) {
  constexpr unsigned folder = S_IFDIR | 0755;
  return write_archive({{"dev", "", folder},
                        {"proc", "", folder},
                        {"sys", "", folder},
                        {"tmp", "", folder},
                        {"init", std::move(init), S_IFREG | 0755}});
}

}  // namespace lockstep::hw::qemu
