#include "sq/checkpoint/safetensors.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "sq/base/error.h"
#include "sq/base/json.h"
#include "sq/checkpoint/mapped_file.h"

namespace sq {
namespace {

using Json = nlohmann::json;

constexpr int64_t kMaxHeaderBytes = 100'000'000;  // the limit of the reference implementation

DType ParseDType(const std::string& name, const std::string& where) {
  for (const DType dtype :
       {DType::kBool, DType::kU8, DType::kI8, DType::kU16, DType::kI16, DType::kF16, DType::kBF16,
        DType::kU32, DType::kI32, DType::kF32, DType::kU64, DType::kI64, DType::kF64}) {
    if (name == DTypeName(dtype)) return dtype;
  }
  throw Error(StrCat(where, ": unknown type ", Quoted(name)));
}

// A non-negative integer of the header.
int64_t Size(const Json& value, const std::string& where) {
  SQ_CHECK(value.is_number_unsigned() &&
               value.get<uint64_t>() <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max()),
           where, ": expected a size, found ",
           value.is_number() ? value.dump() : JsonTypeName(value));
  return value.get<int64_t>();
}

FileTensor ParseEntry(const std::string& name, const Json& entry, int64_t data_begin,
                      const std::string& path) {
  CheckTensorName(name, path);
  const std::string where = path + ": tensor " + name;
  SQ_CHECK(entry.is_object() && entry.contains("dtype") && entry.contains("shape") &&
               entry.contains("data_offsets"),
           where, ": expected dtype, shape and data_offsets in the header");
  SQ_CHECK(entry["dtype"].is_string(), where, ": expected a name as dtype");
  SQ_CHECK(entry["shape"].is_array(), where, ": expected a list as shape");
  const Json& offsets = entry["data_offsets"];
  SQ_CHECK(offsets.is_array() && offsets.size() == 2, where, ": expected two data_offsets");
  FileTensor tensor;
  tensor.name = name;
  tensor.dtype = ParseDType(entry["dtype"].get<std::string>(), where);
  for (const Json& size : entry["shape"]) tensor.shape.push_back(Size(size, where));
  const int64_t begin = Size(offsets[0], where), end = Size(offsets[1], where);
  const int64_t expected =
      CheckedMultiply(ElementCount(tensor.shape, where), DTypeBytes(tensor.dtype), where);
  SQ_CHECK(begin <= end && end - begin == expected, where, ": expected ", expected,
           " bytes for shape ", ShapeText(tensor.shape), " of ", DTypeName(tensor.dtype),
           ", found offsets ", begin, " to ", end);
  tensor.offset = CheckedAdd(data_begin, begin, where);
  tensor.bytes = expected;
  return tensor;
}

Metadata ParseMetadata(const Json& json, const std::string& path) {
  Metadata metadata;
  SQ_CHECK(json.is_object(), path, ": expected an object as __metadata__");
  for (const auto& [key, value] : json.items()) {
    SQ_CHECK(value.is_string(), path, ": expected text as __metadata__ ", Quoted(key));
    metadata[key] = value.get<std::string>();
  }
  return metadata;
}

std::string Header(const std::vector<TensorView>& tensors, const Metadata& metadata) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  int64_t offset = 0;
  for (const TensorView& tensor : tensors) {
    header[tensor.name] = {{"dtype", DTypeName(tensor.dtype)},
                           {"shape", tensor.shape},
                           {"data_offsets", {offset, offset + tensor.bytes}}};
    offset += tensor.bytes;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // the data starts aligned to 8 bytes
  return text;
}

}  // namespace

Safetensors ParseSafetensorsHeader(const uint8_t* data, int64_t size, const std::string& path) {
  SQ_CHECK(size >= 8, path, ": truncated: expected at least 8 bytes, found ", size);
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, data, 8);  // little-endian, as every machine we run on
  SQ_CHECK(header_bytes <= static_cast<uint64_t>(kMaxHeaderBytes), path,
           ": not a safetensors file: header of ", header_bytes, " bytes");
  const int64_t data_begin = 8 + static_cast<int64_t>(header_bytes);
  SQ_CHECK(data_begin <= size, path, ": truncated: expected a header of ", header_bytes,
           " bytes, found ", size - 8);
  const Json header = ParseJson(
      std::string(reinterpret_cast<const char*>(data) + 8, static_cast<size_t>(header_bytes)),
      path);
  SQ_CHECK(header.is_object(), path, ": expected an object as header");
  Safetensors parsed;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") {
      parsed.metadata = ParseMetadata(entry, path);
    } else {
      parsed.tensors.push_back(ParseEntry(name, entry, data_begin, path));
    }
  }
  std::sort(parsed.tensors.begin(), parsed.tensors.end(),
            [](const FileTensor& a, const FileTensor& b) {
              return std::tie(a.offset, a.bytes, a.name) < std::tie(b.offset, b.bytes, b.name);
            });
  int64_t expected_offset = data_begin;
  for (const FileTensor& tensor : parsed.tensors) {
    SQ_CHECK(tensor.offset == expected_offset, path, ": tensor ", tensor.name,
             ": expected its data at byte ", expected_offset, ", found ", tensor.offset);
    expected_offset = CheckedAdd(tensor.offset, tensor.bytes, path);
    SQ_CHECK(expected_offset <= size, path, ": truncated: tensor ", tensor.name, " ends at byte ",
             expected_offset, " of a file of ", size, " bytes");
  }
  SQ_CHECK(expected_offset == size, path, ": expected ", expected_offset, " bytes, found ", size);
  return parsed;
}

Safetensors OpenSafetensors(const std::string& path) {
  auto file = std::make_shared<const MappedFile>(path);
  Safetensors parsed = ParseSafetensorsHeader(file->data(), file->size(), path);
  for (FileTensor& tensor : parsed.tensors) tensor.file = file;
  return parsed;
}

SafetensorsWriter::SafetensorsWriter(const std::string& path,
                                     const std::vector<TensorView>& tensors,
                                     const Metadata& metadata)
    : file_(path), tensors_(tensors) {
  for (const TensorView& tensor : tensors) {
    SQ_DCHECK(tensor.bytes == ElementCount(tensor.shape, path) * DTypeBytes(tensor.dtype));
  }
  const std::string header = Header(tensors, metadata);
  const uint64_t header_bytes = header.size();
  file_.Write(&header_bytes, 8);
  file_.Write(header.data(), static_cast<int64_t>(header.size()));
}

void SafetensorsWriter::Append(const TensorView& tensor) {
  SQ_DCHECK(next_ < tensors_.size() && tensors_[next_].name == tensor.name &&
            tensors_[next_].bytes == tensor.bytes);
  file_.Write(tensor.data, tensor.bytes);
  ++next_;
}

void SafetensorsWriter::Commit() {
  SQ_DCHECK(next_ == tensors_.size());
  file_.Commit();
}

void WriteSafetensors(const std::string& path, const std::vector<TensorView>& tensors,
                      const Metadata& metadata) {
  SafetensorsWriter writer(path, tensors, metadata);
  for (const TensorView& tensor : tensors) writer.Append(tensor);
  writer.Commit();
}

}  // namespace sq
