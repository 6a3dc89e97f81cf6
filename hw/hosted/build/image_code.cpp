// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/hosted/build/image_code.h"

#include <elf.h>

#include <algorithm>
#include <cstring>

#include "hw/kernels/cache.h"

namespace lockstep::hw::hosted {

std::vector<Code> code_of(std::string_view file) {
  std::vector<Code> parts;
  Elf64_Ehdr header;
  if (file.size() < sizeof header) return parts;
  std::memcpy(&header, file.data(), sizeof header);
  for (unsigned i = 0; i < header.e_phnum; ++i) {
    const std::uint64_t at = header.e_phoff + std::uint64_t{i} * sizeof(Elf64_Phdr);
    Elf64_Phdr part;
    if (at > file.size() || file.size() - at < sizeof part) break;
    std::memcpy(&part, file.data() + at, sizeof part);
    if (part.p_type != PT_LOAD || (part.p_flags & PF_X) == 0) continue;
    if (part.p_offset > file.size() || part.p_filesz > file.size() - part.p_offset) continue;
    parts.push_back(
        {part.p_vaddr,
         {reinterpret_cast<const std::uint8_t*>(file.data()) + part.p_offset, part.p_filesz}});
  }
  return parts;
}

kernels::Result<bool> same_code(const std::filesystem::path& one,
                                const std::filesystem::path& other) {
  const auto first = kernels::read_file(one);
  if (!first) return tl::unexpected(first.error());
  const auto second = kernels::read_file(other);
  if (!second) return tl::unexpected(second.error());
  const auto a = code_of(*first);
  const auto b = code_of(*second);
  return !a.empty() && std::ranges::equal(a, b, [](const Code& x, const Code& y) {
    return x.begin == y.begin && std::ranges::equal(x.bytes, y.bytes);
  });
}

}  // namespace lockstep::hw::hosted
