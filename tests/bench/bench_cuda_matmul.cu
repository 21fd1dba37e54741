// Times the LUT-GEMV on a CUDA device beside cuBLAS's fp16 product and the original's algorithm, in
// one run on the same x, over copies of the weights that together do not fit the second-level
// cache. Checks every kernel first.
//
//   bench_cuda_matmul [--smoke | --quick] [--tune] [--shape OUT IN]... [--tokens N]... [--json
//   FILE]
//
// --smoke: tiny shapes, a few calls: whether it runs at all. --quick: as few calls, for a profiler.
// --tune: times each choice that kernels/cuda/tuning.cc has a row of, instead. --shape,
// --tokens: only these.
//
// A line for each shape, bits, sparsity and number of tokens: microseconds of a call (median of 20
// replays of a graph of 50), GB/s of the bytes that the product needs, their share of what this
// device reads, times as fast as cuBLAS and as the original. Goals on an H100 or H200: 3.4 times
// cuBLAS at 4 bits, 4.5 at 3; 0.45 % outliers at most 10 % more time; 16 tokens at most 1.5 times
// one.

#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>

#include "kernels/cuda/matmul/device_layer.h"
#include "kernels/cuda/matmul/lut_gemv.h"
#include "sq/base/half.h"
#include "sq/kernels/cuda_device.h"
#include "sq/packed/bit_pack.h"
#include "tests/bench/cuda_dense.h"
#include "tests/bench/cuda_timing.h"
#include "tests/bench/seed_gemv.cuh"

namespace sq::bench {
namespace {

using cuda::Buffer;
using Json = nlohmann::ordered_json;

struct Settings {
  int calls = 50, replays = 20;
  int64_t rotated_bytes = int64_t{512}
                          << 20;  // of all copies: ten times the largest second-level cache
  std::vector<std::pair<int64_t, int64_t>> shapes = {{4096, 4096},  {11008, 4096}, {4096, 11008},
                                                     {8192, 28672}, {12288, 4096}, {22016, 4096}};
  std::vector<int64_t> tokens = {1, 2, 4, 8, 16, 32};
};

PackedLayer RandomLayer(int bits, int64_t out, int64_t in, double sparsity) {
  std::mt19937_64 random(1);
  std::normal_distribution<float> normal(0, 0.02f);
  PackedLayer layer;
  layer.bits = bits;
  layer.out_features = out;
  layer.in_features = in;
  layer.qweight.resize(static_cast<size_t>(in / 32 * bits * out));
  for (size_t i = 0; i < layer.qweight.size(); i += 2) {
    const uint64_t word = random();
    std::memcpy(&layer.qweight[i], &word,
                sizeof(uint32_t) * std::min<size_t>(2, layer.qweight.size() - i));
  }
  layer.lookup_table.resize(static_cast<size_t>(out << bits));
  for (float& value : layer.lookup_table) value = Fp16ToFloat(FloatToFp16(normal(random)));
  if (sparsity == 0) return layer;
  const auto per_row = static_cast<int64_t>(std::lround(sparsity * static_cast<double>(in)));
  for (int64_t row = 0; row <= out; ++row)
    layer.outliers.row_ptr.push_back(static_cast<int32_t>(row * per_row));
  for (int64_t row = 0; row < out; ++row) {
    for (int64_t i = 0; i < per_row; ++i) {
      const int64_t begin = i * in / per_row, end = (i + 1) * in / per_row;
      layer.outliers.cols.push_back(
          static_cast<int32_t>(begin + static_cast<int64_t>(random() % (end - begin))));
      layer.outliers.vals.push_back(Fp16ToFloat(FloatToFp16(10 * normal(random))));
    }
  }
  return layer;
}

// A layer in device memory, as often as wanted.
struct Copies {
  std::vector<cuda::DeviceLayer> all;
  int64_t bytes = 0;  // that a product needs of one: codes, tables, outliers

