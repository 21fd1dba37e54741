"""`cmake --install` gives tools that run and a library that another project can find, link and use."""

import os
import shutil
import subprocess
import unittest
from pathlib import Path

from cli_support import BIN, CliTest, environment, make_model, token_lists, write_json

BUILD = Path(os.environ.get("SQ_BUILD", BIN.parent)).resolve()

PROJECT = """
cmake_minimum_required(VERSION 3.22)
project(outside LANGUAGES CXX)
find_package(squeezellm 0.1 REQUIRED)
add_executable(outside main.cc)
target_link_libraries(outside PRIVATE squeezellm::core)
"""

# Five weights with two gaps go to four centroids; a layer of ones and twos is multiplied, and one is written and read.
PROGRAM = r"""
#include <cstdio>
#include "sq/base/log.h"
#include "sq/checkpoint/packed_checkpoint.h"
#include "sq/checkpoint/safetensors.h"
#include "sq/kernels/packed_matmul.h"
#include "sq/packed/bit_pack.h"
#include "sq/quant/kmeans1d.h"
#include "sq/quant/quantize_layer.h"

int main(int, char** argv) {
  const float row[] = {1, 1, 5, 9, 20}, importance[] = {1, 1, 1, 1, 1};
  float centroids[4];
  uint8_t index[5];
  sq::Kmeans1dWorkspace workspace;
  const double error = sq::Kmeans1d(row, importance, 5, 4, workspace, centroids, index);
  std::printf("%g: %g %g %g %g\n", error, centroids[0], centroids[1], centroids[2], centroids[3]);

  std::vector<float> weights(2 * 32, 1), x(32, 1), y(2);
  for (int i = 32; i < 64; ++i) weights[i] = 2;
  sq::QuantizeOptions options;
  options.bits = 3;
  const sq::PackedLayer layer =
      sq::QuantizeLayer({weights.data(), 2, 32}, {}, options, "ones and twos").layer;
  sq::PackedMatmul(layer, {x.data(), 1, 32}, {y.data(), 1, 2}, nullptr);
  std::printf("%g %g\n", y[0], y[1]);

  sq::WriteSafetensors(argv[1], sq::PackedTensors(layer, "layer"), {{"format", "pt"}});
  sq::LogInfo("written");
  std::printf("%d tensors\n", static_cast<int>(sq::OpenSafetensors(argv[1]).tensors.size()));
  try {
    sq::OpenSafetensors("nowhere");
  } catch (const sq::Error& problem) {
    std::printf("%s\n", problem.what());
  }
}
"""


class Install(CliTest):
    def test_tools_and_library(self):
        prefix, project, build = self.folder / "prefix", self.folder / "outside", self.folder / "build"

        def run(*words):
            done = subprocess.run([str(word) for word in words], check=False, capture_output=True, text=True,
                                  env=environment())
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            return done

        run("cmake", "--install", BUILD, "--prefix", prefix)
        # Moved, to see that nothing points back to where it was installed.
        prefix.rename(self.folder / "moved")
        prefix = self.folder / "moved"
        self.assertFalse(list(prefix.rglob("torch_writer.h")))
        for file in prefix.rglob("*.cmake"):
            self.assertNotIn(str(BUILD), file.read_text())

        for tool in ("sq-quantize", "sq-eval", "sq-pack"):
            if (BIN / tool).exists():
                self.assertIn("LibTorch", run(prefix / "bin" / tool, "--version").stdout)
        if (BIN / "sq-quantize").exists():
            model = make_model(self.folder / "model")
            run(prefix / "bin/sq-quantize", model, "--output", self.folder / "quantized", "--uniform-sensitivity")
            tokens = write_json(self.folder / "tokens.json", token_lists())
            run(prefix / "bin/sq-eval", self.folder / "quantized", "--tokens", tokens)

        project.mkdir()
        (project / "CMakeLists.txt").write_text(PROJECT)
        (project / "main.cc").write_text(PROGRAM)
        generator = ("-G", "Ninja") if shutil.which("ninja") else ()
        # A library built with sanitizers needs them in the program too.
        sanitize = os.environ.get("SQ_SANITIZE")
        flags = [f"-DCMAKE_CXX_FLAGS=-fsanitize={sanitize}"] if sanitize else []
        run("cmake", "-S", project, "-B", build, *generator, f"-DCMAKE_PREFIX_PATH={prefix}", *flags)
        run("cmake", "--build", build)
        done = run(build / "outside", self.folder / "layer.safetensors")
        self.assertEqual(done.stdout, "0: 1 5 9 20\n32 64\n2 tensors\nnowhere: cannot open: No such file or directory\n")
        self.assertIn("written", done.stderr)


if __name__ == "__main__":
    unittest.main()
