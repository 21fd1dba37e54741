"""`cmake --install` gives tools that run and a library that another project can find, link and use."""

import os
import re
import shutil
import struct
import subprocess
import unittest
from pathlib import Path

from cli_support import (BIN, SOURCE, CliTest, environment, make_model, read_safetensors, token_lists,
                         write_json)

BUILD = Path(os.environ.get("SQ_BUILD", BIN.parent)).resolve()

README = (SOURCE / "include/README.md").read_text(encoding="utf-8")

# Uses what the example does not: a quantized row, an error, and every installed header, each in a file of its own.
PROJECT = """
cmake_minimum_required(VERSION 3.22)
project(outside LANGUAGES CXX)
find_package(squeezellm 0.1 REQUIRED)
file(GLOB sources *.cc)
add_executable(outside ${sources})
target_link_libraries(outside PRIVATE squeezellm::core)
"""
PROGRAM = r"""
#include <cstdio>
#include "sq/squeezellm.h"

int main() {
  const float row[] = {1, 1, 5, 9, 20}, importance[] = {1, 1, 1, 1, 1};
  float centroids[4];
  uint8_t index[5];
  sq::Kmeans1dWorkspace workspace;
  const double error = sq::Kmeans1d(row, importance, 5, 4, &workspace, centroids, index);
  std::printf("%g: %g %g %g %g\n", error, centroids[0], centroids[1], centroids[2], centroids[3]);
  try {
    sq::OpenSafetensors("nowhere");
  } catch (const sq::Error& problem) {
    std::printf("%s\n", problem.what());
  }
}
"""


def code_block(language):
    """The one block of this language in include/README.md."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    if len(blocks) != 1:
        raise ValueError(f"include/README.md: expected one block of {language}, found {len(blocks)}")
    return blocks[0]


def multiply(tensors, bits, features):
    """The products of a packed layer's rows with a vector of ones, by the formats that packed_checkpoint.h and
    bit_pack.h document."""
    def values(name, kind):
        data = tensors[f"layer.{name}"][2]
        return struct.unpack(f"<{len(data) // 4}{kind}", data)

    words, table = values("qweight", "I"), values("lookup_table", "f")
    rows, vals = values("rows", "i"), values("vals", "f")
    outputs = len(table) // 2**bits
    sums = []
    for out in range(outputs):
        total = sum(vals[rows[out]:rows[out + 1]])
        for block in range(features // 32):
            stream = sum(words[(block * bits + word) * outputs + out] << (32 * word) for word in range(bits))
            total += sum(table[out * 2**bits + (stream >> (bits * i)) % 2**bits] for i in range(32))
        sums.append(total)
    return sums


class Install(CliTest):
    def test_tools_and_library(self):
        prefix = self.installed()
        self.check_contents(prefix)
        self.check_tools(prefix)
        self.check_example(prefix)
        self.check_headers(prefix)

    def run_words(self, *words, folder=None):
        done = subprocess.run([str(word) for word in words], check=False, capture_output=True, text=True,
                              env=environment(), cwd=folder)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done

    def installed(self):
        """Moved after the installation: nothing may point back to where it was."""
        self.run_words("cmake", "--install", BUILD, "--prefix", self.folder / "prefix")
        (self.folder / "prefix").rename(self.folder / "moved")
        return self.folder / "moved"

    def check_contents(self, prefix):
        headers = {path.relative_to(prefix / "include/sq").as_posix() for path in prefix.rglob("*.h")}
        for header in re.findall(r"`sq/([a-z0-9_/]+\.h)`", README):
            self.assertIn(header, headers)
        private = ("process.h", "log.h", "json.h", "pickle_machine.h", "torch_writer.h", "model_config.h", "decoder.h")
        self.assertEqual([header for header in headers if header.endswith(private)], [])
        self.assertFalse([header for header in headers if header.startswith(("text/", "model/", "pipeline/"))])
        packages = prefix.rglob("*.cmake")
        for text in (file.read_text() for file in packages):
            self.assertNotIn(str(BUILD), text)
            for name in ("spdlog", "OpenMP", "nlohmann", "ZLIB"):
                self.assertNotIn(name, text)
        for path in prefix.rglob("*.h"):
            self.assertNotRegex(path.read_text(), r"#include <(nlohmann|spdlog|omp|zlib|torch|ATen)")

    def check_tools(self, prefix):
        for tool in ("sq-quantize", "sq-eval", "sq-pack"):
            if (BIN / tool).exists():
                self.assertIn("LibTorch", self.run_words(prefix / "bin" / tool, "--version").stdout)
        if (BIN / "sq-quantize").exists():
            model = make_model(self.folder / "model")
            self.run_words(prefix / "bin/sq-quantize", model, "--output", self.folder / "quantized",
                           "--uniform-sensitivity")
            tokens = write_json(self.folder / "tokens.json", token_lists())
            self.run_words(prefix / "bin/sq-eval", self.folder / "quantized", "--tokens", tokens)

    def built(self, prefix, name, files):
        """A project of these files, built against the package; returns its folder."""
        project = self.folder / name
        project.mkdir()
        for file, text in files.items():
            (project / file).write_text(text)
        generator = ("-G", "Ninja") if shutil.which("ninja") else ()
        # A library built with sanitizers needs them in the program too.
        sanitize = os.environ.get("SQ_SANITIZE")
        flags = [f"-DCMAKE_CXX_FLAGS=-fsanitize={sanitize}"] if sanitize else []
        self.run_words("cmake", "-S", project, "-B", project, *generator, f"-DCMAKE_PREFIX_PATH={prefix}", *flags)
        self.run_words("cmake", "--build", project)
        return project

    def check_example(self, prefix):
        """The example of include/README.md, and its product beside one made from the file that it writes."""
        folder = self.built(prefix, "example", {"CMakeLists.txt": code_block("cmake"), "example.cc": code_block("cpp")})
        printed = self.run_words(folder / "example", folder=folder).stdout
        bits, first = map(float, re.fullmatch(r"(\S+) bits per weight, y\[0\] = (\S+)\n", printed).groups())
        tensors = read_safetensors(folder / "layer.safetensors")
        size = 64 * 96
        self.assertAlmostEqual(bits, 8 * sum(len(data) for _, _, data in tensors.values()) / size, delta=0.005)
        self.assertEqual(len(tensors["layer.vals"][2]) // 4, 3 + 24)  # 0.05 % and 0.4 % of the weights, rounded down
        # 96 products below 1.2 each, summed in fp32 in some order.
        self.assertAlmostEqual(first, multiply(tensors, 3, 96)[0], delta=96 * 96 * 1.2 * 2**-24 + 1e-5 * abs(first))

    def check_headers(self, prefix):
        sources = {"CMakeLists.txt": PROJECT, "main.cc": PROGRAM}
        for path in sorted((prefix / "include").rglob("*.h")):
            name = path.relative_to(prefix / "include").as_posix()
            sources[name.replace("/", "_")[:-2] + ".cc"] = f'#include "{name}"\n'
        folder = self.built(prefix, "outside", sources)
        self.assertEqual(self.run_words(folder / "outside").stdout,
                         "0: 1 5 9 20\nnowhere: cannot open: No such file or directory\n")


if __name__ == "__main__":
    unittest.main()