  Copies(const PackedLayer& layer, int64_t rotated_bytes) {
    const cuda::RepackedLayer host = cuda::Repack({layer});
    for (int64_t used = 0; used == 0 || used < rotated_bytes; used += bytes) {
      bytes = all.emplace_back(host).bytes();
    }
  }
};

// The largest error relative to the norm of the result, over some rows, against double precision.
double Error(const PackedLayer& layer, const std::vector<float>& x, const std::vector<float>& y,
             int64_t tokens) {
  double error = 0, norm = 0;
  std::vector<float> weight(static_cast<size_t>(layer.in_features));
  for (int64_t row = 0; row < layer.out_features;
       row += std::max<int64_t>(layer.out_features / 97, 1)) {
    Dequantize(layer, row, {weight.data(), 1, layer.in_features});
    for (int64_t t = 0; t < tokens; ++t) {
      double sum = 0;
      for (int64_t k = 0; k < layer.in_features; ++k)
        sum += double{weight[k]} * x[t * layer.in_features + k];
      error += std::pow(y[t * layer.out_features + row] - sum, 2);
      norm += sum * sum;
    }
  }
  return std::sqrt(error / norm);
}

struct Inputs {
  std::vector<float> values;  // that fp16 holds
  Buffer<uint16_t> halves;
  Buffer<float> floats;

