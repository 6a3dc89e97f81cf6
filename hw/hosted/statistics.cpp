// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/hosted/statistics.h"

#include <linux/kvm.h>
#include <cstring>
#include <string_view>

namespace lockstep::hw::hosted {
namespace {

/// The fixed part of struct kvm_stats_desc; its name follows.
struct Descriptor {
  std::uint32_t flags;
  std::int16_t exponent;
  std::uint16_t size;
  std::uint32_t offset;
  std::uint32_t bucket_size;
};
static_assert(sizeof(Descriptor) == 16);

bool read_file(Session& session, const KernelFile& file, void* into, unsigned long bytes,
               unsigned long offset) {
  const auto got = session.host().enter(
      [&] { return session.image().boundary().read(file.number(), into, bytes, offset); });
  return got && *got == static_cast<long>(bytes);
}

}  // namespace

bool Statistics::read_layout(Session& session, const KernelFile& file, Layout& layout) {
  kvm_stats_header header{};
  if (!read_file(session, file, &header, sizeof header, 0) || header.num_desc > 4096 ||
      header.name_size > 4096) {
    return false;
  }
  const std::size_t step = sizeof(Descriptor) + header.name_size;
  std::vector<char> all(step * header.num_desc);
  if (!read_file(session, file, all.data(), all.size(), header.desc_offset)) return false;
  layout.data = header.data_offset;
  for (std::size_t i = 0; i < header.num_desc; ++i) {
    Descriptor descriptor{};
    std::memcpy(&descriptor, &all[i * step], sizeof descriptor);
    layout.size = std::max<unsigned long>(layout.size, descriptor.offset + 8ul * descriptor.size);
    const bool grows = (descriptor.flags & KVM_STATS_TYPE_MASK) == KVM_STATS_TYPE_CUMULATIVE;
    if (!grows || descriptor.size != 1) continue;
    const char* const text = &all[i * step + sizeof descriptor];
    layout.counters.push_back(
        {std::string(text, ::strnlen(text, header.name_size)), descriptor.offset});
  }
  layout.sums.assign(layout.counters.size(), 0);
  layout.known = true;
  return true;
}

bool Statistics::add(Session& session, const KernelFile& file, bool is_vcpu) {
  const auto number = file.ioctl(KVM_GET_STATS_FD, 0);
  if (!number || *number < 0) return false;
  const KernelFile statistics = session.adopt(*number);
  Layout& layout = is_vcpu ? vcpu_ : vm_;
  if (!layout.known && !read_layout(session, statistics, layout)) return false;
  values_.resize((layout.size + 7) / 8);
  if (!read_file(session, statistics, values_.data(), layout.size, layout.data)) return false;
  for (std::size_t i = 0; i < layout.counters.size(); ++i) {
    layout.sums[i] += values_[layout.counters[i].offset / 8];
  }
  return true;
}

void Statistics::report(std::map<std::string, std::uint64_t>& reached) const {
  for (const Layout* layout : {&vm_, &vcpu_}) {
    for (std::size_t i = 0; i < layout->counters.size(); ++i) {
      if (layout->sums[i] != 0) reached["kvm " + layout->counters[i].name] = layout->sums[i];
    }
  }
}

}  // namespace lockstep::hw::hosted
