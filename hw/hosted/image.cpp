// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/hosted/image.h"

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace lockstep::hw::hosted {
namespace {

constexpr std::uint64_t highest_address = 1ull << 31;
constexpr std::uint64_t largest_file = 1ull << 30;

/// One row of the image's table of imports; both are addresses in the image.
struct Import {
  const char* name;
  void** slot;
};

}  // namespace

EngineError Image::bad(std::string_view what) const {
  return {fmt::format("{}: {}", path_.string(), what)};
}

/// `count` objects at an offset of the file; null where they leave it.
template <typename T>
const T* Image::at(std::uint64_t offset, std::uint64_t count) const {
  const std::uint64_t size = file_.size();
  if (offset > size || count > (size - offset) / sizeof(T)) return nullptr;
  return reinterpret_cast<const T*>(file_.data() + offset);
}

Result<void> Image::read_headers() {
  const auto* const header = at<Elf64_Ehdr>(0);
  if (header == nullptr || std::memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 ||
      header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_machine != EM_X86_64) {
    return tl::unexpected(bad("not an x86-64 ELF file"));
  }
  if (header->e_type != ET_EXEC) {
    return tl::unexpected(bad("not linked at a fixed address (ET_EXEC)"));
  }
  const auto* const programs = at<Elf64_Phdr>(header->e_phoff, header->e_phnum);
  if (programs == nullptr) return tl::unexpected(bad("truncated"));
  begin_ = highest_address;
  for (const Elf64_Phdr& part : std::span(programs, header->e_phnum)) {
    if (part.p_type == PT_INTERP) return tl::unexpected(bad("dynamically linked"));
    if (part.p_type != PT_LOAD || part.p_memsz == 0) continue;
    const auto* const bytes = at<std::byte>(part.p_offset, part.p_filesz);
    if (bytes == nullptr || part.p_filesz > part.p_memsz) return tl::unexpected(bad("truncated"));
    if (part.p_vaddr < page_size || part.p_memsz > highest_address ||
        part.p_vaddr > highest_address - part.p_memsz) {
      return tl::unexpected(
          bad(fmt::format("linked at {:#x}, outside the lowest 2 GiB", part.p_vaddr)));
    }
    segments_.push_back({.address = part.p_vaddr,
                         .bytes = part.p_memsz,
                         .file = {bytes, part.p_filesz},
                         .writable = (part.p_flags & PF_W) != 0,
                         .executable = (part.p_flags & PF_X) != 0});
    begin_ = std::min(begin_, part.p_vaddr & page_mask);
    end_ = std::max(end_, (part.p_vaddr + part.p_memsz + page_size - 1) & page_mask);
  }
  if (segments_.empty()) return tl::unexpected(bad("nothing to load"));
  if (header->e_entry < begin_ || header->e_entry > end_ - sizeof(hosted_image)) {
    return tl::unexpected(bad("its entry point is not in it"));
  }
  boundary_ = reinterpret_cast<const hosted_image*>(header->e_entry);
  return {};
}

Result<void> Image::read_symbols() {
  const auto* const header = at<Elf64_Ehdr>(0);
  const auto* const sections = at<Elf64_Shdr>(header->e_shoff, header->e_shnum);
  if (sections == nullptr) return tl::unexpected(bad("truncated section headers"));
  for (const Elf64_Shdr& section : std::span(sections, header->e_shnum)) {
    if (section.sh_type != SHT_SYMTAB || section.sh_link >= header->e_shnum) continue;
    const Elf64_Shdr& strings = sections[section.sh_link];
    const std::uint64_t count = section.sh_size / sizeof(Elf64_Sym);
    const auto* const all = at<Elf64_Sym>(section.sh_offset, count);
    const auto* const text = at<char>(strings.sh_offset, strings.sh_size);
    if (all == nullptr || text == nullptr || strings.sh_size == 0 ||
        text[strings.sh_size - 1] != '\0') {
      return tl::unexpected(bad("truncated symbol table"));
    }
    for (const Elf64_Sym& symbol : std::span(all, count)) {
      const auto type = ELF64_ST_TYPE(symbol.st_info);
      if (symbol.st_name >= strings.sh_size || symbol.st_shndx == SHN_UNDEF ||
          type == STT_SECTION || type == STT_FILE) {
        continue;
      }
      symbols_.push_back({symbol.st_value, symbol.st_size, text + symbol.st_name});
    }
  }
  if (symbols_.empty()) return tl::unexpected(bad("has no symbols: it was stripped"));
  // A sized symbol goes last at its address, for symbol_of() to find it first.
  std::ranges::sort(symbols_, [](const Symbol& a, const Symbol& b) {
    return a.address != b.address ? a.address < b.address : a.bytes < b.bytes;
  });
  return {};
}

Result<void> Image::map() {
  void* const wanted = reinterpret_cast<void*>(begin_);
  void* const got = ::mmap(wanted, end_ - begin_, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (got == MAP_FAILED) {
    return tl::unexpected(bad(fmt::format("addresses {:#x} to {:#x} cannot be had: {}", begin_,
                                          end_, std::strerror(errno))));
  }
  mapped_ = true;
  fill();
  return {};
}

/// Everything writable, or as the image wants it: static calls are patched in
/// place, so that text stays writable.
Result<void> Image::protect(bool open) {
  for (const ImageSegment& segment : segments_) {
    const bool writable = open || segment.writable || segment.executable;
    const int protection =
        PROT_READ | (writable ? PROT_WRITE : 0) | (segment.executable ? PROT_EXEC : 0);
    const std::uint64_t first = segment.address & page_mask;
    const std::uint64_t last = (segment.address + segment.bytes + page_size - 1) & page_mask;
    if (::mprotect(reinterpret_cast<void*>(first), last - first, protection) != 0) {
      return tl::unexpected(bad(fmt::format("mprotect: {}", std::strerror(errno))));
    }
  }
  return {};
}

void Image::fill() {
  for (const ImageSegment& segment : segments_) {
    auto* const to = reinterpret_cast<std::byte*>(segment.address);
    std::copy(segment.file.begin(), segment.file.end(), to);
    std::fill(to + segment.file.size(), to + segment.bytes, std::byte{0});
  }
}

Result<void> Image::bind_imports() {
  const auto first = address_of("__start_hosted_imports");
  const auto last = address_of("__stop_hosted_imports");
  if (!first || !last || *first > *last || !contains(*first) || *last > end_) {
    return tl::unexpected(bad("has no table of imports"));
  }
  std::string missing;
  const std::span imports(reinterpret_cast<const Import*>(*first),
                          (*last - *first) / sizeof(Import));
  for (const Import& import : imports) {
    void* const found = ::dlsym(RTLD_DEFAULT, import.name);
    if (found == nullptr) missing += fmt::format("{}{}", missing.empty() ? "" : ", ", import.name);
    *import.slot = found;
  }
  if (missing.empty()) return {};
  return tl::unexpected(bad(fmt::format("this process does not provide {}", missing)));
}

Result<std::unique_ptr<Image>> Image::load(const std::filesystem::path& file) {
  std::unique_ptr<Image> image(new Image);
  image->path_ = file;
  const Fd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat status {};
  if (!fd || ::fstat(fd.get(), &status) != 0) {
    return tl::unexpected(image->bad(std::strerror(errno)));
  }
  const auto size = static_cast<std::uint64_t>(status.st_size);
  if (size < sizeof(Elf64_Ehdr) || size > largest_file) {
    return tl::unexpected(image->bad("not an x86-64 ELF file"));
  }
  image->file_ = Mapping(size, PROT_READ, MAP_PRIVATE, fd.get());
  if (!image->file_) return tl::unexpected(image->bad(std::strerror(errno)));
  if (auto done = image->read_headers(); !done) return tl::unexpected(done.error());
  if (auto done = image->read_symbols(); !done) return tl::unexpected(done.error());
  if (auto done = image->map(); !done) return tl::unexpected(done.error());
  if (auto done = image->bind_imports(); !done) return tl::unexpected(done.error());
  if (auto done = image->protect(/*open=*/false); !done) return tl::unexpected(done.error());
  if (image->boundary().version != HOSTED_BOUNDARY_VERSION) {
    return tl::unexpected(
        image->bad(fmt::format("speaks version {} of the boundary, not {}",
                               image->boundary().version, HOSTED_BOUNDARY_VERSION)));
  }
  return image;
}

Result<void> Image::reset() {
  if (auto done = protect(/*open=*/true); !done) return done;
  fill();
  if (auto done = bind_imports(); !done) return done;
  return protect(/*open=*/false);
}

std::vector<std::span<std::byte>> Image::writable() const {
  std::vector<std::span<std::byte>> parts;
  for (const ImageSegment& segment : segments_) {
    if (!segment.writable) continue;
    parts.emplace_back(reinterpret_cast<std::byte*>(segment.address), segment.bytes);
  }
  return parts;
}

Image::~Image() {
  if (mapped_) ::munmap(reinterpret_cast<void*>(begin_), end_ - begin_);
}

std::string Image::symbol_of(std::uint64_t ip) const {
  const auto after = std::ranges::upper_bound(symbols_, ip, {}, &Symbol::address);
  for (auto found = after; found != symbols_.begin();) {
    --found;
    const std::uint64_t offset = ip - found->address;
    // A symbol without size, as assembler has them, reaches to the next.
    if (found->bytes != 0 && offset >= found->bytes) break;
    if (found->bytes == 0 && found->address != (after - 1)->address) break;
    if (!contains(ip)) break;
    return offset == 0 ? std::string(found->name) : fmt::format("{}+{:#x}", found->name, offset);
  }
  return fmt::format("{:#x}", ip);
}

std::vector<std::pair<std::string, std::uint64_t>> Image::symbols_with(
    std::string_view prefix) const {
  std::vector<std::pair<std::string, std::uint64_t>> found;
  for (const Symbol& symbol : symbols_) {
    if (!symbol.name.starts_with(prefix)) continue;
    found.emplace_back(symbol.name.substr(prefix.size()), symbol.address);
  }
  return found;
}

const char* Image::absent_symbol(std::uint64_t address) const {
  if (address < HOSTED_ABSENT_SYMBOLS || address >= HOSTED_ABSENT_END) return nullptr;
  const std::uint64_t begin = address - (address - HOSTED_ABSENT_SYMBOLS) % HOSTED_ABSENT_BYTES;
  const auto found = std::ranges::lower_bound(symbols_, begin, {}, &Symbol::address);
  return found != symbols_.end() && found->address == begin ? found->name.data() : nullptr;
}

std::optional<std::uint64_t> Image::address_of(std::string_view name) const {
  for (const Symbol& symbol : symbols_) {
    if (symbol.name == name) return symbol.address;
  }
  return std::nullopt;
}

}  // namespace lockstep::hw::hosted
