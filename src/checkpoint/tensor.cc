#include "sq/checkpoint/tensor.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "sq/base/error.h"
#include "sq/base/half.h"
#include "sq/checkpoint/mapped_file.h"

namespace sq {

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

bool IsFloat(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16 ||
         dtype == DType::kF64;
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

void CheckTensorName(std::string_view name, const std::string& path) {
  constexpr size_t kMaxNameBytes = 256;
  SQ_CHECK(name.size() <= kMaxNameBytes && IsPrintable(name), path,
           ": expected printable names of at most ", kMaxNameBytes, " bytes, found ", Quoted(name));
}

StridedCopy::StridedCopy(std::shared_ptr<const MappedFile> file, int64_t offset,
                         int64_t element_bytes, Shape shape, std::vector<int64_t> strides)
    : file_(std::move(file)),
      offset_(offset),
      element_bytes_(element_bytes),
      shape_(std::move(shape)),
      strides_(std::move(strides)) {
  SQ_DCHECK(shape_.size() == strides_.size() && !shape_.empty());
}

const uint8_t* StridedCopy::data() const {
  std::call_once(once_, [&] {
    const size_t size = static_cast<size_t>(element_bytes_), last = shape_.size() - 1;
    const int64_t count = ElementCount(shape_, file_->path());
    copy_.resize(static_cast<size_t>(count) * size);
    const uint8_t* from = file_->data() + offset_;
    std::vector<int64_t> index(shape_.size(), 0);
    for (size_t to = 0; to < copy_.size();) {
      int64_t first = 0;
      for (size_t d = 0; d < last; ++d) first += index[d] * strides_[d];
      for (int64_t i = 0; i < shape_[last]; ++i, to += size) {
        std::memcpy(&copy_[to], from + (first + i * strides_[last]) * element_bytes_, size);
      }
      for (size_t d = last; d-- > 0 && ++index[d] == shape_[d];) index[d] = 0;
    }
  });
  return copy_.data();
}

const uint8_t* FileTensor::data() const {
  return copy != nullptr ? copy->data() : file->data() + offset;
}

std::string FileTensor::Where() const { return file->path() + ": tensor " + name; }

void FileTensor::Release() const {
  if (copy == nullptr) file->Release(offset, bytes);
}

void CheckShape(const FileTensor& tensor, const Shape& expected) {
  SQ_CHECK(tensor.shape == expected, tensor.Where(), ": expected shape ", ShapeText(expected),
           ", found ", ShapeText(tensor.shape));
}

void CheckDType(const FileTensor& tensor, DType expected) {
  SQ_CHECK(tensor.dtype == expected, tensor.Where(), ": expected type ", DTypeName(expected),
           ", found ", DTypeName(tensor.dtype));
}

namespace {

// `from`: elements [first, first + count) of the tensor.
void DoublesToFloats(const FileTensor& tensor, const uint8_t* from, int64_t first, int64_t count,
                     float* out) {
  for (int64_t i = 0; i < count; ++i) {
    double value = 0;
    std::memcpy(&value, from + i * 8, 8);
    out[i] = static_cast<float>(value);
    SQ_CHECK(std::isfinite(out[i]) == std::isfinite(value), tensor.Where(), ": element ", first + i,
             " of shape ", ShapeText(tensor.shape), " is ", value, ", which does not fit F32");
  }
}

}  // namespace

void CheckFloatType(const FileTensor& tensor) {
  SQ_CHECK(IsFloat(tensor.dtype), tensor.Where(), ": expected type ", kFloatTypes, ", found ",
           DTypeName(tensor.dtype));
}

void ReadFloats(const FileTensor& tensor, int64_t first, int64_t count, float* out) {
  const int64_t size = DTypeBytes(tensor.dtype);
  SQ_DCHECK(first >= 0 && count >= 0 && (first + count) * size <= tensor.bytes);
  CheckFloatType(tensor);
  if (count == 0) return;  // `out` may be null then
  const uint8_t* from = tensor.data() + first * size;
  if (tensor.dtype == DType::kF32) {
    std::memcpy(out, from, static_cast<size_t>(count * size));
    return;
  }
  if (tensor.dtype == DType::kF64) return DoublesToFloats(tensor, from, first, count, out);
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
  if (!IsFloat(tensor.dtype)) return;
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

std::vector<float> ReadFloats(const FileTensor& tensor) {
  std::vector<float> values(static_cast<size_t>(tensor.bytes / DTypeBytes(tensor.dtype)));
  ReadFloats(tensor, 0, static_cast<int64_t>(values.size()), values.data());
  return values;
}

std::vector<int32_t> ReadIntegers(const FileTensor& tensor) {
  SQ_CHECK(tensor.dtype == DType::kI32 || tensor.dtype == DType::kI64, tensor.Where(),
           ": expected type I32 or I64, found ", DTypeName(tensor.dtype));
  const size_t size = static_cast<size_t>(DTypeBytes(tensor.dtype));
  std::vector<int32_t> values(static_cast<size_t>(tensor.bytes) / size);
  if (values.empty()) return values;
  const uint8_t* data = tensor.data();
  if (tensor.dtype == DType::kI32) {
    std::memcpy(values.data(), data, values.size() * size);
    return values;
  }
  for (size_t i = 0; i < values.size(); ++i) {
    int64_t value = 0;
    std::memcpy(&value, data + i * size, size);
    SQ_CHECK(value >= std::numeric_limits<int32_t>::min() &&
                 value <= std::numeric_limits<int32_t>::max(),
             tensor.Where(), ": element ", i, " is ", value, ", which does not fit 32 bits");
    values[i] = static_cast<int32_t>(value);
  }
  return values;
}

TensorView ToWrite(const FileTensor& tensor) {
  if (tensor.dtype != DType::kF64) {
    return {tensor.name, tensor.dtype, tensor.shape, nullptr, tensor.bytes};
  }
  return {tensor.name, DType::kF32, tensor.shape, nullptr, tensor.bytes / 2};
}

const void* DataToWrite(const FileTensor& tensor, std::vector<float>* buffer) {
  if (tensor.dtype != DType::kF64) return tensor.data();
  *buffer = ReadFloats(tensor);
  return buffer->data();
}

}  // namespace sq
