#include "sq/checkpoint/tensor.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "sq/base/error.h"
#include "sq/base/half.h"
#include "sq/checkpoint/mapped_file.h"

namespace sq {
namespace {

template <typename T>
std::vector<T> ReadAll(const FileTensor& tensor, DType dtype) {
  CheckDType(tensor, dtype);
  std::vector<T> values(static_cast<size_t>(tensor.bytes) / sizeof(T));
  if (!values.empty()) std::memcpy(values.data(), tensor.data(), values.size() * sizeof(T));
  return values;
}

}  // namespace

int64_t DTypeBytes(DType dtype) {
  switch (dtype) {
    case DType::kBool:
    case DType::kU8:
    case DType::kI8: return 1;
    case DType::kU16:
    case DType::kI16:
    case DType::kF16:
    case DType::kBF16: return 2;
    case DType::kU32:
    case DType::kI32:
    case DType::kF32: return 4;
    case DType::kU64:
    case DType::kI64:
    case DType::kF64: return 8;
  }
  return 0;
}

const char* DTypeName(DType dtype) {
  switch (dtype) {
    case DType::kBool: return "BOOL";
    case DType::kU8: return "U8";
    case DType::kI8: return "I8";
    case DType::kU16: return "U16";
    case DType::kI16: return "I16";
    case DType::kF16: return "F16";
    case DType::kBF16: return "BF16";
    case DType::kU32: return "U32";
    case DType::kI32: return "I32";
    case DType::kF32: return "F32";
    case DType::kU64: return "U64";
    case DType::kI64: return "I64";
    case DType::kF64: return "F64";
  }
  return "?";
}

std::string ShapeText(const Shape& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) {
    text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  }
  return text + "]";
}

int64_t ElementCount(const Shape& shape, const std::string& what) {
  int64_t count = 1;
  for (const int64_t size : shape) count = CheckedMultiply(count, size, what);
  return count;
}

const uint8_t* FileTensor::data() const { return file->data() + offset; }

std::string FileTensor::Where() const { return file->path() + ": tensor " + name; }

void FileTensor::Release() const { file->Release(offset, bytes); }

void CheckShape(const FileTensor& tensor, const Shape& expected) {
  SQ_CHECK(tensor.shape == expected, tensor.Where(), ": expected shape ", ShapeText(expected),
           ", found ", ShapeText(tensor.shape));
}

void CheckDType(const FileTensor& tensor, DType expected) {
  SQ_CHECK(tensor.dtype == expected, tensor.Where(), ": expected type ", DTypeName(expected),
           ", found ", DTypeName(tensor.dtype));
}

void ReadFloats(const FileTensor& tensor, int64_t first, int64_t count, float* out) {
  const int64_t size = DTypeBytes(tensor.dtype);
  SQ_DCHECK(first >= 0 && count >= 0 && (first + count) * size <= tensor.bytes);
  const uint8_t* from = tensor.data() + first * size;
  if (tensor.dtype == DType::kF32) {
    std::memcpy(out, from, static_cast<size_t>(count * size));
    return;
  }
  SQ_CHECK(tensor.dtype == DType::kF16 || tensor.dtype == DType::kBF16, tensor.Where(),
           ": expected type F32, F16 or BF16, found ", DTypeName(tensor.dtype));
  // Through a buffer: a tensor in a file may lie at an odd address.
  uint16_t buffer[4096];
  for (int64_t done = 0; done < count;) {
    const int64_t now = std::min<int64_t>(count - done, 4096);
    std::memcpy(buffer, from + done * 2, static_cast<size_t>(now * 2));
    if (tensor.dtype == DType::kF16) {
      Fp16ToFloat(buffer, out + done, now);
    } else {
      Bf16ToFloat(buffer, out + done, now);
    }
    done += now;
  }
}

void CheckFinite(const FileTensor& tensor) {
  if (tensor.dtype != DType::kF32 && tensor.dtype != DType::kF16 && tensor.dtype != DType::kBF16)
    return;
  const int64_t count = tensor.bytes / DTypeBytes(tensor.dtype);
  float values[4096];
  for (int64_t done = 0; done < count; done += 4096) {
    const int64_t now = std::min<int64_t>(count - done, 4096);
    ReadFloats(tensor, done, now, values);
    for (int64_t i = 0; i < now; ++i) {
      SQ_CHECK(std::isfinite(values[i]), tensor.Where(), ": element ", done + i, " of shape ",
               ShapeText(tensor.shape), " is ", values[i]);
    }
  }
}

std::vector<float> ReadF32(const FileTensor& tensor) { return ReadAll<float>(tensor, DType::kF32); }

std::vector<int32_t> ReadI32(const FileTensor& tensor) {
  return ReadAll<int32_t>(tensor, DType::kI32);
}

}  // namespace sq
