// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/hosted/build/image_build.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <algorithm>
#include <set>
#include <system_error>
#include <vector>

#include "hw/hosted/boundary.h"
#include "hw/hosted/build/flavour.h"
#include "hw/hosted/build/probes.h"
#include "hw/hosted/build/stubs.h"
#include "hw/kernels/process.h"

namespace lockstep::hw::hosted {
namespace {

namespace fs = std::filesystem;
using kernels::Process;
using kernels::Result;

/// Parts of the kernel beside KVM that are linked as they are. A tree may lack one.
const std::vector<std::string>& library_objects() {
  static const std::vector<std::string> objects = {
      "virt/lib/irqbypass.o", "kernel/params.o",  "lib/bitmap.o",        "lib/bsearch.o",
      "lib/cmdline.o",        "lib/ctype.o",      "lib/find_bit.o",      "lib/hexdump.o",
      "lib/hweight.o",        "lib/idr.o",        "lib/interval_tree.o", "lib/kstrtox.o",
      "lib/list_debug.o",     "lib/radix-tree.o", "lib/rbtree.o",        "lib/rcuref.o",
      "lib/refcount.o",       "lib/sort.o",       "lib/string.o",        "lib/string_helpers.o",
      "lib/xarray.o"};
  return objects;
}

/// What the shim uses of the vendor modules: made visible, nothing else.
const std::vector<std::string>& used_symbols() {
  static const std::vector<std::string> names = {"svm_init", "svm_exit", "vmx_init", "vmx_exit",
                                                 "vmx_x86_ops", "vt_init", "vt_exit",
                                                 "kvm_x86_init", "kvm_x86_exit", "vt_x86_ops",
                                                 // Which delayed work is known by.
                                                 "kvmclock_update_fn", "kvmclock_sync_fn"};
  return names;
}

constexpr std::string_view linker_script =
    "SECTIONS {\n"
    "  .data.hosted_percpu ALIGN(4096) : {\n"
    "    __start_hosted_percpu = .; KEEP(*(.data..percpu .data..percpu..*))\n"
    "    __stop_hosted_percpu = .;\n"
    "  }\n"
    "  .data.hosted_once : {\n"
    "    __start_hosted_once = .; KEEP(*(.data.once .data..once)) __stop_hosted_once = .;\n"
    "  }\n"
    "  hosted_imports ALIGN(64) : {\n"
    "    __start_hosted_imports = .; KEEP(*(hosted_imports)) __stop_hosted_imports = .;\n"
    "  }\n"
    "} INSERT AFTER .data;\n";

/// Where everything about one image stands.
struct Work {
  fs::path folder;
  fs::path image;
};

bool newer(const fs::path& file, const fs::path& than) {
  std::error_code error;
  const auto left = fs::last_write_time(file, error);
  if (error) return false;
  const auto right = fs::last_write_time(than, error);
  return error || left > right;
}

std::vector<fs::path> shim_sources() {
  std::vector<fs::path> sources;
  for (const auto& entry : fs::directory_iterator(shim_folder())) {
    if (entry.path().extension() == ".c") sources.push_back(entry.path());
  }
  std::sort(sources.begin(), sources.end());
  return sources;
}

/// What the shim was made of: a change makes other images.
Result<std::string> shim_text() {
  std::string all;
  std::vector<fs::path> files = shim_sources();
  for (const char* name :
       {"shim.h", "schedule.h", "prelude.h", "probes.txt", "returns_zero.txt", "zero_data.txt"}) {
    files.push_back(shim_folder() / name);
  }
  for (const char* name : {"boundary.h", "boundary_view.h", "boundary_schedule.h"}) {
    files.push_back(shim_folder().parent_path() / name);
  }
  for (const auto& file : files) {
    auto text = kernels::read_file(file);
    if (!text) return tl::unexpected(text.error());
    all += *text;
  }
  all += linker_script;
  return all;
}

/// Compile the shim with the kernel's own flags; objects in the order of names.
Result<std::vector<std::string>> compile_shim(const kernels::Build& build, const Work& work,
                                              std::string_view flavour,
                                              const kernels::Progress& progress) {
  const auto list = kernels::read_file(shim_folder() / "probes.txt");
  if (!list) return tl::unexpected(list.error());
  const fs::path& tree = build.source().path;
  auto definitions = probe_tree(*list, tree);
  if (!definitions) return tl::unexpected(definitions.error());
  std::vector<std::string> flags = shim_flags(flavour);
  for (auto& definition : *definitions) flags.push_back(std::move(definition));
  for (const auto& folder : {fs::path(LOCKSTEP_SOURCE_DIR), shim_folder(), tree / "arch/x86/kvm",
                             tree / "arch/x86/kvm/svm", tree / "arch/x86/kvm/vmx", tree}) {
    flags.push_back("-I" + folder.string());
  }
  std::vector<std::string> objects;
  const fs::path header = shim_folder() / "shim.h";
  for (const auto& source : shim_sources()) {
    const fs::path object = work.folder / (source.stem().string() + ".o");
    if (!newer(object, source) || !newer(object, header) ||
        !newer(object, build.folder() / "virt/kvm/kvm_main.o")) {
      const auto made = build.compile_like("virt/kvm/kvm_main.o", source, object, flags, progress);
      if (!made) return tl::unexpected(made.error());
    }
    objects.push_back(object.string());
  }
  return objects;
}

Process in_folder(const fs::path& folder, std::vector<std::string> words) {
  Process process;
  process.words = std::move(words);
  process.folder = folder;
  return process;
}

std::vector<std::string> link_words(const Work& work, const ImageOptions& options,
                                    const fs::path& output) {
  return {"ld",
          "-static",
          "-z",
          "noexecstack",
          "--no-warn-rwx-segments",
          "--gc-sections",
          "-e",
          "hosted_image_entry",
          "-u",
          "svm_init",
          "-u",
          "svm_exit",
          "-u",
          "vmx_init",
          "-u",
          "vmx_exit",
          "-T",
          (work.folder / "image.ld").string(),
          fmt::format("-Ttext-segment={:#x}", image_address(options.place)),
          "-o",
          output.string()};
}

Result<void> write_image(const kernels::Build& build, const Work& work, const ImageOptions& options,
                         std::vector<std::string> kvm, const std::vector<std::string>& shim) {
  const std::string all = (work.folder / "kvm.o").string();
  const std::string open = (work.folder / "kvm-open.o").string();
  std::vector<std::string> combine = {"ld", "-r", "-o", all};
  combine.insert(combine.end(), kvm.begin(), kvm.end());
  if (const auto done = kernels::run_or_fail(in_folder(build.folder(), combine)); !done) {
    return tl::unexpected(done.error());
  }
  std::vector<std::string> globalize = {"objcopy"};
  for (const auto& name : used_symbols()) globalize.push_back("--globalize-symbol=" + name);
  globalize.insert(globalize.end(), {all, open});
  if (const auto done = kernels::run_or_fail(in_folder(work.folder, globalize)); !done) {
    return tl::unexpected(done.error());
  }
  if (const auto wrote = kernels::write_file(work.folder / "image.ld", linker_script); !wrote) {
    return wrote;
  }
  std::vector<std::string> inputs = {open};
  inputs.insert(inputs.end(), shim.begin(), shim.end());

  auto trial = link_words(work, options, work.folder / "trial");
  trial.insert(trial.end(), {"--noinhibit-exec", "--unresolved-symbols=report-all"});
  trial.insert(trial.end(), inputs.begin(), inputs.end());
  const auto tried = kernels::run(in_folder(work.folder, trial));
  if (!tried) return tl::unexpected(tried.error());
  std::vector<std::string> dump = {"objdump", "-r"};
  dump.insert(dump.end(), inputs.begin(), inputs.end());
  const auto relocations = kernels::run_or_fail(in_folder(work.folder, dump));
  if (!relocations) return tl::unexpected(relocations.error());
  const auto harmless = kernels::read_file(shim_folder() / "returns_zero.txt");
  if (!harmless) return tl::unexpected(harmless.error());
  const auto zero = kernels::read_file(shim_folder() / "zero_data.txt");
  if (!zero) return tl::unexpected(zero.error());
  const Stubs stubs =
      write_stubs(undefined_symbols(tried->err), {.called = called_symbols(relocations->out),
                                                  .harmless = listed_symbols(*harmless),
                                                  .zero = listed_symbols(*zero)});
  if (const auto wrote = kernels::write_file(work.folder / "stubs.c", stubs.source); !wrote) {
    return wrote;
  }
  const std::string object = (work.folder / "stubs.o").string();
  if (const auto done = kernels::run_or_fail(
          in_folder(work.folder, {"gcc", "-w", "-O1", "-fno-builtin", "-fno-pie", "-mcmodel=kernel",
                                  "-mno-red-zone", "-c", "stubs.c", "-o", object}));
      !done) {
    return tl::unexpected(done.error());
  }
  inputs.push_back(object);
  const fs::path fresh = work.image.string() + ".new";
  auto link = link_words(work, options, fresh);
  std::uint64_t absent = HOSTED_ABSENT_SYMBOLS;
  for (const auto& symbol : stubs.absent) {
    link.push_back(fmt::format("--defsym={}={:#x}", symbol, absent));
    absent += HOSTED_ABSENT_BYTES;
  }
  link.insert(link.end(), inputs.begin(), inputs.end());
  if (const auto done = kernels::run_or_fail(in_folder(work.folder, link)); !done) {
    return tl::unexpected(done.error());
  }
  std::error_code error;
  fs::rename(fresh, work.image, error);
  if (error) {
    return kernels::machine_error(fmt::format("{}: {}", work.image.string(), error.message()));
  }
  return {};
}

}  // namespace

Result<fs::path> build_image(const kernels::Cache& cache, const kernels::Source& source,
                             const ImageOptions& options, const kernels::Progress& progress) {
  auto flavour = make_flavour(options.flavour);
  if (!flavour) return tl::unexpected(flavour.error());
  const auto shim_source = shim_text();
  if (!shim_source) return tl::unexpected(shim_source.error());
  // What the generator writes is part of the image as the shim is.
  const Stubs sample = write_stubs({"memcpy", "f", "g", "h", "i"},
                                   {.called = {"g"}, .harmless = {"f"}, .zero = {"h"}});
  const std::string written =
      fmt::format("{}{}{}", *shim_source, sample.source, fmt::join(sample.absent, " "));
  const std::string name =
      fmt::format("{}-{}-{}", source.key, flavour->key(), kernels::content_key(written));
  Work work;
  work.folder = cache.images() / name;
  work.image = work.folder / fmt::format("image-{}", options.place);
  std::error_code error;
  fs::create_directories(work.folder, error);
  if (error) {
    return kernels::machine_error(fmt::format("{}: {}", work.folder.string(), error.message()));
  }
  // The cache tells what was used last by its folders' times.
  fs::last_write_time(work.folder, fs::file_time_type::clock::now(), error);
  // A source of the cache changes its key when it changes; a user's tree is asked.
  const bool settled = source.tree.pristine;
  if (settled && fs::exists(work.image)) return work.image;

  auto build = kernels::Build::open(cache, source, *std::move(flavour), progress);
  if (!build) return tl::unexpected(build.error());
  std::vector<std::string> libraries;
  for (const auto& object : library_objects()) {
    const fs::path file = fs::path(object).replace_extension(".c");
    if (fs::exists(source.path / file)) libraries.push_back(object);
  }
  // One make: a second that has nothing to do takes seconds too.
  auto kvm = build->make_kvm(progress, libraries);
  if (options.heard) options.heard(build->said());
  if (!kvm) return tl::unexpected(kvm.error());
  std::vector<std::string> objects;
  for (const auto& object : *kvm) {
    // The entry to the guest is the one thing that the shim replaces.
    if (fs::path(object).filename() == "vmenter.o") continue;
    objects.push_back(object);
  }
  objects.insert(objects.end(), libraries.begin(), libraries.end());
  if (fs::exists(work.image) &&
      std::all_of(objects.begin(), objects.end(), [&](const std::string& object) {
        return newer(work.image, build->folder() / object);
      })) {
    return work.image;
  }
  const auto shim = compile_shim(*build, work, options.flavour, progress);
  if (!shim) return tl::unexpected(shim.error());
  if (const auto made = write_image(*build, work, options, std::move(objects), *shim); !made) {
    return tl::unexpected(made.error());
  }
  return work.image;
}

}  // namespace lockstep::hw::hosted