  Inputs(int64_t tokens, int64_t in) {
    std::mt19937 random(2);
    std::normal_distribution<float> normal;
    std::vector<uint16_t> rounded;
    for (int64_t i = 0; i < tokens * in; ++i) {
      rounded.push_back(FloatToFp16(normal(random)));
      values.push_back(Fp16ToFloat(rounded.back()));
    }
    halves = Buffer<uint16_t>(rounded, "x");
    floats = Buffer<float>(values, "x");
  }
};

constexpr double kMaxError = 1e-3;

void CheckError(double error, const char* what) {
  SQ_CHECK(error < kMaxError, what, ": relative error ", error, ", more than ", kMaxError);
}

Timing TimeGemv(const Settings& settings, const PackedLayer& layer, const Copies& copies,
                const Inputs& x, int64_t tokens, const cuda::DeviceInfo& device) {
  const int64_t out = layer.out_features;
  const int64_t most = cuda::GemvTokens(copies.all[0].view(), device);
  const cuda::GemvRoom room = cuda::RoomForGemv(copies.all[0].view(), tokens, device);
  const Buffer<float> partials(room.partials, "partials"), y(tokens * out, "y");
  const Buffer<unsigned> arrived(std::vector<unsigned>(static_cast<size_t>(room.arrived), 0),
                                 "counters");
  const auto call = [&](int i, cudaStream_t stream) {
    for (int64_t first = 0; first < tokens; first += most) {
      const int64_t count = std::min(most, tokens - first);
      cuda::GemvArguments arguments = {};
      arguments.layer = copies.all[static_cast<size_t>(i) % copies.all.size()].view();
      arguments.x = x.halves.data() + first * layer.in_features;
      arguments.x_stride = layer.in_features;
      arguments.tokens = static_cast<int>(count);
      arguments.x_scale = 1;
      arguments.y = CudaMatrix(y.data() + first * out, FloatType::kFloat32, count, out);
      arguments.partials = partials.data();
      arguments.arrived = arrived.data();
      cuda::LutGemv(arguments, device, true, stream);
    }
  };
  call(0, nullptr);
  CheckError(Error(layer, x.values, y.ToHost(), tokens), "LUT-GEMV");
  return Time(settings.calls, settings.replays, call);
}

Timing TimeSeed(const Settings& settings, const PackedLayer& layer, const Inputs& x) {
  std::vector<SeedLayer> copies;
  for (int64_t used = 0; used == 0 || used < settings.rotated_bytes;
       used += copies.back().words.bytes()) {
    copies.emplace_back(layer);
  }
  const Buffer<float> y(layer.out_features, "y");
  const auto call = [&](int i, cudaStream_t stream) {
    SeedGemv(copies[static_cast<size_t>(i) % copies.size()], x.floats.data(), y.data(), stream);
  };
  call(0, nullptr);
  CheckError(Error(layer, x.values, y.ToHost(), 1), "the original's algorithm");
  return Time(settings.calls, settings.replays, call);
}

// One line, and its row of the report.
void Report(Json row, Json* rows) {
  std::printf(
      "%6ld x %-6ld %d bit %5.2f %% %3ld tokens: %8.2f us (%.2f to %.2f) %6.0f GB/s %4.0f %%  "
      "cuBLAS %8.2f us, %.2f times; original %.2f times\n",
      row["out"].get<long>(), row["in"].get<long>(), row["bits"].get<int>(),
      row["sparsity_percent"].get<double>(), row["tokens"].get<long>(),
      row["microseconds"].get<double>(), row["least"].get<double>(), row["most"].get<double>(),
      row["gigabytes_per_second"].get<double>(), 100 * row["share_of_bandwidth"].get<double>(),
      row["cublas_microseconds"].get<double>(), row["times_cublas"].get<double>(),
      row.value("times_original", 0.0));
  std::fflush(stdout);
  rows->push_back(std::move(row));
}

void MeasureShape(const Settings& settings, int64_t out, int64_t in, double bandwidth, Json* rows) {
  std::map<int64_t, Timing> dense;
  {
    const DenseCopies copies(out, in, settings.rotated_bytes);
    for (const int64_t tokens : settings.tokens) {
      const Inputs x(tokens, in);
      dense[tokens] = TimeDense(settings.calls, settings.replays, copies, x.halves.data(), tokens);
    }
  }
  for (const int bits : {4, 3}) {
    std::map<int64_t, double> without_outliers;
    for (const double sparsity : {0.0, 0.0005, 0.0045}) {
      const PackedLayer layer = RandomLayer(bits, out, in, sparsity);
      const Copies copies(layer, settings.rotated_bytes);
      for (const int64_t tokens : settings.tokens) {
        if (tokens > 1 && sparsity == 0.0005) continue;
        const Inputs x(tokens, in);
        const Timing ours = TimeGemv(settings, layer, copies, x, tokens, cuda::CurrentDeviceInfo());
        if (sparsity == 0) without_outliers[tokens] = ours.seconds;
        const int64_t bytes = copies.bytes + 2 * tokens * in + 4 * tokens * out;
        const double rate = static_cast<double>(bytes) / ours.seconds;
        Json row = {{"out", out},
                    {"in", in},
                    {"bits", bits},
                    {"sparsity_percent", 100 * sparsity},
                    {"tokens", tokens},
                    {"microseconds", 1e6 * ours.seconds},
                    {"least", 1e6 * ours.least},
                    {"most", 1e6 * ours.most},
                    {"gigabytes_per_second", rate / 1e9},
                    {"share_of_bandwidth", rate / bandwidth},
                    {"cublas_microseconds", 1e6 * dense[tokens].seconds},
                    {"times_cublas", dense[tokens].seconds / ours.seconds},
                    {"outliers_cost", ours.seconds / without_outliers[tokens] - 1}};
        if (tokens == 1) {
          const Timing seed = TimeSeed(settings, layer, x);
          row["original_microseconds"] = 1e6 * seed.seconds;
          row["times_original"] = seed.seconds / ours.seconds;
        }
        Report(std::move(row), rows);
      }
    }
  }
}

// Each choice of the tuning by its times, beside those of the table's row.
Json Tune(const Settings& settings) {
  struct Choice {
    int64_t tokens;
    cuda::GemvTuning tuning;
  };
  std::vector<Choice> choices = {
      {2, {0, {16, 16}, 1, 1}}, {2, {0, {16, 16}, 2, 1}}, {2, {0, {16, 16}, 2, 2}}};
  for (const int warps : {16, 8}) {
    for (int filled = 1; filled <= 3; ++filled) {
      choices.push_back({1, {0, {warps, warps}, 2, filled}});
    }
  }
  cuda::DeviceInfo device = cuda::CurrentDeviceInfo();
  const cuda::GemvTuning table = device.gemv;
  Json rows = Json::array();
  for (const auto& [out, in] : settings.shapes) {
    for (const int bits : {4, 3}) {
      for (const double sparsity : {0.0, 0.0045}) {
        const PackedLayer layer = RandomLayer(bits, out, in, sparsity);
        const Copies copies(layer, settings.rotated_bytes);
        for (const Choice& choice : choices) {
          const Inputs x(choice.tokens, in);
          device.gemv = table;
          const double of_table =
              TimeGemv(settings, layer, copies, x, choice.tokens, device).seconds;
          device.gemv = choice.tuning;
          const double seconds =
              TimeGemv(settings, layer, copies, x, choice.tokens, device).seconds;
          std::printf(
              "%6ld x %-6ld %d bit %5.2f %% %ld tokens, %2d warps, rows up to %d tokens, %d blocks "
              "filled: %8.2f us, %.3f of the table's row\n",
              static_cast<long>(out), static_cast<long>(in), bits, 100 * sparsity,
              static_cast<long>(choice.tokens), choice.tuning.one_token_warps[bits - 3],
              choice.tuning.max_tokens_of_rows, choice.tuning.filled_blocks, 1e6 * seconds,
              seconds / of_table);
          std::fflush(stdout);
          rows.push_back({{"out", out},
                          {"in", in},
                          {"bits", bits},
                          {"sparsity_percent", 100 * sparsity},
                          {"tokens", choice.tokens},
                          {"one_token_warps", choice.tuning.one_token_warps[bits - 3]},
                          {"max_tokens_of_rows", choice.tuning.max_tokens_of_rows},
                          {"filled_blocks", choice.tuning.filled_blocks},
                          {"microseconds", 1e6 * seconds},
                          {"of_the_table", seconds / of_table}});
        }
      }
    }
  }
  return rows;
}

Json Measure(const Settings& settings, double bandwidth) {
  Json rows = Json::array();
  for (const auto& [out, in] : settings.shapes) MeasureShape(settings, out, in, bandwidth, &rows);
  return rows;
}

int Main(int argc, char** argv) {
  Settings settings;
  std::string json;
  bool tune = false;
  std::vector<std::pair<int64_t, int64_t>> shapes;
  std::vector<int64_t> tokens;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--smoke") == 0) {
      settings.calls = 2;
      settings.replays = settings.rotated_bytes = 1;
      settings.shapes = {{128, 256}, {256, 512}};
    } else if (std::strcmp(argv[i], "--quick") == 0) {
      settings.calls = settings.replays = settings.rotated_bytes = 1;
    } else if (std::strcmp(argv[i], "--tune") == 0) {
      tune = true;
    } else if (std::strcmp(argv[i], "--shape") == 0 && i + 2 < argc) {
      shapes.emplace_back(std::atoll(argv[i + 1]), std::atoll(argv[i + 2]));
      i += 2;
    } else if (std::strcmp(argv[i], "--tokens") == 0 && i + 1 < argc) {
      tokens.push_back(std::atoll(argv[++i]));
    } else if (std::strcmp(argv[i], "--json") == 0 && i + 1 < argc) {
      json = argv[++i];
    } else {
      std::fprintf(stderr,
                   "usage: bench_cuda_matmul [--smoke | --quick] [--tune] [--shape OUT IN]... "
                   "[--tokens N]... [--json FILE]\n");
      return 2;
    }
  }
  if (!shapes.empty()) settings.shapes = shapes;
  if (!tokens.empty()) settings.tokens = tokens;
  const CudaDevice device = UseCudaDevice(0);
  const double bandwidth = CudaReadBandwidth();
  std::printf("%s, compute capability %d.%d, %d multiprocessors; reads %.0f GB/s\n",
              device.name.c_str(), device.major, device.minor, device.multiprocessors,
              bandwidth / 1e9);
  const Json report = {{"device", device.name},
                       {"read_bytes_per_second", bandwidth},
                       {"rows", tune ? Tune(settings) : Measure(settings, bandwidth)}};
  if (!json.empty()) std::ofstream(json) << report.dump(1) << "\n";
  return 0;
}

}  // namespace
}  // namespace sq::bench

int main(int argc, char** argv) {
  try {
    return sq::bench::Main(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
}
