// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/kvm/stats.h"

#include <fmt/format.h>

#include <cstring>
#include <string>
#include <vector>

#include "hw/kvm/api.h"

namespace lockstep::hw {
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

bool read_all(int fd, void* into, std::size_t size, off_t at) {
  return ::pread(fd, into, size, at) == static_cast<ssize_t>(size);
}

}  // namespace

Result<VcpuStats> VcpuStats::open(int vcpu) {
  const Call fd = kvm_call(vcpu, KVM_GET_STATS_FD, 0);
  if (!fd) {
    return tl::unexpected(
        EngineError{fmt::format("KVM_GET_STATS_FD: {}", std::strerror(fd.error()))});
  }
  VcpuStats stats;
  stats.fd_ = Fd(*fd);
  kvm_stats_header header{};
  const EngineError unreadable{"KVM statistics fd is not readable as documented"};
  if (!read_all(*fd, &header, sizeof header, 0) || header.num_desc > 4096 ||
      header.name_size > 4096) {
    return tl::unexpected(unreadable);
  }
  const std::size_t step = sizeof(Descriptor) + header.name_size;
  std::vector<char> all(step * header.num_desc);
  if (!read_all(*fd, all.data(), all.size(), header.desc_offset)) {
    return tl::unexpected(unreadable);
  }
  for (std::size_t i = 0; i < header.num_desc; ++i) {
    Descriptor descriptor{};
    std::memcpy(&descriptor, &all[i * step], sizeof descriptor);
    const char* const text = &all[i * step + sizeof descriptor];
    const std::string_view name(text, ::strnlen(text, header.name_size));
    const auto at = static_cast<off_t>(header.data_offset + descriptor.offset);
    if (name == "pf_fixed") stats.pf_fixed_ = at;
  }
  return stats;
}

std::uint64_t VcpuStats::pf_fixed() const {
  std::uint64_t value = 0;
  if (!pf_fixed_ || !read_all(fd_.get(), &value, sizeof value, *pf_fixed_)) return 0;
  return value;
}

}  // namespace lockstep::hw
