// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/hosted/build/image_code.h"

#include <elf.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <vector>

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

namespace {

/// A section of what is loaded.
struct Section {
  std::string_view name;
  std::uint64_t begin = 0;
  std::string_view bytes;
  bool operator==(const Section& other) const = default;
};

/// Lines of the source, which a comment moves.
constexpr std::string_view lines_of_warnings = "__bug_table";

std::optional<Elf64_Shdr> section_header(std::string_view file, const Elf64_Ehdr& header,
                                         unsigned i) {
  const std::uint64_t at = header.e_shoff + std::uint64_t{i} * sizeof(Elf64_Shdr);
  Elf64_Shdr section;
  if (i >= header.e_shnum || at > file.size() || file.size() - at < sizeof section) {
    return std::nullopt;
  }
  std::memcpy(&section, file.data() + at, sizeof section);
  const bool inside =
      section.sh_offset <= file.size() && section.sh_size <= file.size() - section.sh_offset;
  if (section.sh_type != SHT_NOBITS && !inside) return std::nullopt;
  return section;
}

/// Code, constants and initial values, without lines of warnings; empty if the file is
/// no ELF file.
std::vector<Section> loaded(std::string_view file) {
  std::vector<Section> all;
  Elf64_Ehdr header;
  if (file.size() < sizeof header || !file.starts_with(ELFMAG)) return all;
  std::memcpy(&header, file.data(), sizeof header);
  const auto names = section_header(file, header, header.e_shstrndx);
  if (!names || names->sh_type != SHT_STRTAB) return all;
  for (unsigned i = 0; i < header.e_shnum; ++i) {
    const auto section = section_header(file, header, i);
    if (!section || (section->sh_flags & SHF_ALLOC) == 0) continue;
    if (section->sh_name >= names->sh_size) continue;
    const auto rest = file.substr(names->sh_offset, names->sh_size).substr(section->sh_name);
    Section made{rest.substr(0, rest.find('\0')), section->sh_addr, {}};
    if (made.name == lines_of_warnings || section->sh_type == SHT_NOTE) continue;
    if (section->sh_type != SHT_NOBITS) {
      made.bytes = file.substr(section->sh_offset, section->sh_size);
    }
    all.push_back(made);
  }
  return all;
}

}  // namespace

kernels::Result<bool> same_code(const std::filesystem::path& one,
                                const std::filesystem::path& other) {
  const auto first = kernels::read_file(one);
  if (!first) return tl::unexpected(first.error());
  const auto second = kernels::read_file(other);
  if (!second) return tl::unexpected(second.error());
  const auto sections = loaded(*first);
  return !sections.empty() && sections == loaded(*second);
}

}  // namespace lockstep::hw::hosted
