// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/hosted/session.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "hw/hosted/known_findings.h"

namespace lockstep::hw::hosted {
namespace {

/// Leaves that say what a guest's paging can do, and who made the processor.
constexpr std::uint32_t wanted_leaves[] = {0x0,         0x1,         0x7,        0xd,
                                           0x8000'0000, 0x8000'0001, 0x8000'0008};

constexpr std::uint64_t pages_per_huge = 512;

bool same(const hosted_parameters& a, const hosted_parameters& b) {
  return std::memcmp(&a, &b, sizeof a) == 0;
}

std::vector<std::pair<std::string, std::uint64_t>> read_counts(
    const std::vector<std::pair<std::string, std::uint64_t>>& places) {
  std::vector<std::pair<std::string, std::uint64_t>> counts;
  for (const auto& [name, at] : places) {
    counts.emplace_back(name, *reinterpret_cast<const std::uint64_t*>(at));
  }
  return counts;
}

}  // namespace

void KernelFile::close() {
  if (number_ < 0) return;
  const int number = std::exchange(number_, -1);
  if (host_->tainted()) return;
  (void)host_->enter([&] { return long{image_->close(number)}; });
}

void* KernelFile::map(unsigned long page) const {
  const auto address =
      host_->enter([&] { return reinterpret_cast<long>(image_->map(number_, page)); });
  return reinterpret_cast<void*>(address.value_or(0));
}

EngineError Session::failed(std::string_view what, std::optional<long> result) {
  std::string why = findings();
  if (result) why = fmt::format("{}{}", std::strerror(static_cast<int>(-*result)), why);
  if (const std::string log = host_->take_log(); !log.empty()) why += "; log: " + log;
  return {fmt::format("{}: {}: {}", image_->file().string(), what, why)};
}

std::vector<std::pair<std::string, std::uint64_t>> Session::stub_calls() const {
  return read_counts(stubs_);
}

std::vector<std::pair<std::string, std::uint64_t>> Session::counts() const {
  return read_counts(counted_);
}

std::string Session::findings() {
  std::string text;
  std::string last;
  unsigned times = 0;
  const auto tell = [&] {
    if (times == 0) return;
    text += (text.empty() ? "" : "; ") + last;
    if (times > 1) text += fmt::format(" ({} times)", times);
  };
  for (const Finding& found : host_->take_findings()) {
    if (const KnownFinding* one = hosted::known(found, image_->boundary().release)) {
      ++known_[one->name];
      continue;
    }
    // One that every retry gives is told once.
    std::string message = found.message();
    if (message == last) {
      ++times;
      continue;
    }
    tell();
    last = std::move(message);
    times = 1;
  }
  tell();
  return text;
}

Result<std::unique_ptr<Session>> Session::open(const std::filesystem::path& file,
                                               const ArenaSize& size, Coverage* coverage,
                                               std::uint64_t pool_bytes) {
  std::unique_ptr<Session> session(new Session);
  session->coverage_ = coverage;
  auto image = Image::load(file);
  if (!image) return tl::unexpected(image.error());
  session->image_ = std::move(*image);
  session->stubs_ = session->image_->symbols_with("hosted_calls_");
  session->counted_ = session->image_->symbols_with("hosted_count_");
  const auto once = session->image_->address_of("__start_hosted_once");
  const auto once_end = session->image_->address_of("__stop_hosted_once");
  if (once && once_end && *once < *once_end) {
    session->said_once_ = {reinterpret_cast<std::byte*>(*once), *once_end - *once};
  }
  auto arena = Arena::create(size);
  if (!arena) return tl::unexpected(arena.error());
  session->arena_ = std::move(*arena);
  session->processors_.emplace(*session->arena_);
  session->processors_->memory().set_liveness(session->image_->boundary().is_table);
  if (pool_bytes != 0) {
    auto pool = Pool::create(pool_bytes);
    if (!pool) return tl::unexpected(pool.error());
    session->pool_ = std::move(*pool);
  }
  session->host_.emplace(*session->image_, *session->arena_, *session->processors_,
                         session->pool_.get());
  if (auto started = session->start(); !started) return tl::unexpected(started.error());
  return session;
}

Result<void> Session::start() {
  if (coverage_ != nullptr) coverage_->attach(*image_);
  const auto started =
      host_->enter([&] { return long{image_->boundary().start(&host_->boundary())}; });
  if (started != 0) return tl::unexpected(failed("start of the image", started));
  told_.assign(arena_->size().program_bytes / page_size / pages_per_huge, 0);
  return {};
}

Session::~Session() {
  if (!host_) return;
  kvm_.close();
  if (loaded_ && !host_->tainted()) {
    (void)host_->enter([&] {
      image_->boundary().unload();
      return 0L;
    });
  }
}

void Session::forget_warnings() { std::ranges::fill(said_once_, std::byte{0}); }

Result<void> Session::recover() {
  kvm_.close();
  loaded_.reset();
  host_->forget();
  (void)findings();
  if (auto reset = image_->reset(); !reset) return reset;
  return start();
}

Result<void> Session::load(const hosted_parameters& wanted) {
  hosted_parameters parameters = wanted;
  // Four levels of nested tables reach 48 bits: a wider bus needs five.
  if (parameters.physical_bits == 0)
    parameters.physical_bits = parameters.five_level != 0 ? 52 : 46;
  if (host_->tainted()) {
    if (auto recovered = recover(); !recovered) return recovered;
  }
  if (loaded_ && kvm_ && same(*loaded_, parameters)) return {};
  kvm_.close();
  if (loaded_) {
    loaded_.reset();
    const auto gone = host_->enter([&] {
      image_->boundary().unload();
      return 0L;
    });
    if (!gone) return tl::unexpected(failed("unload of the vendor module", gone));
  }
  const auto loaded = host_->enter([&] { return long{image_->boundary().load(&parameters)}; });
  if (loaded != 0) return tl::unexpected(failed("load of the vendor module", loaded));
  loaded_ = parameters_ = parameters;
  const auto opened = host_->enter([&] { return long{image_->boundary().open()}; });
  if (!opened || *opened < 0) return tl::unexpected(failed("open of /dev/kvm", opened));
  kvm_ = adopt(*opened);
  CpuidTable table;
  const auto got = kvm_.ioctl(get_supported_cpuid, &table);
  if (got != 0) return tl::unexpected(failed("KVM_GET_SUPPORTED_CPUID", got));
  cpuid_ = GuestCpuid(table);
  cpuid_.keep(wanted_leaves);
  return {};
}

int Session::capability(int number) const {
  return std::max(0, static_cast<int>(kvm_.ioctl(KVM_CHECK_EXTENSION, number).value_or(0)));
}

std::optional<hosted_counters> Session::quiet_counters() {
  hosted_counters counters{};
  const auto done = host_->enter([&] {
    image_->boundary().quiesce();
    image_->boundary().counters(&counters);
    return 0L;
  });
  if (!done) return std::nullopt;
  return counters;
}

void Session::tell_levels(std::uint64_t first_page, std::uint64_t pages) {
  if (pages == 0) return;
  const std::uint64_t last =
      std::min<std::uint64_t>((first_page + pages - 1) / pages_per_huge, told_.size() - 1);
  for (std::uint64_t huge = first_page / pages_per_huge; huge <= last; ++huge) {
    const std::uint64_t address = arena_->hva_base() + huge * pages_per_huge * page_size;
    hosted_host_page page{};
    arena_->look_up(address, page);
    const std::uint8_t level = page.present != 0 ? page.level : std::uint8_t{1};
    // The image begins without tables: small pages of nothing need none.
    if (told_[huge] == level || (told_[huge] == 0 && level == 1)) continue;
    told_[huge] = level;
    (void)host_->enter([&] { return long{image_->boundary().host_level(address, level)}; });
  }
}

std::optional<long> Session::notify(hosted_notify kind, std::uint64_t first_page,
                                    std::uint64_t pages) {
  const std::uint64_t start = arena_->hva_base() + first_page * page_size;
  return host_->enter(
      [&] { return long{image_->boundary().notify(kind, start, start + pages * page_size)}; });
}

}  // namespace lockstep::hw::hosted
