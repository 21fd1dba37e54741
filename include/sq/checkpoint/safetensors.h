// One .safetensors file: 8 bytes of header length, a JSON header, the tensors' bytes.
// Format: huggingface/safetensors, README "Format".
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "sq/base/output_file.h"
#include "sq/checkpoint/tensor.h"

namespace sq {

using Metadata = std::map<std::string, std::string>;  // the header's __metadata__

struct Safetensors {
  std::vector<FileTensor> tensors;  // in the order of their data
  Metadata metadata;
};

// Maps a file and checks all of its header: every tensor inside the file, sizes that fit shape and
// type, data without holes or overlaps. The data itself is not touched. Throws sq::Error naming the
// file, and the tensor where one is at fault.
Safetensors OpenSafetensors(const std::string& path);

// The same on bytes in memory, where the tensors' data is not looked at: `path` names them in
// errors. Returns tensors without a file. For OpenSafetensors and the fuzzer.
Safetensors ParseSafetensorsHeader(const uint8_t* data, int64_t size, const std::string& path);

// Writes a file tensor by tensor, so that no more than one need be in memory.
class SafetensorsWriter {
 public:
  // `tensors` gives names, types and shapes; their data pointers are ignored. Writes the header.
  SafetensorsWriter(const std::string& path, const std::vector<TensorView>& tensors,
                    const Metadata& metadata);
  // Appends the bytes of the next tensor, in the order given.
  void Append(const TensorView& tensor);
  // All tensors must have been appended.
  void Commit();

 private:
  OutputFile file_;
  std::vector<TensorView> tensors_;
  size_t next_ = 0;
};

// All at once.
void WriteSafetensors(const std::string& path, const std::vector<TensorView>& tensors,
                      const Metadata& metadata);

}  // namespace sq
