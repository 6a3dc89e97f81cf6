// SPDX-License-Identifier: GPL-2.0-or-later
/// Programs at random: legal by construction, swarm-like, crowded on few
/// addresses so that commands meet.
#pragma once

#include <rapidcheck.h>
#include <cstdint>
#include <optional>
#include <span>

#include "spec/engine.h"
#include "spec/program.h"

namespace lockstep::props {

/// What the engines of a run can do.
struct GeneratorOptions {
  /// Features of every engine: most cases need nothing else.
  Features everywhere;
  /// Features of some engine: a case now and then needs one of these.
  Features somewhere;
  unsigned max_vcpus = 2;        ///< the least of all engines
  unsigned max_maxphyaddr = 52;  ///< the least of all engines, bits
  /// Linear addresses of the upper half may be used (64-bit modes).
  bool upper_half = true;
  /// Cases of one era share a few VM shapes (paging mode, vCPUs, MAXPHYADDR,
  /// dirty log mode); none: every case has its own. Set by generate().
  std::optional<std::uint64_t> era;
  /// Which combination of host parameters: blocks of cases go through all of
  /// them in turn. None: drawn. Set by generate().
  std::optional<std::uint64_t> host;
};

/// Meet and join of the platforms; at least one.
GeneratorOptions generator_options(std::span<const Platform> platforms);

/// Features of a machine that has everything, for tests and `list`.
GeneratorOptions everything();

/// The generator. Value depends on Random and size alone; `size` 0..100 scales
/// the number of commands. Shrinks by shrinks() (props/shrink.h).
rc::Gen<Program> program(const GeneratorOptions& options);

/// Case `index` of a run with this seed: what a worker executes, and what its
/// parent makes again after the worker died.
Program generate(const GeneratorOptions& options, std::uint64_t seed, std::uint64_t index);

}  // namespace lockstep::props
