// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/review/workbench.h"

#include <fmt/format.h>

#include <algorithm>

#include "hw/hosted/build/image_build.h"
#include "hw/hosted/engine.h"
#include "hw/hosted/open.h"
#include "jobs/review/confine.h"

namespace lockstep::jobs::review {
namespace {

namespace hosted = hw::hosted;
namespace kernels = hw::kernels;

/// More than the code of an image.
constexpr std::uint64_t code_bytes = 8ull << 20;

}  // namespace

std::vector<std::uint64_t> Kernel::blocks(const std::vector<kernels::ChangedLines>& changed,
                                          bool removed) const {
  std::vector<std::uint64_t> all;
  for (const auto& file : changed) {
    for (const auto line : removed ? file.removed : file.added) {
      const auto blocks = lines->blocks(file.file, line);
      all.insert(all.end(), blocks.begin(), blocks.end());
    }
  }
  return all;
}

kernels::Result<Kernel> build_kernel(const kernels::Cache& cache, const kernels::Source& source,
                                     unsigned place, std::string& said,
                                     const kernels::Progress& progress) {
  hosted::ImageOptions options;
  options.flavour = "coverage";
  options.place = place;
  options.heard = [&said](std::string_view text) { said = text; };
  const auto image = hosted::build_image(cache, source, options, progress);
  if (!image) return tl::unexpected(image.error());
  if (progress) progress("reading line tables");
  auto lines = hosted::LineCoverage::read(*image, source.path);
  if (!lines) return tl::unexpected(lines.error());
  auto coverage = hosted::Coverage::create(hosted::image_address(place), code_bytes);
  if (!coverage) return kernels::machine_error(coverage.error().message);
  auto probe = std::make_shared<props::SharedObject<Probe>>();
  if (!*probe) return kernels::machine_error("no shared memory");
  return Kernel{*image, std::move(*coverage),
                std::make_shared<const hosted::LineCoverage>(*std::move(lines)), std::move(probe),
                said};
}

kernels::Result<std::filesystem::path> build_image(const kernels::Cache& cache,
                                                   const kernels::Source& source,
                                                   std::string_view flavour, unsigned place,
                                                   const kernels::Progress& progress) {
  hosted::ImageOptions options;
  options.flavour = flavour;
  options.place = place;
  return hosted::build_image(cache, source, options, progress);
}

void Workbench::set_patched(Kernel patched, std::vector<kernels::ChangedLines> changed) {
  patched_ = std::move(patched);
  changed_ = std::move(changed);
  places_.clear();
  reached_.clear();
  const auto add = [this](const Kernel& kernel, const std::string& file, unsigned line,
                          bool removed) {
    if (!kernel.lines->blocks(file, line).empty()) places_.push_back({file, line, removed});
  };
  for (const auto& file : changed_) {
    for (const auto line : file.added) add(patched_, file.file, line, false);
    for (const auto line : file.removed) add(base_, file.file, line, true);
  }
  // What another patch of a series reached there is not this one's.
  base_.coverage->clear();
  patched_.coverage->clear();
}

props::EngineFactory Workbench::factory(bool step_by_step) const {
  return [base = base_, patched = patched_, step_by_step](
             std::string_view name, std::uint64_t seed) -> Result<std::unique_ptr<Engine>> {
    if (name != base_name && name != patched_name) return props::make_engine(name, seed);
    const Kernel& kernel = name == base_name ? base : patched;
    // The base is trusted; whoever wrote the patch may have written anything, and the
    // image runs while it is opened.
    if (name == patched_name) {
      if (auto confined = confine_this_process(); !confined) {
        return tl::unexpected(EngineError{confined.error()});
      }
    }
    auto engine = hw::open_hosted_engine(kernel.image, std::string(name), kernel.coverage.get());
    if (!engine) return engine;
    auto* const inside = dynamic_cast<hosted::HostedEngine*>(engine->get());
    if (step_by_step && inside != nullptr) {
      inside->check_invariants(hosted::InvariantChecks::every_command);
    }
    return probed(*std::move(engine), *kernel.probe->get());
  };
}

props::TesterSetup Workbench::setup(std::vector<std::string> engines) const {
  props::TesterSetup setup;
  setup.engines = std::move(engines);
  setup.factory = factory(/*step_by_step=*/true);
  setup.models = props::machine_models();
  setup.seed = seed_;
  return setup;
}

std::optional<Platform> Workbench::platform(const std::string& name) const {
  const Probe& probe = *(name == base_name ? base_ : patched_).probe->get();
  if (!probe.opened) return std::nullopt;
  Platform platform;
  platform.features = Features(probe.features);
  platform.max_vcpus = probe.max_vcpus;
  platform.max_maxphyaddr = probe.max_maxphyaddr;
  return platform;
}

bool Workbench::ran(const Place& place) const {
  const Kernel& kernel = place.removed ? base_ : patched_;
  return kernel.lines->state(place.file, place.line, [&](std::uint64_t at) {
    return kernel.coverage->hit(at);
  }) == hosted::LineCoverage::State::hit;
}

bool Workbench::reached_any() const {
  return std::ranges::any_of(places_, [this](const Place& place) { return ran(place); });
}

std::vector<Place> Workbench::reached_now() const {
  std::vector<Place> now;
  std::ranges::copy_if(places_, std::back_inserter(now),
                       [this](const Place& place) { return ran(place); });
  return now;
}

void Workbench::forget_reached() {
  for (const auto& place : reached_now()) {
    reached_.insert(place);
    const Kernel& kernel = place.removed ? base_ : patched_;
    for (const auto block : kernel.lines->blocks(place.file, place.line)) {
      kernel.coverage->forget(block);
    }
  }
}

Reach Workbench::reach() const {
  Reach reach;
  for (const auto& place : places_) {
    reach.code.push_back(place);
    (reached_.contains(place) || ran(place) ? reach.reached : reach.never).push_back(place);
  }
  return reach;
}

}  // namespace lockstep::jobs::review
